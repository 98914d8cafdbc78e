from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
import torch

from mnist_lightning.data.augment import Augment
from mnist_lightning.data.datamodule import DigitsDataModule, How, InMemory, split
from mnist_lightning.errors import UserError
from mnist_lightning.ink import drawings
from mnist_lightning.ink.strokes import Stroke
from mnist_lightning.models.classifier import Classifier
from mnist_lightning.models.mlp import MLP
from mnist_lightning.models.network import to_input


@pytest.fixture
def data(use_source, make_source):
    """`data(batch_size=7)`: a DataModule over 120 + 30 images, set up."""
    source = use_source(make_source(120, 30))

    def make(**knobs):
        module = DigitsDataModule("mnist", **knobs)
        module.prepare_data()
        module.setup()
        assert module.source is source
        return module

    return make


def places(part):
    """Which training images a part holds, by the place that is written into their first two pixels."""
    images = part if isinstance(part, torch.Tensor) else part.images
    return (images[:, 0, 0].int() * 256 + images[:, 0, 1]).tolist()


def test_a_twelfth_of_the_training_images_validates(data):
    module = data()
    assert (len(module.train), len(module.val), len(module.test)) == (110, 10, 30)


def test_mnist_splits_into_55000_and_5000():
    train, val = split("mnist", 60000, How())
    assert (len(train), len(val)) == (55000, 5000)


def test_every_training_image_trains_or_validates_and_none_does_both(data):
    module = data(val_size=50)
    train, val = places(module.train), places(module.val)
    assert (len(train), len(val)) == (70, 50)
    assert sorted(train + val) == list(range(120))
    assert torch.equal(module.test.images, module.source.test_images)


def test_what_splits_alike_is_copied_once_a_process(data):
    first, same, other = data(val_size=50), data(val_size=50), data(val_size=40)
    assert first.train.images is same.train.images
    assert (len(first.val), len(other.val)) == (50, 40)


def test_images_keep_their_labels_through_the_split(data):
    module = data(val_size=50, num_folds=3)
    for part in (module.train, module.val):
        assert part.labels.tolist() == [place % 10 for place in places(part)]


def test_the_split_seed_alone_draws_the_split(data):
    torch.manual_seed(1)
    first = places(data(val_size=50).val)
    torch.manual_seed(2)
    assert places(data(val_size=50).val) == first
    other = places(data(val_size=50, split_seed=1).val)
    assert other != first
    assert 5 < len(set(first) & set(other)) < 45  # of 50: drawn, not cut off at one end


@pytest.mark.parametrize("num_folds", [2, 5, 7, 120])
def test_the_folds_share_out_the_training_images(data, num_folds):
    seen = []
    for fold in range(num_folds) if num_folds < 100 else (0, 1, 119):
        module = data(num_folds=num_folds, fold=fold)
        assert sorted(places(module.train) + places(module.val)) == list(range(120))
        assert len(module.val) in (120 // num_folds, 120 // num_folds + 1)
        seen += places(module.val)
    assert len(set(seen)) == len(seen)
    if num_folds < 100:
        assert sorted(seen) == list(range(120))


def test_the_limit_holds_for_each_part(data):
    assert [len(part) for part in (lambda m: (m.train, m.val, m.test))(data(val_size=50, limit=20))] == [20, 20, 20]
    assert [len(part) for part in (lambda m: (m.train, m.val, m.test))(data(val_size=50, limit=60))] == [60, 50, 30]
    assert [len(part) for part in (lambda m: (m.train, m.val))(data(num_folds=4, limit=10))] == [10, 10]


def test_a_limited_set_is_a_part_of_the_whole_one(data):
    whole, limited = data(val_size=50), data(val_size=50, limit=20)
    assert set(places(limited.train)) < set(places(whole.train))
    assert set(places(limited.val)) < set(places(whole.val))


@pytest.mark.parametrize(
    ("knobs", "told"),
    [
        ({"val_size": 120}, "data.val_size=120 leaves nothing to train on: mnist has 120 training images."),
        ({"val_size": 9999}, "data.val_size=9999 leaves nothing to train on: mnist has 120 training images."),
        ({"num_folds": 121}, "data.num_folds=121 is more than the 120 images there are."),
    ],
)
def test_a_size_that_does_not_fit_is_said(data, knobs, told):
    with pytest.raises(UserError, match=f"^{told}$"):
        data(**knobs)


@pytest.mark.parametrize(
    ("knobs", "told"),
    [
        (
            {"num_folds": 1},
            r"data\.num_folds=1 is not allowed: cross-validation needs 2 or more \(0: the plain split\)\.",
        ),
        ({"num_folds": 5, "fold": 5}, r"data\.fold=5 is not a fold: with data\.num_folds=5 it is 0 to 4\."),
    ],
)
def test_a_fold_that_is_not_one_is_said_before_anything_is_loaded(knobs, told):
    with pytest.raises(UserError, match=f"^{told}$"):
        DigitsDataModule("mnist", **knobs)


def test_before_setup_the_set_has_the_name_asked_for_and_no_classes_yet(data):
    module = DigitsDataModule("auto")
    assert (module.name, module.class_names) == ("auto", ())
    module = data()
    assert (module.name, module.class_names) == ("mnist", tuple("0123456789"))


def test_what_decides_the_split_is_known_as_plain_data(data):
    assert data(val_size=50, split_seed=3).split_facts == {
        "name": "mnist", "val_size": 50, "split_seed": 3, "limit": None, "num_folds": 0, "fold": 0,
    }  # fmt: skip


def test_test_and_prediction_bring_each_test_image_once_in_order(data):
    module = data(eval_batch_size=7)
    for loader in (module.test_dataloader(), module.predict_dataloader()):
        assert epoch(loader) == (places(module.test), module.test.labels.tolist())


def test_a_single_image_left_over_is_not_trained_on_and_is_scored(data):
    module = data(val_size=50, batch_size=23, eval_batch_size=7)  # 70 = 3 * 23 + 1 and 50 = 7 * 7 + 1
    assert [len(labels) for _, labels in module.train_dataloader()] == [23, 23, 23]
    assert [len(labels) for _, labels in module.val_dataloader()] == [7] * 7 + [1]


def test_a_data_set_of_ones_own_takes_the_place_of_the_published_one(make_source, monkeypatch):
    from mnist_lightning.data import datamodule

    monkeypatch.setattr(datamodule, "_load", lambda *place, **only: pytest.fail("loaded a published set"))
    module = DigitsDataModule(source=lambda: make_source(60, 20, name="letters"), val_size=10)
    module.prepare_data()
    module.setup("fit")
    assert (module.name, len(module.train), len(module.val), len(module.test)) == ("letters", 50, 10, 20)


def test_scoring_loads_the_test_images_alone_and_training_after_it_the_others(make_source, monkeypatch):
    from mnist_lightning.data import datamodule

    asked = []
    load = datamodule._load
    monkeypatch.setattr(
        datamodule, "_load", lambda *place, only_test: asked.append(only_test) or load("digits", "", ())
    )
    module, model = DigitsDataModule("digits"), Classifier(MLP(hidden_sizes=[4]))
    trainer = pl.Trainer(
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
    trainer.test(model, module, verbose=False)
    assert (len(model.scored.labels), hasattr(module, "train")) == (297, False)
    assert asked == [True, True]  # prepare_data and setup
    module.setup("fit")
    assert (asked, len(module.train), len(module.val)) == ([True, True, False], 1375, 125)


def test_the_training_images_are_prepared_after_only_the_test_images_were_loaded(make_source, monkeypatch):
    from mnist_lightning.data import datamodule

    asked = []
    monkeypatch.setattr(datamodule, "_load", lambda *place, only_test: asked.append(only_test) or make_source())
    module = DigitsDataModule("mnist")
    module.setup("test")
    module.prepare_data()  # by one process; without it, each of several fetches them in `setup`
    assert asked == [True, False]
    module.setup("fit")
    module.prepare_data()
    assert asked == [True, False, False]


def test_a_second_setup_changes_nothing(data):
    module = data()
    train = module.train
    module.setup("fit")
    module.setup("test")
    assert module.train is train


def test_a_batch_is_one_indexing_operation(data, monkeypatch):
    module = data(batch_size=32, eval_batch_size=4)
    singly = []
    monkeypatch.setattr(InMemory, "__getitem__", lambda self, index: singly.append(index))
    batches = list(module.train_dataloader())
    assert [tuple(images.shape) for images, _ in batches] == [(32, 28, 28)] * 3 + [(14, 28, 28)]
    assert [tuple(labels.shape) for _, labels in batches] == [(32,)] * 3 + [(14,)]
    assert {(images.dtype, labels.dtype) for images, labels in batches} == {(torch.uint8, torch.int64)}
    assert [len(labels) for _, labels in module.val_dataloader()] == [4, 4, 2]
    assert singly == []


def test_one_image_can_be_looked_up_too(data):
    module = data()
    image, label = module.train[3]
    assert image.shape == (28, 28)
    assert int(label) == places(module.train)[3] % 10


def epoch(loader):
    batches = list(loader)
    return places(torch.cat([images for images, _ in batches])), torch.cat([labels for _, labels in batches]).tolist()


def test_training_images_come_in_a_new_order_each_epoch_and_validation_images_do_not(data):
    module = data(batch_size=32)
    loader = module.train_dataloader()
    first, labels = epoch(loader)
    loader.batch_sampler.sampler.set_epoch(1)  # as Lightning does
    second, _ = epoch(loader)
    assert first != second
    assert sorted(first) == sorted(second) == sorted(places(module.train))
    assert labels == [place % 10 for place in first]
    assert epoch(module.train_dataloader())[0] == first  # the run's seed repeats it
    assert epoch(data(batch_size=32, seed=1).train_dataloader())[0] not in (first, second)
    assert epoch(module.val_dataloader())[0] == places(module.val)


def test_without_shuffle_training_images_come_in_the_sets_order(data):
    module = data(batch_size=32, shuffle=False)
    assert epoch(module.train_dataloader())[0] == sorted(places(module.train))


def test_loader_processes_bring_the_same_images(data):
    module = data(batch_size=16, shuffle=False, num_workers=2)
    loader = module.train_dataloader()
    assert loader.num_workers == 2
    assert epoch(loader) == epoch(data(batch_size=16, shuffle=False).train_dataloader())


def test_pixels_become_fractions_of_white_on_the_device(data):
    module = data()
    images, labels = next(iter(module.val_dataloader()))
    floats, same = module.on_after_batch_transfer((images, labels), 0)
    assert floats.shape == (10, 1, 28, 28)
    assert floats.dtype == torch.float32
    torch.testing.assert_close(floats[:, 0] * 255, images.float())
    assert same is labels


def test_the_example_of_lightnings_model_summary_passes_as_it_is(data):
    example = torch.rand(2, 1, 28, 28)
    assert data().on_after_batch_transfer(example, 0) is example


def test_only_training_batches_are_augmented(data):
    module = data(augment=Augment(translate=3.0, generator=torch.Generator().manual_seed(0)))
    batch = next(iter(module.train_dataloader()))
    plain = to_input(batch[0])
    assert torch.equal(module.on_after_batch_transfer(batch, 0)[0], plain)  # no trainer: used by hand
    module.trainer = SimpleNamespace(training=False)
    assert torch.equal(module.on_after_batch_transfer(batch, 0)[0], plain)
    module.trainer = SimpleNamespace(training=True)
    moved = module.on_after_batch_transfer(batch, 0)[0]
    assert moved.shape == plain.shape
    assert ((moved - plain).abs().amax((1, 2, 3)) > 0.01).all()  # each image


def test_no_augmentation_leaves_training_batches_alone(data):
    module = data()
    images, labels = next(iter(module.train_dataloader()))
    module.trainer = SimpleNamespace(training=True)
    torch.testing.assert_close(module.on_after_batch_transfer((images, labels), 0)[0], images.unsqueeze(1) / 255)


@pytest.mark.parametrize(
    ("requested", "got", "batch_size"), [("auto", "digits", 8), ("auto", "mnist", 64), ("digits", "digits", 64)]
)
def test_the_fallback_batch_size_is_for_the_fallback(use_source, make_source, requested, got, batch_size):
    use_source(make_source(name=got))
    module = DigitsDataModule(requested, batch_size=64, fallback_batch_size=8)
    module.setup()
    assert next(iter(module.train_dataloader()))[0].shape[0] == batch_size


def test_a_set_is_loaded_once_a_process(monkeypatch, make_source):
    from mnist_lightning.data import datamodule, sources

    loads = []
    monkeypatch.setattr(sources, "load", lambda *arguments, **only: loads.append(arguments) or make_source())
    datamodule._load.cache_clear()
    for _ in range(2):
        module = DigitsDataModule("kmnist", folder="somewhere", mirrors=["file:///a"])
        module.prepare_data()
        module.setup()
    datamodule._load.cache_clear()
    assert [(name, str(folder), mirrors) for name, folder, mirrors in loads] == [
        ("kmnist", "somewhere", ("file:///a",))
    ]


def test_pen_digits_and_what_is_none_are_trained_on_besides(data):
    module = data(pen_digits=20, outlier_drawings=5)
    assert (len(module.train), len(module.val), len(module.test)) == (135, 10, 30)
    assert module.train.labels[110:].tolist() == [*range(10), *range(10), -1, -1, -1, -1, -1]
    assert places(module.train)[:110] == places(data().train)
    more = data(pen_digits=20, outlier_drawings=5, outlier_noise=3)
    assert more.train.labels[110:].tolist() == [*module.train.labels[110:].tolist(), -1, -1, -1]
    assert torch.equal(more.train.images[:135], module.train.images)


@pytest.fixture
def drawings_folder(tmp_path):
    """Ten drawings, one of each digit: strokes that lean the more the higher the digit."""
    for label in range(10):
        drawings.append(tmp_path, [Stroke([(0, 0), (label * 5, 50), (label * 9, 90)])], label, identity=f"h{label}")
    return tmp_path


def test_drawings_take_their_share_and_some_are_kept_aside(data, drawings_folder):
    module = data(drawings=str(drawings_folder), drawings_share=0.9, drawings_aside=0.3)
    assert len(module.aside) == 3
    added = module.train.labels[110:]
    assert abs(len(added) / len(module.train) - 0.9) < 0.05
    kept, trained = set(module.aside.labels.tolist()), set(added.tolist())
    assert not kept & trained
    assert kept | trained == set(range(10))


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5])
def test_any_share_of_drawings_can_be_had(data, drawings_folder, share):
    module = data(drawings=str(drawings_folder), drawings_share=share, drawings_aside=0.3)
    plain, kept = len(data().train), 7
    added = len(module.train) - plain
    assert added % kept == 0
    wanted = share / (1 - share) * plain
    assert abs(added - wanted) <= kept  # an image of each drawing more or less


def test_images_that_make_no_batch_are_said(data):
    with pytest.raises(
        UserError, match=r"^mnist has 1 training images here, which make no batch: .* data\.limit too low"
    ):
        data(limit=1).train_dataloader()


def test_a_drawing_stays_on_its_side_when_others_are_added(data, drawings_folder):
    """Or a network that is trained again would be measured with drawings that the first training has learned."""
    trained = set()
    for count in range(12):
        module = data(drawings=str(drawings_folder), drawings_aside=0.4)
        aside = {image.numpy().tobytes() for image in module.aside.images}
        assert not aside & trained
        trained |= {image.numpy().tobytes() for image in module.train.images[110:]}
        drawings.append(drawings_folder, [Stroke([(0, 0), (99, 10 + 7 * count), (5, 90)])], 7)


def test_without_drawings_aside_all_are_trained_on(data, drawings_folder):
    module = data(drawings=str(drawings_folder), drawings_aside=0.0)
    assert len(module.aside) == 0
    assert set(module.train.labels[110:].tolist()) == set(range(10))


def test_a_folder_without_drawings_says_how_to_make_some(data, tmp_path):
    with pytest.raises(UserError, match=r"no drawings in .* scripts/draw.py"):
        data(drawings=str(tmp_path))
