"""JavaScript modules joined into one script, for a page that has no server to load them from.

Understands only what the modules of this project use: `import { a, b as c } from "./file.js";` and `export` in front of
`const`, `let`, `function`, `async function` and `class`. Each module becomes a function of its own, so names of
different modules never clash.
"""

from __future__ import annotations

import re
from pathlib import Path

_IMPORT = re.compile(r'^import \{([^}]*)\} from "(\.[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|let|class|function|async function)\b)", re.MULTILINE)
_EXPORTED = re.compile(r"^export (?:const|let|class|function|async function)\*? (\w+)", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def bundle(root: Path, entry: str) -> str:
    """One script made of the module `entry`, a path below `root`, and all that it imports.

    Raises:
        ValueError: a module imports or exports in another form, or imports are circular.
    """
    modules: dict[str, str] = {}
    _collect(root.resolve(), (root / entry).resolve(), modules, ())
    body = "\n".join(modules.values())
    return f'"use strict";\n(() => {{\nconst modules = {{}};\n{body}}})();\n'


def _collect(root: Path, path: Path, modules: dict[str, str], importers: tuple[str, ...]) -> None:
    """Add a module after all that it imports."""
    name = path.relative_to(root).as_posix()
    if name in modules:
        return
    if name in importers:
        raise ValueError(f"Modules import each other in a circle: {' -> '.join((*importers, name))}.")
    source = path.read_text(encoding="utf-8")
    for imported in _IMPORT.finditer(source):
        _collect(root, (path.parent / imported[2]).resolve(), modules, (*importers, name))

    def bind(imported: re.Match[str]) -> str:
        names = ", ".join(each.strip().replace(" as ", ": ") for each in imported[1].split(",") if each.strip())
        there = (path.parent / imported[2]).resolve().relative_to(root).as_posix()
        return f'const {{ {names} }} = modules["{there}"];\n'

    exported = _EXPORTED.findall(source)
    text = _EXPORT.sub("", _IMPORT.sub(bind, source))
    if left := _LEFT.search(text):
        raise ValueError(f"{name} has an import or export that cannot be bundled: {left[0]}")
    text = _without_comments(text)
    modules[name] = f'modules["{name}"] = (() => {{\n{text}return {{ {", ".join(exported)} }};\n}})();\n'


def _without_comments(text: str) -> str:
    """Remove indentation and comments, a third of the bytes.

    A comment stays if both it and the code before it hold a quotation mark: it may be part of a string.
    """
    text = re.sub(r"^\s*/\*\*.*?\*/\n", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"[ ]+// [^'\"`\n]*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^([^'\"`\n]*?)[ ]+// .*$", r"\1", text, flags=re.MULTILINE)
    lines = (line.strip() for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("//"))
