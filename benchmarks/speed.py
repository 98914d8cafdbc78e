"""Seconds to an accuracy: each recipe's fit time and test accuracy as one curve, from the runs in `docs/results.json`.

    python benchmarks/speed.py

prints the table that stands in `docs/results.md` and draws `docs/images/speed.png`. Other runs: write them to a file
with `python scripts/results.py runs=<sweeps> format=json out=runs.json` and name it with --runs. The picture also shows
what `benchmarks/bench.py` has measured for the loop written by hand and for a tutorial's.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from statistics import mean
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
RECIPES = ("fast", "quick", "default", "tiny_50k", "record")  # from the fewest seconds to the best network
MARKS = (97, 99, 99.5, 99.6, 99.7)  # test accuracies that the axis shows, %
SECONDS = (2, 5, 10, 20, 50, 100, 200)

Points = dict[str, list[tuple[float, float, int]]]
"""Recipe -> fit seconds, test accuracy (%) and CPU threads of each seed."""


def read(path: Path) -> Points:
    """The points of a file that `results.py format=json` has written; the last one of a seed that was run twice.

    Seconds can be compared on one machine only: of several, the one with the most runs counts.
    """
    found: dict[str, dict[int, tuple[float, float, int]]] = {name: {} for name in RECIPES}
    every = json.loads(path.read_text(encoding="utf-8"))["runs"]
    [(machine, _)] = Counter(run["environment"]["device"] for run in every).most_common(1)
    for run in every:
        name = run.get("experiment") or "default"
        if name in found and isinstance(run["seed"], int) and run["environment"]["device"] == machine:
            threads = int(run["environment"]["threads"])
            found[name][run["seed"]] = (run["timing"]["fit_seconds"], 100 * run["test"]["accuracy"], threads)
    return {name: list(seeds.values()) for name, seeds in found.items() if seeds}


def table(points: Points) -> str:
    """The points as Markdown: means, with the smallest and largest in brackets."""
    rows = ["| recipe | seeds | cores | fit seconds | test accuracy |", "| --- | --- | --- | --- | --- |"]
    for name, runs in points.items():
        seconds, scored, threads = (list(each) for each in zip(*runs, strict=True))
        rows.append(
            f"| `{name}` | {len(runs)} | {threads[0]} | {mean(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f}) "
            f"| {mean(scored):.2f} % ({min(scored):.2f} to {max(scored):.2f}) |"
        )
    return "\n".join(rows) + "\n"


def plot(points: Points, measured: dict[str, Any], path: Path) -> None:
    """The curve: the mean of each recipe, and the spread over its seeds.

    Args:
        points: of the recipes.
        measured: `benchmarks/results.json`.
        path: PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from mnist_lightning.plots import style

    figure = Figure(figsize=(8, 4.5), dpi=style.DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    means = []
    for name, runs in points.items():
        seconds, errors = [each[0] for each in runs], [100 - each[1] for each in runs]
        at = mean(seconds), mean(errors)
        means.append(at)
        spread = [[[at[k] - min(each)], [max(each) - at[k]]] for k, each in enumerate((seconds, errors))]
        filled = style.BLUE if runs[0][2] > 1 else "white"
        axes.errorbar(*at, xerr=spread[0], yerr=spread[1], fmt="o", c=style.BLUE, mfc=filled, lw=1.2, capsize=3)
        words = f"{name}: {100 - at[1]:.2f} %, {at[0]:.3g} s"
        axes.annotate(words, at, xytext=(-10, 9), textcoords="offset points", ha="right", fontsize=9, color=style.INK)
    axes.plot(*zip(*sorted(means), strict=True), c=style.BLUE, lw=1.5, zorder=1)
    for both in (measured["recipes"][f"experiment={name}"] for name in ("fast", "quick")):
        seconds = [each["fit_seconds"] for each in both["reference"]]
        errors = [100 - 100 * each["test_accuracy"] for each in both["reference"]]
        axes.scatter(seconds, errors, c=style.ORANGE, marker="s", s=14, zorder=0)
    tutorial = measured["tutorial"]["fit_seconds"], 100 - 100 * measured["tutorial"]["test_accuracy"]
    axes.scatter(*tutorial, c=style.GREY, marker="^", s=30)
    marks = (("o", style.BLUE, style.BLUE, "recipe, two cores"), ("o", style.BLUE, "white", "recipe, one core"),
             ("s", style.ORANGE, style.ORANGE, "the same by a loop written by hand"),
             ("^", style.GREY, style.GREY, "a tutorial's loop, one epoch"))  # fmt: skip
    for marker, colour, fill, words in marks:
        axes.plot([], [], marker, c=colour, mfc=fill, ms=5, label=words)
    axes.set(xscale="log", yscale="log", xlabel="fit seconds", ylabel="test accuracy, %")
    axes.set_yticks([100 - mark for mark in MARKS], [f"{mark:g}" for mark in MARKS])
    axes.set_xticks(SECONDS, [str(each) for each in SECONDS])
    axes.minorticks_off()
    axes.set_xlim(0.5, 400)
    axes.set_ylim(4, 0.2)  # the best above
    axes.legend(loc="lower left", frameon=False, fontsize=9)
    axes.grid(color=style.FAINT, lw=0.5)
    style.save(figure, path)


def main() -> None:
    """Print the table and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=PROJECT / "docs/results.json", help="written by results.py")
    parser.add_argument("--out", type=Path, default=PROJECT / "docs/images/speed.png", help="PNG file")
    given = parser.parse_args()
    points = read(given.runs)
    plot(points, json.loads((PROJECT / "benchmarks/results.json").read_text(encoding="utf-8")), given.out)
    print(table(points), end="")


if __name__ == "__main__":
    main()
