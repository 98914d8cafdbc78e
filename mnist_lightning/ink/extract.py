"""Picture -> ink: everything drawn, bright on exactly 0. Finds polarity, background and paper by itself.

Knows nothing of digits or of 28x28. A clean drawing (a flat background) keeps every pixel of its ink; in a
photograph or a scan the paper is estimated around each pixel and its noise cut off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from mnist_lightning.ink.clutter import remove_clutter, remove_rules
from mnist_lightning.ink.frame import are_solid, colour_distance, inside_bands, inside_frame
from mnist_lightning.ink.sheet import only_sheet
from mnist_lightning.ink.width import stretch

FAINT = 25  # ink up to this (of 255) counts only right next to stronger ink: JPEG rings around strokes
_THUMBNAIL = 40  # longest side of a picture too small to be a photograph, pixels
_DRAWING_SIDE = 320  # side of the square whose area larger drawings are shrunk to, pixels
_PHOTO_SIDE = 256  # the same for photographs
_PAPER_SIDE = 96  # and for the picture in which their paper is estimated
_MIN_CONTRAST = 20.0  # of ink in a photograph, of 255; below it a sheet counts as empty
_BAND = 64  # lines of a picture that are laid on a background at once
_MIN_SPECK = 0.03  # share of the largest piece of ink below which another is dirt
_SHEET = 0.2  # share of a drawing that stands out from its background where that may be a sheet
_CONTRAST, _CONTENT = 40, 0.005  # a sheet is drawn on if this share of it differs this much (of 255) from its paper


@dataclass(frozen=True, eq=False)
class Ink:
    """Ink, and where it stood in the picture.

    Attributes:
        pixels: uint8 [h, w], bright ink (its strongest at 255) on exactly 0; all zeros if there is none.
        left, top: position of `pixels` in the picture, in its pixels.
        shrunk: how many pixels of the picture, along each side, became one of `pixels`.
    """

    pixels: np.ndarray
    left: int = 0
    top: int = 0
    shrunk: float = 1.0


def extract_ink(image: np.ndarray) -> np.ndarray:
    """Separate ink from its background; the pixels of `find_ink`."""
    return find_ink(image).pixels


def find_ink(image: np.ndarray) -> Ink:
    """Separate ink from its background.

    Args:
        image: uint8, grey [H, W] or [H, W, 1], BGR [H, W, 3] or BGRA [H, W, 4]; dark on light or light on
            dark, drawn, scanned or photographed. Inside a frame, if there is one, a drawing's background is what most
            of the rim shows.

    Returns:
        The ink inside the frame, without ruled lines, specks and other clutter. Small drawings keep their resolution;
        larger ones are shrunk to the area of a square of 320, photographs to one of 256.
    """
    image = _drop_alpha(image)
    if image.size == 0:
        return Ink(np.zeros((0, 0), np.uint8))
    small = _shrink(image, _DRAWING_SIDE)
    left, top, right, bottom = inside_frame(small)
    inner = np.ascontiguousarray(small[top:bottom, left:right])
    distance = colour_distance(inner, _rim_median(inner))
    peak = int(cv2.minMaxLoc(distance)[1])
    if not _is_clean(distance, peak):  # because of its grain and light, or the lines on the paper
        lineless = remove_rules(cv2.LUT(distance, stretch(peak)))
        if _is_clean(lineless, 255):
            pixels = _drawn_ink(lineless, 255)
        else:
            x, y, right, bottom = inside_bands(inner)
            left, top, inner = left + x, top + y, np.ascontiguousarray(inner[y:bottom, x:right])
            pixels = _photo_ink(only_sheet(inner))
    elif peak < 8:  # a flat sheet
        pixels = np.zeros_like(distance)
    else:
        pixels = _drawn_ink(*_on_sheet(inner, distance, peak))
    shrunk = image.shape[1] / small.shape[1]
    return Ink(pixels, round(left * shrunk), round(top * shrunk), shrunk * inner.shape[1] / pixels.shape[1])


def _on_sheet(image: np.ndarray, distance: np.ndarray, peak: int) -> tuple[np.ndarray, int]:
    """The distance to the background, and its peak, on the sheet that is most of what stands out from it, if one is."""
    if _count_above(distance, peak / 2) < _SHEET * distance.size:
        return distance, peak
    sheet = only_sheet(image)
    paper = _rim_median(sheet)
    if np.abs(paper.astype(int) - _rim_median(image)).max() <= _CONTRAST:  # none, or dots on the same paper
        return distance, peak
    on_sheet = colour_distance(sheet, paper)
    drawn = cv2.threshold(on_sheet, _CONTRAST, 255, cv2.THRESH_BINARY)[1]
    is_drawn_on = cv2.countNonZero(drawn) > _CONTENT * drawn.size and not are_solid(drawn)
    return (on_sheet, int(cv2.minMaxLoc(on_sheet)[1])) if is_drawn_on else (distance, peak)


def _drawn_ink(distance: np.ndarray, peak: int) -> np.ndarray:
    """Ink of a clean drawing, from the distance of each pixel to the background, at most `peak`."""
    if peak < 250:
        distance = cv2.LUT(distance, stretch(peak))
    strong = cv2.threshold(distance, FAINT, 255, cv2.THRESH_BINARY)[1]
    ink = remove_clutter(cv2.bitwise_and(distance, cv2.dilate(strong, np.ones((3, 3), np.uint8))))
    peak = int(cv2.minMaxLoc(ink)[1])
    return cv2.LUT(ink, stretch(peak)) if 0 < peak < 250 else ink


def _drop_alpha(image: np.ndarray) -> np.ndarray:
    """Lay a picture with an alpha channel on a background that its ink stands out from."""
    if image.ndim == 3 and image.shape[2] == 1:
        return image[:, :, 0]
    if image.ndim == 2 or image.shape[2] == 3:
        return image
    colour, alpha = np.ascontiguousarray(image[:, :, :3]), image[:, :, 3]
    if alpha.size == 0 or alpha.min() == 255:
        return colour
    opaque = alpha > 127
    grey = cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)[opaque]
    paper = np.full(3, 0 if len(grey) and grey.mean() > 127 else 255)  # what is transparent is the ground, or the ink
    if 2 * len(grey) > alpha.size:
        shown = [channel[opaque] for channel in cv2.split(colour)]
        sheet = np.array([np.median(channel) for channel in shown])
        away = [cv2.absdiff(c, np.full_like(c, level)) for c, level in zip(shown, sheet, strict=True)]
        if max(_count_above(each, _CONTRAST) for each in away) > _CONTENT * len(grey):
            paper = sheet  # a sheet that is written on: its holes are filled
    for top in range(0, len(colour), _BAND):  # all at once would take sixteen times the memory of the picture
        band = colour[top : top + _BAND]
        share = alpha[top : top + _BAND, :, None] / np.float32(255)
        band[:] = (share * band + (1 - share) * paper + 0.5).astype(np.uint8)
    return colour


def _rim_median(image: np.ndarray) -> np.ndarray:
    """Median of the pixels along the four edges: uint8 [] or, of a colour picture, [3]."""
    rim = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return np.median(rim, axis=0).astype(np.uint8)


def _is_clean(distance: np.ndarray, peak: int) -> bool:
    """Whether a picture is flat except for its ink, judged by the distance of its pixels to the background."""
    if max(distance.shape) <= _THUMBNAIL:  # smoothing like a photograph's would wipe its strokes out
        return True
    # Paper has grain, a drawing's background has none.
    near = distance.size - _count_above(distance, max(FAINT / 255 * peak, 8))
    flat = distance.size - _count_above(distance, 1)
    # Shadows on a saturated sheet leave much of it flat, but also much of it faintly dark.
    faint = distance.size - near - _count_above(distance, 0.3 * peak)
    return flat >= 0.7 * near and faint <= 0.15 * distance.size


def _count_above(values: np.ndarray, level: float) -> int:
    return cv2.countNonZero(cv2.threshold(values, level, 255, cv2.THRESH_BINARY)[1])


def _photo_ink(image: np.ndarray) -> np.ndarray:
    """Ink of a photograph or scan, its longest side at most 256; in the form of `extract_ink`."""
    image = _shrink(image, _PHOTO_SIDE)
    grey = cv2.medianBlur(image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), 3)
    paper = _paper(grey)
    signed = paper - grey
    peaks = [_peak(side) for side in (signed, -signed)]
    # Both ink and chalk change a share of the light that falls on the sheet: in a shadow that is less light.
    contrast = (signed if peaks[0] >= peaks[1] else -signed) * (255 / np.maximum(paper, 32))
    peak = _peak(contrast)
    noise = 1.48 * float(np.median(np.abs(contrast)))
    if peak < max(_MIN_CONTRAST, 6 * noise):
        return np.zeros_like(grey)
    core = float(np.median(contrast[contrast > 0.5 * peak]))
    mask = _digit_mask((contrast > 0.25 * core).astype(np.uint8), contrast > 0.5 * core)
    ink = np.clip((contrast - 0.25 * core) * (255 / (0.5 * core)), 0, 255)
    return np.where(mask, ink, 0).astype(np.uint8)


def _shrink(image: np.ndarray, side: int) -> np.ndarray:
    """A picture shrunk to at most the area of a square of this side: a long row of digits stays as high as needed."""
    height, width = image.shape[:2]
    factor = side / math.sqrt(height * width)
    if factor >= 1:
        return image
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _paper(grey: np.ndarray) -> np.ndarray:
    """The sheet without its ink, float32 in the shape of `grey`: the median of a wide neighbourhood."""
    height, width = grey.shape
    small = _shrink(grey, _PAPER_SIDE).astype(np.float32)
    # The median follows the edges of shadows but flattens the hump of a lamp; with the light's trend taken
    # out it is the other way round. Whichever leaves less on the sheet is right.
    papers = [trend + _wide_median(small - trend) for trend in (np.zeros_like(small), _trend(small))]
    paper = min(papers, key=lambda sheet: float(np.minimum(np.abs(small - sheet), 30).mean()))
    return np.clip(cv2.resize(paper, (width, height), interpolation=cv2.INTER_LINEAR), 0, 255)


def _wide_median(small: np.ndarray) -> np.ndarray:
    """Median over half the side of float32 [h, w], rounded to whole grey levels."""
    reach = min(max(1, max(small.shape) // 4), 127)  # OpenCV counts the pixels of a median in 16 bits
    # Beyond the rim the light continues as it was: mirrored and inverted.
    pad = [(min(reach, side - 1),) * 2 for side in small.shape]
    wide = np.pad(small, pad, mode="reflect", reflect_type="odd")
    offset = 128 - float(np.median(small))  # into the middle of the 8 bits that OpenCV's wide median takes
    median = cv2.medianBlur(np.clip(wide + offset, 0, 255).astype(np.uint8), 2 * reach + 1)
    (top, _), (left, _) = pad
    return median[top : top + small.shape[0], left : left + small.shape[1]] - np.float32(offset)


def _trend(grey: np.ndarray) -> np.ndarray:
    """The quadratic surface, float32 [h, w], through most of the pixels: the fall-off of light and lens."""
    height, width = grey.shape
    y, x = (axis.ravel() for axis in np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j])
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    values, weight = grey.ravel(), np.ones(grey.size)
    for _ in range(4):  # least squares, reweighted until the ink counts for little
        normal = (terms * weight[:, None]).T
        surface = terms @ np.linalg.lstsq(normal @ terms, normal @ values, rcond=None)[0]
        error = np.abs(values - surface)
        weight = 1 / (1 + (error / (1.48 * np.median(error) + 1)) ** 2)
    return surface.reshape(height, width).astype(np.float32)


def _peak(contrast: np.ndarray) -> float:
    """Contrast of the strongest 0.3 % of the pixels, which the smallest digit worth reading fills."""
    return float(np.percentile(contrast, 99.7))


def _digit_mask(weak: np.ndarray, strong: np.ndarray) -> np.ndarray:
    """Pieces of `weak` (uint8 0 or 1) that hold `strong` ink, without dirt and what reaches in from the rim."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(weak, connectivity=8)
    area = np.bincount(labels[strong], minlength=count)
    area[0] = 0
    keep = area > _MIN_SPECK * area.max()
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right, bottom = left + stats[:, cv2.CC_STAT_WIDTH], top + stats[:, cv2.CC_STAT_HEIGHT]
    inside = (left > 0) & (top > 0) & (right < weak.shape[1]) & (bottom < weak.shape[0])
    if 2 * area[keep & inside].sum() >= area[keep].sum():
        keep &= inside
    return keep[labels]
