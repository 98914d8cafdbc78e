"""Training images whose labels are likely wrong: left out, or trained on with soft labels."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mnist_lightning.data import suspects
from mnist_lightning.data.datamodule import DigitsDataModule
from mnist_lightning.errors import UserError

PLACES = [2, 17, 64, 118]  # of which 2 validates with val_size=50


def written(folder, source, places=PLACES, **changed):
    """`suspects.json` about these training images: the networks see the next class with 0.9."""
    labels = source.train_labels.numpy()[places]
    probs = 0.1 * np.eye(10, dtype=np.float32)[labels] + 0.9 * np.eye(10, dtype=np.float32)[(labels + 1) % 10]
    found = {"dataset": "mnist", "images": len(source.train_labels), "index": np.array(places), "label": labels}
    suspects.write(folder / "suspects.json", suspects.Suspects(**(found | {"probs": probs} | changed)))
    return str(folder / "suspects.json")


@pytest.fixture
def data(use_source, make_source, tmp_path):
    """`data("drop")`: a DataModule over 120 + 30 images, four of the training images with doubtful labels."""
    source = use_source(make_source(120, 30))
    file = written(tmp_path, source)

    def make(treatment, **knobs):
        module = DigitsDataModule("mnist", suspects=treatment, **({"suspects_file": file} | knobs))
        module.prepare_data()
        module.setup()
        return module

    return make


def places(part):
    """Which training images a part holds, by the place that is written into their first two pixels."""
    return (part.images[:, 0, 0].int() * 256 + part.images[:, 0, 1]).tolist()


def test_kept_they_change_nothing_and_their_file_is_not_read(data):
    module = data("keep", suspects_file="nowhere.json", val_size=50)
    assert (len(module.train), len(module.val)) == (70, 50)
    assert module.suspects_facts is None


def test_dropped_they_are_missing_from_the_training_images_alone(data):
    whole, without = data("keep", val_size=50), data("drop", val_size=50)
    trained = [place for place in places(whole.train) if place not in PLACES]
    assert places(without.train) == trained
    assert 0 < len(whole.train) - len(trained) < len(PLACES)
    assert without.train.labels.tolist() == [place % 10 for place in trained]
    assert places(without.val) == places(whole.val)
    assert torch.equal(without.test.images, whole.test.images)
    assert without.suspects_facts["treatment"] == "drop"
    assert without.suspects_facts["images"] == len(whole.train) - len(trained)
    assert len(without.suspects_facts["sha256"]) == 64


def test_a_fold_held_out_is_measured_whole(data):
    for fold in range(3):
        whole, without = (data(each, num_folds=3, fold=fold) for each in ("keep", "drop"))
        assert places(without.val) == places(whole.val)
        assert torch.equal(without.val_index, whole.val_index)
        assert set(places(whole.train)) - set(places(without.train)) == set(PLACES) & set(places(whole.train))


def test_softened_their_labels_lie_halfway_to_what_the_networks_say(data):
    module = data("soften", val_size=50)
    assert module.train.labels.shape == (70, 10)
    softened = 0
    for place, target in zip(places(module.train), module.train.labels, strict=True):
        wanted = F.one_hot(torch.tensor(place % 10), 10).float()
        if place in PLACES:
            wanted = 0.55 * wanted + 0.45 * F.one_hot(torch.tensor((place + 1) % 10), 10)
            softened += 1
        torch.testing.assert_close(target, wanted)
    assert softened == module.suspects_facts["images"] > 0
    assert module.val.labels.dtype == torch.int64
    images, labels = next(iter(module.train_dataloader()))
    assert (len(images), labels.shape) == (70, torch.Size([70, 10]))


def test_images_of_no_class_have_no_soft_label(data):
    module = data("soften", outlier_noise=6)
    assert module.train.labels.sum(1).tolist() == pytest.approx([1.0] * 110 + [0.0] * 6)


@pytest.mark.parametrize("treatment", ["drop", "soften"])
def test_a_training_takes_them(data, treatment):
    import lightning

    from mnist_lightning.models import MLP, Classifier

    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    module = data(treatment)
    trainer.fit(Classifier(MLP(), scheduler=None), module)
    assert trainer.callback_metrics["train_loss"].isfinite()
    assert 0 <= trainer.callback_metrics["train_accuracy"] <= 1


def test_what_is_missing_is_said_before_any_image_is_read(tmp_path):
    with pytest.raises(UserError, match=r"^data\.suspects=drop needs data\.suspects_file=\.\.\.: a sweep"):
        DigitsDataModule("mnist", suspects="drop")
    with pytest.raises(UserError, match=r"There is no .*none\.json: a sweep over all folds writes it"):
        DigitsDataModule("mnist", suspects="drop", suspects_file=str(tmp_path / "none.json"))
    with pytest.raises(UserError, match=r"data\.suspects=soften cannot be combined with data\.num_folds"):
        DigitsDataModule("mnist", suspects="soften", suspects_file="any.json", num_folds=5)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"dataset": "kmnist"}, "is about kmnist, and the training images are those of mnist"),
        ({"images": 24}, "is about 24 of the 120 training images of mnist"),
        ({"label": np.array([1, 2, 3, 4])}, "does not fit the training images of mnist"),
        ({"index": np.array([2, 17, 64, 500])}, "does not fit the training images of mnist"),
        ({"probs": np.full((4, 4), 0.25, np.float32)}, "knows 4 classes, and mnist has 10"),
    ],
)
def test_a_file_about_other_images_is_refused(data, use_source, make_source, tmp_path, changed, told):
    file = written(tmp_path, use_source(make_source(120, 30)), **changed)
    with pytest.raises(UserError, match=told):
        data("drop", suspects_file=file)


def test_a_damaged_file_is_one_sentence(make_source, tmp_path):
    path = tmp_path / "suspects.json"
    written(tmp_path, make_source(120, 30))
    found = suspects.read(tmp_path)  # a sweep's folder
    assert (found.index.tolist(), found.likely.tolist()) == (PLACES, [(place + 1) % 10 for place in PLACES])
    said = json.loads(path.read_text())
    for changed in ({"suspects": 3}, {"suspects": [{}]}, {"images": "x"}):
        path.write_text(json.dumps(said | changed))
        with pytest.raises(UserError, match=r"cannot be read"):
            suspects.read(path)
    path.write_text(json.dumps(said | {"suspects": said["suspects"][:1] * 2}))
    with pytest.raises(UserError, match=r"names an image twice"):
        suspects.read(path)
    said["suspects"][0]["probs"][0] = 0.5
    path.write_text(json.dumps(said))
    with pytest.raises(UserError, match=r"do not sum to 1"):
        suspects.read(path)
    path.write_text(json.dumps(said | {"suspects": []}))
    assert len(suspects.read(path).index) == 0
