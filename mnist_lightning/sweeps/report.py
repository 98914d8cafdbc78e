"""The end of a sweep: what its jobs reached, which was best and which failed, in the terminal and in its folder."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mnist_lightning.run import files
from mnist_lightning.run import folder as run_folders
from mnist_lightning.sweeps import collect, groups, tables
from mnist_lightning.sweeps.collect import REPLICATES, Run

METRIC = "val_accuracy"  # what jobs are ranked by; the test images choose nothing


def report(sweep: Path, outputs: Path) -> int:
    """Summarise the jobs in a sweep's folder: print, and leave `results.csv`, `results.md` and `results.png` there.

    Args:
        sweep: its folder.
        outputs: gets `latest`, which then points to the best finished job that has a checkpoint; without one, it stays
            as it was.

    Returns:
        The exit code: 0 if every job finished or was pruned, 2 if the user can put right all that failed, else 1.
    """
    runs, broken = collect.read(collect.find(sweep))
    # The other commands read its checkpoint; a job that trained nothing, or kept none, has nothing for them.
    if best := _ranked([run for run in _finished(runs) if (Path(run.folder) / run_folders.BEST).is_file()]):
        run_folders.mark_latest(Path(best[0].folder), outputs)
    if runs:
        print(f"\n{summarise(runs, sweep)}", flush=True)
    failed, keys = _failed(runs), _swept(runs)
    for line in [*broken, *(_failure(run, keys, sweep) for run in failed)]:
        print(line, file=sys.stderr)
    if not failed and not broken:
        return 0
    return 2 if not broken and all(run.metrics.get("user_error") for run in failed) else 1


def summarise(runs: Sequence[Run], sweep: Path) -> str:
    """Write the three files of a sweep, and return what the terminal shows: table, means and the best command.

    The table holds all jobs; the rest is about those that finished: another one was perhaps stopped in its first epoch.

    Args:
        runs: its jobs, read by `collect.read`.
        sweep: the folder that gets the files.
    """
    keys = _swept(runs)
    ranked = _ranked(runs)
    statuses = Counter(run.metrics["status"] for run in runs)
    title = f"{run_folders.shown(sweep.absolute())}: {len(runs)} job{'s' * (len(runs) != 1)}, " + ", ".join(
        f"{count} {status}" for status, count in statuses.items()
    )
    blocks, plain = [_job_rows(ranked, keys, sweep)], []
    scored = [run for run in _finished(runs) if run.number(METRIC) is not None]
    others = [key for key in keys if key not in REPLICATES]
    grouped = groups.group(scored, others)
    grouped.sort(key=lambda group: -(group.spread(METRIC) or groups.Spread(0, 0, None, 0, 0)).mean)
    if any(len(group.runs) > 1 for group in grouped):
        blocks.append(tables.group_rows(grouped, others))
    folds = any(len(group.distinct("data.fold")) > 1 for group in grouped)
    if folds:
        plain.append(
            "The mean over folds is that of each fold's best epoch on the fold held out, which also chose the epoch."
        )
    if any(run.settings.get("data.num_folds") for run in scored):
        from mnist_lightning.sweeps import fold_report

        rows, said = fold_report.report(grouped, others, sweep)
        blocks += [rows] * bool(rows)
        plain += said
    if best := _best(grouped, _ranked(scored)):
        plain.append(best)
    files.write_text(sweep / "results.csv", _csv(ranked, keys, sweep))
    written = [f"# {title}", *map(tables.markdown, blocks)]
    if scored and keys:
        from mnist_lightning.sweeps import plots

        plots.knobs(scored, others or keys, METRIC, sweep / "results.png")
        written.append("![Each setting against the validation accuracy](results.png)")
    written += [line.replace("\n  ", "\n\n    ") for line in plain]
    if failed := _failed(runs):
        written.append("\n".join(f"- {_failure(run, keys, sweep)}" for run in failed))
    files.write_text(sweep / "results.md", "\n\n".join(written) + "\n")
    return "\n\n".join([title, *map(tables.terminal, blocks), *plain])


def _ranked(runs: Sequence[Run]) -> list[Run]:
    """The runs, the best first, the finished ones before the others; of equal ones, the earlier one first."""
    return sorted(runs, key=lambda run: (run.metrics["status"] != "finished", -(run.number(METRIC) or 0)))


def _finished(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if run.metrics["status"] == "finished"]


def _failed(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if run.metrics["status"] not in ("finished", "pruned")]


def _swept(runs: Sequence[Run]) -> list[str]:
    """The keys of the command line that differ between the jobs."""
    said = [run.overrides for run in runs]
    keys = dict.fromkeys(key for overrides in said for key in overrides)
    return [key for key in keys if len({overrides.get(key) for overrides in said}) > 1]


def _job(run: Run, sweep: Path) -> str:
    folder = Path(run.folder).absolute()
    return str(folder.relative_to(sweep.absolute())) if folder.is_relative_to(sweep.absolute()) else run.folder


def _job_rows(runs: Sequence[Run], keys: Sequence[str], sweep: Path) -> tables.Rows:
    head = ["job", *keys, "status", "validation accuracy", "test accuracy", "training takes"]
    return [head] + [
        [
            _job(run, sweep),
            *(run.overrides.get(key, "") for key in keys),
            run.metrics["status"],
            tables.percent(run.number("val_accuracy")),
            tables.percent(run.number("test_accuracy")),
            tables.seconds(run.number("fit_seconds")),
        ]
        for run in runs
    ]


def _csv(runs: Sequence[Run], keys: Sequence[str], sweep: Path) -> str:
    numbers = ("val_accuracy", "val_loss", "best_epoch", "test_accuracy", "test_loss", "parameters", "fit_seconds")
    records = [
        [_job(run, sweep), *(run.overrides.get(key, "") for key in keys), run.metrics["status"],
         *(run.number(name) for name in numbers), run.commit, run.metrics.get("error")]
        for run in runs
    ]  # fmt: skip
    return tables.comma_separated(["job", *keys, "status", *numbers, "commit", "error"], records)


def _best(grouped: Sequence[groups.Group], ranked: Sequence[Run]) -> str:
    """The command with the best result: on average if seeds or folds were swept too, else of a single run."""
    if not grouped:
        return ""
    if len(grouped) == 1 and len(grouped[0].runs) > 1:  # nothing but seeds or folds: there is nothing to choose
        return ""
    if any(len(group.runs) > 1 for group in grouped):
        found = grouped[0].spread(METRIC)
        command = shlex.join([*grouped[0].runs[0].program, *grouped[0].runs[0].recipe])
        return f"best on average, validation accuracy {tables.plus_minus(found)}\n  {command}"
    run = ranked[0]
    return f"best, validation accuracy {tables.percent(run.number(METRIC))}\n  {run.metrics['command']}"


def _failure(run: Run, keys: Sequence[str], sweep: Path) -> str:
    """`job 3 failed (model=mlp): ValueError: ... (outputs/.../3/traceback.txt)`."""
    metrics, trace = run.metrics, Path(run.folder) / run_folders.TRACEBACK_FILE
    asked = " ".join(f"{key}={run.overrides[key]}" for key in keys if key in run.overrides)
    job = f"job {_job(run, sweep)} {metrics['status']}" + (f" ({asked})" if asked else "")
    where = "" if metrics.get("user_error") or not trace.exists() else f" ({trace})"
    return f"{job}: {metrics.get('error', '')}{where}"
