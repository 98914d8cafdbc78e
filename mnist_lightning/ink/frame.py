"""Where a picture's frame ends: bands of colour along its sides, as screenshots, scans and cut-out cells have them.

A frame is found by its shape. What does not have the frame's colour fills a rectangle, with straight edges all along;
ink on paper of that colour never does.
"""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np

from mnist_lightning.ink import Box

_TOLERANCE = 40  # colours (of 255) closer than this are one colour
_FAINT_TOLERANCE = 16  # the same where a side of the picture is flat: a pale frame
_SOME = 0.5  # lines inside have at least this share of the other-coloured pixels of the line with the most
_STRAIGHT = 0.8  # the same for the inner rectangle's edges
_FULL = 0.6  # the same for all its pixels
_ALL = 0.95  # share of what does not have the frame's colour that must lie inside
_CONTENT = 0.005  # least share of the pixels inside that what is drawn there covers
_HOLES = 0.08  # least share of the pixels inside that the holes of a digit of thick bars cover
_HOLE = 0.01  # least share of the pixels inside that the hole of a digit covers
_SHORT = 2.5  # most that such a hole is longer than wide; a stroke is longer, or bent
_ROUND = 0.15  # share of a hole's shorter side over which its corners may be round
_SHARP = 0.4  # share of the tolerance that most pixels just outside the inner rectangle keep to
_FLAT = 4  # most that colours in a band differ
_OTHER = 0.25  # share of the line after a band that has another colour
_RINGING = 8  # last lines of a band that JPEG may have disturbed
_NESTED = 4  # nested frames that are looked for
_SOFT = 2  # lines over which the edge of a frame may be blurred
_MIN_SIDE = 8  # of what is left, pixels


def inside_frame(image: np.ndarray) -> Box:
    """The part of a picture that no frame covers.

    Args:
        image: uint8, grey [H, W] or BGR [H, W, 3].

    Returns:
        Left, top, right, bottom; the whole picture if it has no frame on any side.
    """
    left, top, right, bottom = 0, 0, image.shape[1], image.shape[0]
    for _ in range(_NESTED):
        found = _inner(image[top:bottom, left:right])
        if found is None:
            break
        left, top, right, bottom = left + found[0], top + found[1], left + found[2], top + found[3]
    return left, top, right, bottom


def inside_bands(image: np.ndarray) -> Box:
    """The part of a photograph that no band along a side covers, whatever colour it shares with the paper.

    Lines at the rim that are flat hold no ink; those of a photograph are not flat: they have light and grain.

    Args:
        image: uint8, grey [H, W] or BGR [H, W, 3].

    Returns:
        Left, top, right, bottom; the whole picture if it has no band on any side.
    """
    left, top, right, bottom = 0, 0, image.shape[1], image.shape[0]
    for _ in range(_NESTED):
        before = left, top, right, bottom
        top += _band(image[top:bottom, left:right])
        bottom -= _band(image[top:bottom, left:right][::-1])
        left += _band(image[top:bottom, left:right].swapaxes(0, 1))
        right -= _band(image[top:bottom, left:right].swapaxes(0, 1)[::-1])
        if (left, top, right, bottom) == before:
            break
    return left, top, right, bottom


def _band(lines: np.ndarray) -> int:
    """How many lines, from the first on, are flat and followed by one of which much has another colour."""
    colour = np.sort(lines[0], axis=0)[lines.shape[1] // 2]
    if len(lines) < 2 * _MIN_SIDE or np.abs(lines[0] - colour.astype(int)).max() > _FLAT:
        return 0
    distance = colour_distance(np.ascontiguousarray(lines[: len(lines) // 3]), colour)
    other = np.flatnonzero((distance > _FAINT_TOLERANCE).mean(axis=1) > _OTHER)
    if len(other) == 0 or distance[: max(1, other[0] - _RINGING)].max() > _FLAT:
        return 0
    return int(other[0])


def colour_distance(image: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """uint8 [H, W]: how far each pixel is from a colour, in the channel where it is farthest."""
    difference = cv2.absdiff(image, np.full_like(image, colour))
    if difference.ndim == 2:
        return difference
    blue, green, red = cv2.split(difference)
    return cv2.max(cv2.max(blue, green), red)


def _inner(image: np.ndarray) -> Box | None:
    """Inside of the outermost frame, or None if there is none."""
    if min(image.shape[:2]) < _MIN_SIDE:
        return None
    colours: list[np.ndarray] = []
    flat: list[bool] = []
    for rim in (image[0], image[-1], image[:, 0], image[:, -1]):
        middle = np.sort(rim, axis=0)[len(rim) // 2].astype(int)
        if all(np.abs(middle - colour).max() > _FAINT_TOLERANCE for colour in colours):
            colours.append(middle)
            flat.append(bool(np.abs(rim - middle).max() <= _FAINT_TOLERANCE))
    distances = [colour_distance(image, colour) for colour in colours]
    for tolerance in (_TOLERANCE, _FAINT_TOLERANCE):
        # A pale frame counts if it is flat: otherwise it may be the light on the paper.
        counted = [d for d, even in zip(distances, flat, strict=True) if even or tolerance == _TOLERANCE]
        apart = [cv2.threshold(distance, tolerance, 255, cv2.THRESH_BINARY)[1] for distance in counted]
        for count in range(1, len(apart) + 1):
            for chosen in combinations(range(len(apart)), count):
                mask = apart[chosen[0]] if count == 1 else np.minimum.reduce([apart[at] for at in chosen])
                box = _filled_box(mask)
                if box is None or not _has_content(image, mask, box):
                    continue
                distance = counted[chosen[0]] if count == 1 else np.minimum.reduce([counted[at] for at in chosen])
                if _ends_sharply(distance, box, _SHARP * tolerance):
                    return box
    return None


def _filled_box(mask: np.ndarray) -> Box | None:
    """The box of the pixels above 0 if they fill it with straight edges and leave some of the picture, else None."""
    height, width = mask.shape
    shares = [cv2.reduce(mask, axis, cv2.REDUCE_AVG).ravel() for axis in (1, 0)]
    lines, columns = (np.flatnonzero(share > _SOME * share.max()) for share in shares)
    if len(lines) == 0 or len(columns) == 0:
        return None
    left, top, right, bottom = int(columns[0]), int(lines[0]), int(columns[-1]) + 1, int(lines[-1]) + 1
    at_edge = left == 0, top == 0, right == width, bottom == height
    if all(at_edge) or not _is_full(mask[top:bottom, left:right]):
        return None
    for _ in range(_SOFT + 1):  # past the lines in which the frame's edge is blurred
        if right - left < _MIN_SIDE or bottom - top < _MIN_SIDE:
            return None
        inner = mask[top:bottom, left:right]
        filled = _edge_shares(inner)
        soft = [not at and share < _STRAIGHT for at, share in zip(at_edge, filled, strict=True)]
        if not any(soft):
            break
        left, top = left + int(soft[0]), top + int(soft[1])
        right, bottom = right - int(soft[2]), bottom - int(soft[3])
    else:
        return None
    if min(filled) < 0.5 or (sum(at_edge) == 3 and _is_cut_close(inner, at_edge)):
        return None
    corners = inner[:3, :3], inner[:3, -3:], inner[-3:, :3], inner[-3:, -3:]  # a thick 8 is nearly a rectangle, too
    if min(map(np.count_nonzero, corners)) < 6 or cv2.countNonZero(inner) < _ALL * cv2.countNonZero(mask):
        return None
    return left, top, right, bottom


def _ends_sharply(distance: np.ndarray, box: Box, most: float) -> bool:
    """Whether pixels just outside a box are nearly of the frame's colour: in the soft edge of a shadow they are not."""
    left, top, right, bottom = box
    height, width = distance.shape
    outside = [
        distance[top:bottom, max(left - _SOFT - 1, 0)],
        distance[max(top - _SOFT - 1, 0), left:right],
        distance[top:bottom, min(right + _SOFT, width - 1)],
        distance[min(bottom + _SOFT, height - 1), left:right],
    ]
    at_edge = left == 0, top == 0, right == width, bottom == height
    return all(at or np.median(line) <= most for at, line in zip(at_edge, outside, strict=True))


def _edge_shares(mask: np.ndarray) -> list[float]:
    """Share of the pixels above 0 along each edge of a mask: left, top, right, bottom."""
    return [np.count_nonzero(edge) / len(edge) for edge in (mask[:, 0], mask[0], mask[:, -1], mask[-1])]


def _is_full(mask: np.ndarray) -> bool:
    """Whether most pixels of a mask are above 0; or one piece goes all around and there are others in its holes.

    What lies under a sheet of the frame's colour is such a piece, and the writing on the sheet is the others.
    """
    if cv2.countNonZero(mask) >= _FULL * mask.size:
        return True
    if min(mask.shape) < _MIN_SIDE:
        return False
    if min(_edge_shares(mask[_SOFT:-_SOFT, _SOFT:-_SOFT])) < _STRAIGHT:  # a quick check before the slow one
        return False
    pieces = cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:]
    largest = pieces[pieces[:, cv2.CC_STAT_AREA].argmax()]
    goes_around = tuple(largest[[cv2.CC_STAT_HEIGHT, cv2.CC_STAT_WIDTH]]) == mask.shape
    return goes_around and cv2.countNonZero(mask) - largest[cv2.CC_STAT_AREA] > _CONTENT * mask.size


def _is_cut_close(inner: np.ndarray, at_edge: tuple[bool, ...]) -> bool:
    """Whether what looks like a frame on one side may be the bar of a digit that the picture was cut close around.

    The digit then reaches the opposite side too.
    """
    opposite = (inner[:, -1], inner[-1], inner[:, 0], inner[0])[at_edge.index(False)]
    return bool(opposite.min() == 0)


def _has_content(image: np.ndarray, mask: np.ndarray, box: Box) -> bool:
    """Whether something is drawn inside, and not only its ground: a bar of ink is filled, too, and so is a square 8."""
    left, top, right, bottom = box
    inset = image[top + 1 : bottom - 1, left + 1 : right - 1]
    ground = np.median(inset.reshape(-1, *image.shape[2:]), axis=0)
    drawn = cv2.threshold(colour_distance(inset, ground), _TOLERANCE, 255, cv2.THRESH_BINARY)[1]
    if cv2.countNonZero(drawn) <= _CONTENT * drawn.size:
        return False
    holes = cv2.bitwise_not(mask[top + 1 : bottom - 1, left + 1 : right - 1])
    if cv2.countNonZero(holes) < _HOLES * holes.size:
        return True
    soft = np.ones((2 * _SOFT + 1, 2 * _SOFT + 1), np.uint8)
    elsewhere = cv2.bitwise_and(drawn, cv2.bitwise_not(cv2.dilate(holes, soft)))
    return cv2.countNonZero(elsewhere) > _CONTENT * drawn.size or not are_solid(holes)


def are_solid(holes: np.ndarray) -> bool:
    """Whether what has the frame's colour inside is the holes of a digit of thick bars; strokes are long or bent."""
    stats = cv2.connectedComponentsWithStats(holes, connectivity=8)[2][1:]
    large = stats[stats[:, cv2.CC_STAT_AREA] > _HOLE * holes.size]
    for left, top, across, down, _ in large.tolist():
        inset = max(1, round(_ROUND * min(across, down)))
        core = holes[top + inset : top + down - inset, left + inset : left + across - inset]
        if max(across, down) > _SHORT * min(across, down) or not core.all():
            return False
    return len(large) > 0
