"""Everything that is claimed about speed, measured in one run on one machine: `make bench`.

Each measurement is a process of its own, the framework's and the reference loop's taken in turns, so that a machine
that grows slower slows both. Writes `benchmarks/results.md`, `results.json` and the plot of accuracy against seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import hydra
from omegaconf import OmegaConf

PROJECT = Path(__file__).resolve().parent.parent
HERE = PROJECT / "benchmarks"

Result = dict[str, Any]


def compose(overrides: list[str]) -> dict[str, Any]:
    """The settings of a training run, as plain data."""
    with hydra.initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        return OmegaConf.to_container(hydra.compose("train", overrides), resolve=True)  # type: ignore[return-value]


def run(command: list[str], folder: Path) -> Result:
    """Run one process to its end: wall seconds and peak memory of the whole, MiB."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    out = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed:\n{out}")
    return {"wall_seconds": time.perf_counter() - began, "peak_mib": usage.ru_maxrss / 1024}


class Bench:
    """Runs measurements in a folder of its own.

    Args:
        data: folder that holds MNIST/raw.
        folder: where run folders and results of the processes go.
    """

    def __init__(self, data: Path, folder: Path) -> None:
        self.data, self.folder, self.count = data.resolve(), folder, 0

    def framework(self, overrides: list[str], seed: int) -> Result:
        """Train by `scripts/train.py` with everything on."""
        self.count += 1
        outputs = self.folder / f"outputs{self.count}"
        asked = ["data=mnist", f"data.folder={self.data}", f"outputs={outputs}", f"seed={seed}", *overrides]
        result = run([sys.executable, str(PROJECT / "scripts/train.py"), *asked], self.folder)
        metrics = json.loads((outputs / "latest" / "training_metrics.json").read_text())
        timing = metrics["timing"]
        return {
            **result,
            "fit_seconds": timing["fit_seconds"],
            "startup_seconds": timing["startup_seconds"],
            "total_seconds": timing["total_seconds"],
            "test_accuracy": metrics["test"]["accuracy"],
        }

    def reference(self, overrides: list[str], seed: int) -> Result:
        """Train the very same recipe by the reference loop."""
        settings = compose(overrides)
        limit = settings["data"]["limit"]
        flags: dict[str, Any] = {
            "model": json.dumps(settings["model"]),
            "augment": json.dumps(settings["augment"]),
            "epochs": settings["trainer"]["max_epochs"],
            "batch-size": settings["data"]["batch_size"],
            "lr": settings["optimizer"]["lr"],
            "warmup": settings["scheduler"]["warmup"],
            "start": settings["scheduler"]["start"],
            "label-smoothing": settings["loss"]["label_smoothing"],
            "ema-decay": settings["averaging"]["decay"],
            "ema-every": settings["averaging"]["every_n_steps"],
            "seeds": seed,
            **({"limit": limit} if limit else {}),
        }
        out = self.folder / "reference.json"
        command = [sys.executable, str(HERE / "reference_loop.py"), "--data", str(self.data / "MNIST/raw")]
        command += [word for name, value in flags.items() for word in (f"--{name}", str(value))]
        result = run([*command, "--json", str(out)], self.folder)
        return {**result, **json.loads(out.read_text())["runs"][0]}

    def tutorial(self, *flags: str) -> Result:
        """One epoch of the tutorial's loop, or its loader alone."""
        out = self.folder / "tutorial.json"
        command = [sys.executable, str(HERE / "tutorial_loop.py"), "--data", str(self.data), "--json", str(out)]
        return {**run([*command, *flags], self.folder), **json.loads(out.read_text())}

    def loader(self) -> float:
        """Images a second of the framework's own loader, batches of 64, shuffled; the best of three epochs."""
        sys.path.insert(0, str(PROJECT))
        from mnist_lightning.data.datamodule import DigitsDataModule

        data = DigitsDataModule("mnist", str(self.data), batch_size=64)
        data.prepare_data()
        data.setup()
        seconds = []
        for _ in range(3):
            began = time.perf_counter()
            for _batch in data.train_dataloader():
                pass
            seconds.append(time.perf_counter() - began)
        return len(data.train) / min(seconds)


def side_by_side(bench: Bench, overrides: list[str], seeds: range) -> dict[str, list[Result]]:
    """The framework and the reference loop in turns, once a seed each."""
    results: dict[str, list[Result]] = {"framework": [], "reference": []}
    for seed in seeds:
        results["framework"].append(bench.framework(overrides, seed))
        results["reference"].append(bench.reference(overrides, seed))
        fits = [f"{side} {runs[-1]['fit_seconds']:.2f} s" for side, runs in results.items()]
        print(" ".join(overrides) or "defaults", f"seed {seed}:", ", ".join(fits), flush=True)
    return results


def spread(values: list[float], digits: int = 2) -> str:
    """`median (smallest to largest)`."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    rows = ["| what | runs | framework, fit seconds | reference loop | ratio, run by run | test accuracy, mean |",
            "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for name, both in results["recipes"].items():
        ours, theirs = ([each["fit_seconds"] for each in both[side]] for side in ("framework", "reference"))
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        scored = [100 * each["test_accuracy"] for each in both["framework"]]
        mean = f"{sum(scored) / len(scored):.2f} % ({min(scored):.2f} to {max(scored):.2f})"
        told = mean if results["whole"][name] else "a part of an epoch"
        rows.append(f"| {name} | {len(ours)} | {spread(ours)} | {spread(theirs)} | {spread(ratios)} | {told} |")
    seconds, accuracy = results["tutorial"]["fit_seconds"], 100 * results["tutorial"]["test_accuracy"]
    rows.append(f"| tutorial's loop, one epoch | 1 | | {seconds:.2f} | | {accuracy:.2f} % |")
    fast, default = results["recipes"]["experiment=fast"], results["recipes"]["defaults"]
    whole = [each["wall_seconds"] for each in fast["framework"]]
    start = [each["startup_seconds"] for each in fast["framework"]]
    after = [each["total_seconds"] - each["startup_seconds"] - each["fit_seconds"] for each in fast["framework"]]
    memory = [median(each["peak_mib"] for each in default[side]) for side in ("framework", "reference")]
    facts = [
        f"Whole command, `experiment=fast`, process start to exit: {spread(whole)} s, of it before the first step "
        f"{spread(start)} s, after the last {spread(after)} s.",
        f"Loader alone, batches of 64, shuffled: {results['loader']:,.0f} images a second, "
        f"{results['loader'] / results['tutorial_loader']['images_per_second']:.0f} times torchvision's "
        f"{results['tutorial_loader']['images_per_second']:,.0f}.",
        f"Peak memory of a default run: {memory[0]:,.0f} MiB, reference loop {memory[1]:,.0f} MiB "
        f"({memory[0] / memory[1]:.2f}).",
    ]
    machine = ", ".join(f"{key} {value}" for key, value in results["machine"].items())
    head = "# What was measured\n\nBy `make bench`; medians, with the smallest and largest in brackets. Fit seconds"
    head += " count everything between the first step and the last, validation and checkpoints with it.\n\n"
    return f"{head}Machine: {machine}.\n\n" + "\n".join(rows) + "\n\n" + "\n".join(f"- {fact}" for fact in facts) + "\n"


def plot(results: dict[str, Any], path: Path) -> None:
    """Accuracy against fit seconds, every run a dot."""
    from matplotlib.figure import Figure

    from mnist_lightning.evaluation import style

    figure = Figure(figsize=(8, 5), dpi=style.DPI, layout="constrained")
    axes = figure.add_subplot()
    looks = {"framework": (style.BLUE, "o"), "reference": (style.ORANGE, "s")}
    for name, both in results["recipes"].items():
        if not results["whole"][name]:
            continue
        for side, (colour, marker) in looks.items():
            axes.scatter(
                [each["fit_seconds"] for each in both[side]],
                [100 * each["test_accuracy"] for each in both[side]],
                c=colour, marker=marker, s=24, label=side if name == "defaults" else None,
            )  # fmt: skip
        axes.annotate(
            name,
            (median(each["fit_seconds"] for each in both["framework"]), 99.72),
            ha="center", fontsize=8, color=style.INK,
        )  # fmt: skip
    tutorial = results["tutorial"]
    axes.scatter([tutorial["fit_seconds"]], [100 * tutorial["test_accuracy"]], c=style.GREY, marker="^", s=36)
    axes.annotate(
        "tutorial, one epoch", (tutorial["fit_seconds"], 100 * tutorial["test_accuracy"]),
        xytext=(8, -3), textcoords="offset points", fontsize=8, color=style.GREY,
    )  # fmt: skip
    axes.set(xscale="log", xlabel="fit seconds", ylabel="test accuracy, %")
    axes.legend(loc="lower right", frameon=False)
    axes.grid(color=style.FAINT, lw=0.5)
    style.save(figure, path)


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=PROJECT / "data", help="folder that holds MNIST/raw")
    given = parser.parse_args()
    import torch

    recipes = {
        "batches of 64, 16,000 images": (["data.batch_size=64", "data.limit=16000", "trainer.max_epochs=1"], range(3)),
        "batches of 512, 16,000 images": (
            ["data.batch_size=512", "data.limit=16000", "trainer.max_epochs=1"],
            range(3),
        ),
        "experiment=fast": (["experiment=fast"], range(5)),
        "experiment=quick": (["experiment=quick"], range(5)),
        "defaults": ([], range(3)),
    }
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(given.data, Path(folder))
        results: dict[str, Any] = {
            "machine": {
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "torch": torch.__version__,
                "day": time.strftime("%Y-%m-%d"),
            },
            "tutorial": bench.tutorial(),
            "tutorial_loader": bench.tutorial("--loader-only"),
            "loader": bench.loader(),
            "whole": {name: "images" not in name for name in recipes},
            "recipes": {name: side_by_side(bench, overrides, seeds) for name, (overrides, seeds) in recipes.items()},
        }
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "results.md").write_text(table(results))
    plot(results, PROJECT / "docs/images/speed.png")
    print(table(results))


if __name__ == "__main__":
    main()
