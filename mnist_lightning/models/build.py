"""A network from its description in a checkpoint's card: built only from what is offered or allowed by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from mnist_lightning.arguments import accepts, parameters_of
from mnist_lightning.errors import UserError
from mnist_lightning.models.cnn import CNN
from mnist_lightning.models.ensemble import Ensemble
from mnist_lightning.models.lenet5 import LeNet5
from mnist_lightning.models.mlp import MLP

OFFERED: dict[str, type[nn.Module]] = {
    f"mnist_lightning.models.{made.__name__}": made for made in (CNN, MLP, LeNet5, Ensemble)
}
"""The networks of this package, by the `_target_` that a config and a card name them by."""

_OLD_NAMES = {"cnn": CNN, "mlp": MLP, "lenet5": LeNet5, "ensemble": Ensemble}  # cards written before version 0.2


def describe_class(made: type) -> str:
    """The `_target_` of a network's class, as a card names it."""
    return next((path for path, each in OFFERED.items() if each is made), f"{made.__module__}.{made.__qualname__}")


def build(
    description: Mapping[str, Any], *, num_classes: int = 10, image_size: int = 28, allow: Sequence[str] = ()
) -> nn.Module:
    """Make the network of a card: `{"_target_": "mnist_lightning.models.CNN", **arguments}`.

    Args:
        description: plain data, possibly written by a stranger; arguments that are left out take their defaults.
        num_classes: number of logits, for a network that takes it.
        image_size: height and width of the images, for a network that takes it.
        allow: modules or classes outside of this package that may be imported and built, such as `my_project.nets`.

    Raises:
        UserError: the class is neither offered nor allowed, or an argument is unknown.
    """
    arguments = dict(description)
    made = _class(arguments.pop("_target_", None), arguments.pop("name", None), allow)
    if made is Ensemble:
        members = arguments.get("members", ())
        return Ensemble([build(each, num_classes=num_classes, image_size=image_size, allow=allow) for each in members])
    known = parameters_of(made)
    for name in arguments.keys() - known.keys():
        if not any(each.kind is each.VAR_KEYWORD for each in known.values()):
            raise UserError(f"The network {made.__name__} has no argument {name!r}; it has {', '.join(sorted(known))}.")
    return made(**accepts(made, num_classes=num_classes, image_size=image_size) | arguments)


def _class(target: Any, old_name: Any, allow: Sequence[str]) -> type[nn.Module]:
    """The class that a card names.

    Nothing is imported before the name is allowed, and what is found must be a network that the allowed module itself
    defines: a module's imports (`my_nets.os.system`) are not allowed with it.
    """
    if target is None and isinstance(old_name, str) and old_name in _OLD_NAMES:
        return _OLD_NAMES[old_name]
    if isinstance(target, str) and target in OFFERED:
        return OFFERED[target]
    name = str(old_name if target is None else target)
    if not isinstance(target, str) or not any(name == each or name.startswith(f"{each}.") for each in allow):
        raise UserError(
            f"The network {name!r} is not one of this package ({', '.join(sorted(_OLD_NAMES))}). If you trust the code "
            f"that it names, allow it with allow=[{name.rpartition('.')[0] or 'module'}]."
        )
    home, _, leaf = name.rpartition(".")
    try:
        made = getattr(importlib.import_module(home), leaf)
    except (ImportError, AttributeError) as error:
        raise UserError(f"The network {name!r} cannot be imported: {error}.") from None
    if not (isinstance(made, type) and issubclass(made, nn.Module) and made.__module__ == home):
        raise UserError(f"{name!r} is not a network that {home} defines, and is not built.")
    return made
