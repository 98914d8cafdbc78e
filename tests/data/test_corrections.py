"""The published corrections of MNIST's test labels: a second figure, never in place of the official one."""

from pathlib import Path

import pytest
import torch

from mnist_lightning.data import corrections, idx

LABELS = Path(__file__).parent.parent.parent / "data/MNIST/raw/t10k-labels-idx1-ubyte"


def test_ten_labels_are_corrected_and_five_left_out():
    assert (len(corrections.CORRECTED), len(corrections.UNDECIDED)) == (10, 5)
    labels = torch.zeros(10_000, dtype=torch.int64)
    for place, (given, _) in corrections.CORRECTED.items():
        labels[place] = given
    for place, given in corrections.UNDECIDED.items():
        labels[place] = given
    truth = labels.clone()
    for place, (_, corrected) in corrections.CORRECTED.items():
        truth[place] = corrected
    truth[100] = 1  # one error
    logits = torch.nn.functional.one_hot(truth, 10).float()
    assert corrections.score("mnist", logits, labels) == {
        "accuracy": 9994 / 9995, "errors": 1, "images": 9995, "corrected": 10, "left_out": 5}  # fmt: skip
    assert corrections.score("mnist", logits[:2600], labels[:2600])["corrected"] == 5
    assert corrections.score("qmnist", logits, labels) is None
    assert corrections.score("mnist", logits, labels.flip(0)) is None


@pytest.mark.skipif(not LABELS.is_file(), reason="MNIST is not in data/")
def test_the_given_labels_are_those_of_the_set():
    labels = idx.read_idx(LABELS)
    for place, (given, _) in corrections.CORRECTED.items():
        assert labels[place] == given
    for place, given in corrections.UNDECIDED.items():
        assert labels[place] == given
