"""What the program tells people to run or to read is there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
# A path below one of the checkout's folders, as it stands in a message: up to a blank, a quote or a bracket.
NAMED = re.compile(r"(?<![\w/.<>{}-])(?:scripts|conf|docs|benchmarks|examples|notebooks)/[\w.-]+(?:/[\w.-]+)*/?")
OUR_FILES = re.compile(r"(?<![\w/.-])(?:README|ARCHITECTURE|CONTRIBUTING|CHANGELOG|CITATION)\.(?:md|cff)")


def texts(path: Path) -> Iterator[str]:
    """The string literals of a Python file, and the whole of any other."""
    if path.suffix != ".py":
        yield path.read_text(encoding="utf-8")
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):  # a name in braces is anything
            yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def named(path: Path) -> set[str]:
    """The files and folders of the checkout that a file's texts name."""
    found = {name.rstrip(".") for text in texts(path) for form in (NAMED, OUR_FILES) for name in form.findall(text)}
    return {name for name in found if not name.startswith("conf/local/")}  # the user's own


def sources() -> list[Path]:
    """Whatever speaks to people: the package with its templates, the scripts, the plugins, the config."""
    folders = ("mnist_lightning", "scripts", "hydra_plugins", "conf")
    kinds = {".py", ".jinja", ".yaml", ".html", ".js"}
    return sorted(path for each in folders for path in (PROJECT / each).rglob("*") if path.suffix in kinds)


@pytest.mark.parametrize("path", [path for path in sources() if named(path)], ids=lambda path: path.name)
def test_every_script_and_file_that_a_message_names_is_there(path):
    missing = sorted(name for name in named(path) if not (PROJECT / name).exists())
    assert missing == [], f"{path.relative_to(PROJECT)} sends people to what is not there"


def test_a_name_is_found_in_messages_f_strings_and_comments_of_configs(tmp_path):
    (tmp_path / "a.py").write_text(
        'x = "try `python scripts/nothing.py image=...`, or conf/none/."\n'
        'y = f"see docs/{x}.md, {x}/scripts/own.py and benchmarks/a/b.py"\n'
    )
    assert named(tmp_path / "a.py") == {"scripts/nothing.py", "conf/none/", "benchmarks/a/b.py"}
    (tmp_path / "a.yaml").write_text("key: 1 # as in conf/data/mnist.yaml; conf/local/train.yaml\n")
    assert named(tmp_path / "a.yaml") == {"conf/data/mnist.yaml"}
