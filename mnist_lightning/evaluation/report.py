"""The suite's page: what `report.json` holds, and pictures, as one self-contained HTML file.

It loads nothing from outside: style, charts (SVG) and pictures (data URIs) are embedded. The text is in
`report.html.jinja`. Independent of torch, networks and runs.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from markupsafe import Markup

from mnist_lightning.evaluation import charts
from mnist_lightning.evaluation.corruptions import KINDS
from mnist_lightning.plots.words import percent

_TEMPLATE = Path(__file__).with_name("report.html.jinja")
_SCORES = {"max_softmax": "confidence (probability of the likeliest class)", "energy": "negative energy"}


@dataclass(frozen=True)
class Pictures:
    """What the page shows in addition to the numbers.

    Attributes:
        mistakes: uint8 [M, 28, 28], in the order of the report's `most_confident_mistakes`.
        corruptions: uint8 [K, 28, 28] examples of `clean` and of each corruption.
        outliers: uint8 [K, 28, 28] examples of each out-of-distribution set.
        scores: by score and set, the scores of all its images; for each score, the first set is the known one.
    """

    mistakes: np.ndarray
    corruptions: dict[str, np.ndarray]
    outliers: dict[str, np.ndarray]
    scores: dict[str, dict[str, np.ndarray]]


def render(report: dict[str, Any], pictures: Pictures) -> str:
    """The page as HTML.

    Args:
        report: what `suite.evaluate_suite` returns.
        pictures: from the same run.
    """
    calibration = report["calibration"]
    curve = report["selective"]["curve"]
    drawn = {
        "as_trained": charts.to_svg(
            charts.reliability(calibration["as_trained"]["bins"]), "Reliability diagram of the network as trained"
        ),
        "with_temperature": charts.to_svg(
            charts.reliability(calibration["with_temperature"]["bins"]), "Reliability diagram with temperature scaling"
        ),
        "coverage": charts.to_svg(
            charts.coverage(curve["declined"], curve["accuracy"]), "Accuracy against the share of images declined"
        ),
    }
    for score, label in _SCORES.items() if report["outliers"] else ():
        threshold = next(iter(report["outliers"].values()))[score]["threshold"]
        drawn[score] = charts.to_svg(
            charts.ridges(pictures.scores[score], threshold, label), f"Distribution of the {label} on each set"
        )
    loader = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    loader.filters |= {"percent": percent, "si": _si}
    return loader.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        report=report,
        charts={name: Markup(svg) for name, svg in drawn.items()},  # our own, with no text from outside in it
        kinds=KINDS,
        cells=_cells(report["confusion_matrix"]),
        mistakes=list(zip(report["most_confident_mistakes"], map(data_uri, pictures.mistakes), strict=True)),
        strips={
            name: data_uri(np.hstack(list(images)))
            for name, images in (pictures.corruptions | pictures.outliers).items()
        },
    )  # fmt: skip


def data_uri(image: np.ndarray) -> str:
    """A uint8 [H, W] image as a PNG embedded in the page."""
    return "data:image/png;base64," + base64.b64encode(cv2.imencode(".png", image)[1].tobytes()).decode()


def _cells(counts: list[list[int]]) -> list[list[tuple[int, str, float]]]:
    """The confusion matrix as rows of (count, class in the style sheet, strength of its colour from 0 to 1)."""
    matrix = np.array(counts)
    mistakes = matrix - np.diag(matrix.diagonal())
    recall = matrix.diagonal() / np.maximum(matrix.sum(axis=1), 1)
    most = max(mistakes.max(), 1)
    return [
        [
            (int(count), "right" if row == column else "wrong",
             round(float(recall[row] if row == column else (count / most) ** 0.75), 3) if count else 0.0)
            for column, count in enumerate(counts_of_row)
        ]
        for row, counts_of_row in enumerate(matrix)
    ]  # fmt: skip


def _si(value: float) -> str:
    """Write 190442 as 190 k, 3654144 as 3.7 M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.{0 if value >= 100 * size else 1}f} {unit}"
    return f"{value:.0f}" if value >= 10 else f"{value:.2g} "
