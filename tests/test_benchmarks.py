"""What `make bench` writes is made of the results that it keeps; measuring itself takes ten minutes and is not run."""

import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import bench

    yield bench
    for name in ("bench", "reference_loop"):
        sys.modules.pop(name, None)


def test_the_table_and_the_picture_of_speed_come_from_the_results_kept_beside_them(bench, tmp_path):
    results = json.loads((FOLDER / "results.json").read_text())
    assert bench.table(results) == (FOLDER / "results.md").read_text()
    bench.plot(results, tmp_path / "speed.png")
    assert (tmp_path / "speed.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
