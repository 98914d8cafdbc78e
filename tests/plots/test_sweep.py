"""Each setting against the metric: where its values stand, and what is drawn over what."""

import numpy as np
import pytest
from matplotlib.text import Text

from mnist_lightning.plots.setting_axis import is_logarithmic, number, word
from mnist_lightning.plots.sweep import settings_graph


def ticks(axes):
    """The values that have a tick, and what stands there."""
    axes.figure.canvas.draw()
    low, high = axes.get_xlim()
    pairs = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    return {float(place): label.get_text() for place, label in pairs if low <= place <= high}


def dots(axes):
    return next(line for line in axes.lines if line.get_label() == "run")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.001, 0.003, 0.01, 0.03], True), ([16, 32, 64, 128], True), ([1e-5, 1e-3], True), ([32, 64, 96, 128], False),
        ([0.1, 0.2, 0.3, 0.4, 0.5], False), ([0, 0.001, 0.01], False), ([1, 2], False), ([0, 1, 2, 3], False),
        ([5], False), ([-1, 10], False), ([1, 2, 4], True), ([0.97, 0.98, 0.99, 0.999], False),
    ],
)  # fmt: skip
def test_numbers_that_grow_by_factors_stand_on_a_logarithmic_axis(values, expected):
    assert is_logarithmic(values) is expected
    (axes,) = settings_graph({"x": values}, [0.5] * len(values), "val_accuracy").axes
    assert axes.get_xscale() == ("log" if expected else "linear")


def test_the_values_tried_have_the_ticks_with_three_digits():
    rates = [0.001, 0.0031622776, 0.01, 0.031622776]
    (axes,) = settings_graph({"optimizer.lr": rates * 2}, np.linspace(0.9, 0.99, 8), "val_accuracy").axes
    shown = ticks(axes)
    assert list(shown) == pytest.approx(rates)
    assert list(shown.values()) == ["0.001", "0.00316", "0.01", "0.0316"]
    assert [number(value) for value in (64.0, 1e-5, 0.123456, 1024.0, 2.5)] == ["64", "1e-05", "0.123", "1024", "2.5"]


def test_labels_of_close_values_do_not_run_into_each_other():
    (axes,) = settings_graph({"p": [0.5, 0.51, 0.511, 0.9]}, [0.9] * 4, "val_accuracy").axes
    assert ticks(axes) == {0.5: "0.5", 0.51: "", 0.511: "", 0.9: "0.9"}


def test_many_values_get_round_ticks():
    values = np.geomspace(0.0001, 0.1, 30).tolist()
    (axes,) = settings_graph({"optimizer.lr": values}, [0.9] * 30, "val_accuracy").axes
    assert list(ticks(axes).values()) == ["0.0001", "0.001", "0.01", "0.1"]


def test_words_stand_side_by_side():
    (axes,) = settings_graph({"model": ["mlp", "cnn", None, True]}, [0.9] * 4, "val_accuracy").axes
    assert sorted(ticks(axes).values()) == ["cnn", "mlp", "null", "true"]
    assert word([16, [0.1, "a"]]) == "[16,[0.1,a]]"


def test_every_run_is_a_dot_over_the_bar_at_the_mean():
    figure = settings_graph({"optimizer.lr": [0.01, 0.01, 0.1]}, [0.98, 0.99, 0.97], "val_accuracy")
    (axes,) = figure.axes
    assert dots(axes).get_xydata().tolist() == [[0.01, 98], [0.01, 99], [0.1, 97]]
    (bar,) = [line for line in axes.lines if line.get_label() == "mean"]
    assert bar.get_xydata().tolist() == [[0.01, 98.5]]
    assert dots(axes).get_zorder() > bar.get_zorder()
    assert "3 runs, each a dot; the bars are means" in [text.get_text() for text in figure.findobj(Text)]


def test_a_panel_for_each_setting():
    tried = {"a": [1, 2], "b": ["x", "y"], "c": [0.1, 0.2], "d": [1, 1]}
    figure = settings_graph(tried, [0.1, 0.2], "val_loss")
    assert [axes.get_xlabel() for axes in figure.axes] == ["a", "b", "c", "d"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["validation loss", "", "", "validation loss"]
