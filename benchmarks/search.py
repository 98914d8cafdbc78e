"""What is claimed about the search, measured: that kill -9 costs it nothing, and what pruning saves.

    python benchmarks/search.py killed     30 trainings, five times SIGKILL at a random moment
    python benchmarks/search.py pruning    the same 40 trials with ASHA and without (MNIST in data/; some minutes)

Each prints what it found and exits with 1 if that misses the bar.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
SMALL = ["data=digits", "data.limit=320", "model=mlp", "augment=none", "trainer.max_epochs=2", "logger=none"]
# A space with good and hopeless corners, proposed at random: both searches get the very same 40 trials.
SPACE = [
    "optimizer.lr=tag(log,interval(0.0001,0.3))", "model.dropout=interval(0.0,0.6)", "data.batch_size=64,128,256",
    "loss.label_smoothing=0.05",
]  # fmt: skip
NETWORK = ["data=mnist", "data.limit=6000", "model=mlp", "model.hidden_sizes=[128]", "augment=none", "logger=none"]
EPOCHS = 9


def command(outputs: Path, *overrides: str) -> list[str]:
    """The command that searches in `outputs`."""
    common = ["search=lr", f"outputs={outputs}", "trainer.enable_progress_bar=false"]
    return [sys.executable, str(PROJECT / "scripts/train.py"), "-m", *common, *overrides]


def table(outputs: Path, study: str) -> list[dict[str, str]]:
    """The lines of a study's trials.csv; none before the first trial has ended."""
    path = outputs / "search" / study / "trials.csv"
    return list(csv.DictReader(path.open(encoding="utf-8"))) if path.exists() else []


def killed(trials: int, kills: int, seed: int) -> bool:
    """Search, get killed, and go on, several times; then count."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder)
        start = command(outputs, "search.study=killed", f"search.n_trials={trials}", *SMALL)
        best = 0.0
        for ended in sorted(chance.sample(range(1, trials - 1), kills)):  # trials before the kill, all over the search
            process = subprocess.Popen(start, cwd=PROJECT, stdout=subprocess.DEVNULL, start_new_session=True)
            while (
                process.poll() is None and sum(row["state"] == "finished" for row in table(outputs, "killed")) < ended
            ):
                time.sleep(0.05)
            seconds = chance.uniform(0, 2)
            time.sleep(seconds)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            rows = table(outputs, "killed")
            best = max([best, *(float(row["val_accuracy"]) for row in rows if row["state"] == "finished")])
            print(f"killed {seconds:.1f} s after trial {ended} had ended, best so far {best:.4f}", flush=True)
        done = subprocess.run(start, cwd=PROJECT, capture_output=True, text=True, check=True)
        print(done.stdout.splitlines()[0])
        rows = table(outputs, "killed")
    states = [row["state"] for row in rows]
    counts = {state: states.count(state) for state in sorted(set(states))}
    after = max(float(row["val_accuracy"]) for row in rows if row["state"] == "finished")
    tried = {tuple(row[name] for name in ("optimizer.lr", "loss.label_smoothing")) for row in rows}
    print(f"{counts}; {len(tried)} different settings tried; best {after:.4f}, before the last start {best:.4f}")
    return counts.get("finished", 0) + counts.get("pruned", 0) == trials and after >= best and len(tried) == trials


def cpu_seconds() -> float:
    """Processor time of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def pruning(trials: int, sampler: str, epochs: int, turns: int) -> bool:
    """Search without and with ASHA, everything else the same; in turns, so that a busy minute hits both."""
    found, spent = {}, {pruner: [0.0, 0.0] for pruner in ("none", "asha")}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(1, turns + 1):
            for pruner, seconds in spent.items():
                overrides = [f"search.n_trials={trials * turn // turns}", f"search.sampler={sampler}"]
                # Two epochs before the first verdict: after one, the best trial was pruned on one of two machines.
                overrides += [f"search.pruner={pruner}", f"search.study={pruner}", "search.warmup_epochs=2"]
                overrides += [f"trainer.max_epochs={epochs}", f"data.folder={PROJECT / 'data'}"]
                began, cpu_before = time.perf_counter(), cpu_seconds()
                subprocess.run(
                    command(Path(folder), *overrides, *SPACE, *NETWORK),
                    cwd=PROJECT, check=True, stdout=subprocess.DEVNULL,
                )  # fmt: skip
                seconds[0] += cpu_seconds() - cpu_before
                seconds[1] += time.perf_counter() - began
        for pruner, (cpu, wall) in spent.items():
            rows = table(Path(folder), pruner)
            finished = [row for row in rows if row["state"] == "finished"]
            top = max(finished, key=lambda row: float(row["val_accuracy"]))
            accuracy, done = float(top["val_accuracy"]), sum(int(row["epochs"]) for row in rows)
            found[pruner] = accuracy, done, cpu, wall
            print(
                f"{pruner:5} best {100 * accuracy:.2f} % (trial {top['trial']}), {len(finished)} of {len(rows)} "
                f"trials to the end, {done} epochs, {cpu:.0f} s of processor time, {wall:.0f} s",
                flush=True,
            )
    (best, *whole), (pruned_best, *pruned) = found["none"], found["asha"]
    loss = 100 * (best - pruned_best)
    ratios = [after / before for after, before in zip(pruned, whole, strict=True)]
    print(f"loses {loss:.2f} points; epochs {ratios[0]:.2f}, processor time {ratios[1]:.2f}, seconds {ratios[2]:.2f}")
    return loss <= 0.05 and ratios[1] <= 0.5  # the clock depends on what else the machine does


def main() -> None:
    """Measure one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["killed", "pruning"])
    parser.add_argument("--trials", type=int, help="30 killed, 40 for pruning")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--sampler", default="random", help="for pruning")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of each trial, for pruning")
    parser.add_argument("--turns", type=int, default=2, help="of each search, one after the other, for pruning")
    given = parser.parse_args()
    if given.what == "killed":
        good = killed(given.trials or 30, given.kills, given.seed)
    else:
        good = pruning(given.trials or 40, given.sampler, given.epochs, given.turns)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
