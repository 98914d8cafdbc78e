"""A sweep over `data.fold`: errors over all training images, recipes compared on them, doubtful labels named."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from mnist_lightning.data import sources, suspects
from mnist_lightning.errors import UserError
from mnist_lightning.run import files
from mnist_lightning.sweeps import collect, out_of_fold, report, results

FOLDS = 3
WRONG_LABELS = {5: 3, 400: 1, 800: 7}  # image -> the label that it has by mistake


@pytest.fixture(scope="module")
def labels():
    """Of scikit-learn's digits, three of them wrong."""
    found = sources.load("digits", None, ()).train_labels.numpy().copy()
    for index, label in WRONG_LABELS.items():
        assert found[index] != label
        found[index] = label
    return found


def predictions(labels, misread):
    """Log-probabilities of a network that sees the truth, but for the images in `misread`."""
    truth = labels.copy()
    truth[list(WRONG_LABELS)] = sources.load("digits", None, ()).train_labels.numpy()[list(WRONG_LABELS)]
    truth[misread] = (truth[misread] + 1) % 10
    probs = np.full((len(labels), 10), 0.001)
    probs[np.arange(len(labels)), truth] = 0.991
    probs[misread, truth[misread]] = 0.46
    probs[misread, (truth[misread] - 1) % 10] = 0.43
    return np.log(probs / probs.sum(1, keepdims=True)).astype(np.float32)


def make(folder, labels, log_probs, *, seed=0, lr=0.01, leave_out=()):
    """The runs of one recipe over all folds."""
    order = np.random.default_rng(7).permutation(len(labels))
    for fold, part in enumerate(np.array_split(order, FOLDS)):
        if fold in leave_out:
            continue
        run, index = folder / f"{lr}-{seed}-{fold}", np.sort(part)
        run.mkdir(parents=True)
        np.savez(run / "validation.npz", index=index, label=labels[index], log_probs=log_probs[index])
        right = log_probs[index].argmax(1) == labels[index]
        overrides = [f"optimizer.lr={lr}", f"data.fold={fold}", f"data.num_folds={FOLDS}", f"seed={seed}"]
        files.write_json(run / "training_metrics.json", {
            "status": "finished", "seed": seed, "overrides": overrides, "command": "python scripts/train.py",
            "dataset": {"name": "digits"}, "best": {"epoch": 1, "val_accuracy": right.mean(), "val_loss": 0.1},
            "test": {"accuracy": 0.9, "loss": 0.1}, "timing": {"fit_seconds": 1.0},
            "hyperparameters": {"seed": seed, "optimizer": {"lr": lr}, "data": {
                "name": "digits", "folder": "data", "mirrors": [], "fold": fold, "num_folds": FOLDS}},
        })  # fmt: skip


FIRST, SECOND = [10, 20, 30, 40, 50, 60, 70, 80, 90], [10, 500]


@pytest.fixture
def swept(tmp_path, labels):
    make(tmp_path, labels, predictions(labels, FIRST), lr=0.01)
    make(tmp_path, labels, predictions(labels, SECOND), lr=0.02)
    return tmp_path


def gathered(folder, lr):
    found = collect.read(collect.find(folder))[0]
    return out_of_fold.gather([run for run in found if run.settings["optimizer.lr"] == lr])


def test_the_folds_of_a_recipe_are_one_prediction_per_training_image(swept, labels):
    found = gathered(swept, 0.01)
    assert found.index.tolist() == list(range(len(labels)))
    assert found.label.tolist() == labels.tolist()
    assert found.errors == [len(FIRST) + len(WRONG_LABELS)]
    assert set(np.flatnonzero(found.wrong[0])) == {*FIRST, *WRONG_LABELS}
    share = found.errors[0] / len(labels)
    assert found.accuracy == pytest.approx(1 - share)
    assert found.standard_error == pytest.approx((share * (1 - share) / len(labels)) ** 0.5)
    np.testing.assert_allclose(found.log_probs, predictions(labels, FIRST), atol=1e-5)


def test_two_recipes_are_compared_image_by_image(swept, labels):
    found = out_of_fold.compare(gathered(swept, 0.01), gathered(swept, 0.02))
    assert (found.only_first, found.only_second, found.errors) == (8, 1, (12, 5))
    assert found.p == stats.binomtest(8, 9).pvalue
    assert found.difference == pytest.approx(-7 / len(labels))
    assert found.standard_error == pytest.approx((9 - 49 / len(labels)) ** 0.5 / len(labels))


def test_several_seeds_count_an_image_as_one_cluster(tmp_path, labels):
    for seed in (0, 1):  # the same errors again: what a second seed shows nothing new of must not lower p
        make(tmp_path, labels, predictions(labels, FIRST), lr=0.01, seed=seed)
        make(tmp_path, labels, predictions(labels, SECOND), lr=0.02, seed=seed)
    make(tmp_path, labels, predictions(labels, []), lr=0.02, seed=2, leave_out=[1])
    first, second = gathered(tmp_path, 0.01), gathered(tmp_path, 0.02)
    assert (first.seeds, second.seeds, first.errors) == ([0, 1], [0, 1], [12, 12])
    found = out_of_fold.compare(first, second)
    assert (found.errors, found.only_first, found.only_second) == ((24, 10), 16, 2)
    assert found.p == pytest.approx(stats.chi2.sf(7**2 / 9, 1))


def test_a_recipe_that_lacks_a_fold_has_no_such_figure(tmp_path, labels):
    make(tmp_path, labels, predictions(labels, []), leave_out=[2])
    assert gathered(tmp_path, 0.01) is None


def test_the_end_of_the_sweep_tells_errors_p_and_doubtful_labels(swept, labels, capsys):
    pytest.importorskip("cleanlab")
    report.report(swept, swept)
    said = capsys.readouterr().out
    (table,) = [part for part in said.split("\n\n") if "out-of-fold errors" in part]
    rows = [line.split() for line in table.splitlines()[1:]]
    assert [row[:4] for row in rows] == [
        ["0.02", "1", f"{len(labels):,}", "5"],
        ["0.01", "1", f"{len(labels):,}", "12"],
    ]
    assert rows[1][-1] == f"{stats.binomtest(8, 9).pvalue:.3g}"
    assert f"Out of fold: each of {len(labels):,} training images is read by the network that has not seen it." in said
    index, label, log_probs = out_of_fold.read(swept / "out_of_fold.npz")
    assert (len(index), label.tolist()) == (len(labels), labels.tolist())
    assert (log_probs.argmax(1) != label).sum() == 5
    assert out_of_fold.read(swept / "out_of_fold_1.npz")[0].tolist() == index.tolist()
    assert f"data.suspects=drop data.suspects_file={swept / 'suspects.json'}" in said
    found = suspects.read(swept)
    suspects.check(found, swept, "digits", torch.from_numpy(labels), 10)
    assert set(found.index[:3].tolist()) == set(WRONG_LABELS)
    assert dict(zip(found.index.tolist(), found.label.tolist(), strict=True)).items() >= WRONG_LABELS.items()
    with Image.open(swept / "suspects.png") as image:
        assert image.size[0] == round(12 * 0.95 * 150)


def test_where_cleanlab_is_not_installed_a_sweep_has_all_but_the_doubtful_labels(swept, capsys, monkeypatch):
    for name in ("cleanlab", "cleanlab.filter"):
        monkeypatch.setitem(sys.modules, name, None)
    assert report.report(swept, swept) == 0
    said = capsys.readouterr().out
    assert said.endswith(
        'Doubtful labels were not looked for: cleanlab is not installed: pip install "mnist-lightning[labels]".\n\n'
        + said.split("\n\n")[-1]
    )
    assert "out-of-fold errors" in said
    assert "best on average" in said
    assert {"results.csv", "results.md", "results.png", "out_of_fold.npz"} <= {path.name for path in swept.iterdir()}
    assert not (swept / "suspects.json").exists()


ASKED = {"where": None, "by": None, "metric": "val_accuracy", "sort": None, "compare": None, "format": "table",
         "out": None, "out_of_fold": None, "plot": None}  # fmt: skip


def test_results_compare_recipes_by_it(swept, tmp_path, labels, capsys):
    pytest.importorskip("cleanlab")
    said = results.results(ASKED | {"runs": str(swept), "compare": "optimizer.lr=0.01 vs optimizer.lr=0.02"})
    assert said.splitlines()[-1] == (
        f"out of fold, {len(labels):,} images, seeds 0: 12 errors (optimizer.lr=0.01) against 5 (optimizer.lr=0.02), "
        f"8 by the first alone and 1 by the second alone: {-700 / len(labels):+.3f} ± "
        f"{100 * (9 - 49 / len(labels)) ** 0.5 / len(labels):.3f} points, McNemar's exact test p = "
        f"{stats.binomtest(8, 9).pvalue:.3g}"
    )
    head, first, second = results.results(ASKED | {"runs": str(swept)}).splitlines()
    assert "out-of-fold errors" in head
    assert f"{100 - 500 / len(labels):.3f} ± " in first
    assert f"{100 - 1200 / len(labels):.3f} ± " in second
    path = tmp_path / "kept.npz"
    results.results(ASKED | {"runs": str(swept), "where": "optimizer.lr=0.02", "out_of_fold": str(path)})
    assert len(out_of_fold.read(path)[0]) == len(labels)
    assert f"data.suspects_file={tmp_path / 'kept_suspects.json'}" in capsys.readouterr().err
    assert set(suspects.read(tmp_path / "kept_suspects.json").index[:3].tolist()) == set(WRONG_LABELS)
    assert (tmp_path / "kept_suspects.png").is_file()
    with pytest.raises(UserError, match=r"takes the predictions of one recipe .* and there are 2: narrow the runs"):
        results.results(ASKED | {"runs": str(swept), "out_of_fold": str(path)})


def damaged(path, **changed):
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **(arrays | changed))


def test_a_damaged_file_is_one_sentence(swept):
    path = swept / "0.01-0-1" / "validation.npz"
    whole, size = path.read_bytes(), len(out_of_fold.read(path)[0])
    for told, damage in {
        "cannot be read": lambda: path.write_bytes(whole[:100]),
        "expected index, label and log_probs": lambda: path.write_bytes(b"text"),
        "without NaN": lambda: damaged(path, log_probs=np.full((size, 10), np.nan, np.float32)),
        "one row of log_probs": lambda: damaged(path, log_probs=np.zeros((3, 10), np.float32)),
        "out of range": lambda: damaged(path, label=np.full(size, 10)),
        "index [N], label [N]": lambda: damaged(path, label=np.zeros((size, 2), np.int64)),
        "hold the same images": lambda: damaged(path, index=np.load(swept / "0.01-0-0/validation.npz")["index"]),
    }.items():
        path.write_bytes(whole)
        damage()
        with pytest.raises(UserError, match=told.replace("[", r"\[").replace("]", r"\]")):
            gathered(swept, 0.01)


def test_folds_that_cannot_be_combined_leave_the_table_and_the_test_over_seeds(tmp_path, labels, capsys):
    for lr, seeds in ((0.01, (0, 1)), (0.02, (0, 1, 2))):
        for seed in seeds:
            lacking = [1] if lr == 0.02 and seed < 2 else []
            make(tmp_path, labels, predictions(labels, FIRST), lr=lr, seed=seed, leave_out=lacking)
    asked = ASKED | {"runs": str(tmp_path)}
    said = results.results(asked | {"compare": "optimizer.lr=0.01 vs optimizer.lr=0.02"})
    assert said.startswith("val_accuracy, (optimizer.lr=0.01) minus (optimizer.lr=0.02): ")
    assert "have no seed in common whose folds are all there.\n" in capsys.readouterr().err
    (tmp_path / "0.01-0-1" / "validation.npz").write_bytes(b"text")
    head, *rows = results.results(asked).splitlines()
    assert "out-of-fold errors" in head  # of the other recipe
    assert len(rows) == 2
    assert f"{tmp_path / '0.01-0-1' / 'validation.npz'} cannot be read" in capsys.readouterr().err


def test_a_sweep_says_that_a_recipe_lacks_a_fold(tmp_path, labels, capsys):
    make(tmp_path, labels, predictions(labels, FIRST), lr=0.01, leave_out=[2])
    make(tmp_path, labels, predictions(labels, SECOND), lr=0.02)
    report.report(tmp_path, tmp_path)
    said = capsys.readouterr().out
    assert "\nNo seed of optimizer.lr=0.01 has all its folds: its predictions are not combined.\n" in said
    assert "No seed of optimizer.lr=0.02" not in said


def test_of_a_data_set_of_ones_own_the_labels_are_doubted_and_no_code_runs(swept, labels, capsys):
    pytest.importorskip("cleanlab")
    for path in swept.glob("*/training_metrics.json"):
        record = json.loads(path.read_text())
        record["hyperparameters"]["data"]["source"] = {"_target_": "os.abort"}
        path.write_text(json.dumps(record))
    report.report(swept, swept)
    assert "They are not drawn: digits is a data set of your own." in capsys.readouterr().out
    assert len(suspects.read(swept).index) >= len(WRONG_LABELS)
    assert not (swept / "suspects.png").exists()
