import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mnist_lightning.errors import UserError
from mnist_lightning.inference import second_look
from mnist_lightning.inference.files import predict_files
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.inference.reader import CERTAIN
from mnist_lightning.ink.normalise import normalise
from mnist_lightning.models.checkpoint import CARD
from mnist_lightning.run import folder as runs


def write_digit(path, text, size=120, light_on_dark=False):
    """A digit in black on white, or the other way round."""
    image = np.full((size, size), 255, np.uint8)
    scale = size / 40
    cv2.putText(image, text, (size // 4, 3 * size // 4), cv2.FONT_HERSHEY_SIMPLEX, scale, 0, size // 15, cv2.LINE_AA)
    image = 255 - image if light_on_dark else image
    assert cv2.imwrite(str(path), image)
    return image


@pytest.fixture
def read(checkpoint_file, tmp_path, capsys):
    """`read(image)`: the printed lines of JSON, and what is on stderr."""

    def read(image, ckpt=checkpoint_file, digits=1):
        predict_files(image=str(image), ckpt=str(ckpt), outputs=str(tmp_path / "outputs"), device="cpu", digits=digits)
        printed = capsys.readouterr()
        return [json.loads(line) for line in printed.out.splitlines()], printed.err

    return read


def test_a_file_gives_one_line_with_what_the_network_reads(read, tmp_path, checkpoint_file):
    image = write_digit(tmp_path / "seven.png", "7")
    [line], said = read(tmp_path / "seven.png")
    assert list(line) == [
        "image", "network", "number", "sure", "message", "digit", "confidence", "probabilities", "digits"
    ]  # fmt: skip
    assert line["network"] == str(checkpoint_file)
    assert line["digits"][0]["box"] == pytest.approx([32, 33, 80, 94], abs=14)
    predictor = Predictor.load(checkpoint_file, "cpu")
    wanted = second_look.probabilities(predictor, normalise(image)[None], CERTAIN)[0]
    assert line["image"] == str(tmp_path / "seven.png")
    assert line["digit"] == int(wanted.argmax())
    assert line["confidence"] == max(line["probabilities"]) == pytest.approx(wanted.max(), abs=1e-6)
    assert line["probabilities"] == pytest.approx(wanted.tolist(), abs=1e-6)
    assert sum(line["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert said == f"Checkpoint: {checkpoint_file}\n"


def test_a_glob_gives_a_line_each_in_the_order_of_names(read, tmp_path):
    for name in ("b.png", "a.jpg", "c.bmp"):
        write_digit(tmp_path / name, name[0].upper())
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "deep").mkdir()
    write_digit(tmp_path / "deep" / "d.png", "4")
    lines, _ = read(tmp_path / "?.*")
    assert [line["image"] for line in lines] == [str(tmp_path / name) for name in ("a.jpg", "b.png", "c.bmp")]
    lines, _ = read(tmp_path / "**" / "*.png")
    assert [line["image"] for line in lines] == [str(tmp_path / name) for name in ("b.png", "deep/d.png")]


def test_a_name_with_brackets_is_a_file_before_it_is_a_glob(read, tmp_path):
    write_digit(tmp_path / "digit[1].png", "1")
    [line], _ = read(tmp_path / "digit[1].png")
    assert line["image"] == str(tmp_path / "digit[1].png")


def test_dark_on_light_reads_as_light_on_dark(read, tmp_path):
    write_digit(tmp_path / "dark.png", "5")
    write_digit(tmp_path / "light.png", "5", light_on_dark=True)
    write_digit(tmp_path / "other.png", "1")
    [dark], [light], [other] = (read(tmp_path / f"{name}.png")[0] for name in ("dark", "light", "other"))
    assert dark["probabilities"] == light["probabilities"]
    assert dark["probabilities"] != other["probabilities"]


def test_the_size_of_the_picture_matters_little(read, tmp_path):
    write_digit(tmp_path / "small.png", "3", size=80)
    write_digit(tmp_path / "large.png", "3", size=800)
    [small], [large] = (read(tmp_path / f"{name}.png")[0] for name in ("small", "large"))
    assert small["probabilities"] == pytest.approx(large["probabilities"], abs=0.05)


def test_other_classes_are_told_by_their_names(read, tmp_path, checkpoint_file):
    kept = torch.load(checkpoint_file, weights_only=True)
    kept[CARD]["class_names"] = [f"きつ{number}" for number in range(10)]
    torch.save(kept, tmp_path / "kmnist.ckpt")
    write_digit(tmp_path / "a.png", "2")
    [line], _ = read(tmp_path / "a.png", tmp_path / "kmnist.ckpt")
    assert line["digit"] == f"きつ{np.argmax(line['probabilities'])}"


@pytest.mark.parametrize("image", ["nowhere.png", "no/where/*.png"])
def test_no_file_is_said(read, tmp_path, monkeypatch, image):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^There is no image no.*: give a file, or a glob in quotes such as 'photos/"):
        read(image)


def test_a_file_that_is_no_image_is_said_before_anything_is_printed(read, tmp_path, capsys):
    write_digit(tmp_path / "a.png", "2")
    (tmp_path / "b.png").write_text("no image")
    with pytest.raises(UserError, match=r"b\.png is not an image that can be read: save it as PNG or JPEG"):
        read(tmp_path / "*.png")
    assert capsys.readouterr().out == ""
    with pytest.raises(UserError, match=r"is a folder: give a file"):
        read(tmp_path)  # a folder


def test_a_checkpoint_that_is_not_there_is_said(read, tmp_path):
    write_digit(tmp_path / "a.png", "2")
    with pytest.raises(UserError, match=r"There is no checkpoint .*nowhere\.ckpt"):
        read(tmp_path / "a.png", tmp_path / "nowhere.ckpt")


def test_names_with_quotes_hashes_spaces_and_a_home_folder_are_taken_as_they_are(read, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("it's.png", "#5.png", "5.png", "Bild ä.png", "a=b {c}.png"):
        write_digit(tmp_path / name, "5")
        [line], _ = read(tmp_path / name)
        assert line["image"] == str(tmp_path / name)
        [line], _ = read(f"~/{name}")
        assert line["image"] == str(tmp_path / name)


def test_an_empty_sheet_is_said_to_be_empty(read, tmp_path):
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((90, 90), 255, np.uint8))
    [line], _ = read(tmp_path / "blank.png", digits=None)
    assert (line["message"], line["number"], line["sure"], line["digit"], line["digits"]) == (
        "empty",
        "",
        False,
        None,
        [],
    )


def test_a_number_is_read_digit_by_digit_with_boxes_in_pixels_of_the_file(read, tmp_path):
    picture = np.full((300, 900), 255, np.uint8)
    for place, figure in enumerate("204"):
        cv2.putText(picture, figure, (90 + 260 * place, 230), cv2.FONT_HERSHEY_SIMPLEX, 6, 0, 16, cv2.LINE_AA)
    cv2.imwrite(str(tmp_path / "number.png"), picture)
    [line], _ = read(tmp_path / "number.png", ckpt=runs.PRETRAINED, digits=None)
    assert (line["number"], line["sure"], line["digit"]) == ("204", True, None)
    for place, digit in enumerate(line["digits"]):
        columns = (
            np.flatnonzero((picture[:, 260 * place + 60 : 260 * place + 300] < 128).any(axis=0)) + 260 * place + 60
        )
        assert digit["box"][0] == pytest.approx(columns[0], abs=6)
        assert digit["box"][2] == pytest.approx(columns[-1] + 1, abs=6)


def test_a_file_of_several_pages_is_said_to_have_them(read, tmp_path):
    frames = [Image.fromarray(write_digit(tmp_path / "a.png", text)) for text in "27"]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    _, said = read(tmp_path / "moving.gif")
    assert "moving.gif has several pages or frames: the first is read." in said
