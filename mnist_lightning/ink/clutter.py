"""What is on paper but is not writing: ruled lines, the outline of a cell, underlines, slivers at the rim, specks.

Works on ink, uint8 [h, w], bright on exactly 0; nothing is moved, what is not writing becomes 0.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from mnist_lightning.ink import Box
from mnist_lightning.ink.width import even_ink, measure_stroke_width

_INK = 64  # of 255; ink above it makes up a line or a piece
_LINE = 25  # of 255; ink above it makes up a ruled line, which may be pale
_PALE = 160  # of 255; a line with less ink than this is paler than the strokes that cross it
_COVERED = 0.85  # least share of a picture's width that a ruled line covers
_SLOPE = 0.08  # steepest ruled line, height over width: 4.6 degrees
_SLOPES = 33  # slopes that are tried, at most
_LONGER = 0.25  # share of its length by which a line that does not reach the rim is longer than the digit at each end
_THICKEST = 0.08  # of a ruled line, share of the picture's height
_STRIP = 0.12  # share of a side: a piece that touches the rim and lies entirely nearer to it is a sliver
_SPECK = 0.03  # share of the ink of the largest piece below which another may be a speck

_MINOR, _FAR = 0.45, 0.3  # shares of the tallest piece's height: what is smaller, and farther away, is not writing

_AT_ONCE = 1 << 18  # pairs of pieces that are compared at once: a halftone has tens of millions, a gigabyte in one go


def remove_clutter(ink: np.ndarray) -> np.ndarray:
    """Ink without what is not writing; unchanged where nothing would be left."""
    if min(ink.shape) < 8:
        return ink
    kept = remove_rules(ink)
    kept = _remove_inner_rules(kept, is_ruled=kept is not ink)
    pieces = _Pieces(kept)
    if len(pieces.area) == 0:
        return ink
    left, top, right, bottom = pieces.outlined()
    if (right - left, bottom - top) == ink.shape[::-1]:
        return pieces.remove_dirt(kept)
    inner = remove_rules(kept[top:bottom, left:right])
    result = np.zeros_like(ink)
    result[top:bottom, left:right] = _Pieces(inner).remove_dirt(inner)
    return result


def _remove_inner_rules(ink: np.ndarray, is_ruled: bool) -> np.ndarray:
    """Ink without the lines of a sheet that has a margin of the paper's colour on some sides.

    `is_ruled` says whether lines were found already, from rim to rim.
    """
    left, top, across, down = cv2.boundingRect(cv2.threshold(ink, _LINE, 255, cv2.THRESH_BINARY)[1])
    if min(across, down) < 8 or (down, across) == ink.shape:
        return ink
    inner = ink[top : top + down, left : left + across]
    some = inner[:, :: max(1, across // 40)] > _LINE
    crossed = some[0] + (some[1:] > some[:-1]).sum(axis=0)
    if (crossed >= 3).mean() < 0.6:  # on ruled paper most columns cross three lines
        kept, are_rules = _without_upright_rules(inner) if is_ruled else (inner, False)
        kept = kept if are_rules else _without_a_long_line(inner)
    else:
        kept, are_rules = _without_level_rules(inner)
        if not are_rules:  # upright ones alone may be a row of ones
            return ink
        both, are_rules = _without_upright_rules(kept)
        kept = _without_squares(inner, both) if are_rules else kept
    result = np.zeros_like(ink)
    result[top : top + down, left : left + across] = kept
    return result


def _without_a_long_line(ink: np.ndarray) -> np.ndarray:
    """Ink without a level line that is much longer, to both sides, than what else there is: no bar of a digit is."""
    mask = cv2.threshold(ink, _INK, 1, cv2.THRESH_BINARY)[1]
    covered = cv2.reduce(mask, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
    if covered.max() < _COVERED * ink.shape[1]:
        return ink
    rest = np.flatnonzero(mask[covered <= 0.5 * ink.shape[1]].any(axis=0))
    clear = _LONGER * ink.shape[1]
    is_longer = len(rest) > 0 and rest[0] >= clear and rest[-1] < ink.shape[1] - clear
    return _without_level_rules(ink)[0] if is_longer else ink


class _Pieces:
    """The connected pieces of ink."""

    def __init__(self, ink: np.ndarray) -> None:
        self.height, self.width = ink.shape
        # Evened, otherwise a pale digit would be in pieces.
        self.mask = cv2.threshold(even_ink(ink, 2), _INK, 1, cv2.THRESH_BINARY)[1]
        self.labels, stats = _label(self.mask)
        self.left, self.top, across, down, self.area = stats.T.astype(int)
        self.right, self.bottom = self.left + across, self.top + down
        self.size = np.maximum(across, down)

    def outlined(self) -> Box:
        """The box of a rectangle drawn around everything else, such as a cell of a form; else the whole picture."""
        whole = 0, 0, self.width, self.height
        wide, high = self.right - self.left, self.bottom - self.top
        is_large = (wide > 0.4 * self.width) & (high > 0.4 * self.height)
        all_wide, all_high = self.right.max() - self.left.min(), self.bottom.max() - self.top.min()
        hollow = (
            (self.area < 0.35 * wide * high)
            & (wide > 0.3 * all_wide)
            & (high > 0.3 * all_high)
            & (np.minimum(wide, high) >= 8)
        )
        for index in np.flatnonzero(hollow if len(self.area) > 1 else hollow & is_large).tolist():
            left, top, right, bottom = self.left[index], self.top[index], self.right[index], self.bottom[index]
            piece = self.labels[top:bottom, left:right] == index + 1
            reach = max(2, round(0.04 * min(piece.shape)))
            sides = (piece[:, :reach].any(1), piece[:reach].any(0), piece[:, -reach:].any(1), piece[-reach:].any(0))
            lines = [side.mean() > 0.95 for side in sides]
            if is_large[index] and min(piece.shape) >= 12 and sum(lines) >= 3:  # a cell that was cut out may lack one
                return int(left), int(top), int(right), int(bottom)
            if sum(lines) == 2 and lines[0] != lines[2]:  # or show one corner only
                ends = (left, top, right, bottom)
                box = [end if is_line else far for end, is_line, far in zip(ends, lines, whole, strict=True)]
                if self._is_around_others(index, box):
                    left, top, right, bottom = map(int, box)
                    return left, top, right, bottom
        return whole

    def _is_around_others(self, index: int, box: list[int]) -> bool:
        """Whether there are other pieces than one, and all of them are in a box."""
        others = np.arange(len(self.area)) != index
        return bool(
            others.any()
            and self.left[others].min() >= box[0]
            and self.top[others].min() >= box[1]
            and self.right[others].max() <= box[2]
            and self.bottom[others].max() <= box[3]
        )

    def remove_dirt(self, ink: np.ndarray) -> np.ndarray:
        """Ink without slivers at the rim, specks, underlines, and what is small and far from the writing."""
        if len(self.area) < 2:
            return ink
        keep = ~self._slivers()
        if not keep.any():
            return ink
        stroke = max(measure_stroke_width(255 * self.mask), 1.0)
        largest, tallest = self.area[keep].max(), (self.bottom - self.top)[keep].max()
        speck = (self.area < _SPECK * largest) | ((self.size <= 1.6 * stroke + 1) & (self.area < 0.15 * largest))
        minor = self.size < _MINOR * tallest
        main = keep & ~(speck | minor)
        away = self._distances(keep & ~main, main)
        keep &= ~((speck & (away > 2.5 * stroke)) | (minor & (away > _FAR * tallest)) | self._bars(main, stroke))
        if keep.all():
            return ink
        wanted = np.concatenate([[True], keep])[self.labels]
        gone = cv2.dilate((~wanted).astype(np.uint8), np.ones((3, 3), np.uint8))  # with its faint rim
        gone[(self.labels > 0) & wanted] = 0
        return np.where(gone, 0, ink).astype(np.uint8)

    def _slivers(self) -> np.ndarray:
        """Which pieces touch the rim of the picture and lie along it."""
        at_rim = (self.left <= 1) | (self.top <= 1) | (self.right >= self.width - 1) | (self.bottom >= self.height - 1)
        if not at_rim.any():
            return at_rim
        x, y = max(1, round(_STRIP * self.width)), max(1, round(_STRIP * self.height))
        core = np.bincount(self.labels[y : self.height - y, x : self.width - x].ravel(), minlength=len(self.area) + 1)
        return at_rim & (core[1:] == 0)

    def _distances(self, of: np.ndarray, main: np.ndarray) -> np.ndarray:
        """Distance from the box of each piece in `of` to the nearest box in `main`, pixels; infinite for all others."""
        away = np.full(len(self.area), np.inf)
        boxes = np.stack([self.left, self.top, self.right, self.bottom]).astype(float)
        left, top, right, bottom = boxes[:, main]
        pieces = np.flatnonzero(of)
        step = max(1, _AT_ONCE // max(1, len(left)))
        for start in range(0, len(pieces), step):
            band = pieces[start : start + step]
            x0, y0, x1, y1 = boxes[:, band, None]
            dx = np.maximum(np.maximum(left - x1, x0 - right), 0)
            dy = np.maximum(np.maximum(top - y1, y0 - bottom), 0)
            away[band] = np.sqrt((dx * dx + dy * dy).min(axis=1, initial=np.inf))
        return away

    def _bars(self, main: np.ndarray, stroke: float) -> np.ndarray:
        """Which pieces are straight lines under or over all the other writing, and about as wide."""
        wide, high = self.right - self.left, self.bottom - self.top
        found = np.zeros(len(self.area), bool)
        for index in np.flatnonzero((high <= 1.6 * stroke + 1) & (wide > 5 * high)):
            others = main & (np.arange(len(main)) != index)
            if not others.any():
                continue
            left, right = self.left[others].min(), self.right[others].max()
            top, bottom = self.top[others].min(), self.bottom[others].max()
            covered = min(self.right[index], right) - max(self.left[index], left)
            gap = max(top - self.bottom[index], self.top[index] - bottom)
            found[index] = covered > 0.9 * (right - left) and gap > 0.1 * (bottom - top)
        return found


def _label(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of the piece at each pixel [h, w], 0 for none, and [n, 5]: left, top, width, height, area of each."""
    _, levels = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if levels is not None and np.count_nonzero(levels[0, :, 3] < 0) == 1:  # one piece: twenty times as fast
        return mask, np.array([[*cv2.boundingRect(mask), cv2.countNonZero(mask)]])
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_16U)
    return labels, stats[1:]


def remove_rules(ink: np.ndarray) -> np.ndarray:
    """Ink without the straight lines that cross the whole picture, level or upright."""
    touched = [bool((side > _LINE).any()) for side in (ink[:, 0], ink[:, -1], ink[0], ink[-1])]
    level, are_rules = _without_level_rules(ink) if all(touched[:2]) else (ink, False)
    both, are_rules_too = _without_upright_rules(level) if all(touched[2:]) else (level, False)
    if both is ink:
        return ink
    # A digit that fills the picture may have bars that long; what is left of it then reaches the rim.
    left, top, across, down = cv2.boundingRect(cv2.threshold(both, _INK, 255, cv2.THRESH_BINARY)[1])
    is_level = are_rules or (across > 0 and left >= 1 and left + across < ink.shape[1])
    is_upright = are_rules_too or (down > 0 and top >= 1 and top + down < ink.shape[0])
    if is_level and is_upright:
        return both if level is ink or both is level else _without_squares(ink, both)
    if is_level:
        return level
    return _without_upright_rules(ink)[0] if is_upright and all(touched[2:]) else ink


def _without_squares(ink: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """`kept`, ink without level and then without upright lines, less what upright ones made the level ones leave.

    Beside a line of the other direction a stroke looks like an arc that closes under the line. In the other order the
    upright lines leave such bits, in other places.
    """
    other = _without_level_rules(_without_upright_rules(ink)[0])[0]
    return cv2.min(kept, other)


def _without_upright_rules(ink: np.ndarray) -> tuple[np.ndarray, bool]:
    lying = ink.T
    kept, are_rules = _without_level_rules(lying)
    return ink if kept is lying else np.ascontiguousarray(kept.T), are_rules


def _without_level_rules(ink: np.ndarray) -> tuple[np.ndarray, bool]:
    """Ink without the nearly level lines from its left rim to its right one; and whether they are the paper's.

    Four lines are, or three that are paler than the ink: digits have three bars at most.
    """
    height, width = ink.shape
    covered, shift = _covered(ink, _INK)
    if covered.max() < _COVERED:
        covered, shift = _covered(ink, _LINE)
    kept, levels = ink, []
    for first, past in _runs(covered >= _COVERED):
        line = ink[np.clip(np.arange(first, past)[:, None] + shift, 0, height - 1), np.arange(width)]
        level = float(np.sort(line.max(axis=0))[width // 4])  # beside the strokes, which may cover half of it
        while first > 0 and covered[first - 1] > 0.5:  # with its soft edges
            first -= 1
        while past < len(covered) and covered[past] > 0.5:
            past += 1
        if past - first <= max(3, _THICKEST * height):
            kept = ink.copy() if kept is ink else kept
            levels.append(level)
            _erase(kept, ink, first + shift, past - first, level)
    return kept, len(levels) >= 4 or (len(levels) > 2 and max(levels) < _PALE)


def _covered(ink: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Share of each row that has ink above `least`, at the slope where it is largest; and that slope, in rows [w]."""
    height, width = ink.shape
    rows, columns = np.nonzero(ink > least)
    steps = min(round(_SLOPE * width), _SLOPES // 2)
    covered, shift = np.zeros(1), np.zeros(width, int)
    for step in sorted(range(-steps, steps + 1), key=abs):  # the slope at which a line covers most of a row
        drop = np.rint(step / max(steps, 1) * _SLOPE * (np.arange(width) - width / 2)).astype(int)
        drop -= drop.max()
        share = np.bincount(rows - drop[columns], minlength=height) / width
        if share.max() > covered.max() + 0.02:
            covered, shift = share, drop
        if covered.max() > 0.98:  # no other slope can be better by as much as is asked for
            break
    return covered, shift


def _runs(where: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], where, [False]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _erase(kept: np.ndarray, ink: np.ndarray, tops: np.ndarray, thick: int, level: float) -> None:
    """Remove a line from `kept`, in place: `thick` pixels from row tops[x] on in each column x of `ink`.

    `level` is the line's ink, of 255.
    """
    height, width = ink.shape
    reach = max(2, thick)
    at = tops + np.arange(-1 - reach, thick + reach + 1)[:, None]  # the line and what is beside it
    inside = (at >= 0) & (at < height)
    rows = np.where(inside, ink[np.minimum(np.maximum(at, 0), height - 1), np.arange(width)], 0)
    above, below = rows[reach], rows[reach + 1 + thick]
    straight = (above > _INK) & (below > _INK)
    arcs = _arc_between(above, rows[0], below) | _arc_between(below, rows[-1], above)
    crossing = arcs | straight | (_wider(above > _INK) & _wider(below > _INK) & ~_wider(_wider(straight)))
    band = slice(reach, reach + thick + 2)  # with its faint rim
    stays = rows[band] > _INK
    stays[1:-1] = crossing
    if level < _PALE:
        stays[1:-1] |= rows[band][1:-1] > min(1.3 * level + 20, 254)
    lines, columns = np.nonzero(inside[band])
    kept[at[band][lines, columns], columns] = np.where(stays, rows[band], 0)[lines, columns]


def _arc_between(near: np.ndarray, far: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """Where an arc that a line covers must have run: between two ends that approach each other towards the line.

    Args:
        near: ink [w] beside the line; `far`, some pixels farther on the same side; `behind`, on the other side.
    """
    found = np.zeros(len(near), bool)
    ends = _runs(near > _INK)
    for (_, start), (end, _) in pairwise(ends):
        middle = (start + end) // 2
        left, right = np.flatnonzero(far[:middle] > _INK), np.flatnonzero(far[middle:] > _INK)
        if len(left) == 0 or len(right) == 0 or (behind[start:end] > _INK).any():
            continue
        if end - start <= 0.75 * (middle + right[0] - left[-1] - 1) and (far[left[-1] + 1 : middle] <= _INK).all():
            found[start:end] = True
    return found


def _wider(where: np.ndarray) -> np.ndarray:
    wide = where.copy()
    wide[1:] |= where[:-1]
    wide[:-1] |= where[1:]
    return wide
