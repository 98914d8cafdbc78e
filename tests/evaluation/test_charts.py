import xml.etree.ElementTree as ET

import numpy as np

from mnist_lightning.evaluation import charts
from mnist_lightning.plots import style

BINS = [
    {"low": 0.4, "high": 0.6, "confidence": 0.5, "accuracy": 0.7, "accuracy_low": 0.6, "accuracy_high": 0.8},
    {"low": 0.8, "high": 1.0, "confidence": 0.9, "accuracy": 0.95, "accuracy_low": 0.9, "accuracy_high": 0.97},
]


def test_reliability_draws_each_bin_with_its_interval():
    (axes,) = charts.reliability(BINS).axes
    bars = [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in axes.patches]
    assert np.allclose(bars, [(0.4, 0.2, 0.7), (0.8, 0.2, 0.95)])
    (dots,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert dots.get_xydata().tolist() == [[0.5, 0.7], [0.9, 0.95]]
    (whiskers,) = axes.collections
    assert np.allclose([segment[:, 1] for segment in whiskers.get_segments()], [(0.6, 0.8), (0.9, 0.97)])


def test_coverage_ends_where_a_fifth_is_declined():
    (axes,) = charts.coverage([0, 0.1, 0.2, 0.3], [0.9, 0.95, 0.99, 1.0]).axes
    assert axes.lines[0].get_xydata().tolist() == [[0, 0.9], [0.1, 0.95], [0.2, 0.99]]
    assert axes.get_xlim() == (0, 0.2)


def test_ridges_name_every_set_and_draw_the_known_one_in_blue():
    scores = {"test": np.full(50, 0.9), "letters": np.linspace(0.1, 1, 50)}
    (axes,) = charts.ridges(scores, 0.8, "confidence").axes
    assert [text.get_text() for text in axes.texts] == ["test", "letters"]
    known, unknown = (tuple(np.round(each.get_facecolor()[0][:3], 3)) for each in axes.collections)
    assert known == (0.0, 0.447, 0.698)
    assert unknown == (0.835, 0.369, 0.0)
    assert [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"] == [0.8]


def test_svg_is_well_formed_takes_the_pages_colours_and_is_the_same_each_time():
    text = charts.to_svg(charts.reliability(BINS), "How sure")
    root = ET.fromstring(text)
    assert root.tag.endswith("svg")
    assert (root.get("aria-label"), root.get("role")) == ("How sure", "img")
    assert root.get("viewBox")
    assert root.get("width") is None  # as wide as the page lets it be
    assert "var(--blue)" in text
    assert "var(--ink)" in text
    for colour in (style.INK, style.BLUE, style.VERMILLION, style.FAINT):
        assert colour.lower() not in text.lower()
    assert text == charts.to_svg(charts.reliability(BINS), "How sure")


def test_contact_sheet_shows_every_image_of_every_row():
    rows = {name: np.full((3, 28, 28), grey, np.uint8) for name, grey in (("one", 40), ("another", 90))}
    figure = charts.contact_sheet("A sheet", rows)
    mosaic = figure.artists[0].image
    assert [(mosaic == grey).sum() for grey in (40, 90)] == [3 * 784] * 2
    assert [text.get_text() for text in figure.texts] == ["A sheet", "one", "another"]
