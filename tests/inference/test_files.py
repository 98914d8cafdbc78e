import json

import cv2
import numpy as np
import pytest
import torch

from mnist_lightning.errors import UserError
from mnist_lightning.inference.files import predict_files
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.ink.normalise import normalise
from mnist_lightning.models.checkpoint import CARD


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

    def read(image, ckpt=checkpoint_file):
        predict_files(str(image), str(ckpt), tmp_path / "outputs", "cpu")
        printed = capsys.readouterr()
        return [json.loads(line) for line in printed.out.splitlines()], printed.err

    return read


def test_a_file_gives_one_line_with_what_the_network_reads(read, tmp_path, checkpoint_file):
    image = write_digit(tmp_path / "seven.png", "7")
    [line], said = read(tmp_path / "seven.png")
    assert list(line) == ["image", "digit", "confidence", "probabilities"]
    wanted = Predictor.load(checkpoint_file, "cpu").probabilities(normalise(image)[None])[0]
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
    with pytest.raises(UserError, match=r"b\.png is no image that OpenCV can read"):
        read(tmp_path / "*.png")
    assert capsys.readouterr().out == ""
    with pytest.raises(UserError, match=r"There is no image file"):
        read(tmp_path)  # a folder


def test_a_checkpoint_that_is_not_there_is_said(read, tmp_path):
    write_digit(tmp_path / "a.png", "2")
    with pytest.raises(UserError, match=r"There is no checkpoint .*nowhere\.ckpt"):
        read(tmp_path / "a.png", tmp_path / "nowhere.ckpt")
