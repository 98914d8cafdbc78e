"""What runs have reached, from generated run folders: filtered, grouped, compared, exported, read back; and quickly."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from mnist_lightning.errors import UserError
from mnist_lightning.sweeps import collect, groups, results

PROJECT = Path(__file__).parent.parent.parent
ASKED = {"runs": "", "where": None, "by": None, "metric": "val_accuracy", "sort": None, "compare": None,
         "format": "table", "out": None, "out_of_fold": None, "plot": None}  # fmt: skip


def make_run(folder, accuracy, seed=0, lr=0.01, model="cnn", fold=0, status="finished"):
    overrides = [f"model={model}", f"optimizer.lr={lr}", f"seed={seed}", "data.folder=/elsewhere"]
    layers = {"name": model, ("channels" if model == "cnn" else "hidden_sizes"): [8, 16]}
    metrics = {
        "schema_version": 1, "status": status, "seed": seed, "overrides": overrides, "experiment": None,
        "command": "python scripts/train.py " + " ".join(overrides),
        "choices": {"model": model, "experiment": None, "data": "mnist"},
        "hyperparameters": {"seed": seed, "model": layers, "optimizer": {"lr": lr},
                            "data": {"name": "mnist", "fold": fold, "folder": f"/elsewhere/{seed}"}},
        "dataset": {"name": "mnist"},
        "history": {"epoch": list(range(40)), "train_loss": [0.5] * 40, "val_loss": [0.5] * 40},
        "best": accuracy and {"epoch": 3, "val_loss": 0.1, "val_accuracy": accuracy, "checkpoint": "best.ckpt"},
        "test": accuracy and {"accuracy": accuracy - 0.01, "loss": 0.2, "confusion_matrix": [[9] * 10] * 10},
        "parameters": 100, "timing": {"fit_seconds": 10 + seed},
        "environment": {"git_commit": "a" * 40, "git_dirty": False, "threads": 2},
    }  # fmt: skip
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "training_metrics.json").write_text(json.dumps(metrics, indent=2))


@pytest.fixture
def outputs(tmp_path):
    """Three seeds of a CNN and of an MLP, and a failed run."""
    for seed in range(3):
        make_run(tmp_path / "sweep" / str(seed), 0.99 + seed / 1000, seed)
        make_run(tmp_path / "sweep" / str(3 + seed), 0.97 + 3 * seed / 1000, seed, lr=0.02, model="mlp")
    make_run(tmp_path / "single", None, status="failed")
    return tmp_path


def ask(outputs, **asked):
    return results.results(ASKED | {"runs": str(outputs)} | asked)


def test_runs_are_grouped_by_what_differs_but_the_seed(outputs):
    table = [line.split() for line in ask(outputs).splitlines()]
    assert table[0][:3] == ["model", "optimizer.lr", "seeds"]  # no column for the layers, which follow from the model
    assert table[1] == ["cnn", "0.01", "3", "99.10", "±", "0.10", "%", "98.10", "%", "(98.00", "to", "98.20)", "10",
                        "to", "12", "s", "aaaaaaa", str(outputs / "sweep")]  # fmt: skip
    assert table[2][:7] == ["mlp", "0.02", "3", "97.30", "±", "0.30", "%"]


@pytest.mark.parametrize(
    ("where", "count"),
    [("model=cnn", 3), ("optimizer.lr>=0.02", 3), ("optimizer.lr<0.02, seed!=0", 2), ("model.channels=[8, 16]", 3),
     ("status=finished", 6), ("experiment=null, model=mlp, seed=2", 1), ("commit=aaaaaaa", 6)],
)  # fmt: skip
def test_where_chooses_runs(outputs, where, count):
    rows = list(csv.DictReader(io.StringIO(ask(outputs, where=where, format="csv"))))
    assert len(rows) == count


def test_csv_has_a_row_a_run_with_plain_numbers(outputs):
    rows = list(csv.DictReader(io.StringIO(ask(outputs, format="csv", by=["model"]))))
    assert rows[1] == {
        "folder": str(outputs / "sweep" / "1"), "model": "cnn", "seed": "1", "fold": "0", "status": "finished",
        "val_accuracy": "0.991", "val_loss": "0.1", "test_accuracy": "0.981", "corrected_accuracy": "",
        "test_loss": "0.2", "fit_seconds": "11", "parameters": "100", "commit": "aaaaaaa",
    }  # fmt: skip


def test_a_row_a_recipe_gives_the_command_that_runs_it_again(outputs):
    lines = ask(outputs, by=["command"], format="markdown").splitlines()
    assert lines[0].startswith("| command | seeds | validation accuracy, mean ± std | test accuracy, mean (range) |")
    assert lines[2] == (
        "| python scripts/train.py -m model=cnn optimizer.lr=0.01 seed=0,1,2 | 3 | 99.10 ± 0.10 % | "
        "98.10 % (98.00 to 98.20) | 10 to 12 s | aaaaaaa |"
    )


@pytest.mark.parametrize(
    "program", ["mnist-lightning train", "python -m mnist_lightning train --config-name mine --config-dir '/my conf'"]
)
def test_the_command_of_a_recipe_calls_the_program_as_its_runs_did(outputs, program):
    for path in outputs.rglob("training_metrics.json"):
        metrics = json.loads(path.read_text())
        if "model=cnn" in metrics["overrides"]:
            path.write_text(json.dumps(metrics | {"command": f"{program} {' '.join(metrics['overrides'])}"}))
    lines = ask(outputs, by=["command"], format="markdown").splitlines()
    assert lines[2].startswith(f"| {program} -m model=cnn optimizer.lr=0.01 seed=0,1,2 | 3 |")


def test_the_command_of_a_trial_runs_it_again_without_its_search(outputs):
    path = outputs / "sweep" / "0" / "training_metrics.json"
    metrics = json.loads(path.read_text())
    metrics["overrides"] += ["search=lr", "search.n_trials=4", "search.trial=0"]
    path.write_text(json.dumps(metrics))
    assert "search" not in ask(outputs, by=["command"])


def test_an_export_reads_back_to_the_same_table(outputs, tmp_path):
    kept = tmp_path / "kept.json"
    ask(outputs, format="json", out=str(kept))
    assert ask(kept, by=["command"], format="markdown") == ask(outputs, by=["command"], format="markdown")
    assert len(json.loads(kept.read_text())["runs"]) == 6
    assert "confusion_matrix" not in kept.read_text()
    assert "elsewhere" not in kept.read_text()  # where the data lay on the machine
    assert json.loads(kept.read_text())["runs"][0]["command"] == (
        "python scripts/train.py model=cnn optimizer.lr=0.01 seed=0"
    )


def test_accuracies_with_corrected_labels_have_a_column_where_runs_have_them(outputs, tmp_path):
    for place, accuracy in enumerate((0.982, 0.984)):
        run = outputs / "sweep" / str(place)
        test = record(run)["test"]
        rewrite(run, test={**test, "corrected_labels": {"accuracy": accuracy, "errors": 3, "images": 9995}})
    kept = tmp_path / "kept.json"
    ask(outputs, format="json", out=str(kept))
    for place in (outputs, kept):
        head, _, first, second = ask(place, by=["model"], format="markdown").splitlines()
        assert head.split(" | ")[3:5] == ["test accuracy, mean (range)", "with corrected labels"]
        assert first.split(" | ")[3:5] == ["98.10 % (98.00 to 98.20)", "98.30 % (98.20 to 98.40)"]
        assert second.split(" | ")[4] == ""
    assert ask(outputs, metric="corrected_accuracy", by=["model"]).splitlines()[1].startswith("cnn")


def test_an_export_leaves_places_out_however_they_were_typed():
    words = ["++data.folder=/home/me/mnist", "+data.mirrors=[file:///home/me]", "outputs=/home/me/outputs", "seed=1"]
    metrics = {"status": "finished", "overrides": words, "command": f"python scripts/train.py {' '.join(words)}"}
    [kept] = collect.export([collect.Run("a", metrics)])["runs"]
    assert (kept["overrides"], kept["command"]) == (["seed=1"], "python scripts/train.py seed=1")


def test_an_export_names_checkpoints_without_the_folders_above_their_runs():
    path = "/home/me/outputs/train/10-00-00-abc/checkpoints/best.ckpt"
    run = collect.Run("a", {"status": "finished", "hyperparameters": {"ckpt": path, "distill": {"teacher": path}}})
    [kept] = collect.export([run])["runs"]
    short = "10-00-00-abc/checkpoints/best.ckpt"
    assert kept["hyperparameters"] == {"ckpt": short, "distill": {"teacher": short}}


def test_groups_come_best_first_or_in_the_order_of_a_setting(outputs):
    def order(**asked):
        return [line.split()[0] for line in ask(outputs, by=["model"], **asked).splitlines()[1:]]

    assert order() == ["cnn", "mlp"]
    assert order(metric="val_loss", where="seed!=7") == ["cnn", "mlp"]  # a tie keeps the order
    assert order(sort="optimizer.lr") == ["cnn", "mlp"]
    make_run(outputs / "best", 0.999, lr=0.5, model="lenet5")
    assert order() == ["lenet5", "cnn", "mlp"]
    assert order(sort="optimizer.lr") == ["cnn", "mlp", "lenet5"]


def test_a_comparison_is_paired_by_seed(outputs):
    from scipy import stats

    said = ask(outputs, compare="model=cnn vs model=mlp")
    ours, theirs = [0.99, 0.991, 0.992], [0.97, 0.973, 0.976]
    p = stats.ttest_rel(ours, theirs).pvalue
    assert said.splitlines() == [
        "val_accuracy, (model=cnn) minus (model=mlp): +1.8 points (std 0.2, +1.6 to +2), 3 common seeds",
        f"paired t-test p = {p:.3g}, Wilcoxon signed-rank test p = 0.25",
    ]


def test_a_comparison_over_folds_does_not_call_them_seeds(tmp_path):
    for fold in range(3):
        make_run(tmp_path / f"a{fold}", 0.99 + fold / 1000, lr=0.01, fold=fold)
        make_run(tmp_path / f"b{fold}", 0.98 + fold / 500, lr=0.02, fold=fold)
    said = ask(tmp_path, compare="optimizer.lr=0.01 vs optimizer.lr=0.02")
    assert said.splitlines()[0].endswith(", 3 common seeds and folds")


def test_a_comparison_may_hold_an_ensemble_which_has_the_seeds_of_all_its_members(outputs):
    said = ask(outputs, compare="model=cnn vs model=mlp")
    joined, seeds = outputs / "sweep" / "ensemble", [0, 1, 2]
    make_run(joined, 0.999)
    rewrite(joined, seed=seeds, hyperparameters=record(joined)["hyperparameters"] | {"seed": seeds})
    assert ask(outputs, compare="model=cnn vs model=mlp") == said


def test_a_comparison_without_spread_makes_no_test():
    def three(low):
        scored = [{"hyperparameters": {"seed": seed}, "best": {"val_accuracy": low + seed}} for seed in range(3)]
        return [collect.Run("", metrics) for metrics in scored]

    found = groups.compare(three(0.75), three(0.5), "val_accuracy")
    assert (found.pairs, found.difference.mean, found.t, found.wilcoxon) == (3, 0.25, None, None)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"where": "nonsense"}, r"where=nonsense cannot be read: write conditions such as 'where=model=cnn"),
        ({"where": "modle=cnn"}, r"None of the runs has a setting modle: did you mean model\?"),
        ({"where": "seed=9"}, r"None of the 0 runs under runs=.* has a val_accuracy\."),
        ({"by": ["optimizer.rl"]}, r"by=optimizer\.rl: none of the runs .*: did you mean optimizer\.lr\?"),
        ({"compare": "model=cnn"}, r"compare=model=cnn cannot be read: write two conditions"),
        ({"compare": "model=cnn vs seed=0"}, r"The two sides of compare= have \d seeds in common|One side of compare="),
        ({"compare": "seed=0 vs seed=1"}, r"One side of compare= holds several runs of seed 0"),
        ({"compare": "model=cnn, seed=0 vs model=mlp"}, r"have 1 seeds in common: a paired test needs two or more"),
    ],
)  # fmt: skip
def test_a_question_that_cannot_be_answered_says_so(outputs, asked, told):
    with pytest.raises(UserError, match=told):
        ask(outputs, **asked)


def test_folders_without_runs_are_told(tmp_path):
    with pytest.raises(UserError, match=r"There are no runs under runs=.*: give a folder of runs, or a glob"):
        ask(tmp_path)
    (tmp_path / "notes.json").write_text("[]")
    with pytest.raises(UserError, match=r"notes\.json holds no runs: give a folder, a glob, or what format=json has"):
        ask(tmp_path / "notes.json")


def test_a_broken_record_is_named_and_left_out(outputs, capsys):
    (outputs / "sweep" / "1" / "training_metrics.json").write_text('{"status": "fini')
    (outputs / "sweep" / "4" / "training_metrics.json").write_text("[1]")
    assert ask(outputs, by=["model"]).splitlines()[1].split()[:2] == ["cnn", "2"]
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"Left out: {outputs}/sweep/1/training_metrics.json is not valid JSON (Unterminated string starting at: line 1 "
        "column 12 (char 11)).",
        f"Left out: {outputs}/sweep/4/training_metrics.json is not the record of a run: it holds [1] in place "
        "of a mapping.",
        "1 runs did not finish and are left out; where=status!=running counts them too.",
    ]


def test_the_picture_has_a_panel_a_setting(outputs, tmp_path):
    ask(outputs, plot=str(tmp_path / "plot.png"))
    with Image.open(tmp_path / "plot.png") as image:
        assert image.size[0] > 2 * 480  # two panels


def test_a_glob_names_folders_and_the_jobs_come_in_their_order(outputs):
    make_run(outputs / "sweep" / "10", 0.98)
    found = [path.name for path in collect.find(str(outputs / "swee*"))]
    assert found == ["0", "1", "2", "3", "4", "5", "10"]


def test_a_thousand_run_folders_take_less_than_two_seconds_and_no_torch(tmp_path, slower):
    for number in range(1000):
        make_run(
            tmp_path / f"{number // 50}" / f"{number % 50}", 0.99, seed=number % 10, lr=(number // 10 % 4 + 1) / 100
        )
    probe = (
        "import runpy, sys, time\n"
        f"sys.argv = ['results.py', 'runs={tmp_path}', 'where=status=finished, optimizer.lr<0.04']\n"
        "began = time.process_time()\n"
        f"runpy.run_path({str(PROJECT / 'scripts' / 'results.py')!r}, run_name='__main__')\n"
        "print(time.process_time() - began, sorted({'torch', 'lightning', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    taken = []
    for _ in range(3):  # of the processor, which is shared at times
        done = subprocess.run(
            [sys.executable, "-c", probe], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        *table, last = done.stdout.splitlines()
        assert [line.split()[1] for line in table[1:]] == ["10"] * 3
        seconds, heavy = last.split(" ", 1)
        assert heavy == "[]"
        taken.append(float(seconds) / slower())
        if taken[-1] < 2:
            break
    assert min(taken) < 2, taken


def record(folder):
    return json.loads((folder / "training_metrics.json").read_text())


def rewrite(folder, **changed):
    (folder / "training_metrics.json").write_text(json.dumps(record(folder) | changed))


def test_a_seed_that_was_run_twice_counts_once_the_newest_run_of_it(tmp_path, capsys):
    for day, accuracy in (("2026-01-01", 0.90), ("2026-01-03", 0.94), ("2026-01-02", 0.92)):
        make_run(tmp_path / "train" / day / "10-00-00-abc", accuracy, seed=0)
    (line,) = ask(tmp_path).splitlines()[1:]
    assert line.split()[:3] == ["1", "94.00", "%"]
    assert "2 runs repeat the settings, seed and fold of a newer one and are left out." in capsys.readouterr().err


def test_an_interrupted_run_and_its_continuation_are_one(tmp_path, capsys):
    make_run(tmp_path / "a", 0.90, status="interrupted")
    make_run(tmp_path / "b", 0.93)
    rewrite(tmp_path / "b", overrides=[*record(tmp_path / "b")["overrides"], "ckpt_path=a/checkpoints/last.ckpt"])
    (line,) = ask(tmp_path).splitlines()[1:]
    assert line.split()[:3] == ["1", "93.00", "%"]
    assert "1 runs did not finish and are left out" in capsys.readouterr().err
    (line,) = ask(tmp_path, where="status=interrupted").splitlines()[1:]
    assert line.split()[:3] == ["1", "90.00", "%"]


@pytest.mark.parametrize("by", [None, ["model"]])
def test_what_was_loaded_is_told_and_never_averaged_with_another_set(tmp_path, by):
    for seed, name in enumerate(["mnist", "digits", "mnist"]):
        make_run(tmp_path / str(seed), 0.99 if name == "mnist" else 0.95, seed=seed)
        rewrite(
            tmp_path / str(seed), dataset={"name": name, "requested": "auto"}, choices={"data": "auto", "model": "cnn"}
        )
    head, *lines = [line.split() for line in ask(tmp_path, by=by).splitlines()]
    assert "auto" not in str(lines)
    place = head.index("dataset")
    assert [line[place] for line in lines] == ["mnist", "digits"]


def test_each_row_leads_to_its_folder(outputs):
    make_run(outputs / "alone", 0.999, lr=0.5)
    assert [line.split()[-1] for line in ask(outputs).splitlines()] == [
        "folder", str(outputs / "alone"), str(outputs / "sweep"), str(outputs / "sweep")]  # fmt: skip


FAULTS = {
    "[[[[": "is not valid JSON",
    "[" * 100_000: "is not valid: its lists are nested too deeply",
    "[" * 100_000 + "]" * 100_000: "is not valid: its lists are nested too deeply",
    "\udcff": "is not valid JSON",
    "{}": "is not the record of a run: status must be one of running, finished, interrupted, failed, pruned, not None",
    '{"status": 3}': "is not the record of a run: status must be one of running, finished, interrupted, failed, "
    "pruned, not 3",
    '{"status": "finished", "best": [1]}': "is not the record of a run: best must be a mapping, not [1]",
    '{"status": "finished", "best": {"val_accuracy": "high"}}': "is not the record of a run: best has val_accuracy "
    "that must be a number from 0 to 1, not 'high'",
    '{"status": "finished", "overrides": [3]}': "is not the record of a run: overrides must be a text, not 3",
    '{"status": "finished", "seed": {}}': "is not the record of a run: seed must be a whole number, not {}",
    '{"status": "finished", "parameters": true}': "is not the record of a run: parameters must be a whole number, "
    "not True",
    '{"status": "finished", "hyperparameters": "x"}': "is not the record of a run: hyperparameters must be a mapping, "
    "not 'x'",
    '{"status": "finished", "environment": {"git_commit": 7}}': "is not the record of a run: environment has "
    "git_commit that must be a text, not 7",
}


@pytest.mark.parametrize(("text", "told"), FAULTS.items(), ids=[each[:30] for each in FAULTS])
def test_a_broken_run_folder_does_not_stop_the_others(tmp_path, capsys, text, told):
    make_run(tmp_path / "good", 0.95)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/training_metrics.json").write_bytes(text.encode(errors="surrogateescape"))
    assert ask(tmp_path).splitlines()[1].split()[:3] == ["1", "95.00", "%"]
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith(f"Left out: {tmp_path / 'bad/training_metrics.json'} {told}")
    kept = tmp_path / "kept.json"
    kept.write_bytes(b'{"runs": [' + (tmp_path / "bad/training_metrics.json").read_bytes() + b"]}")
    with pytest.raises(UserError, match=rf"kept\.json {re.escape(told)}"):
        ask(kept)


def test_folders_that_are_no_files_and_files_that_are_too_large_are_left_out(tmp_path, capsys):
    make_run(tmp_path / "good", 0.95)
    (tmp_path / "folder/training_metrics.json").mkdir(parents=True)
    (tmp_path / "large").mkdir()
    with (tmp_path / "large/training_metrics.json").open("wb") as file:
        file.truncate(3 << 30)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert ask(tmp_path).splitlines()[1].split()[:3] == ["1", "95.00", "%"]
    (said,) = capsys.readouterr().err.splitlines()
    assert said == (
        f"Left out: {tmp_path / 'large/training_metrics.json'} is too large: at most 16,777,216 bytes are read."
    )


def test_runs_with_other_callbacks_are_other_runs(tmp_path):
    made = [["~callbacks.averaging"], ["+callbacks.mine._target_=my.Callback"], []]
    for number, extra in enumerate(made):
        make_run(tmp_path / str(number), 0.99)
        path = tmp_path / str(number) / "training_metrics.json"
        metrics = json.loads(path.read_text())
        path.write_text(json.dumps({**metrics, "overrides": [*metrics["overrides"], *extra]}))
    table = ask(tmp_path, by=["command"])
    assert table.count("99.00") == 3
    assert "~callbacks.averaging" in table
    assert "+callbacks.mine._target_=my.Callback" in table  # without its + Hydra would refuse it
    assert ask(tmp_path).count("99.00") == 3
