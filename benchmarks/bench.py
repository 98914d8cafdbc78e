"""Everything that is claimed about speed, measured in one run on one machine: `make bench`, about ten minutes.

The framework and the reference loop take turns in one process, on the same images, so that a machine that becomes
slower slows both. Whole commands, memory and start-up are measured in separate processes. Writes
`benchmarks/results.md` and `results.json`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
HERE = PROJECT / "benchmarks"
sys.path.insert(0, str(HERE))

import reference_loop  # noqa: E402

from mnist_lightning.run import machine, provenance  # noqa: E402
from mnist_lightning.tasks import train as training  # noqa: E402

Result = dict[str, Any]
RECIPES = ("experiment=fast", "experiment=quick", "defaults")


def compose(overrides: list[str]) -> dict[str, Any]:
    """The settings of a training run, as plain data."""
    import hydra
    from omegaconf import OmegaConf

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


def said(result: Result) -> Result:
    """The part of a run's `training_metrics.json` that is compared here."""
    return {**result["timing"], "test_accuracy": result["test"]["accuracy"]}


class Bench:
    """Runs measurements in a folder of its own.

    Args:
        data: folder that holds MNIST/raw.
        folder: where run folders and results of the processes go.
        device: that the reference loop trains on.
    """

    def __init__(self, data: Path, folder: Path, device: str = "cpu") -> None:
        self.data, self.folder, self.count = data.resolve(), folder, 0
        self.images = reference_loop.load(self.data / "MNIST/raw", device)

    def _asked(self, overrides: list[str], seed: int) -> list[str]:
        self.count += 1
        outputs = self.folder / f"outputs{self.count}"
        outputs.mkdir()
        return ["data=mnist", f"data.folder={self.data}", f"outputs={outputs}", f"seed={seed}", *overrides]

    def framework(self, overrides: list[str], seed: int) -> Result:
        """Train with the framework, everything on, in this process."""
        settings = compose(self._asked(overrides, seed))
        folder = Path(settings["outputs"]) / "run"
        folder.mkdir()
        return said(training.train(settings, folder))  # type: ignore[arg-type]

    def command(self, overrides: list[str], seed: int) -> Result:
        """Train with `scripts/train.py`, in a process of its own."""
        asked = self._asked(overrides, seed)
        result = run([sys.executable, str(PROJECT / "scripts/train.py"), *asked], self.folder)
        latest = Path(asked[2].removeprefix("outputs=")) / "latest"
        return {**result, **said(json.loads((latest / "training_metrics.json").read_text(encoding="utf-8")))}

    def reference(self, overrides: list[str], seed: int) -> Result:
        """Train the very same recipe with the reference loop, in this process."""
        settings = compose(["data=mnist", *overrides])
        recipe = reference_loop.Recipe(
            model=settings["model"],
            augment=settings["augment"],
            epochs=settings["trainer"]["max_epochs"],
            batch_size=settings["data"]["batch_size"],
            lr=settings["optimizer"]["lr"],
            warmup=settings["scheduler"]["warmup"],
            start=settings["scheduler"]["start"],
            label_smoothing=settings["loss"]["label_smoothing"],
            ema_decay=settings["averaging"]["decay"],
            ema_every=settings["averaging"]["every_n_steps"],
            limit=settings["data"]["limit"] or 0,
            seed=seed,
        )
        return reference_loop.train(recipe, self.images)

    def reference_memory(self) -> float:
        """Peak memory of the reference loop on the default recipe, one epoch of it, MiB."""
        settings = compose(["data=mnist"])
        command = [sys.executable, str(HERE / "reference_loop.py"), "--data", str(self.data / "MNIST/raw")]
        command += ["--model", json.dumps(settings["model"]), "--augment", json.dumps(settings["augment"])]
        return float(run(command, self.folder)["peak_mib"])

    def tutorial(self, *flags: str) -> Result:
        """One epoch of the tutorial's loop, or its loader alone."""
        out = self.folder / "tutorial.json"
        command = [sys.executable, str(HERE / "tutorial_loop.py"), "--data", str(self.data), "--json", str(out)]
        return {**run([*command, *flags], self.folder), **json.loads(out.read_text(encoding="utf-8"))}

    def loader(self) -> float:
        """Images per second of the framework's own loader, batches of 64, shuffled; the best of three epochs."""
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


def in_turns(bench: Bench, overrides: list[str], seeds: range, reference_seeds: range | None = None) -> Result:
    """The framework and the reference loop in turns, once per seed each; the side that begins alternates."""
    results: dict[str, list[Result]] = {"framework": [], "reference": []}
    for seed in seeds:
        sides = ["framework", "reference"] if seed % 2 == 0 else ["reference", "framework"]
        for side in sides:
            if side == "framework" or seed in (reference_seeds or seeds):
                results[side].append(getattr(bench, side)(overrides, seed))
        fits = [f"{side} {runs[-1]['fit_seconds']:.2f} s" for side, runs in results.items()]
        print(" ".join(overrides) or "defaults", f"seed {seed}:", ", ".join(fits), flush=True)
    return results


def seconds_of(results: list[Result], key: str = "fit_seconds") -> list[float]:
    """One number from every run."""
    return [each[key] for each in results]


def ratio(both: Result) -> str:
    """Framework over reference: of the medians, and of each pair."""
    ours, theirs = (seconds_of(both[side]) for side in ("framework", "reference"))
    pairs = [a / b for a, b in zip(ours, theirs, strict=False)]
    return f"{median(ours) / median(theirs):.2f} ({min(pairs):.2f} to {max(pairs):.2f})"


def spread(values: list[float]) -> str:
    """`median (smallest to largest)`."""
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table(results: Result) -> str:
    """The results as Markdown."""
    rows = ["| what | runs | framework, fit seconds | reference loop | ratio of medians (pairs) | test accuracy |",
            "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for name, both in results["recipes"].items():
        scored = [100 * each["test_accuracy"] for each in both["framework"]]
        told = f"{mean(scored):.3f} % ({min(scored):.2f} to {max(scored):.2f})" if name in RECIPES else ""
        theirs = spread(seconds_of(both["reference"])) if both["reference"] else ""
        rows.append(
            f"| {name} | {len(both['framework'])} | {spread(seconds_of(both['framework']))} | {theirs} "
            f"| {ratio(both) if theirs else ''} | {told} |"
        )
    tutorial = results["tutorial"]
    accuracy = 100 * tutorial["test_accuracy"]
    rows.append(f"| tutorial's loop, one epoch | 1 | | {tutorial['fit_seconds']:.2f} | | {accuracy:.2f} % |")
    whole = results["commands"]
    laps = "".join(
        f"| {name} | {median(each['laps'].get(name, 0.0) for each in whole):.2f} |\n" for name in whole[0]["laps"]
    )
    outside = [each["wall_seconds"] - each["total_seconds"] for each in whole]
    ours, theirs = results["memory"]["framework"], results["memory"]["reference"]
    facts = [
        f"Whole command, `experiment=fast`, process start to exit: {spread(seconds_of(whole, 'wall_seconds'))} s.",
        f"Loader alone, batches of 64, shuffled: {results['loader']:,.0f} images per second, "
        f"{results['loader'] / results['tutorial_loader']['images_per_second']:.0f} times torchvision's "
        f"{results['tutorial_loader']['images_per_second']:,.0f}.",
        f"Peak memory of a default run: {ours:,.0f} MiB, reference loop {theirs:,.0f} MiB ({ours / theirs:.2f}).",
    ]
    about = ", ".join(f"{key} {value}" for key, value in results["machine"].items())
    return (
        "# What was measured\n\nBy `make bench`; medians, with the smallest and largest in brackets. Fit seconds count "
        "everything between the first step and the last, validation and checkpoints with it.\n\n"
        f"Machine: {about}.\n\n" + "\n".join(rows) + "\n\n" + "\n".join(f"- {fact}" for fact in facts)
        + "\n\nWhere the whole command's time goes, medians:\n\n| part | seconds |\n| --- | --- |\n" + laps
        + f"| Python's start and end, Hydra | {median(outside):.2f} |\n"
    )  # fmt: skip


def measure(bench: Bench) -> Result:
    """All measurements, the longest last."""
    results: Result = {
        "machine": {
            "cores": os.cpu_count(),
            "processor": provenance.describe("cpu", "")["device"],
            "python": platform.python_version(),
            **{name: version for name, version in provenance.describe("cpu", "")["versions"].items() if name in
               ("torch", "lightning")},
            "day": time.strftime("%Y-%m-%d"),
        },
        "tutorial": bench.tutorial(),
        "tutorial_loader": bench.tutorial("--loader-only"),
        "loader": bench.loader(),
        "recipes": {},
        "commands": [bench.command(["experiment=fast"], seed) for seed in range(3)],
    }  # fmt: skip
    recipes = results["recipes"]
    bench.framework(["data.limit=1000", "trainer.max_epochs=1"], 0)  # imports everything
    recipes["one epoch, batches of 64"] = in_turns(bench, ["data.batch_size=64", "trainer.max_epochs=1"], range(3))
    recipes["one epoch, batches of 512"] = in_turns(bench, ["data.batch_size=512", "trainer.max_epochs=1"], range(3))
    recipes["experiment=fast"] = in_turns(bench, ["experiment=fast"], range(5))
    recipes["experiment=quick"] = in_turns(bench, ["experiment=quick"], range(5), range(0, 5, 2))
    whole = [bench.command([], seed) for seed in range(3)]
    recipes["defaults"] = {"framework": whole, "reference": []}
    peak = median(seconds_of(whole, "peak_mib"))
    results["memory"] = {"framework": peak, "reference": bench.reference_memory()}
    return results


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=PROJECT / "data", help="folder that holds MNIST/raw")
    given = parser.parse_args()
    began = time.perf_counter()
    logging.basicConfig(level=logging.WARNING)
    machine.keep_freed_memory()  # before torch is imported, for both sides
    machine.wait_briefly()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Bench(given.data, Path(folder)))
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (HERE / "results.md").write_text(table(results), encoding="utf-8")
    print(table(results))
    print(f"measured in {(time.perf_counter() - began) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
