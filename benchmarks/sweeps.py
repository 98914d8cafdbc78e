"""What a sweep costs beyond its trainings: `python benchmarks/sweeps.py` on a quiet machine (four minutes, two cores).

Two measurements, each against its bar:
    overhead   20 trainings of half an epoch of MNIST one after another: the wall clock of the whole command over the
               sum of the jobs' fit seconds (bar: 1.25)
    joblib     small jobs with two workers on two cores against the basic launcher: wall clock over wall clock, in turns
               (bar: 0.85)
Beside the clock it prints processor seconds (user and system, of all processes), which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def sweep(folder: Path, *overrides: str) -> tuple[float, float, list[dict[str, float]]]:
    """Run one sweep: wall seconds, processor seconds, and the timing that each job has recorded."""
    outputs = Path(tempfile.mkdtemp(dir=folder))
    command = [sys.executable, str(PROJECT / "scripts/train.py"), "-m", f"outputs={outputs}", *overrides]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    records = [json.loads(path.read_text(encoding="utf-8")) for path in outputs.rglob("training_metrics.json")]
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, used, [record["timing"] for record in records]


def overhead(folder: Path, data: Path, jobs: int) -> str:
    """The wall clock of a sweep of half-epoch trainings over the sum of its fits."""
    wall, used, timings = sweep(
        folder, "data=mnist", f"data.folder={data}", f"seed=range({jobs})", "trainer.max_epochs=1",
        "trainer.limit_train_batches=0.5",
    )  # fmt: skip
    fits = sum(timing["fit_seconds"] for timing in timings)
    return (
        f"overhead: {len(timings)} jobs, {wall:.1f} s, fits {fits:.1f} s: {wall / fits:.2f} (bar 1.25); "
        f"{(wall - fits) / len(timings):.2f} s per job beyond its fit, start of the process included; "
        f"processor {used:.1f} s"
    )


def joblib(folder: Path, data: Path, jobs: int, rounds: int) -> str:
    """Two workers against one process, in turns; the best round of each."""
    small = [
        "data=mnist", f"data.folder={data}", "data.limit=10000", "model.channels=[8,16,32]", "trainer.max_epochs=2",
        f"seed=range({jobs})",
    ]  # fmt: skip
    launchers = {"basic": [], "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in launchers}
    for _ in range(rounds):
        for name, more in launchers.items():
            found[name].append(sweep(folder, *small, *more)[:2])
    walls, used = ({name: min(each[place] for each in all_) for name, all_ in found.items()} for place in (0, 1))
    return (
        f"joblib: {jobs} jobs, basic {walls['basic']:.1f} s, two workers {walls['joblib']:.1f} s: "
        f"{walls['joblib'] / walls['basic']:.2f} (bar 0.85); processor {used['basic']:.1f} s and {used['joblib']:.1f} s"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=PROJECT / "data", help="folder that holds MNIST/raw")
    parser.add_argument("--jobs", type=int, default=20, help="jobs of the sweep whose overhead is measured")
    parser.add_argument("--small-jobs", type=int, default=8, help="jobs of a sweep of joblib against basic")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of joblib against basic")
    parser.add_argument("--only", choices=("overhead", "joblib"), help="one of the two measurements")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.only != "joblib":
            print(overhead(Path(folder), given.data.resolve(), given.jobs), flush=True)
        if given.only != "overhead":
            print(joblib(Path(folder), given.data.resolve(), given.small_jobs, given.rounds), flush=True)


if __name__ == "__main__":
    main()
