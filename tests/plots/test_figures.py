import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from mnist_lightning.errors import UserError
from mnist_lightning.plots import style, words
from mnist_lightning.plots.confusion_matrix import confusion_matrix
from mnist_lightning.plots.loss_graph import loss_graph, of_record
from mnist_lightning.plots.sample_prediction import sample_prediction
from mnist_lightning.plots.worst_mistakes import worst_mistakes

DIGITS = [str(digit) for digit in range(10)]
FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
LETTERS = [*DIGITS, *map(chr, range(ord("A"), ord("Z") + 1)), *map(chr, range(ord("a"), ord("z") + 1))]
NAN = float("nan")


def history(train: list, val: list) -> dict[str, list]:
    accuracies = [0.98 + 0.0001 * index for index in range(len(train))]
    epochs = list(range(1, len(train) + 1))
    return {"epoch": epochs, "train_loss": train, "val_loss": val, "val_accuracy": accuracies}


def sample(chance: float) -> Figure:
    """A digit that is read right with a probability."""
    return sample_prediction(digit_images(1)[0], 1, [(1 - chance) / 9, chance, *[(1 - chance) / 9] * 8], DIGITS)


def falling(epochs: int) -> dict[str, list]:
    steps = np.arange(epochs)
    return history((0.5 * 0.8**steps + 0.02).tolist(), (0.2 * 0.8**steps + 0.015).tolist())


def digit_images(count: int) -> np.ndarray:
    """Image n is grey 10 + n all over."""
    return np.broadcast_to(np.arange(10, 10 + count, dtype=np.uint8)[:, None, None], (count, 28, 28))


def mistakes(count: int, names: list[str] = DIGITS, total: int | None = None) -> Figure:
    labels = np.arange(count) % 10
    confidences = np.linspace(0.99, 0.4, count)
    return worst_mistakes(
        digit_images(count), labels, (labels + 1) % 10, confidences, names, total if total is not None else count
    )


def confusion(classes: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    counts = np.diag(rng.integers(900, 1100, classes))
    rows, columns = rng.integers(classes, size=(2, 3 * classes))
    np.add.at(counts, (rows, columns), 3)
    return counts


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


# Every picture


@pytest.mark.parametrize(
    "figure",
    [
        pytest.param(lambda: loss_graph(falling(0), None), id="loss-0"),
        pytest.param(lambda: loss_graph(falling(1), 1), id="loss-1"),
        pytest.param(lambda: loss_graph(falling(3), 3), id="loss-3"),
        pytest.param(lambda: loss_graph(falling(40), 1), id="loss-40-first"),
        pytest.param(lambda: loss_graph(falling(40), 40), id="loss-40-last"),
        pytest.param(lambda: loss_graph(history([1e-6, 2.0], [30.0, 1e-5]), 2), id="loss-wide"),
        pytest.param(lambda: loss_graph(history([NAN, 0.2], [0.1, NAN]), 2), id="loss-nan"),
        pytest.param(lambda: loss_graph(falling(6), 1, 0.15, True), id="loss-explained"),
        pytest.param(lambda: sample_prediction(digit_images(1)[0], 9, [0.5] + [0.5 / 9] * 9, FASHION), id="sample"),
        *(
            pytest.param(lambda chance=chance: sample(chance), id=f"sample-{chance}")
            for chance in (0.45, 0.52, 0.5557, 0.6, 0.65, 0.99)
        ),
        pytest.param(lambda: sample_prediction(digit_images(1)[0], 9, [1.0] + [0.0] * 61, LETTERS), id="sample-62"),
        pytest.param(lambda: mistakes(0), id="mistakes-0"),
        pytest.param(lambda: mistakes(1), id="mistakes-1"),
        pytest.param(lambda: mistakes(40, FASHION, 2000), id="mistakes-fashion"),
        pytest.param(lambda: confusion_matrix(confusion(10), FASHION), id="confusion-fashion"),
        pytest.param(lambda: confusion_matrix(np.eye(2, dtype=int), ["no", "yes"]), id="confusion-2"),
        pytest.param(lambda: confusion_matrix(confusion(62), LETTERS), id="confusion-62"),
    ],
)
def test_no_text_leaves_the_picture_or_covers_another(figure):
    figure = figure()
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    axis_list = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    written = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    written += [axis.label for axis in axis_list]
    written += [text for legend in figure.legends for text in legend.get_texts()]
    for axis in axis_list:
        low, high = sorted(axis.get_view_interval())
        ticks = zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=True)
        written += [label for place, label in ticks if low <= place <= high]  # the others are not drawn
    boxes = [text.get_window_extent(renderer) for text in written if text.get_text()]
    assert boxes
    for box in boxes:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y1 <= figure.bbox.height
    bounds = np.array([box.extents for box in boxes])
    overlap = np.minimum(bounds[:, None, 2:], bounds[None, :, 2:]) - np.maximum(
        bounds[:, None, :2], bounds[None, :, :2]
    )
    covered = np.argwhere((overlap > 3).all(axis=2))  # line heights may touch
    assert [pair for pair in covered.tolist() if pair[0] < pair[1]] == []


def test_saved_picture_is_a_small_png_and_the_same_bytes_each_time(tmp_path):
    makers = {
        "loss": lambda: loss_graph(falling(40), 37),
        "sample": lambda: sample_prediction(digit_images(1)[0], 3, np.full(10, 0.1), FASHION),
        "mistakes": lambda: mistakes(40, FASHION),
        "confusion": lambda: confusion_matrix(confusion(10), FASHION),
    }
    for name, make in makers.items():
        style.save(make(), tmp_path / "first.png")
        style.save(make(), tmp_path / "second.png")
        first = (tmp_path / "first.png").read_bytes()
        assert first.startswith(b"\x89PNG"), name
        assert first == (tmp_path / "second.png").read_bytes(), name
        assert b"atplotlib" not in first, name  # its version would change the bytes
        assert len(first) < 200_000, name
        with Image.open(tmp_path / "first.png") as image:
            assert image.size == make().canvas.get_width_height(), name
            assert len(set(image.convert("L").tobytes())) > 20, name  # not an empty page


def test_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(UserError, match="cannot be written"):
        style.save(mistakes(0), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_save_leaves_only_the_picture_readable_like_any_file(tmp_path):
    (tmp_path / "plain").touch()
    style.save(mistakes(0), tmp_path / "picture.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["picture.png", "plain"]
    assert (tmp_path / "picture.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_drawing_never_loads_pyplot(tmp_path):
    program = (
        "import sys; from pathlib import Path; from mnist_lightning.plots import style; "
        "from mnist_lightning.plots.confusion_matrix import confusion_matrix; "
        f"style.save(confusion_matrix([[3, 1], [0, 2]], ['a', 'b']), Path({str(tmp_path / 'x.png')!r})); "
        "assert 'matplotlib.pyplot' not in sys.modules; assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0, "0.00 %"), (1, "100.00 %"), (0.9961, "99.61 %"), (0.99999, ">99.99 %"), (1e-9, "<0.01 %"), (NAN, "NaN")],
)
def test_percent(fraction, text):
    assert words.percent(fraction) == text


# Loss graph


def curves(figure: Figure, panel: int = 0) -> dict[str, np.ndarray]:
    lines = figure.axes[panel].lines
    return {line.get_label(): np.array(line.get_xydata()) for line in lines if line.get_label()[0] != "_"}


def stars(axes) -> list:
    return [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "*"]


def test_loss_graph_draws_loss_and_accuracy_of_both_sets():
    given = {**falling(40), "train_accuracy": np.linspace(0.8, 0.98, 40).tolist()}
    figure = loss_graph(given, 37)
    for panel, what in enumerate(("loss", "accuracy")):
        drawn = curves(figure, panel)
        assert list(drawn) == ["training", "validation"]
        for label, key in (("training", f"train_{what}"), ("validation", f"val_{what}")):
            np.testing.assert_array_equal(drawn[label].T, [given["epoch"], given[key]])
    assert [axes.get_ylabel() for axes in figure.axes] == ["mean loss (logarithmic)", "accuracy"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training", "validation"]


def test_loss_graph_without_training_accuracy_draws_the_validations_alone():
    assert list(curves(loss_graph(falling(5), 2), 1)) == ["validation"]
    assert list(curves(loss_graph({**falling(5), "train_accuracy": []}, 2), 1)) == ["validation"]


def test_loss_graph_marks_the_best_epoch_with_a_star_on_its_accuracy():
    given = falling(40)
    figure = loss_graph(given, 37)
    assert stars(figure.axes[0]) == []
    assert stars(figure.axes[1]) == [[[37, given["val_accuracy"][36]]]]
    assert "best: 98.36 %" in texts(figure)
    assert any("best epoch 37: validation accuracy 98.36 %, validation loss 0.01506" in text for text in texts(figure))


def test_loss_graph_marks_the_best_epoch_in_the_pixels():
    marked, plain = (loss_graph(falling(5), best) for best in (2, None))
    marked.canvas.draw()
    plain.canvas.draw()
    x, y = marked.axes[1].transData.transform((2, falling(5)["val_accuracy"][1]))
    pixel = (int(marked.bbox.height - y), int(x))
    assert to_hex(np.asarray(marked.canvas.buffer_rgba())[pixel] / 255).upper() == style.ORANGE
    assert to_hex(np.asarray(plain.canvas.buffer_rgba())[pixel] / 255).upper() != style.ORANGE


@pytest.mark.parametrize("best", [None, 7])
def test_loss_graph_without_a_known_best_epoch_has_no_mark(best):
    figure = loss_graph(falling(3), best)
    assert [stars(axes) for axes in figure.axes] == [[], []]
    assert not any("best" in text for text in texts(figure))


@pytest.mark.parametrize(
    ("smoothing", "augmented", "told"),
    [
        (0.0, False, None),
        (0.1, False, "With label smoothing 0.1 the loss may rise while accuracy rises."),
        (0.0, True, "Augmented training images are harder than validation images."),
        (0.05, True, "Augmented training images are harder than validation images. "
                     "With label smoothing 0.05 the loss may rise while accuracy rises."),
    ],
)  # fmt: skip
def test_loss_graph_explains_label_smoothing_and_augmentation_where_they_act(smoothing, augmented, told):
    said = [text for text in texts(loss_graph(falling(3), 1, smoothing, augmented)) if "rise" in text or "hard" in text]
    assert said == ([told] if told else [])


def test_the_loss_graph_of_a_record_says_what_acted_in_the_run(compose):
    settings = compose("train", "augment=none", "loss.label_smoothing=0.0")
    record = {"history": falling(3), "best": {"epoch": 2}, "hyperparameters": settings}
    said = texts(of_record(record))
    assert "best: 98.01 %" in said
    assert not any("harder" in text or "smoothing" in text for text in said)
    for choice in ("affine", "light", "strong"):
        record["hyperparameters"] = compose("train", f"augment={choice}", "loss.label_smoothing=0.1")
        assert any("harder" in text and "label smoothing 0.1" in text for text in texts(of_record(record)))
    assert not any("best" in text for text in texts(of_record({"history": falling(3), "best": None})))


@pytest.mark.parametrize("epochs", [1, 2, 3, 12, 40])
def test_loss_graph_ticks_whole_epochs_and_shows_them_all(epochs):
    for axes in loss_graph(falling(epochs), 1).axes:
        low, high = axes.get_xlim()
        assert low < 1
        assert high > epochs
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert 1 <= len(ticks) <= 13
        assert all(tick == int(tick) for tick in ticks)


def test_loss_graph_without_epochs_or_finite_losses_says_so():
    assert "no finished epoch" in texts(loss_graph(falling(0), None))
    assert "no finite loss in 2 epochs" in texts(loss_graph(history([NAN] * 2, [None, float("inf")]), 1))


def test_loss_graph_leaves_gaps_where_a_loss_is_not_finite():
    figure = loss_graph(history([0.5, NAN, 0.3, 0.2], [0.4, 0.3, float("inf"), None]), 1)
    drawn = curves(figure)
    np.testing.assert_array_equal(drawn["training"][:, 1], [0.5, NAN, 0.3, 0.2])
    np.testing.assert_array_equal(drawn["validation"][:, 1], [0.4, 0.3, NAN, NAN])
    assert any("loss not finite in 3 of them" in text for text in texts(figure))
    assert figure.axes[0].get_xlim()[1] > 4  # the broken end is in view


def test_loss_graph_is_logarithmic_only_where_the_losses_span_more_than_a_factor_of_ten():
    assert loss_graph(history([1.0, 0.01], [0.5, 0.02]), None).axes[0].get_yscale() == "log"
    assert loss_graph(history([1.0, 0.0], [0.5, 0.02]), None).axes[0].get_yscale() == "linear"
    wide = loss_graph(history([1.0, 0.2], [0.5, 0.2]), None).axes[0]
    assert (wide.get_yscale(), wide.get_ylim()[0]) == ("linear", 0)
    assert loss_graph(history([2.3, 2.2], [2.3, 2.25]), None).axes[0].get_ylim()[0] > 2


def test_a_few_poor_epochs_do_not_press_the_other_accuracies_into_a_line():
    given = falling(20)
    given["val_accuracy"][0] = 0.1
    axes = loss_graph(given, 20).axes[1]
    bottom, top = axes.get_ylim()
    assert 0.979 < bottom < 0.9801 < top < 1
    (below,) = [line for line in axes.lines if line.get_marker() == "v"]
    assert below.get_xydata().tolist() == [[1, bottom]]
    assert any("▼ lower than shown" in text for text in texts(axes.figure))
    given["val_accuracy"] = np.linspace(0.5, 0.9, 20).tolist()
    assert loss_graph(given, 20).axes[1].get_ylim()[0] < 0.5  # nothing is far off: all is shown


def test_an_accuracy_of_all_is_in_the_picture_and_so_is_none():
    for value in (0.0, 1.0):
        given = falling(3)
        given["val_accuracy"] = [value] * 3
        bottom, top = loss_graph(given, 1).axes[1].get_ylim()
        assert bottom < value < top


# Sample prediction


def test_sample_prediction_shows_image_probabilities_and_verdict():
    image = np.arange(784, dtype=np.uint8).reshape(28, 28)
    chances = np.array([0.02, 0.6, 0.01, 0.01, 0.01, 0.01, 0.01, 0.3, 0.02, 0.01])
    figure = sample_prediction(image, 7, chances, DIGITS)
    (picture,), (bars,) = figure.artists, figure.axes
    np.testing.assert_array_equal(picture.image, image)
    assert [bar.get_width() for bar in bars.patches] == chances.tolist()
    assert [label.get_text() for label in bars.get_yticklabels()] == DIGITS
    assert bars.yaxis_inverted()  # class 0 on top
    colours = [to_hex(bar.get_facecolor()).upper() for bar in bars.patches]
    assert (colours[1], colours[7]) == (style.BLUE, style.ORANGE)
    assert len(set(colours)) == 3
    assert "Wrong: predicted 1, labelled 7" in texts(figure)
    assert "60.00 %  predicted" in texts(figure)
    assert "30.00 %  label" in texts(figure)
    assert "label: 7\nprediction: 1" in texts(figure)


def test_sample_prediction_says_right():
    figure = sample_prediction(digit_images(1)[0], 8, np.eye(10)[8], FASHION)
    assert "Right: predicted Bag, labelled Bag" in texts(figure)
    assert "100.00 %  predicted = label" in texts(figure)
    colours = [to_hex(bar.get_facecolor()).upper() for bar in figure.axes[0].patches]
    assert colours[8] == style.BLUE
    assert style.ORANGE not in colours


def test_sample_prediction_of_many_classes_keeps_the_likeliest_and_the_true_one():
    chances = np.full(62, 0.0001)
    chances[20:30] = np.linspace(0.05, 0.14, 10)
    bars = sample_prediction(digit_images(1)[0], 61, chances, LETTERS).axes[0]
    assert [label.get_text() for label in bars.get_yticklabels()] == [*LETTERS[20:30], "z"]
    assert [bar.get_width() for bar in bars.patches] == [*chances[20:30], 0.0001]
    assert "11 of 62 classes" in bars.get_xlabel()


# Worst mistakes


def test_worst_mistakes_puts_the_most_confident_first_in_one_mosaic():
    figure = worst_mistakes(
        digit_images(3), [1, 2, 3], [7, 8, 9], [0.5, 0.99, 0.7], DIGITS, total=3
    )  # fmt: skip
    (mosaic,) = [artist.image for artist in figure.artists]  # one, however many images
    assert [int(mosaic[0, left]) for left in (0, 36, 72)] == [11, 12, 10]
    assert (mosaic[:28, :28] == 11).all()
    assert (mosaic[:28, 28:36] == 255).all()
    captions = [text.get_text() for text in figure.texts]
    assert captions[2:] == ["2 → 8", "99.00 %", "3 → 9", "70.00 %", "1 → 7", "50.00 %"]
    assert captions[1].startswith("3 mistakes: ")


def test_worst_mistakes_shows_forty_at_most_and_counts_them_all():
    figure = mistakes(55, total=87)
    assert sum("→" in text.get_text() for text in figure.texts[2:]) == 40
    assert figure.texts[1].get_text().startswith("87 mistakes, the 40 most confident: ")
    mosaic = figure.artists[0].image
    assert set(np.unique(mosaic)) == {*range(10, 50), 255}


def test_worst_mistakes_draws_captions_below_their_images():
    figure = mistakes(9)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., 0]
    rows, columns = np.nonzero(pixels == 10 + 8)  # the ninth image, alone in the second row
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (140, 140)
    (caption,) = [text for text in figure.texts if text.get_text() == "8 → 9"]
    box = caption.get_window_extent()
    assert figure.bbox.height - box.y1 > rows.max()
    assert abs(box.x0 - columns.min()) < 4


def test_worst_mistakes_breaks_long_names_into_two_lines():
    captions = [text.get_text() for text in mistakes(2, FASHION).texts[2:]]
    assert captions == ["T-shirt/top", "→ Trouser", "99.00 %", "Trouser", "→ Pullover", "40.00 %"]


def test_no_mistakes_is_said():
    assert "no mistakes" in texts(mistakes(0))


# Confusion matrix


def test_confusion_matrix_writes_counts_with_true_classes_down_and_predicted_across():
    counts = np.diag([1000] * 10)
    counts[4, 9], counts[4, 4] = 5, 995
    counts[7, 7] = 0
    figure = confusion_matrix(counts, FASHION)
    figure.canvas.draw()
    matrix = figure.artists[0]
    side = matrix.image.shape[0] // 10
    cells, down, across = {}, {}, {}
    for text in figure.texts[2:-2]:  # between title and subtitle, and the two axes' names
        box = text.get_window_extent()
        column = ((box.x0 + box.x1) / 2 - matrix.corner[0]) // side
        row = 9 - ((box.y0 + box.y1) / 2 - matrix.corner[1]) // side
        (down if column < 0 else across if row > 9 else cells)[row, column] = text
    assert {place: int(text.get_text()) for place, text in cells.items()} == {
        place: value for place, value in np.ndenumerate(counts) if value or place == (7, 7)
    }
    for names in (down, across):
        assert [text.get_text() for _, text in sorted(names.items(), key=lambda item: item[0])] == FASHION
    assert cells[7, 7].get_color() == style.INK
    assert cells[4, 9].get_color() == style.INK
    assert "8,995 of 9,000 right (99.94 %)" in texts(figure)


def test_confusion_matrix_shows_a_few_mistakes_beside_a_huge_diagonal():
    counts = np.diag([100_000] * 10)
    counts[2, 7], counts[3, 5] = 1, 4
    colours = confusion_matrix(counts, DIGITS).artists[0].image[40::80, 40::80] / 255
    assert (colours[0, 1] == 1).all()  # white
    assert to_hex(colours[3, 5]).upper() == style.ORANGE
    assert to_hex(colours[0, 0]).upper() == style.BLUE
    assert np.abs(colours[2, 7] - 1).max() > 0.3
    assert (colours[2, 7] >= colours[3, 5]).all()  # fewer are paler


def test_confusion_matrix_of_a_perfect_and_of_an_empty_test_set():
    assert "20 of 20 right (100.00 %)" in texts(confusion_matrix(np.diag([2] * 10), DIGITS))
    assert "0 of 0 right (0.00 %)" in texts(confusion_matrix(np.zeros((10, 10), dtype=int), DIGITS))


def test_confusion_matrix_of_many_classes_leaves_zeros_out():
    counts = confusion(26)
    figure = confusion_matrix(counts, LETTERS[:26])
    shown = [text.get_text() for text in figure.texts[2 : -2 - 2 * 26]]
    assert sorted(map(int, shown)) == sorted(counts[counts > 0].tolist())
    assert [text.get_text() for text in figure.texts[-2 - 2 * 26 : -2 : 2]] == LETTERS[:26]


@pytest.mark.parametrize("classes", [10, 26, 62])
def test_confusion_matrix_counts_fit_their_cells(classes):
    figure = confusion_matrix(np.diag([9999] * classes), LETTERS[:classes])
    assert figure.texts[2].get_text() == "9999"
    assert figure.texts[2].get_window_extent().width < 0.95 * figure.artists[0].image.shape[1] / classes
