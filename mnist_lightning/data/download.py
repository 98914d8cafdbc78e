"""One file from the first of several addresses that has it whole. Knows nothing of data sets and formats."""

import hashlib
import http.client
import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen
from uuid import uuid4

from mnist_lightning import __version__
from mnist_lightning.errors import UserError

PATIENCE = 10.0  # seconds until an address must have answered, and between two pieces of what it sends

_PIECE = 1 << 20  # bytes read at a time
_DEAD_PART = 3600.0  # seconds after which nobody can be writing a .part file any more


class Unavailable(Exception):
    """No address has the file; the text lists each with what was wrong. Not for the user as it stands."""


class _AddressError(Exception):
    """What was wrong with one address; `dead` where its server will not answer for another file either."""

    def __init__(self, reason: str, dead: bool = False) -> None:
        super().__init__(reason)
        self.dead = dead


def download(urls: Iterable[str], target: Path, md5: str, dead: set[str]) -> None:
    """Fetch a file into `target`, which must not exist yet and should be a `part_file`.

    Args:
        urls: addresses of the same file (https, http, file), tried in this order.
        target: path of the new file.
        md5: hexadecimal MD5 that the file must have.
        dead: servers that did not answer. They are skipped, and new ones are added: four files from a
            server that does not answer cost one wait instead of four.

    Raises:
        Unavailable: no address has the file with this MD5.
        OSError: `target` cannot be written.
    """
    failures = []
    for url in urls:
        server = urlsplit(url).netloc
        if server and server in dead:
            continue
        checksum = hashlib.md5(usedforsecurity=False)
        try:
            with target.open("wb") as file:
                for piece in _pieces(url):
                    checksum.update(piece)
                    file.write(piece)
            if checksum.hexdigest() == md5:
                return
            raise _AddressError("damaged or cut short (wrong MD5)")
        except _AddressError as error:
            failures.append(f"{url}: {error}")
            if error.dead:
                dead.add(server)
    raise Unavailable("; ".join(failures) or "no address is left to try")


def mirror_urls(mirrors: Iterable[str], filename: str) -> list[str]:
    """Addresses of a file below mirrors, each one an https://, http:// or file:// base or a folder.

    Raises:
        UserError: a mirror is an address of another kind.
    """
    urls = []
    for mirror in mirrors:
        base = mirror if "://" in mirror else Path(mirror).expanduser().absolute().as_uri()
        if urlsplit(base).scheme not in ("https", "http", "file"):
            raise UserError(f"Mirror {mirror!r} must be a folder or start with https://, http:// or file://.")
        urls.append(f"{base.rstrip('/')}/{quote(filename)}")
    return urls


@contextmanager
def part_file(target: Path) -> Iterator[Path]:
    """A path beside `target` that no other process uses; if a file still lies there at the end, it is removed."""
    part = target.with_name(f".{target.name}.{os.getpid()}-{uuid4().hex[:8]}.part")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def remove_dead_parts(folder: Path) -> None:
    """Remove what killed processes left of their part files, but none that might still be growing."""
    for part in folder.glob(".*.part"):
        with suppress(FileNotFoundError):  # another process sweeps too
            if time.time() - part.stat().st_mtime > _DEAD_PART:
                part.unlink()


def _pieces(url: str) -> Iterator[bytes]:
    """The content of an address; all that can go wrong with it becomes an _AddressError."""
    try:
        with _open(url) as answer:
            while piece := answer.read(_PIECE):
                yield piece
    except HTTPError as error:
        raise _AddressError(f"HTTP {error.code} {error.reason}") from error
    except TimeoutError as error:
        raise _AddressError(f"no answer in {PATIENCE:g} s", dead=True) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        raise _AddressError(text, dead=isinstance(error, URLError)) from error


def _open(url: str) -> IO[bytes]:
    """`urlopen` that gives up after PATIENCE seconds in all.

    Its own timeout holds for each of a server's IP addresses anew and not at all for the look-up of the
    name, so behind a firewall that drops packets it can take minutes.
    """
    answers: queue.SimpleQueue[IO[bytes] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        request = Request(url, headers={"User-Agent": f"mnist-lightning/{__version__}"})
        try:
            answers.put(urlopen(request, timeout=PATIENCE))
        except Exception as error:  # raised again below, in the thread that waits for it
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=PATIENCE)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, Exception):
        raise answer
    return answer
