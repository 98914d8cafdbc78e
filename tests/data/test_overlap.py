"""A network that has seen validation images of a run is not used in it; what is counted is images, not settings."""

import logging

import pytest

from mnist_lightning.data import DigitsDataModule
from mnist_lightning.data.overlap import check_unseen, seen_by
from mnist_lightning.errors import UserError


@pytest.fixture
def data(make_source, use_source):
    """`data(split_seed=1)`: a DataModule, set up, of 120 training images."""
    use_source(make_source())

    def make(name="mnist", **settings):
        module = DigitsDataModule(name, **settings)
        module.setup()
        return module

    return make


def card(module, **more):
    return {"dataset": module.name, "data": module.split_facts, **more}


@pytest.mark.parametrize(
    ("there", "here", "told"),
    [
        ({"split_seed": 1}, {}, "data.split_seed=1"),
        ({"num_folds": 5, "fold": 1}, {"num_folds": 5, "fold": 2}, "data.fold=1"),
        ({"num_folds": 4}, {"num_folds": 5, "fold": 4}, "data.num_folds=4 data.fold=0"),
        ({}, {"num_folds": 5}, "data.num_folds=0"),
        ({"val_size": 5}, {"val_size": 20}, "data.val_size=5"),
    ],
)
def test_a_network_from_another_split_is_refused_with_the_way_out(data, there, here, told):
    with pytest.raises(UserError) as caught:
        check_unseen(card(data(**there)), data(**here), "ckpt=a.ckpt")
    sentence = str(caught.value)
    assert sentence.startswith("ckpt=a.ckpt was trained on ")
    assert f"split the data as it was there ({told})" in sentence


def test_the_count_is_that_of_the_images(data):
    here = data(split_seed=0, val_size=30)
    there = data(split_seed=0, val_size=10)  # the first ten of the same thirty
    with pytest.raises(UserError, match=r"was trained on 20 of the 30 validation images of this run"):
        check_unseen(card(there), here, "ckpt=a")


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ({}, {}),
        ({"val_size": 30}, {"val_size": 10}),  # what validates here validated there
        ({"limit": 40}, {}),
        ({"split_seed": 3, "num_folds": 5, "fold": 2}, {"split_seed": 3, "num_folds": 5, "fold": 2}),
    ],
)
def test_a_network_that_has_seen_none_of_them_is_used(data, there, here, caplog):
    check_unseen(card(data(**there)), data(**here), "ckpt=a")
    assert caplog.text == ""


def test_another_set_has_other_images_but_qmnist_has_those_of_mnist(data, make_source, use_source):
    there = data(split_seed=1)
    use_source(make_source(name="kmnist"))
    check_unseen(card(there), data("kmnist"), "ckpt=a")
    use_source(make_source(name="qmnist"))
    with pytest.raises(UserError, match="was trained on"):
        check_unseen(card(there), data("qmnist"), "ckpt=a")


def test_what_a_network_was_taught_by_counts_as_seen(data):
    teacher = data(split_seed=1).split_facts
    taught = card(data(), seen=[data().split_facts, teacher])
    assert seen_by(taught)[1] == teacher
    with pytest.raises(UserError, match=r"data\.split_seed=1"):
        check_unseen(taught, data(), "distill.teacher=a")


def test_a_card_of_an_earlier_version_says_it_in_its_settings(data):
    old = {
        "dataset": "mnist",
        "settings": {"data": {**data(split_seed=1).split_facts, "name": "auto", "batch_size": 8}},
    }
    with pytest.raises(UserError, match=r"data\.split_seed=1"):
        check_unseen(old, data(), "ckpt=a")


@pytest.mark.parametrize("unknown", [{}, {"data": {}}, {"settings": {"data": {"name": "mnist"}}}, {"settings": None}])
def test_a_card_that_does_not_say_is_used_with_a_warning(data, unknown, caplog):
    caplog.set_level(logging.WARNING)
    check_unseen({"dataset": "mnist", **unknown}, data(), "ckpt=a")
    assert caplog.text.count("does not say which images it was trained on") == 1
    check_unseen({"dataset": "kmnist", **unknown}, data(), "ckpt=a")
    assert caplog.text.count("does not say which images it was trained on") == 1


@pytest.mark.parametrize(
    "wrong",
    [{"split_seed": "x"}, {"split_seed": 10**30}, {"val_size": -1.5}, {"num_folds": 10**9}, {"val_size": 10**9},
     {"fold": 99, "num_folds": 3}, {"limit": "x"}],
)  # fmt: skip
def test_a_strangers_card_with_a_split_that_cannot_be_is_no_traceback(data, wrong):
    check_unseen(card(data(), data=data().split_facts | wrong, seen=[data().split_facts | wrong] * 1000), data(), "a")
