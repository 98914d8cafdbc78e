"""What Python makes of strokes, ink, pictures and images, for the page's engine to be held to.

`python tests/page/page_vectors.py FILE` writes it as JSON; the tests make it anew each time.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mnist_lightning.export import web_network
from mnist_lightning.inference.saliency import saliency
from mnist_lightning.inference.torch_predictor import TorchPredictor
from mnist_lightning.ink.extract import extract_ink
from mnist_lightning.ink.normalise import normalise_ink
from mnist_lightning.ink.raster import draw_digit
from mnist_lightning.ink.segment import segment_ink_rows, segment_stroke_rows
from mnist_lightning.ink.strokes import Stroke, read_digits, transformed
from mnist_lightning.models.build import build

TESTS = Path(__file__).parent.parent

NETWORKS: dict[str, dict[str, Any]] = {
    "cnn": {"name": "cnn", "channels": [8, 12], "kernels": [5, 3], "pools": [2, 2]},
    "cnn padded": {"name": "cnn", "channels": [8, 6, 10], "kernels": [4, 3, 3], "pools": [1, 3, 2], "padding": True},
    "cnn of two inputs": {
        "name": "cnn", "channels": [8], "kernels": [5], "pools": [2], "inputs": ["image", "deslanted"], "crop": 24,
    },
    "cnn standardized": {
        "name": "cnn", "channels": [7], "kernels": [3], "pools": [4], "inputs": ["deslanted"], "standardize": True,
    },
    "cnn with dropout": {"name": "cnn", "channels": [5], "kernels": [5], "pools": [3], "dropout": 0.4, "mean": 0.2,
                         "std": 0.5},
    "mlp": {"name": "mlp", "hidden_sizes": [20, 10], "inputs": ["deslanted", "image"], "standardize": True, "crop": 20},
    "mlp without hidden layers": {"name": "mlp", "hidden_sizes": []},
    "lenet5": {"name": "lenet5", "crop": 26},
    "ensemble": {
        "name": "ensemble",
        "members": [
            {"name": "mlp", "hidden_sizes": [12]}, {"name": "cnn", "channels": [5], "kernels": [3], "pools": [3]},
        ],
    },
}  # fmt: skip
"""One network for each argument that changes what is computed."""


def drawings() -> list[list[Stroke]]:
    """Digits of people and of these tests, at several sizes; numbers; dots; a line; a scribble."""
    digits = [
        digit.strokes
        for name in ("ink/pen_digits.jsonl", "apps/hand_digits.jsonl")
        for digit in read_digits(TESTS / name)
    ]
    sized = [transformed(strokes, 0.3 + 0.17 * at, 7.25 * at, 3) for at, strokes in enumerate(digits)]
    number = [s for at, strokes in enumerate(digits[-4:]) for s in transformed(strokes, 1.5, 170 * at, 40)]
    scribble = [Stroke([(float(37 * at % 211), float(53 * at % 173)) for at in range(60)], 8.0)]
    dot, line = [Stroke([(50.0, 60.0)])], [Stroke([(5.0, 5.0), (5.0, 205.0)], 12.0)]
    return [*digits, *sized, number, scribble, dot, line, [*number, Stroke([(300.0, 20.0)])]]


def as_data(strokes: list[Stroke]) -> list[dict[str, Any]]:
    """Strokes as the page's engine takes them."""
    return [{"id": at, "points": s.points, "width": s.width} for at, s in enumerate(strokes)]


def stroke_vectors() -> list[dict[str, Any]]:
    """For each drawing: its digits as indices of strokes, and the picture and 28x28 image of each."""
    vectors = []
    for strokes in drawings():
        groups = [group for row in segment_stroke_rows(strokes) for group in row]
        pictures = [draw_digit(group) for group in groups]
        vectors.append({
            "strokes": as_data(strokes),
            "groups": [[next(at for at, s in enumerate(strokes) if s is each) for each in group] for group in groups],
            "pictures": [as_picture(picture) for picture in pictures],
            "images": [normalise_ink(picture).ravel().tolist() for picture in pictures],
        })  # fmt: skip
    return vectors


def as_picture(array: np.ndarray) -> dict[str, Any]:
    """A grey array as the engine takes it."""
    return {"width": array.shape[1], "height": array.shape[0], "data": array.ravel().tolist()}


def photograph(picture: np.ndarray, seed: int) -> np.ndarray:
    """A picture of ink, bright on 0, as a phone takes it: paper under uneven light, with grain. uint8 BGR."""
    draw = np.random.default_rng(seed)
    height, width = (3 * side for side in picture.shape)
    wide = np.zeros((height, width), np.float32)
    wide[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = picture / 255
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    light = 150 + 70 * x - 40 * y + 10 * np.sin(5 * x)
    grey = light * (1 - 0.7 * wide) + draw.normal(0, 3, wide.shape)
    return np.clip(grey[:, :, None] * [0.9, 0.97, 1.0] + 0.5, 0, 255).astype(np.uint8)


def squared(picture: np.ndarray) -> np.ndarray:
    """Ink, bright on 0, on squared paper that ends where the ink does: uint8 grey."""
    paper = 255 - np.pad(picture, ((0, 0), (20, 20)))
    for lines in (paper[7::24], paper[:, 9::24]):
        np.minimum(lines, 150, out=lines)
    return paper


def desk(picture: np.ndarray) -> np.ndarray:
    """A white sheet on a dark desk, in a frame as white as the sheet: uint8 grey."""
    sheet = 255 - np.pad(picture, 30)
    height, width = sheet.shape
    wood = np.random.default_rng(2).normal(80, 3, (3 * height // 2, 3 * width // 2)).astype(np.uint8)
    wood[height // 4 : height // 4 + height, width // 4 : width // 4 + width] = sheet
    return np.pad(wood, 8, constant_values=255)


def on_wood(picture: np.ndarray, degrees: float = 0.0, wood: int = 80) -> np.ndarray:
    """A sheet, turned, on a desk with light and grain: uint8 BGR."""
    sheet = cv2.resize(225 - np.pad(picture, 30) // 2, None, fx=1.2, fy=1.2)
    height, width = (7 * side // 4 for side in sheet.shape)
    turn = cv2.getRotationMatrix2D((sheet.shape[1] / 2, sheet.shape[0] / 2), degrees, 1)
    turn[:, 2] += (width - sheet.shape[1]) / 2, (height - sheet.shape[0]) / 2
    grey = cv2.warpAffine(sheet, turn, (width, height), borderValue=wood).astype(float)
    grey += np.random.default_rng(3).normal(0, 3, grey.shape) + 12 * np.linspace(-1, 1, width)
    return np.clip(grey[:, :, None] * [0.85, 0.95, 1.0] + 0.5, 0, 255).astype(np.uint8)


def on_flat(picture: np.ndarray) -> np.ndarray:
    """A turned sheet on a desk, of two grey levels: uint8 grey."""
    sheet = cv2.threshold(255 - np.pad(picture, 30), 127, 255, cv2.THRESH_BINARY)[1]
    height, width = sheet.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 7, 1)
    turn[:, 2] += width / 4, height / 4
    return cv2.warpAffine(sheet, turn, (3 * width // 2, 3 * height // 2), flags=cv2.INTER_NEAREST)


def straight_eight() -> np.ndarray:
    """An 8 of bars so thick that it might be a frame: uint8 grey."""
    eight = np.full((90, 70), 255, np.uint8)
    eight[15:75, 15:55] = 0
    eight[23:41, 25:45] = eight[49:67, 25:45] = 255
    return eight


def half_in_shadow(picture: np.ndarray) -> np.ndarray:
    """A sheet of which a part lies in the soft shadow of a hand, in a white frame: uint8 grey."""
    paper = 255.0 - np.pad(picture, 60)
    light = 1 - 0.25 / (1 + np.exp(-(np.arange(paper.shape[1]) - 0.55 * paper.shape[1]) / 6))
    grey = paper * light + np.random.default_rng(0).normal(0, 3, paper.shape)
    return np.pad(np.clip(grey, 0, 255).astype(np.uint8), 20, constant_values=255)


def crossed(picture: np.ndarray) -> np.ndarray:
    """A sheet with a line across and the corner of an outline, cut out with a white margin: uint8 grey."""
    paper = 255 - np.pad(picture, ((20, 60), (20, 40)))
    paper[-30:-28] = 0
    paper[20:, :1] = paper[-1:, :70] = 0
    return np.pad(paper, 12, constant_values=255)


def ruled(picture: np.ndarray) -> np.ndarray:
    """Ink, bright on 0, on ruled paper in a frame: uint8 grey."""
    paper = 255 - np.pad(picture, 40)
    paper[::36][paper[::36] > 150] = 150
    return np.pad(paper, 6, constant_values=60)


def pictures() -> dict[str, np.ndarray]:
    """Pictures as people drop them on the page: uint8, grey, BGR or BGRA."""
    digits = list(read_digits(TESTS / "ink/pen_digits.jsonl"))
    ink = draw_digit(digits[3].strokes)
    row = np.hstack([np.pad(draw_digit(digit.strokes), ((0, 90), (10, 20)))[:100] for digit in digits[4:7]])
    four, five = (np.pad(draw_digit(digits[at].strokes), ((0, 90), (0, 90)))[:84, :84] for at in (4, 5))
    colour = np.full((ink.shape[0] + 40, ink.shape[1] + 40, 3), (40, 160, 240), np.uint8)
    alpha = np.dstack([np.zeros((*ink.shape, 3), np.uint8), ink])
    return {
        "dark on light": np.repeat(np.pad(255 - ink, 30, constant_values=255)[:, :, None], 3, axis=2),
        "light on dark": np.pad(ink, 12),
        "faint": np.pad(250 - ink // 6, 20, constant_values=250).astype(np.uint8),
        "28x28": normalise_ink(ink),
        "colour": np.where(np.pad(ink, 20)[:, :, None] > 100, np.uint8(30), colour),
        "transparent": np.pad(alpha, ((9, 9), (9, 9), (0, 0))),
        "several": np.pad(row, 8),
        "large": np.kron(np.pad(255 - ink, 25, constant_values=255), np.ones((6, 6), np.uint8)),
        "two rows": np.pad(np.vstack([row, np.zeros((30, row.shape[1]), np.uint8), row]), 12),
        "touching": np.pad(255 - np.maximum(np.pad(four, ((0, 0), (0, 60))), np.pad(five, ((0, 0), (60, 0)))), 20,
                           constant_values=255),
        "ruled": ruled(ink),
        "squared": squared(ink),
        "squared with a margin": np.pad(squared(ink), 12, constant_values=255),
        "desk": desk(ink),
        "sheet on wood": on_wood(ink),
        "turned sheet on wood": on_wood(row, degrees=12.0),
        "dark sheet": 255 - on_wood(ink, degrees=-5.0),
        "turned sheet on a flat desk": on_flat(ink),
        "eight of thick bars": straight_eight(),
        "white frame round a shadow": half_in_shadow(ink),
        "line, corner and margin": crossed(ink),
        "cut out": np.pad(np.dstack([np.full((*ink.shape, 3), 128, np.uint8), 255 - ink]), ((2, 2), (2, 2), (0, 0))),
        "long strip": photograph(np.tile(row, 6)[:30], 2),
        "twice as large": cv2.GaussianBlur(np.kron(np.pad(255 - ink, 120, constant_values=255)[:320, :320],
                                                   np.ones((2, 2), np.uint8)), (0, 0), 1.2),
        "small": cv2.resize(np.pad(row, 8), None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA),
        "photograph": photograph(ink, 0),
        "photograph of several": photograph(row, 1),
        "empty": np.full((50, 70), 200, np.uint8),
        "halftone": halftone(dashes=0),
        "halftone with dashes": halftone(dashes=23),
    }  # fmt: skip


def halftone(dashes: int) -> np.ndarray:
    """Thousands of dots, and so many columns of dashes, beside which dots are too small: uint8 grey."""
    paper = np.full((124, 124), 255, np.uint8)
    paper[4:-4:2, 4:-4:2] = 0
    paper[4:-4, 4 : 4 + 2 * dashes : 2] = np.where(np.arange(116) % 8 < 6, 0, 255)[:, None]
    return paper


def rgba(image: np.ndarray) -> dict[str, Any]:
    """A picture as a browser gives it."""
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    alpha = image[:, :, 3] if image.shape[2] == 4 else np.full(image.shape[:2], 255, np.uint8)
    whole = np.dstack([image[:, :, 2], image[:, :, 1], image[:, :, 0], alpha])
    return {"width": image.shape[1], "height": image.shape[0], "data": whole.ravel().tolist(), "scale": 1}


@functools.cache
def picture_vectors() -> dict[str, dict[str, Any]]:
    """For each picture: its ink, and the 28x28 images of its digits."""
    vectors = {}
    for name, image in pictures().items():
        ink = extract_ink(image)
        digits = [digit for row in segment_ink_rows(ink) for digit in row] if ink.size else []
        images = [normalise_ink(digit).ravel().tolist() for digit in digits]
        vectors[name] = {"pixels": rgba(image), "ink": as_picture(ink), "images": images}
    return vectors


def network(name: str) -> torch.nn.Module:
    """One of `NETWORKS` with random weights and norms, rounded to what the page's engine keeps."""
    torch.manual_seed(sum(map(ord, name)))
    made = build(NETWORKS[name], num_classes=10).eval()
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.normal_()
            module.bias.data.normal_()
    made.load_state_dict(web_network.rounded(made, made.state_dict()))
    return made


def network_vector(made: torch.nn.Module) -> dict[str, Any]:
    """A network as a file, and what Python computes with it for some images."""
    images = np.stack([normalise_ink(draw_digit(strokes)) for strokes in drawings()[:4]])
    predictor = TorchPredictor(made, {"class_names": [*"0123456789"]}, torch.device("cpu"))
    made.to(memory_format=torch.contiguous_format)
    return {
        "file": {"imageSize": 28, **web_network.describe(made)},
        "images": [(image / 255).ravel().tolist() for image in images],
        "logits": predictor.logits(images).tolist(),
        "saliency": [saliency(predictor, image).ravel().tolist() for image in images],
    }


if __name__ == "__main__":
    vectors = {
        "strokes": stroke_vectors(),
        "pictures": picture_vectors(),
        "networks": {name: network_vector(network(name)) for name in NETWORKS},
    }
    Path(sys.argv[1]).write_text(json.dumps(vectors), encoding="utf-8")
