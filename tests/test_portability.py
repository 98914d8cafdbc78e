"""What breaks on Windows or macOS and not on Linux, found by reading the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
FOLDERS = ("mnist_lightning", "scripts", "benchmarks", "hydra_plugins")
_OTHER_OPENERS = ("os", "gzip", "bz2", "lzma", "io", "Image", "webbrowser", "wave")  # `open` of another meaning


def calls_without_encoding(source: str) -> Iterator[int]:
    """Lines that open a text file without saying its encoding: on Windows it is another one than on Linux."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or any(word.arg in ("encoding", None) for word in node.keywords):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        arguments = [each.value if isinstance(each, ast.Constant) else None for each in node.args]
        if (name == "read_text" and not node.args) or (name == "write_text" and len(node.args) == 1):
            yield node.lineno
        elif name == "open" and owner in ("", "gzip", "bz2", "lzma", "io") and len(node.args) < 4:
            mode = arguments[1] if len(arguments) > 1 else _mode(node, "r" if owner in ("", "io") else "rb")
            if isinstance(mode, str) and ("b" not in mode if owner in ("", "io") else "t" in mode):
                yield node.lineno
        elif name == "open" and owner and owner not in _OTHER_OPENERS:
            mode = arguments[0] if arguments else _mode(node, "r")
            if isinstance(mode, str) and set(mode) <= set("rwxa+bt") and "b" not in mode and len(node.args) < 3:
                yield node.lineno


def _mode(call: ast.Call, default: str) -> object:
    given = [word.value for word in call.keywords if word.arg == "mode"]
    return default if not given else getattr(given[0], "value", None)


@pytest.mark.parametrize("folder", FOLDERS)
def test_text_files_are_opened_with_an_encoding(folder):
    found = [
        f"{path.relative_to(PROJECT).as_posix()}:{line}"
        for path in sorted((PROJECT / folder).rglob("*.py"))
        for line in calls_without_encoding(path.read_text(encoding="utf-8"))
    ]
    assert found == [], "give each an encoding, as encoding='utf-8'"


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("path.read_text()", True),
        ("path.read_text(encoding='utf-8')", False),
        ("path.read_text('utf-8')", False),
        ("path.write_text(text)", True),
        ("path.write_text(text, encoding='utf-8')", False),
        ("open(path)", True),
        ("open(path, 'rb')", False),
        ("open(path, 'w', encoding='utf-8')", False),
        ("open(path, mode='wb')", False),
        ("path.open()", True),
        ("path.open('a')", True),
        ("path.open('rb')", False),
        ("path.open(mode='r+b')", False),
        ("gzip.open(path)", False),
        ("gzip.open(path, 'rt')", True),
        ("os.open(path, flags)", False),
        ("Image.open(path)", False),
        ("TorchPredictor.open(path, device, tta, precision)", False),
    ],
)
def test_the_check_knows_what_opens_a_text_file(source, wrong):
    assert list(calls_without_encoding(source)) == ([1] if wrong else [])
