"""Planted label errors are found by networks that have not seen them, and training without them undoes the damage."""

from dataclasses import replace

import lightning
import numpy as np
import pytest
import torch

from mnist_lightning.data import sources, suspects
from mnist_lightning.data.datamodule import DigitsDataModule
from mnist_lightning.evaluation import label_errors
from mnist_lightning.models import MLP, Classifier
from mnist_lightning.models.network import to_input

pytest.importorskip("cleanlab")
FOLDS, SHARE = 5, 0.02  # of the labels are wrong


@pytest.fixture(scope="module")
def planted():
    """scikit-learn's digits with 2 % of the training labels changed to another one, and which these are."""
    clean = sources.load("digits", None, ())
    draw = np.random.default_rng(0)
    wrong = np.sort(draw.choice(len(clean.train_labels), round(SHARE * len(clean.train_labels)), replace=False))
    labels = clean.train_labels.clone()
    labels[wrong] = (labels[wrong] + torch.from_numpy(draw.integers(1, 10, len(wrong)))) % 10
    return replace(clean, train_labels=labels), wrong


@pytest.fixture(scope="module")
def found(planted):
    """What confident learning says of it, from five folds."""
    source, _ = planted
    index, log_probs = [], []
    for fold in range(FOLDS):
        lightning.seed_everything(fold, verbose=False)
        data = DigitsDataModule("digits", source=lambda: source, num_folds=FOLDS, fold=fold, batch_size=32)
        data.setup()
        model = Classifier(MLP())
        trainer = lightning.Trainer(
            max_epochs=6, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(model, data)
        index.append(data.val_index.numpy())
        with torch.inference_mode():
            log_probs.append(model.eval()(to_input(data.val.images)).log_softmax(1).numpy())
    order = np.concatenate(index).argsort()
    return label_errors.find(
        "digits", np.concatenate(index)[order], source.train_labels.numpy(), np.concatenate(log_probs)[order]
    )


def test_most_planted_errors_are_named_and_most_that_is_named_was_planted(planted, found):
    _, wrong = planted
    hits = len(set(found.index.tolist()) & set(wrong.tolist()))
    recall, precision = hits / len(wrong), hits / len(found.index)
    print(f"recall {recall:.3f}, precision {precision:.3f} of {len(found.index)}")
    assert recall >= 0.9
    assert precision >= 0.6
    surest = found.index[: len(wrong) // 2]
    assert np.isin(surest, wrong).mean() >= 0.9  # the least believable label comes first
    truth = sources.load("digits", None, ()).train_labels.numpy()
    named = np.isin(found.index, wrong)
    assert (found.likely[named] == truth[found.index[named]]).mean() >= 0.9


def test_dropped_they_leave_a_cleaner_set(planted, found, tmp_path):
    source, wrong = planted
    suspects.write(tmp_path / "suspects.json", found)
    data = DigitsDataModule("digits", source=lambda: source, suspects="drop", suspects_file=str(tmp_path))
    data.setup()
    truth = sources.load("digits", None, ()).train_labels
    left = np.isin(np.setdiff1d(np.arange(len(truth)), np.concatenate([found.index, data.val_index.numpy()])), wrong)
    assert len(data.train) == len(left)
    assert left.mean() < SHARE / 5
