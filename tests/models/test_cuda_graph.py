"""CUDA graphs: when a step is replayed, and that a replayed step does what the step itself does."""

import copy
import gc
import pickle
import warnings
from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from mnist_lightning.data.augment import Augment
from mnist_lightning.data.datamodule import DigitsDataModule
from mnist_lightning.models import cuda_graph
from mnist_lightning.models.classifier import Classifier
from mnist_lightning.models.cnn import CNN
from mnist_lightning.models.cuda_graph import Graphed

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need an NVIDIA GPU")
IMAGES = torch.zeros(4, 1, 28, 28)


@pytest.fixture
def recorded(monkeypatch):
    """Stands in for PyTorch's recorder, on the processor: the list of the recordings' calls."""
    calls = []

    def record(call, sample):
        for _ in range(4):  # as the recorder does, before and while it records
            call(*sample)

        def replay(*given):
            calls.append(given)
            return call(*given)

        return replay

    monkeypatch.setattr(cuda_graph, "_may_record", lambda given: True)
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: torch.get_rng_state())
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: torch.set_rng_state(state))
    return calls


@pytest.fixture
def network():
    return CNN(channels=[4], kernels=[3], pools=[4], dropout=0.5)


def test_the_second_call_of_the_same_shape_is_recorded_and_others_are_not(recorded, network):
    graphed = Graphed(network.forward, [network])
    for images in (IMAGES[:2], IMAGES, IMAGES, IMAGES[:3], IMAGES):
        graphed(images)
    assert [len(given[0]) for given in recorded] == [4, 4]


def test_recording_leaves_no_trace_in_the_statistics_or_in_the_draws(recorded, network):
    plain, graphed = copy.deepcopy(network), Graphed(network.forward, [network])
    torch.manual_seed(1)
    here = [graphed(IMAGES + 1) for _ in range(3)]
    torch.manual_seed(1)
    there = [plain(IMAGES + 1) for _ in range(3)]
    assert len(recorded) == 2
    assert all(map(torch.equal, here, there))
    assert all(map(torch.equal, network.buffers(), plain.buffers()))


@pytest.mark.parametrize(
    "change",
    [
        lambda network: network.register_forward_hook(lambda *_: None),
        lambda network: network.blocks[0].norm.register_forward_pre_hook(lambda *_: None),
        lambda network: network.blocks[0].norm.eval(),
        lambda network: network.head.requires_grad_(False),
        lambda network: network.compile(backend="eager"),
        lambda network: network.head.weight.register_hook(lambda gradient: 2 * gradient),
    ],
    ids=["hook", "hook in a layer", "frozen statistics", "frozen weights", "compiled", "hook on a weight"],
)
def test_a_step_is_not_replayed_while_a_module_differs_from_when_it_was_recorded(recorded, network, change):
    graphed = Graphed(network.forward, [network])
    graphed(IMAGES), graphed(IMAGES)
    assert len(recorded) == 1
    change(network)
    graphed(IMAGES)
    assert len(recorded) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda network: setattr(network.dropout, "p", 0.1),
        lambda network: setattr(network, "head", nn.Linear(network.head.in_features, 10)),
        lambda network: setattr(network.head.weight, "data", network.head.weight.data.clone()),
    ],
    ids=["setting", "layer", "place of the weights"],
)
def test_a_check_finds_what_has_changed_and_records_anew(recorded, network, change):
    graphed = Graphed(lambda images: network(images), [network])
    graphed(IMAGES), graphed(IMAGES)
    graphed.check([network])
    graphed(IMAGES)
    assert len(recorded) == 2
    change(network)
    graphed.check([network])
    graphed(IMAGES)
    assert len(recorded) == 2
    graphed(IMAGES)
    assert len(recorded) == 3


def test_another_network_in_the_place_of_the_first_is_recorded_anew(recorded, network):
    both = [network, copy.deepcopy(network)]
    graphed = Graphed(lambda images: both[0](images), [network])
    graphed(IMAGES), graphed(IMAGES)
    both.reverse()
    graphed.check(both[:1])
    graphed(IMAGES)
    assert len(recorded) == 1
    graphed(IMAGES)
    assert graphed.modules[0] is both[0]
    assert len(recorded) == 2


class Strange(nn.Module):
    """A module of somebody's own, which may do something else in each step."""

    def forward(self, images):
        return images


def test_a_network_with_a_module_of_somebodys_own_is_not_recorded(recorded, network):
    network.dropout = Strange()
    graphed = Graphed(network.forward, [network])
    for _ in range(3):
        graphed(IMAGES)
    assert not recorded


def test_what_cannot_be_recorded_runs_as_it_is_and_says_so_once(recorded, network, monkeypatch, caplog):
    def record(call, sample):
        raise RuntimeError("operation not permitted when stream is capturing\nand a page more")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    graphed = Graphed(network.forward, [network])
    for _ in range(4):
        assert graphed(IMAGES).shape == (4, 10)
    assert [each.message for each in caplog.records] == [
        "Steps are not replayed as CUDA graphs: operation not permitted when stream is capturing"
    ]


def test_copies_record_for_themselves(recorded, network):
    graphed = Graphed(network.forward, [network])
    graphed(IMAGES), graphed(IMAGES)
    for each in (copy.deepcopy(graphed), pickle.loads(pickle.dumps(graphed))):
        assert each.modules[0] is not network
        each(IMAGES)
        assert len(recorded) == 1


def test_an_augmentation_follows_its_knobs(recorded):
    augment, images = Augment(translate=2.0), torch.rand(4, 1, 28, 28)
    for _ in range(3):
        augment(images)
    assert len(recorded) == 2
    augment.translate = 0.0
    assert augment(images) is images
    augment.elastic = 0.5
    assert not torch.equal(augment(images), images)
    augment.scale = [2.0, 2.0]
    augment(images)
    assert len(recorded) == 2
    augment(images)
    assert len(recorded) == 3


@pytest.mark.parametrize("forbidden", ["gradient of the image", "inference mode", "anomaly", "ranks", "recording"])
def test_nothing_is_recorded_where_it_is_forbidden(monkeypatch, forbidden):
    class Image(SimpleNamespace):
        is_cuda = True

    capturing = forbidden == "recording"
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: capturing)
    assert cuda_graph._may_record((Image(requires_grad=False),)) is not capturing
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: forbidden == "ranks")
    with torch.inference_mode(forbidden == "inference mode"), torch.autograd.set_detect_anomaly(forbidden == "anomaly"):
        assert not cuda_graph._may_record((Image(requires_grad=forbidden == "gradient of the image"),))


def test_on_the_processor_nothing_is_recorded(network):
    graphed = Graphed(network.forward, [network])
    for _ in range(3):
        graphed(IMAGES)
    assert graphed._recording is None


def _fit(tmp_path, **arguments):
    pl.seed_everything(0, verbose=False)
    data = DigitsDataModule("digits", batch_size=32, val_size=64, augment=Augment(degrees=8, elastic=0.3, erase=0.5))
    model = Classifier(CNN(channels=[8, 16], kernels=[3, 3], pools=[2, 2], dropout=0.2))
    trainer = pl.Trainer(
        accelerator="gpu", devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path, deterministic=True, **arguments,
    )  # fmt: skip
    trainer.fit(model, data)
    return model, {key: float(value) for key, value in trainer.callback_metrics.items()}


@needs_gpu
@pytest.mark.parametrize("arguments", [{}, {"precision": "bf16-mixed"}, {"precision": "16-mixed"},
                                       {"gradient_clip_val": 0.1}, {"accumulate_grad_batches": 2}])  # fmt: skip
def test_on_a_gpu_a_replayed_training_is_the_same_training(monkeypatch, tmp_path, caplog, arguments):
    made, record = [], torch.cuda.make_graphed_callables
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", lambda *given: made.append(0) or record(*given))
    runs = [_fit(tmp_path, max_epochs=2, **arguments)]
    assert len(made) == (1 if "accumulate_grad_batches" in arguments else 2)  # the augmentation's is one of them
    assert not [each for each in caplog.records if each.name == cuda_graph.__name__]
    monkeypatch.setattr(cuda_graph, "_may_record", lambda given: False)
    runs.append(_fit(tmp_path, max_epochs=2, **arguments))
    for one, other in zip(*(model.network.cpu().state_dict().values() for model, _ in runs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    assert runs[0][1] == pytest.approx(runs[1][1], rel=1e-3)


@pytest.fixture
def watched(monkeypatch):
    """The recordings that are made, each as the function that replays it; a warning fails the test."""
    made, record = [], torch.cuda.make_graphed_callables
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", lambda *given: made.append(record(*given)) or made[-1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield made


@needs_gpu
def test_on_a_gpu_network_and_augmentation_are_recorded_while_an_old_recording_waits_to_be_freed(watched, caplog):
    for _ in range(3):
        augment, network = Augment(degrees=8), CNN(channels=[8], kernels=[3], pools=[4]).cuda()
        graphed = Graphed(lambda images: network(images).sum(), [network])  # noqa: B023
        old = [graphed]
        old.append(old)  # only the garbage collector frees it
        gc.set_threshold(1)  # as soon as it may
        try:
            for _ in range(3):
                graphed(augment(torch.rand(8, 1, 28, 28, device="cuda"))).backward()
        finally:
            gc.set_threshold(700)
    assert len(watched) == 6
    assert not caplog.records


@needs_gpu
def test_on_a_gpu_augmented_images_differ_and_last():
    augment, images = Augment(degrees=8, noise=0.2), torch.rand(16, 1, 28, 28, device="cuda")
    torch.cuda.manual_seed(0)
    first = [augment(images) for _ in range(4)]
    kept = [each.clone() for each in first]
    torch.cuda.manual_seed(0)
    again = [augment(images) for _ in range(4)]
    assert all(map(torch.equal, first, again))
    assert all(map(torch.equal, first, kept))
    assert not torch.equal(first[2], first[3])
