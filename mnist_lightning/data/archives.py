"""Where each data set is published, and how the published files become four IDX files.

Addresses and MD5 sums are torchvision's own tables, read when something has to be fetched: no second list
that could become outdated. The four files have MNIST's names and form whatever the publisher's format, so one
reader serves every set.
"""

import bz2
import gzip
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import numpy as np

from mnist_lightning.data.checksums import Checksums, sha256, stamp_of
from mnist_lightning.data.download import download, mirror_urls, part_file, remove_dead_parts
from mnist_lightning.data.idx import decode_idx, write_idx

TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

# torchvision's class and its folder, by the name the set has here
TORCHVISION = {
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "qmnist": "QMNIST",
    "emnist_digits": "EMNIST",
    "usps": "USPS",
}


@dataclass(frozen=True)
class Archive:
    """One published file: its addresses, its MD5, and the IDX files whose content it holds."""

    filename: str
    md5: str
    urls: tuple[str, ...]
    parts: tuple[str, ...]
    unpack: Callable[[Path], Iterable[np.ndarray]]  # the published file -> one uint8 array per part
    largest: int = 100_000_000  # most bytes that the published file may have


def fetch(name: str, parts: Iterable[str], folder: Path, mirrors: Sequence[str], checksums: Checksums) -> None:
    """Fetch a data set's published files and write the wanted IDX files, each whole or not at all.

    A published file that torchvision left below `folder` is used before any mirror. Published files are
    not kept: nothing reads them again, and they would double the space that a set takes.

    Args:
        name: a key of `TORCHVISION`.
        parts: names of the IDX files wanted.
        folder: data folder; the IDX files go to its `<torchvision's name>/raw`.
        mirrors: bases or folders, tried before the official addresses.
        checksums: of the set; the files written are recorded in it.

    Raises:
        Unavailable: no address has a file that is needed.
        UserError: a mirror is not an address.
        OSError: the folder cannot be written.
    """
    wanted, dead = set(parts), set[str]()
    raw = folder / TORCHVISION[name] / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    remove_dead_parts(raw)
    for archive in _archives(name):
        if wanted.isdisjoint(archive.parts):
            continue
        kept = [place / archive.filename for place in (raw, folder)]  # `folder` is where torchvision puts USPS
        urls = [path.absolute().as_uri() for path in kept if path.is_file()]
        urls += [*mirror_urls(mirrors, archive.filename), *archive.urls]
        with part_file(raw / archive.filename) as published:
            download(urls, published, archive.md5, archive.largest, dead)
            for part, values in zip(archive.parts, archive.unpack(published), strict=True):
                if part in wanted or not (raw / part).exists():
                    write_idx(raw / part, values)
                    checksums.note(part, sha256(values), stamp_of((raw / part).stat()))


def _archives(name: str) -> list[Archive]:
    from torchvision import datasets  # 1.5 s, spent only when something has to be fetched

    if name == "qmnist":
        return [
            Archive(_filename(url), md5, (url,), (part,), _unpack_gzip)
            for split, pair in (("train", TRAIN), ("test", TEST))
            for (url, md5), part in zip(datasets.QMNIST.resources[split], pair, strict=True)
        ]
    if name == "emnist_digits":
        url, md5 = datasets.EMNIST.url, datasets.EMNIST.md5
        return [Archive(_filename(url), md5, (url,), (*TRAIN, *TEST), _unpack_emnist_digits, 1_000_000_000)]
    if name == "usps":
        return [
            Archive(filename, md5, (url,), pair, _unpack_usps)
            for split, pair in (("train", TRAIN), ("test", TEST))
            for url, filename, md5 in [datasets.USPS.split_list[split]]
        ]
    published = getattr(datasets, TORCHVISION[name])
    return [
        Archive(filename, md5, tuple(mirror_urls(published.mirrors, filename)), (Path(filename).stem,), _unpack_gzip)
        for filename, md5 in published.resources
    ]


def _filename(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).name


def _unpack_gzip(published: Path) -> Iterator[np.ndarray]:
    values = decode_idx(gzip.decompress(published.read_bytes()))
    # Each QMNIST label is a row of eight numbers, of which the first is the digit.
    yield values if values.dtype == np.uint8 else values[:, 0].astype(np.uint8)


def _unpack_emnist_digits(published: Path) -> Iterator[np.ndarray]:
    with zipfile.ZipFile(published) as members:
        for split in ("train", "test"):
            for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
                values = decode_idx(gzip.decompress(members.read(f"gzip/emnist-digits-{split}-{kind}.gz")))
                yield values.swapaxes(1, 2) if values.ndim == 3 else values  # published column by column


def _unpack_usps(published: Path) -> Iterator[np.ndarray]:
    """LIBSVM lines `label 1:value ... 256:value`, labels 1 to 10, values from -1 (paper) to 1 (ink), 16x16."""
    from mnist_lightning.data.small import enlarge  # imports OpenCV, which the other sets do not need

    table = np.array(bz2.decompress(published.read_bytes()).replace(b":", b" ").split(), np.float32)
    table = table.reshape(-1, 1 + 2 * 256)
    grey = np.rint((table[:, 2::2] + 1) * 127.5).astype(np.uint8).reshape(-1, 16, 16)
    yield np.stack([enlarge(image) for image in grey])
    yield table[:, 0].astype(np.uint8) - 1
