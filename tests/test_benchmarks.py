"""What `make bench` writes is made of the results that it keeps; measuring itself takes ten minutes and is not run."""

import json
import sys
import sysconfig
from importlib.machinery import PathFinder
from pathlib import Path
from types import SimpleNamespace

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import bench
    import speed

    yield SimpleNamespace(bench=bench, speed=speed)
    for name in ("bench", "speed", "reference_loop"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("folder", ["benchmarks", "scripts"])
def test_no_script_has_the_name_of_a_module_that_others_import(folder):
    """Python puts the folder of a script before all others: `import tensorboard` then finds `tensorboard.py` there."""
    names = [path.stem for path in (FOLDER.parent / folder).glob("*.py")]
    installed = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    taken = [name for name in names if name in sys.stdlib_module_names or PathFinder.find_spec(name, installed)]
    assert len(names) >= 10
    assert taken == []


def test_the_table_of_speed_comes_from_the_results_kept_beside_it(scripts):
    results = json.loads((FOLDER / "results.json").read_text())
    assert scripts.bench.table(results) == (FOLDER / "results.md").read_text()


def test_the_curve_of_seconds_is_that_of_the_runs_kept_in_the_docs(scripts, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["speed.py", "--out", str(tmp_path / "speed.png")])
    scripts.speed.main()
    assert capsys.readouterr().out in (FOLDER.parent / "docs/results.md").read_text(encoding="utf-8")
    assert (tmp_path / "speed.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_every_point_of_the_curve_is_a_recipe_with_its_seeds(scripts, tmp_path):
    for name in scripts.speed.RECIPES:
        assert (FOLDER.parent / f"conf/experiment/{name}.yaml").is_file()
    runs = [
        {"experiment": "fast", "seed": seed, "timing": {"fit_seconds": 2.0 + seed}, "test": {"accuracy": 0.99},
         "environment": {"threads": 2, "device": device}}
        for seed, device in ((0, "one"), (1, "one"), (1, "one"), (2, "another"))
    ] + [{"experiment": "distill", "seed": 0, "environment": {"device": "another"}}]  # fmt: skip
    (tmp_path / "runs.json").write_text(json.dumps({"runs": runs}))
    points = scripts.speed.read(tmp_path / "runs.json")
    assert points == {"fast": [(2.0, 99.0, 2), (3.0, 99.0, 2)]}
    assert scripts.speed.table(points).splitlines()[-1] == (
        "| `fast` | 2 | 2 | 2.5 (2.0 to 3.0) | 99.00 % (99.00 to 99.00) |"
    )
