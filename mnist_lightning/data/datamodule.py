"""One DataModule for every data set: split, batches, and augmentation after the transfer to the device."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mnist_lightning.data import embellish, outliers, patterns, pen, sources
from mnist_lightning.data import suspects as doubtful
from mnist_lightning.data.batches import Batches, Order
from mnist_lightning.errors import UserError
from mnist_lightning.ink import drawings as folder_of_drawings
from mnist_lightning.ink.strokes import WrittenDigit, read_digits
from mnist_lightning.models.loss import OUTLIER
from mnist_lightning.models.network import to_input
from mnist_lightning.run.files import digest
from mnist_lightning.types import Count, PositiveInt, Seed, Share, Text, Treatment

Batch = tuple[Tensor, Tensor]


class InMemory(Dataset[Batch]):
    """Images and labels as two tensors; a batch is one indexing operation.

    Args:
        images: uint8 [N, 28, 28].
        labels: int64 [N]; float32 [N, C] where some of them are soft (`data.suspects=soften`).
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Batch:
        return self.images[index], self.labels[index]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Several at once, already a batch: the standard DataLoader asks here first."""
        chosen = torch.as_tensor(indices, device=self.images.device)
        return self.images.index_select(0, chosen), self.labels.index_select(0, chosen)


def as_is(batch: Any) -> Any:
    """Collate nothing: `__getitems__` made the batch."""
    return batch


@functools.lru_cache(maxsize=2)
def _load(name: str, folder: str, mirrors: tuple[str, ...], only_test: bool = False) -> sources.Source:
    """Load a set once per process, so that later jobs of a sweep find it in memory."""
    return sources.load(name, Path(folder), mirrors, only_test=only_test)


class How(NamedTuple):
    """What decides which images train and which validate: settings of `conf/data/`."""

    val_size: int | None = None
    split_seed: int = 0
    limit: int | None = None
    num_folds: int = 0
    fold: int = 0


def split(name: str, count: int, how: How) -> tuple[Tensor, Tensor]:
    """Which of the `count` images of the set `name` train, and which validate; drawn by `how.split_seed` alone.

    Raises UserError where `how` does not fit `count`.

    Returns:
        Ascending indices, int64, of the training and of the validation images.
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(how.split_seed))
    if how.num_folds:
        if how.num_folds > count:
            raise UserError(f"data.num_folds={how.num_folds} is more than the {count} images there are.")
        folds = list(order.tensor_split(how.num_folds))
        val = folds.pop(how.fold)
        train = torch.cat(folds)
    else:
        size = how.val_size if how.val_size is not None else max(1, count // 12)
        if size >= count:
            raise UserError(f"data.val_size={size} leaves nothing to train on: {name} has {count} training images.")
        val, train = order[:size], order[size:]
    # In the set's own order, the images of a batch lie near each other in memory where shuffle is off.
    return train[: how.limit].sort().values, val[: how.limit].sort().values


@functools.lru_cache(maxsize=1)
def _parts(source: sources.Source, how: How) -> tuple[Batch, Batch]:
    """Training and validation images with their labels, split once per process."""
    # index_select instead of [indices] takes a third of the time.
    train, val = (
        (source.train_images.index_select(0, part), source.train_labels.index_select(0, part))
        for part in split(source.name, len(source.train_labels), how)
    )
    return train, val


@functools.lru_cache(maxsize=2)
def _made(digits: int, others: int, noise: int) -> Batch:
    """Synthetic pen digits and outliers, made once per process."""
    images, labels = pen.pen_digits(digits)
    images = np.concatenate([images, outliers.outlier_drawings(others), patterns.outlier_noise(noise)])
    labels = np.concatenate([labels.astype(np.int64), np.full(others + noise, OUTLIER)])
    return torch.from_numpy(images), torch.from_numpy(labels)


def _with_embellished(images: Tensor, labels: Tensor, count: int) -> Batch:
    """The images and labels, and `count` of them once more with lines drawn onto them."""
    made, classes = embellish.embellished(images.numpy(), labels.numpy(), count)
    return torch.cat([images, torch.from_numpy(made)]), torch.cat([labels, torch.from_numpy(classes)])


def _variations(drawn: Sequence[WrittenDigit], count: int) -> InMemory:
    """`count` images of each drawing, as the same hand might have drawn it again."""
    images = [pen.variations(each.strokes, count, seed) for seed, each in enumerate(drawn)]
    labels = torch.tensor([each.label for each in drawn], dtype=torch.int64).repeat_interleave(count)
    return InMemory(torch.from_numpy(np.concatenate(images)) if images else torch.empty(0, 28, 28).byte(), labels)


def _place(drawing: WrittenDigit, seed: int) -> float:
    """A number from 0 to below 1 that a drawing keeps whichever others there are; the lowest are kept aside.

    A network that is trained again after more were drawn is then never measured with one that it has learned.
    """
    text = json.dumps([seed, drawing.id or [stroke.points for stroke in drawing.strokes]])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


class DigitsDataModule(pl.LightningDataModule):
    """Training, validation and test images of one data set, for any Lightning Trainer.

    Where several processes train together, each loads its share of every batch.

    Args:
        name: the published set; `auto` takes MNIST if it is on disk or can be fetched, else scikit-learn's digits.
        folder: where downloads are kept, in torchvision's layout.
        mirrors: `https://`, `http://` or `file://` bases that are tried before the official ones.
        source: returns a `Source`, a data set of your own, which then takes the place of the published one.
        batch_size: images in a training batch, over all devices together.
        fallback_batch_size: the same where `auto` falls back to the small set, whose few images make too few large
            batches to learn from.
        eval_batch_size: images in a batch that is only scored, over all devices together.
        shuffle: a new order of the training images in each epoch.
        num_workers: loader processes; 0 is fastest, since a batch is one indexing operation in memory.
        val_size: images set aside for validation; None for a twelfth of the training set.
        split_seed: draws the validation images.
        limit: use only this many training images, and at most as many for validation and test.
        num_folds: number of folds of a cross-validation; 0 for the plain split.
        fold: which fold validates, 0 to `num_folds` - 1.
        suspects: what happens to training images whose labels are likely wrong: kept as they are, left out (drop), or
            given soft labels (soften).
        suspects_file: the file that names them, or the folder of the sweep over `fold` that has written it.
        pen_digits: number of synthetic pen digits added to the training set.
        outlier_drawings: number of letters, signs and scribbles added as outliers (see `models.Loss`).
        outlier_noise: number of patterns and noise images added as outliers.
        embellished: number of the set's own training digits that are added once more with a line drawn onto them.
        drawings: folder of labelled drawings to train on as well, which the drawing window fills.
        drawings_share: about this share of the training set is drawings, in many variations of each.
        drawings_aside: share of the drawings that is not trained on, to measure what the others are worth.
        augment: changes training batches, float [N, 1, 28, 28] -> the same.
        seed: draws the order of the training images.

    Attributes (after `prepare_data` and `setup`):
        source: the loaded set, a `Source`; None before `setup`.
        train, val, test: the parts as `InMemory`.
        val_index: positions of the validation images in the whole training set, ascending, int64.
        suspects_facts: what the record says about the suspects; None where they are kept as they are.
        aside: drawings that are not trained on; None without `drawings`.

    Raises:
        UserError: the set cannot be loaded, or the sizes asked for do not fit it.
    """

    def __init__(
        self,
        name: Text = "auto",
        folder: Text = "data",
        mirrors: Sequence[Text] = (),
        source: Callable[[], sources.Source] | None = None,
        batch_size: PositiveInt = 128,
        fallback_batch_size: PositiveInt = 32,
        eval_batch_size: PositiveInt = 250,
        shuffle: bool = True,
        num_workers: Count = 0,
        val_size: PositiveInt | None = None,
        split_seed: Seed = 0,
        limit: PositiveInt | None = None,
        num_folds: Count = 0,
        fold: Count = 0,
        suspects: Treatment = "keep",
        suspects_file: Text | None = None,
        pen_digits: Count = 0,
        outlier_drawings: Count = 0,
        outlier_noise: Count = 0,
        embellished: Count = 0,
        drawings: Text | None = None,
        drawings_share: Share = 0.25,
        drawings_aside: Share = 0.2,
        augment: Callable[[Tensor], Tensor] | None = None,
        seed: Seed = 0,
    ) -> None:
        super().__init__()
        if num_folds == 1:
            raise UserError("data.num_folds=1 is not allowed: cross-validation needs 2 or more (0: the plain split).")
        if num_folds and fold >= num_folds:
            raise UserError(
                f"data.fold={fold} is not a fold: with data.num_folds={num_folds} it is 0 to {num_folds - 1}."
            )
        self.requested, self.own_source, self._place = name, source, (name, folder, tuple(mirrors))
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.fallback_batch_size = fallback_batch_size
        self.shuffle, self.num_workers = shuffle, num_workers
        self.limit, self.split_seed = limit, split_seed
        self._how = How(val_size, split_seed, limit, num_folds, fold)
        self.suspects, self.suspects_file = suspects, suspects_file
        self._suspected = doubtful.chosen(suspects, suspects_file, num_folds)
        self.pen_digits, self.outlier_drawings, self.outlier_noise = pen_digits, outlier_drawings, outlier_noise
        self.embellished = embellished
        self.drawings, self.drawings_share, self.drawings_aside = drawings, drawings_share, drawings_aside
        self.augment, self.seed = augment, seed
        self.source: sources.Source | None = None
        self._only_test = False  # what `source` holds
        self._resumed: dict[str, int] | None = None

    def prepare_data(self) -> None:
        """Fetch what is not on disk yet; in a run of several processes Lightning lets one do it."""
        only_test = self.trainer is not None and (self.trainer.testing or self.trainer.predicting)
        if self.own_source is None and self._lacks(only_test):
            _load(*self._place, only_test=only_test)

    def _lacks(self, only_test: bool) -> bool:
        """Whether something is still to be loaded; with `only_test`, of the test images."""
        return self.source is None or (self._only_test and not only_test)

    def load_source(self, *, only_test: bool = False) -> sources.Source:
        """The data set, before it is split or changed; a published one is loaded once per process.

        Args:
            only_test: whether the test images are enough; those for training may then be left out.
        """
        return self.own_source() if self.own_source is not None else _load(*self._place, only_test=only_test)

    def setup(self, stage: str | None = None) -> None:
        """Load into memory and split; a second call changes nothing.

        For the stages `test` and `predict`, only the test images are loaded, and only `test` is set.
        """
        only_test = stage in ("test", "predict")
        if not self._lacks(only_test):
            return
        self.source, self._only_test = self.load_source(only_test=only_test), only_test
        self.test = InMemory(self.source.test_images[: self.limit], self.source.test_labels[: self.limit])
        if not only_test:
            self._set_up_training(self.source)

    def _set_up_training(self, loaded: sources.Source) -> None:
        """Make the training and the validation set."""
        if self.requested == "auto" and loaded.name == "digits":
            self.batch_size = self.fallback_batch_size
        index, self.val_index = split(loaded.name, len(loaded.train_labels), self._how)
        (images, labels), val = _parts(loaded, self._how)
        self.suspects_facts = self._check_suspects(index)
        if self._suspected is not None and self.suspects == "drop":
            images, labels = doubtful.drop(index, images, labels, self._suspected)
        if self.embellished:
            images, labels = _with_embellished(images, labels, self.embellished)
        if any(made := (self.pen_digits, self.outlier_drawings, self.outlier_noise)):
            made_images, made_labels = _made(*made)
            images, labels = torch.cat([images, made_images]), torch.cat([labels, made_labels])
        self.train = InMemory(images, labels)
        self.aside: InMemory | None = None
        if self.drawings:
            self._add_drawings(Path(self.drawings).expanduser() / folder_of_drawings.FILE)
        if self._suspected is not None and self.suspects == "soften":
            self.train.labels = doubtful.soften(index, self.train.labels, self._suspected, loaded.num_classes)
        self.val = InMemory(*val)

    @property
    def name(self) -> str:  # type: ignore[override]
        """The set that was actually loaded; before `setup`, the one that was asked for."""
        return self.requested if self.source is None else self.source.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name per class, in the order of the labels; known after `setup`."""
        return () if self.source is None else self.source.class_names

    @property
    def split_facts(self) -> dict[str, Any]:
        """What decides which images train and which validate, as plain data."""
        return {"name": self.name, **self._how._asdict()}

    def _check_suspects(self, index: Tensor) -> dict[str, Any] | None:
        """Check the suspects against the set; returns `suspects_facts`."""
        if self._suspected is None:
            return None
        assert self.source is not None
        assert self.suspects_file is not None
        path, labels = Path(self.suspects_file), self.source.train_labels
        doubtful.check(self._suspected, path, self.source.name, labels, self.source.num_classes)
        return doubtful.facts(self.suspects, self.suspects_file, self._suspected, index)

    def fingerprint(self) -> dict[str, str]:
        """SHA-256 of what was loaded: the set's files or tensors, and the drawings; known after `setup`."""
        found = {} if self.source is None else self.source.fingerprint()
        if self.drawings:
            drawn = Path(self.drawings).expanduser() / folder_of_drawings.FILE
            found[drawn.name] = digest(drawn)
        return found

    def _add_drawings(self, path: Path) -> None:
        """Add a person's drawings to the training set, each in many variations, but keep a share of them aside."""
        drawn = list(read_digits(path)) if path.is_file() else []
        if not drawn:
            raise UserError(
                f"There are no drawings in {path} yet: draw some in `python scripts/draw.py` and label them with the "
                "digit keys, or name another folder with data.drawings=."
            )
        placed = sorted(((_place(each, self.split_seed), each) for each in drawn), key=lambda pair: pair[0])
        low = sum(place < self.drawings_aside for place, _ in placed)
        aside = min(max(low, int(self.drawings_aside > 0)), len(drawn) - 1)
        self.aside = _variations([each for _, each in placed[:aside]], 1)
        kept = [each for _, each in placed[aside:]]
        wanted = self.drawings_share / (1 - self.drawings_share) * len(self.train)
        each = max(1, round(wanted / len(kept)))  # images of a drawing; variations cost time, so the most are 40
        added = _variations(kept, min(each, 40))
        repeats = max(1, round(wanted / len(added)))
        self.train = InMemory(
            torch.cat([self.train.images, added.images.repeat(repeats, 1, 1)]),
            torch.cat([self.train.labels, added.labels.repeat(repeats)]),
        )

    def _loader(self, data: InMemory, batch_size: int, seed: int | None, *, drop_last: bool) -> DataLoader[Batch]:
        rank, ranks = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        order = Order(len(data), seed)
        batches = Batches(order, batch_size, rank, ranks, drop_last=drop_last, order=order)
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        if device.type == "cuda" and self.num_workers == 0:
            # The whole set fits on any GPU: indexing happens there, and a step transfers only its indices.
            data = InMemory(data.images.to(device), data.labels.to(device))
        return DataLoader(
            data,
            batch_sampler=batches,
            num_workers=self.num_workers,
            collate_fn=as_is,
            persistent_workers=self.num_workers > 0,
            # Its own: each iterator draws a number, in a resumed run at another moment than in an unbroken one.
            generator=torch.Generator(),
        )

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of `batch_size` over all processes, in a new order each epoch."""
        seed = self.seed if self.shuffle and not self._overfits else None
        loader = self._loader(self.train, self.batch_size, seed, drop_last=True)
        batches: Batches = loader.batch_sampler  # type: ignore[assignment]
        if not len(batches):
            raise UserError(
                f"{self.name} has {len(self.train)} training images here, which make no batch: each of the processes "
                "needs two. Is data.limit too low?"
            )
        if self._resumed is not None:
            batches.sampler.set_epoch(self._resumed["epoch"])
            batches.sampler.skip, self._resumed = self._resumed["batches"], None
        return loader

    # A checkpoint holds the position in the epoch. Lightning would load the state of a DataLoader too, but not where a
    # schedule asks for the length of the run, which makes the loaders before the checkpoint is read.

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its batches are done."""
        if self.trainer is None:
            return {}
        epochs: Any = self.trainer.fit_loop.epoch_progress.current
        batches = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
        if epochs.processed == epochs.started:  # between epochs, also where limits or max_steps end them early
            return {"epoch": epochs.processed, "batches": 0}
        if batches >= self.trainer.num_training_batches:
            return {"epoch": epochs.processed + 1, "batches": 0}
        return {"epoch": epochs.processed, "batches": batches}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Continue from there."""
        self._resumed = dict(state_dict) or None

    def val_dataloader(self) -> DataLoader[Batch]:
        """Batches of `eval_batch_size` over all processes, in order, each image once.

        With `trainer.overfit_batches` they are those of training, to see whether the network has learned them.
        """
        if self._overfits:
            return self._loader(self.train, self.batch_size, None, drop_last=False)
        return self._loader(self.val, self.eval_batch_size, None, drop_last=False)

    @property
    def _overfits(self) -> bool:
        """Whether training is on the same few batches each epoch."""
        return self.trainer is not None and self.trainer.overfit_batches > 0  # type: ignore[attr-defined]

    def test_dataloader(self) -> DataLoader[Batch]:
        """The test images, in order, each once."""
        return self._loader(self.test, self.eval_batch_size, None, drop_last=False)

    def predict_dataloader(self) -> DataLoader[Batch]:
        """The same as `test_dataloader`."""
        return self.test_dataloader()

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """On the device: uint8 to float in [0, 1], and in training the augmentation, each batch as a whole."""
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            return batch  # not from this module, such as the example that Lightning's model summary sends through
        images, labels = batch
        images = to_input(images)
        if self.augment is not None and self.trainer is not None and self.trainer.training:
            images = self.augment(images)
        return images, labels
