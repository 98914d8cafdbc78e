"""Readers for files that somebody else may have made: each stops at a limit that an ordinary file never reaches.

Knows nothing of what the files are for. Imports nothing heavy.
"""

from __future__ import annotations

import json
import re
import reprlib
import unicodedata
from pathlib import Path
from typing import Any

from mnist_lightning.errors import UserError

LARGEST_JSON = 64 << 20  # bytes of a JSON file; the record of a thousand epochs has under 1 MiB
LARGEST_YAML = 1 << 18  # bytes of a YAML file; the largest config that Hydra composes here has 10 kB
MOST_VALUES = 1_000_000  # values in a file; the record of a thousand epochs has 10,000
DEEPEST = 32  # levels of lists and mappings; a config of this project has 6
_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")  # half a surrogate pair, as JSON escapes it
LONGEST_TEXT = 10_000  # characters of a text that will be shown


def short(value: Any) -> str:
    """A value as text for a message: at most 60 characters, all printable."""
    text = repr(value) if isinstance(value, str) and len(value) < 60 else reprlib.repr(value)
    text = text.encode("ascii", "backslashreplace").decode() if not text.isprintable() else text
    return text if len(text) <= 60 else text[:57] + "..."


def text_fault(text: Any, longest: int = LONGEST_TEXT) -> str | None:
    """What is wrong with a text that will be printed or drawn, as half a sentence; None if nothing is.

    Half a surrogate pair (`"\\ud800"`) crashes OpenCV's text drawing with a segmentation fault, and control characters
    can move the cursor of a terminal.
    """
    if not isinstance(text, str):
        return f"must be a text, not {short(text)}"
    if len(text) > longest:
        return f"has {len(text):,} letters, at most {longest:,} are allowed"
    for letter in "" if text.isprintable() else text:
        if unicodedata.category(letter) in ("Cc", "Cs"):
            return f"holds {short(letter)}, which is not a letter that can be shown"
    return None


def parse_json(text: str | bytes, where: str) -> Any:
    """The data in a JSON text of any origin.

    Args:
        text: the text; the caller limits its length.
        where: what to call it in the error.

    Raises:
        UserError: it is not JSON, or nested too deeply to be read.
    """
    try:
        data = json.loads(text)
        if _HALF_PAIR.search(text if isinstance(text, bytes) else text.encode()):  # checked only if it may be one
            json.dumps(data, ensure_ascii=False).encode()
        return data
    except UnicodeEncodeError:
        raise UserError(f"{where} is not valid: it holds half a surrogate pair.") from None
    except RecursionError:
        raise UserError(f"{where} is not valid: its lists are nested too deeply.") from None
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, a number of ten thousand digits
        reason = str(error).partition(";")[0]
        raise UserError(f"{where} is not valid JSON ({reason}).") from None


def read_json(path: Path, largest: int = LARGEST_JSON) -> Any:
    """The data in a JSON file of any origin.

    Args:
        path: the file.
        largest: the most bytes that are read.

    Raises:
        UserError: it cannot be read, is too large, is not JSON, is nested more than 32 levels deep, or holds more than
            a million values.
    """
    data = parse_json(_read(path, largest), str(path))
    if fault := plain_data_fault(data):
        raise UserError(f"{path} is not valid: it {fault}.")
    return data


def read_yaml(path: Path) -> Any:
    """The data in a YAML file of any origin: plain values only.

    A file of 400 bytes whose aliases repeat each other can stand for a billion values; such a file is refused before
    they are made.

    Raises:
        UserError: it cannot be read, is too large, is not YAML, or stands for too many values.
    """
    import yaml

    text = _read(path, LARGEST_YAML)
    chosen = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = None
    try:
        depth = 0
        for event in yaml.parse(text, chosen):  # one after another: libyaml's own recursion can crash
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise RecursionError
        loader = chosen(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _expanded(node, {}, 0) > MOST_VALUES:
            raise UserError(f"{path} is not valid: it stands for more than {MOST_VALUES:,} values.")
        return loader.construct_document(node)
    except RecursionError:
        raise UserError(f"{path} is not valid: its lists are nested too deeply.") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is not valid YAML ({reason}).") from None
    finally:
        if loader is not None:
            loader.dispose()


def plain_data_fault(data: Any, most: int = MOST_VALUES) -> str | None:
    """What is wrong with data that should be plain, as half a sentence; None if nothing is.

    Plain data are None, booleans, numbers, texts, lists, tuples, and mappings whose keys are texts. A list that occurs
    twice counts twice, so that data which refers to itself ends, too.
    """
    level, count = [data], 1  # level by level
    for depth in range(DEEPEST + 2):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                if not all(isinstance(key, str) for key in value):
                    return "has keys that are not texts"
                below += value.values()
            elif isinstance(value, list | tuple):
                below += value
            elif value is not None and not isinstance(value, str | int | float):  # a bool is an int
                return f"holds {short(value)}, which is not plain data"
            if count + len(below) > most:
                return f"holds more than {most:,} values"
        if not below:
            return None
        level, count = below, count + len(below)
        if depth == DEEPEST:
            return f"is nested more than {DEEPEST} levels deep"
    return None


def _read(path: Path, largest: int) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a pipe or a device might never end
            raise UserError(f"{path} cannot be read: it is not a file.")
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    if len(content) > largest:
        raise UserError(f"{path} is too large: at most {largest:,} bytes are read.")
    return content


def _expanded(node: Any, known: dict[int, int], depth: int) -> int:
    """How many values a YAML node stands for, aliases expanded. Raises RecursionError if it is nested too deeply."""
    if depth > DEEPEST:
        raise RecursionError
    if id(node) not in known:
        inside = node.value if isinstance(node.value, list) else []
        flat = [each for pair in inside for each in (pair if isinstance(pair, tuple) else (pair,))]
        known[id(node)] = 1 + sum(_expanded(each, known, depth + 1) for each in flat)
    return known[id(node)]
