"""One file from the first of several addresses that has it whole. Knows nothing of data sets or formats."""

import hashlib
import http.client
import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener, url2pathname
from uuid import uuid4

from mnist_lightning import __version__
from mnist_lightning.errors import UserError

PATIENCE = 10.0  # seconds within which an address must answer, and between two pieces of what it sends
# A connection must deliver at least so many bytes in so many seconds. The first pair gives up on a server that sends
# single bytes (after any pause an honest one sends a packet of over 1,000), the second on one not worth waiting for.
SLOWEST = ((1.5, 1_000), (30.0, 300_000))

_LONGEST_REASON = 200  # characters
_PIECE = 1 << 20  # bytes read at a time
_DEAD_PART = 3600.0  # seconds after which no process can still be writing a .part file


class Unavailable(Exception):
    """No address has the file; the text lists each with what was wrong. Not a sentence for the user by itself."""


class _AddressError(Exception):
    """What was wrong with one address; `dead` where its server will not serve another file either."""

    def __init__(self, reason: str, dead: bool = False) -> None:
        # Part of it may be the server's own words: one line, no control characters, not a page of them.
        line = "".join(letter if letter.isprintable() else " " for letter in reason)
        super().__init__(" ".join(line.split())[:_LONGEST_REASON].rstrip(". "))
        self.dead = dead


def download(urls: Iterable[str], target: Path, md5: str, largest: int, dead: set[str]) -> None:
    """Fetch a file into `target`, which must not exist yet and should be a `part_file`.

    Args:
        urls: addresses of the same file (https, http, file), tried in this order.
        target: path of the new file.
        md5: hexadecimal MD5 that the file must have.
        largest: most bytes that the file may have; an address that sends more is given up.
        dead: servers that did not answer, or not in a usable way. They are skipped, and new ones are added: four
            files from a server that does not answer cost one wait instead of four.

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
        begin = b""
        try:
            with target.open("wb") as file:
                for piece in _limited(_pieces(url), largest):
                    begin = begin or piece[:1]
                    checksum.update(piece)
                    file.write(piece)
            if checksum.hexdigest() == md5:
                return
            raise _AddressError("a web page instead of the file" if begin == b"<" else _damage(target))
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
        try:
            scheme = urlsplit(base).scheme
        except ValueError:  # http://[half an address
            scheme = ""
        if scheme not in ("https", "http", "file"):
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
    """Remove the part files of killed processes, but none that might still be growing."""
    for part in folder.glob(".*.part"):
        with suppress(FileNotFoundError):  # another process removes them too
            if time.time() - part.stat().st_mtime > _DEAD_PART:
                part.unlink()


def _damage(target: Path) -> str:
    return "damaged or cut short (wrong MD5)" if target.stat().st_size else "an empty file"


def _limited(pieces: Iterator[bytes], largest: int) -> Iterator[bytes]:
    """The pieces, until they are too large or come too slowly: then an _AddressError."""
    total, slow = 0, ""
    began = [time.monotonic()] * len(SLOWEST)
    count = [0] * len(SLOWEST)
    for piece in pieces:
        total += len(piece)
        if total > largest:
            raise _AddressError(f"larger than the {largest:,} bytes that the file can have", dead=True)
        if slow:  # and more arrives: what came so slowly was not the end of the file
            raise _AddressError(slow, dead=True)
        now = time.monotonic()
        for number, (seconds, least) in enumerate(SLOWEST):
            count[number] += len(piece)
            if now - began[number] >= seconds:
                if count[number] < least:
                    slow = f"too slow ({count[number]:,} bytes in {now - began[number]:.1f} s)"
                began[number], count[number] = now, 0
        yield piece


def _pieces(url: str) -> Iterator[bytes]:
    """The content of an address as it arrives; anything that goes wrong with it becomes an _AddressError."""
    try:
        with _open(url) as answer:
            while piece := answer.read1(_PIECE):
                yield piece
    except HTTPError as error:
        error.close()
        raise _AddressError(f"HTTP {error.code} {error.reason}") from error
    except TimeoutError as error:
        raise _AddressError(f"no answer in {PATIENCE:g} s", dead=True) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        raise _AddressError(text, dead=isinstance(error, URLError)) from error


class _WebOnly(HTTPRedirectHandler):
    """Follows redirects to http:// and https:// only: a mirror cannot point at a file on this machine."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        """The next request. Raises ValueError for another kind of address."""
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise ValueError(f"redirects to {newurl[:100]}, which is not a web address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str) -> Any:
    """Open an address: something with `read1` that closes. Gives up after PATIENCE seconds in all.

    urllib's own timeout applies to each of a server's IP addresses separately, and not at all to the look-up of the
    name, so behind a firewall that drops packets it can take minutes.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise ValueError("a file of another machine")
        return _open_file(Path(url2pathname(parts.path)))
    answers: queue.SimpleQueue[IO[bytes] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        request = Request(url, headers={"User-Agent": f"mnist-lightning/{__version__}"})
        try:
            answers.put(build_opener(_WebOnly).open(request, timeout=PATIENCE))
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


def _open_file(path: Path) -> IO[bytes]:
    """Open a regular file; a pipe or a device might never end."""
    if path.exists() and not path.is_file():
        raise ValueError("not a regular file")
    return path.open("rb")
