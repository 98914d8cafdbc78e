"""What frames, paper, light and file formats do to the reading of a picture of a digit.

    python benchmarks/pictures.py                                              MNIST's test digits, drawn large
    python benchmarks/pictures.py --pictures '../pictures/*/*/*' --count 500   image files; the folder is the label

Each picture that is read right unchanged is put into each of the settings below, and counts again if it still is; then
into random combinations of one setting, one light or dirt, and one file format. Nothing is chosen by the results.
"""

from __future__ import annotations

import argparse
import glob
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mnist_lightning.data import sources
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.inference.reader import Reader
from mnist_lightning.ink.images import decode_picture, read_image
from mnist_lightning.run import folder as runs

PROJECT = Path(__file__).resolve().parent.parent
Random = np.random.Generator
Change = Callable[[np.ndarray, Random], np.ndarray]


def paper_and_ink(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The colour of most of the rim of a BGR picture, and the colour farthest from it, float [3] each."""
    rim = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]).astype(float)
    paper = np.median(rim, axis=0)
    away = np.abs(image.astype(float) - paper).sum(axis=2)
    return paper, image[np.unravel_index(away.argmax(), away.shape)].astype(float)


def cover(image: np.ndarray) -> np.ndarray:
    """How much of each pixel is ink, float [H, W, 1], 0 to 1."""
    paper, ink = paper_and_ink(image)
    along = (image.astype(float) - paper) @ (ink - paper) / max(float((ink - paper) @ (ink - paper)), 1.0)
    return np.clip(along, 0, 1)[:, :, None]


def _painted(image: np.ndarray, paper: np.ndarray, ink: np.ndarray) -> np.ndarray:
    share = cover(image)
    return np.clip(paper + share * (ink - paper), 0, 255).astype(np.uint8)


def frame(width: int, level: int, sides: str = "tblr") -> Change:
    """A band of grey along some sides: top, bottom, left, right; "some" for sides drawn at random."""

    def change(image: np.ndarray, random: Random) -> np.ndarray:
        chosen = (
            sides if sides != "some" else "".join(random.choice(list("tblr"), random.integers(1, 4), replace=False))
        )
        margins = [width * (side in chosen) for side in "tblr"]
        return cv2.copyMakeBorder(image, *margins, cv2.BORDER_CONSTANT, value=(level,) * 3)  # type: ignore[call-overload]

    return change


def coloured_frames(image: np.ndarray, random: Random) -> np.ndarray:
    """Two frames of any colour, one in the other."""
    for _ in range(2):
        width, colour = int(random.integers(1, 12)), random.integers(0, 256, 3).tolist()
        image = cv2.copyMakeBorder(image, width, width, width, width, cv2.BORDER_CONSTANT, value=colour)
    return image


def window(image: np.ndarray, random: Random) -> np.ndarray:
    """A screenshot of a window: a bar with buttons above, a thin border."""
    image = cv2.copyMakeBorder(image, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(150, 150, 150))
    bar = np.full((max(6, image.shape[0] // 8), image.shape[1], 3), 225, np.uint8)
    for number in range(3):
        radius = max(1, bar.shape[0] // 5)
        cv2.circle(bar, (radius * (3 + 4 * number), bar.shape[0] // 2), radius, (80, 160, 80 + 60 * number), -1)
    return np.vstack([bar, image])


def ruled(image: np.ndarray, random: Random, squared: bool = False) -> np.ndarray:
    """Pale lines over the paper, under the ink."""
    paper, ink = paper_and_ink(image)
    line = paper + (0.45 * (ink - paper))
    sheet = np.broadcast_to(paper, image.shape).copy()
    step, start = max(7, image.shape[0] // 4), int(random.integers(0, max(7, image.shape[0] // 4)))
    sheet[start::step] = line
    if squared:
        sheet[:, start::step] = line
    share = cover(image)
    return np.clip(sheet + share * (ink - sheet), 0, 255).astype(np.uint8)


def one_rule(image: np.ndarray, random: Random) -> np.ndarray:
    """One line of the ink's colour across the picture, anywhere."""
    _, ink = paper_and_ink(image)
    image, thick = image.copy(), max(1, image.shape[0] // 100)
    row = int(random.integers(0, image.shape[0] - thick + 1))
    image[row : row + thick] = ink
    return image


def sliver(image: np.ndarray, random: Random) -> np.ndarray:
    """A part of a cell's outline, at two sides of the rim."""
    _, ink = paper_and_ink(image)
    image = cv2.copyMakeBorder(image, 4, 4, 4, 4, cv2.BORDER_REPLICATE)
    height, width = image.shape[:2]
    image[-1:, : int(width * random.uniform(0.3, 0.9))] = ink
    image[int(height * random.uniform(0.1, 0.6)) :, :1] = ink
    return image


def underline(image: np.ndarray, random: Random) -> np.ndarray:
    """A line under the digit, with some room between."""
    paper, ink = paper_and_ink(image)
    room = max(6, image.shape[0] // 4)
    image = cv2.copyMakeBorder(image, 0, room, 0, 0, cv2.BORDER_CONSTANT, value=paper.tolist())
    columns = np.flatnonzero((cover(image)[:, :, 0] > 0.5).any(axis=0))
    thick = max(1, image.shape[0] // 60)
    image[-room // 2 : -room // 2 + thick, max(0, columns[0] - 2) : columns[-1] + 3] = ink
    return image


def specks(image: np.ndarray, random: Random) -> np.ndarray:
    """One to three dots of ink."""
    _, ink = paper_and_ink(image)
    image, side = image.copy(), max(1, round(max(image.shape) / 40))
    for _ in range(random.integers(1, 4)):
        row, column = (int(random.integers(0, length - side + 1)) for length in image.shape[:2])
        image[row : row + side, column : column + side] = ink
    return image


def shadow(image: np.ndarray, random: Random) -> np.ndarray:
    """The soft edge of a shadow over a photographed sheet, with grain."""
    image = _large(image)
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width] / max(height, width)
    angle = random.uniform(0, 2 * np.pi)
    edge = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    light = 1 - random.uniform(0.2, 0.5) / (1 + np.exp(-edge * 40))
    grain = random.normal(0, 3, image.shape)
    return np.clip(image * light[:, :, None] + grain, 0, 255).astype(np.uint8)


def desk(image: np.ndarray, random: Random) -> np.ndarray:
    """A photographed sheet that lies, slightly turned, on a dark or light desk."""
    image = _large(image)
    paper, _ = paper_and_ink(image)
    sheet = cv2.copyMakeBorder(image, 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=paper.tolist())
    height, width = sheet.shape[:2]
    side = round(1.5 * max(height, width))
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), random.uniform(-8, 8), 1)
    turn[:, 2] += (side - width) / 2 + random.uniform(-20, 20), (side - height) / 2 + random.uniform(-20, 20)
    wood = np.full((side, side, 3), random.uniform(40, 150, 3))
    wood += 6 * np.sin(np.arange(side) / random.uniform(3, 12))[:, None, None]
    placed = cv2.warpAffine(sheet, turn, (side, side)).astype(float)
    there = cv2.warpAffine(np.ones((height, width)), turn, (side, side))[:, :, None]
    picture = wood * (1 - there) + placed * there
    return np.clip(picture + random.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)


def tilted(image: np.ndarray, random: Random) -> np.ndarray:
    """The picture turned by up to 12 degrees."""
    paper, _ = paper_and_ink(image)
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), random.uniform(-12, 12), 0.95)
    return cv2.warpAffine(
        image, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=paper.tolist()
    )


def coloured(image: np.ndarray, random: Random) -> np.ndarray:
    """Coloured ink on coloured paper, at least 90 levels apart in one channel."""
    while True:
        paper, ink = random.uniform(0, 255, (2, 3))
        if np.abs(paper - ink).max() >= 90:
            return _painted(image, paper, ink)


def negative(image: np.ndarray, random: Random) -> np.ndarray:
    """White on black in a white frame."""
    image = _painted(image, np.zeros(3), np.full(3, 255.0))
    return cv2.copyMakeBorder(image, 6, 6, 6, 6, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def _large(image: np.ndarray) -> np.ndarray:
    """A picture of at least 240 pixels, as a photograph has."""
    factor = 240 / max(image.shape)
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC) if factor > 1 else image


SETTINGS: dict[str, Change] = {
    **{
        f"frame of {width}, {name}, {sides if sides == 'some' else 'all'} sides": frame(width, level, sides)
        for width in (1, 2, 5, 20)
        for name, level in (("black", 0), ("white", 255), ("grey", 128))
        for sides in ("tblr", "some")
    },
    "frames of any two colours": coloured_frames,
    "window": window,
    "white on black, white frame": negative,
    "coloured": coloured,
    "tilted by up to 12 degrees": tilted,
}
DIRT: dict[str, Change] = {
    "ruled paper": ruled,
    "squared paper": lambda image, random: ruled(image, random, squared=True),
    "one dark line": one_rule,
    "slivers of an outline": sliver,
    "underline": underline,
    "specks": specks,
    "shadow": shadow,
    "sheet on a desk": desk,
}


def _saved(image: np.ndarray, form: str, mode: str | None = None, **options: object) -> bytes:
    """A BGR picture as a file."""
    picture = Image.fromarray(np.ascontiguousarray(image[:, :, ::-1]))
    if mode:
        picture = picture.convert(mode)
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def _turned(image: np.ndarray, orientation: int) -> bytes:
    """Stored as by a camera that was held sideways."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.rot90(image, {3: 2, 6: 1, 8: 3}[orientation])
    return _saved(np.ascontiguousarray(stored), "JPEG", quality=92, exif=exif)


def _on_nothing(image: np.ndarray) -> bytes:
    """Ink on a transparent background."""
    _, ink = paper_and_ink(image)
    layers = np.dstack([np.broadcast_to(ink, image.shape), 255 * cover(image)]).astype(np.uint8)
    return cv2.imencode(".png", layers)[1].tobytes()


def _pages(image: np.ndarray, form: str) -> bytes:
    other = Image.new("RGB", image.shape[1::-1], (90, 90, 90))
    return _saved(image, form, save_all=True, append_images=[other, other])


FORMATS: dict[str, Callable[[np.ndarray], bytes]] = {
    "PNG": lambda image: _saved(image, "PNG"),
    "JPEG, quality 60": lambda image: _saved(image, "JPEG", quality=60),
    "JPEG, CMYK": lambda image: _saved(image, "JPEG", "CMYK", quality=90),
    **{f"JPEG, EXIF {turn}": lambda image, turn=turn: _turned(image, turn) for turn in (3, 6, 8)},  # type: ignore[misc]
    "PNG, palette": lambda image: _saved(image, "PNG", "P"),
    "PNG, 1 bit": lambda image: _saved(255 - 255 * np.round(cover(image)).repeat(3, 2).astype(np.uint8), "PNG", "1"),
    "PNG, transparent": _on_nothing,
    "PNG, 16 bits": lambda image: cv2.imencode(".png", image.astype(np.uint16) * 257)[1].tobytes(),
    "PNG, 16 bits up to 255": lambda image: cv2.imencode(".png", image[:, :, 1].astype(np.uint16))[1].tobytes(),
    "TIFF, floating point": lambda image: cv2.imencode(".tiff", image[:, :, 1].astype(np.float32) / 255)[1].tobytes(),
    "TIFF, three pages": lambda image: _pages(image, "TIFF"),
    "GIF, animated": lambda image: _pages(image, "GIF"),
    "WebP": lambda image: _saved(image, "WEBP", quality=80),
    "AVIF": lambda image: _saved(image, "AVIF", quality=80),
    "BMP": lambda image: _saved(image, "BMP"),
}


def from_files(pattern: str) -> Iterator[tuple[np.ndarray, int]]:
    """BGR pictures of a glob, each with the name of its folder as label."""
    for name in sorted(glob.glob(pattern)):  # noqa: PTH207
        image = read_image(name)
        yield (
            cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image[:, :, :3].copy(),
            int(Path(name).parent.name),
        )


def from_mnist(folder: Path, random: Random) -> Iterator[tuple[np.ndarray, int]]:
    """MNIST's test digits, dark on light, from 28 to 400 pixels high."""
    source = sources.load("mnist", folder, ())
    for image, label in zip(source.test_images.numpy(), source.test_labels.tolist(), strict=True):
        side = int(28 * random.uniform(1, 14) ** random.integers(0, 2))
        large = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
        yield cv2.cvtColor(255 - large, cv2.COLOR_GRAY2BGR), label


class Table:
    """Reads pictures and prints how many of them are read right."""

    def __init__(self, predictor: Predictor, labels: np.ndarray) -> None:
        self.predictor, self.labels = predictor, labels

    def read(self, images: list[np.ndarray]) -> np.ndarray:
        """Whether each is read right."""
        reader = Reader(self.predictor, 0.5)
        return np.array([reader.read_picture(image, digits=1).best for image in images]) == self.labels.astype(str)

    def row(self, name: str, images: list[np.ndarray]) -> None:
        """One line: the share that is still read right."""
        print(f"| {name} | {100 * self.read(images).mean():.1f} % |", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=PROJECT / "data", help="folder that holds MNIST/raw")
    parser.add_argument("--pictures", help="glob of image files; the name of the folder of each is its label")
    parser.add_argument("--count", type=int, default=300, help="pictures, drawn at random")
    parser.add_argument("--only", help="the settings whose name holds this")
    parser.add_argument("--ckpt", default="pretrained")
    given = parser.parse_args()
    random = np.random.default_rng(0)
    pictures = list(from_files(given.pictures) if given.pictures else from_mnist(given.data, random))
    chosen = random.permutation(len(pictures))[: given.count]
    images, labels = [pictures[index][0] for index in chosen], np.array([pictures[index][1] for index in chosen])
    path, word = runs.find_checkpoint(given.ckpt, PROJECT / "outputs")
    table = Table(Predictor.load(path, "cpu"), labels)
    right = table.read(images)
    print(f"checkpoint: {word}\n{right.sum()} of {len(right)} are read right as they are; of these still right:\n")
    images, table.labels = [image for image, is_right in zip(images, right, strict=True) if is_right], labels[right]
    print("| setting | still right |\n| --- | --- |")
    for name, change in {**SETTINGS, **DIRT}.items():
        if given.only and given.only not in name:
            continue
        table.row(name, [change(image, random) for image in images])
    for name, save in FORMATS.items():
        table.row(name, [decode_picture(save(image)).pixels for image in images])
    combined = []
    for image in images:
        first, second, save = (random.choice(list(group)) for group in (DIRT, SETTINGS, FORMATS))
        combined.append(decode_picture(FORMATS[save](SETTINGS[second](DIRT[first](image, random), random))).pixels)
    table.row("one of each, at random", combined)


if __name__ == "__main__":
    main()
