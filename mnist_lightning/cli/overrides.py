"""What an override is about, as it is typed and as records keep it. Hydra's own parser needs a config to compose."""

from __future__ import annotations


def key_of(override: str) -> str:
    """The setting or group: `data.fold` of `++data.fold=3` and of `~data.fold`, `model` of `model@teacher=cnn`."""
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def is_in(key: str, *sections: str) -> bool:
    """Whether a key is one of `sections` or below one: `logger.csv.name` is in `logger`."""
    return any(key == each or key.startswith(f"{each}.") for each in sections)
