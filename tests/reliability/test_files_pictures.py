"""Pictures of tens of thousands of dots: read in under 5 s and 200 MiB."""

import json

import numpy as np
import pytest
from fixtures_memory import measured

MEASURE = """
import json, sys, time
import numpy as np
from fixtures_memory import peak
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.inference.reader import Reader
from mnist_lightning.run import folder as runs
reader = Reader(Predictor.load(runs.PRETRAINED, "cpu"), 0.5)
reader.read_picture(np.pad(np.full((40, 8), 255, np.uint8), 30))
picture = np.load(sys.argv[1])
before = peak()
began = time.process_time()
reading = reader.read_picture(picture)
print(json.dumps([len(reading.digits), time.process_time() - began, peak() - before]))
"""


def dots(side: int) -> np.ndarray:
    """Black pixels on every second one of every second row, as a halftone has them."""
    picture = np.full((side, side), 255, np.uint8)
    picture[2:-2:2, 2:-2:2] = 0
    return picture


def dashes(side: int) -> np.ndarray:
    """Upright dashes on the left, and dots, which are too small beside them, on the right."""
    picture = dots(side)
    left = picture[:, : side // 2]
    left[2:-2] = np.where((np.arange(side - 4) % 4 < 3)[:, None] & (np.arange(side // 2) % 2 == 0), 0, 255)
    left[:, :2] = 255
    return picture


@pytest.mark.parametrize("picture", [dots(160), dashes(160)], ids=["dots", "dashes"])
def test_a_halftone_costs_neither_seconds_nor_gigabytes(tmp_path, picture):
    np.save(tmp_path / "halftone.npy", picture)
    digits, seconds, memory = json.loads(measured(MEASURE, tmp_path / "halftone.npy").stdout)
    assert digits > 0
    assert seconds < 5
    assert memory < 200
