"""What an annotation allows, in words: `a whole number, 1 or more, or null`."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from annotated_types import Ge, GroupedMetadata, Gt, Le, Lt, MaxLen, MinLen

from mnist_lightning.arguments import foreign_in
from mnist_lightning.types import LARGEST

_PLAIN = {bool: "true or false", str: "a text", int: "a whole number", float: "a number", type(None): "null"}


def described(annotation: Any) -> str:
    """The words; empty for an annotation that restricts nothing or that there are no words for."""
    base, bounds = _bounds(annotation)
    origin, arguments = typing.get_origin(base), typing.get_args(base)
    if origin is typing.Literal:
        names = [str(each) for each in arguments]
        return f"one of {', '.join(names)}" if len(names) > 1 else names[0]
    if origin in (typing.Union, types.UnionType):
        parts = [described(each) for each in arguments]
        return ", or ".join(dict.fromkeys(parts)) if all(parts) else ""
    if isinstance(base, type) and base in (int, float):
        return _number(_PLAIN[base], bounds)
    if base is str and bounds.get(MinLen):
        return "a text that is not empty"
    if isinstance(base, type) and base in _PLAIN:
        return _PLAIN[base]
    if foreign_in(base):
        return "a part with a _target_"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a mapping"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return _list(described(arguments[0]), bounds)
    return ""


def _bounds(annotation: Any) -> tuple[Any, dict[type, Any]]:
    """The bare type of an annotation and its bounds: `Annotated[int, Ge(1)]` -> int, {Ge: 1}."""
    if typing.get_origin(annotation) is not typing.Annotated:
        return annotation, {}
    base, *given = typing.get_args(annotation)
    bounds: dict[type, Any] = {}
    for each in given:
        known = each if isinstance(each, GroupedMetadata) else getattr(each, "metadata", [each])
        for bound in known:
            for kind, name in ((Ge, "ge"), (Gt, "gt"), (Le, "le"), (Lt, "lt"), (MinLen, "min_length"),
                               (MaxLen, "max_length")):  # fmt: skip
                if isinstance(bound, kind):
                    bounds[kind] = getattr(bound, name)
    return base, bounds


def _number(kind: str, bounds: dict[type, Any]) -> str:
    low, above, high, below = (bounds.get(each) for each in (Ge, Gt, Le, Lt))
    high = None if high == LARGEST else high
    if low is not None and low == high:
        return f"{low}"
    if low is not None and high is None and below is None:
        return f"{kind}, {low} or more"
    start = f"from {low}" if low is not None else f"above {above}" if above is not None else ""
    end = f"to {high}" if low is not None else f"at most {high}"
    if high is None:
        end = "" if below is None else f"to below {below}" if low is not None else f"below {below}"
    return " ".join(filter(None, [kind, start, "and" if above is not None and end else "", end]))


def _list(each: str, bounds: dict[type, Any]) -> str:
    least, most = bounds.get(MinLen), bounds.get(MaxLen)
    count = f"of {least} entries" if least == most and least else f"of {least} or more entries" if least else ""
    return " ".join(filter(None, ["a list", count])) + (f", each {each}" if each else "")
