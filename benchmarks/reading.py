"""What the shipped network makes of numbers and of things that are not digits.

    python benchmarks/reading.py
    python benchmarks/reading.py --strokes ../strokes/*.jsonl.gz    pen digits, and what else could call one sure

Numbers are 1,000 rows of two to five MNIST test digits with gaps from 2 to 14 pixels; the 500 sheets with no digit are
letters of fonts and scribbles that training never saw (`evaluation/outlier_sets.py`), empty and full ones. With
`--strokes` each digit is drawn and read as one, once and with a second look; 500 numbers of two to five digits of one
writer are read as the canvas does, on one row and on two; then each score gets the threshold at which 1.5 % of these
digits are not sure, and the letters and scribbles above it are counted. Nothing is chosen by the results.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from mnist_lightning.data import sources
from mnist_lightning.evaluation import outlier_sets
from mnist_lightning.evaluation.calibration import calibration
from mnist_lightning.inference import second_look
from mnist_lightning.inference.predictor import Predictor, softmax
from mnist_lightning.inference.reader import CERTAIN, Reader
from mnist_lightning.ink.normalise import bounding_box, normalise, normalise_ink
from mnist_lightning.ink.raster import draw_digit
from mnist_lightning.ink.strokes import Stroke, WrittenDigit, read_digits
from mnist_lightning.models.card import sure_from
from mnist_lightning.run import folder as runs

PROJECT = Path(__file__).resolve().parent.parent


def numbers(predictor: Predictor, images: np.ndarray, labels: np.ndarray, count: int) -> tuple[float, float]:
    """Shares of `count` numbers whose digits are counted right, and that are read right as a whole."""
    random = np.random.default_rng(0)
    counted = right = 0
    for _ in range(count):
        chosen = random.integers(0, len(labels), random.integers(2, 6))
        gap = int(random.integers(2, 15))
        row = [np.zeros((28, 20), np.uint8)]
        for index in chosen:
            left, _, past, _ = bounding_box(images[index]) or (0, 0, 28, 28)
            row += [images[index][:, left:past], np.zeros((28, gap), np.uint8)]
        reading = Reader(predictor, 0.5).read_picture(np.pad(np.hstack(row), 20))
        counted += len(reading.digits) == len(chosen)
        right += reading.best == "".join(map(str, labels[chosen]))
    return counted / count, right / count


def scores(logits: np.ndarray, temperature: float) -> dict[str, np.ndarray]:
    """Scores of how much an image looks like a digit, [N] each, from logits [N, C]."""
    second, first = np.sort(logits, 1)[:, -2:].T
    return {
        "probability, with the card's temperature": softmax(logits, temperature).max(1),
        "probability, temperature 1": softmax(logits, 1.0).max(1),
        "probability, temperature 2": softmax(logits, 2.0).max(1),  # S. Liang et al., "ODIN", 2018 (arXiv:1706.02690)
        "largest logit over the mean": first - logits.mean(1),
        "largest logit": first,
        "largest logit over the second": first - second,
    }


def pens(predictor: Predictor, file: Path, sure: float) -> tuple[np.ndarray, np.ndarray]:
    """Print how the digits of a file are read; returns their images [N, 28, 28] and classes [N]."""
    digits = list(read_digits(file))
    images = np.stack([normalise_ink(draw_digit(digit.strokes)) for digit in digits])
    labels, writers = (np.array([getattr(digit, name) for digit in digits]) for name in ("label", "writer"))
    for name, certain in (("read once", 0.0), ("with a second look", CERTAIN)):
        rows = second_look.probabilities(predictor, images, certain)
        right, is_sure = rows.argmax(1) == labels, rows.max(1) >= sure
        of_writers = [100 * right[writers == writer].mean() for writer in np.unique(writers)]
        error = calibration(torch.from_numpy(rows).double().clamp_min(1e-30).log(), torch.from_numpy(labels))["ece"]
        print(f"{file.name}, {name}: {100 * right.mean():.2f} % of {len(right):,}, mean of {len(of_writers)} writers "
              f"{np.mean(of_writers):.2f} %, worst {min(of_writers):.1f} %, calibration error {100 * error:.2f} %, "
              f"not sure {100 * (~is_sure).mean():.2f} %, wrong and sure {100 * (is_sure & ~right).mean():.2f} %"
              )  # fmt: skip
    return images, labels


HEIGHT = 200.0  # of a written digit, units of the pen's path; its pen is a tenth as wide


def write(digits: list[WrittenDigit], bottom: float, random: np.random.Generator) -> list[Stroke]:
    """Digits side by side on a line, slightly raised or lowered, with gaps of 0.12 to 0.5 of their height."""
    strokes, x = [], 0.0
    for digit in digits:
        points = [np.array(stroke.points, float) for stroke in digit.strokes]
        least, most = np.concatenate(points).min(0), np.concatenate(points).max(0)
        size = most - least
        factor = HEIGHT * random.uniform(0.9, 1.1) / max(size[1], 0.7 * size[0], 1e-6)
        corner = np.array([x, bottom - size[1] * factor + HEIGHT * random.uniform(-0.05, 0.05)])
        strokes += [Stroke([tuple(p) for p in ((path - least) * factor + corner).tolist()]) for path in points]
        x += size[0] * factor + HEIGHT * random.uniform(0.12, 0.5)
    return strokes


def written_numbers(predictor: Predictor, file: Path, sure: float, count: int = 500) -> None:
    """Print how many numbers, each by one writer, are read right as a whole, and how many sheets of one or two."""
    by_writer: dict[str, list[WrittenDigit]] = {}
    for digit in read_digits(file):
        by_writer.setdefault(digit.writer, []).append(digit)
    hands = [digits for digits in by_writer.values() if len(digits) >= 10]
    for rows in (1, 2):
        random = np.random.default_rng(rows)
        right = sheets = 0
        for _ in range(count):
            hand = hands[random.integers(len(hands))]
            lines = [[hand[at] for at in random.integers(len(hand), size=random.integers(2, 6))] for _ in range(rows)]
            strokes = []
            for number, line in enumerate(lines):
                strokes += write(line, number * HEIGHT * random.uniform(1.4, 1.9), random)
            found = Reader(predictor, sure).read(strokes).best.split(" ")
            wanted = ["".join(str(digit.label) for digit in line) for line in lines]
            sheets += found == wanted
            right += sum(map(str.__eq__, found, wanted)) if len(found) == len(wanted) else 0
        print(f"{file.name}, {count} times {rows} row{'s' * (rows > 1)} of two to five digits of one writer: "
              f"{100 * right / count / rows:.1f} % of the numbers right, {100 * sheets / count:.1f} % of the sheets"
              )  # fmt: skip


def compare_scores(predictor: Predictor, images: np.ndarray, labels: np.ndarray) -> None:
    """Print how well each score tells digits from letters and scribbles."""
    logits = predictor.logits(images, 500)
    right = np.asarray(logits).argmax(1) == labels
    known = scores(np.asarray(logits, float), predictor.temperature)
    outliers = np.concatenate([outlier_sets.make(name, 230) for name in ("letters", "scribbles")])
    unknown = scores(np.asarray(predictor.logits(outliers, 500), float), predictor.temperature)
    for name, score in known.items():
        least = np.quantile(score, 0.015)
        print(f"{name}: {(unknown[name] >= least).sum()} of {len(outliers)} letters and scribbles sure, "
              f"{100 * ((score >= least) & ~right).mean():.2f} % of the digits wrong and sure")  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=PROJECT / "data", help="folder that holds MNIST/raw")
    parser.add_argument("--ckpt", default="pretrained")
    parser.add_argument("--strokes", type=Path, nargs="+", help="stroke files, read instead")
    given = parser.parse_args()
    path, word = runs.find_checkpoint(given.ckpt, PROJECT / "outputs")
    predictor = Predictor.load(path, "cpu")
    sure = sure_from(predictor.card)
    if given.strokes:
        images, labels = zip(*(pens(predictor, file, sure) for file in given.strokes), strict=True)
        for file in given.strokes:
            written_numbers(predictor, file, sure)
        compare_scores(predictor, np.concatenate(images), np.concatenate(labels))
        return
    source = sources.load("mnist", given.data, ())
    cut, whole = numbers(predictor, source.test_images.numpy(), source.test_labels.numpy(), 1000)
    print(f"checkpoint: {word}")
    print(f"1,000 numbers: {100 * cut:.1f} % cut right, {100 * whole:.1f} % read right as a whole")
    sheets = {
        "letters": outlier_sets.make("letters", 230),
        "scribbles": outlier_sets.make("scribbles", 230),
        "empty": np.stack([normalise(np.full((side, side), 255, np.uint8)) for side in range(100, 120)]),
        "full": np.stack([_full(side) for side in range(100, 120)]),
    }
    called = {name: second_look.probabilities(predictor, each, CERTAIN).max(1) >= sure for name, each in sheets.items()}
    called["empty"] &= sheets["empty"].any(axis=(1, 2))  # the canvas does not read an empty image as a digit either
    for name, each in called.items():
        print(f"{name}: {int(each.sum())} of {len(each)} called a digit with certainty (probability {sure} or more)")
    everything = np.concatenate(list(called.values()))
    print(f"together: {100 * everything.mean():.1f} % of {len(everything)}")


def _full(side: int) -> np.ndarray:
    """A sheet that is covered with ink all over, except for the rim."""
    sheet = np.zeros((side, side), np.uint8)
    sheet[5:-5, 5:-5] = 255
    return normalise(sheet)


if __name__ == "__main__":
    main()
