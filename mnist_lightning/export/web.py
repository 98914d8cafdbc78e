"""A network as one HTML file: page, engine and weights, for a browser without a network connection.

The page is the one that the service shows (`service/page/`); in the file its modules follow one another, and the
engine runs in a worker that is made from the file's own text, which is compressed.
"""

from __future__ import annotations

import base64
import copy
import json
import logging
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_lightning.errors import UserError
from mnist_lightning.export import base91
from mnist_lightning.export.bundle import bundle

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from mnist_lightning.export.formats import Export

log = logging.getLogger("mnist_lightning")

PAGE = Path(__file__).parent.parent / "service" / "page"
MOST_BYTES = 700_000  # of a file with the page's own engine; a larger one is written with a warning

DIFFERING = 0.005  # share of the calibration images that 8-bit weights may read differently

_SCRIPTS = (  # both engines compile WebAssembly
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; worker-src blob:; "
    "style-src 'unsafe-inline'; "
)
_POLICY = {  # nothing is ever requested from anywhere; ONNX Runtime imports from blobs
    "own": f"{_SCRIPTS}img-src data: blob:",
    "onnxruntime-web": f"{_SCRIPTS}img-src data: blob:; connect-src blob: data:",
}


def write(export: Export) -> None:
    """Write `export.path`: one HTML file that opens by double click.

    `export.options["engine"]` is `own`, for the project's networks, with weights of 8 bits; or `onnxruntime-web` for
    all others, with the network as `format=onnx` writes it and about 15 MB of runtime.

    Raises:
        UserError: the engine cannot run the network, or 8 bits change too many answers.
    """
    engine = export.options.get("engine", "own")
    if engine == "own":
        network = _own(export)
        worker = bundle(PAGE, "engine/worker.js")
    else:
        network = _onnx(export)
        worker = bundle(PAGE, "engine/worker_onnx.js")
    text = page(network | _common(export.card), worker, engine)
    export.path.write_text(text, encoding="utf-8")
    if engine == "own" and len(text.encode()) > MOST_BYTES:
        log.warning(
            "The page has %d kB: networks of more than 450,000 weights load slowly.", len(text.encode()) // 1000
        )


def page(network: dict[str, Any], worker: str, engine: str = "own") -> str:
    """The page as one text, including the data that the engine reads."""
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    style = (PAGE / "page.css").read_text(encoding="utf-8")
    icon = base64.b64encode((PAGE / "icon.svg").read_bytes()).decode()
    data = json.dumps(network, separators=(",", ":"), ensure_ascii=False)
    parts = {
        '<meta charset="utf-8">': f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" '
        f'content="{_POLICY[engine]}">',
        'href="icon.svg"': f'href="data:image/svg+xml;base64,{icon}"',
        '<link rel="stylesheet" href="page.css">': f"<style>\n{style}</style>",
        '<script type="module" src="js/main.js"></script>\n': "",
        "</body>": f'<script type="application/json" id="network">{_inert(data)}</script>\n'
        f'<script type="text/plain" id="worker">{base91.encode(zlib.compress(worker.encode(), 9))}</script>\n'
        f"<script>\n{_inert(bundle(PAGE, 'js/alone.js'))}</script>\n</body>",
    }
    for old, new in parts.items():
        if html.count(old) != 1:
            raise RuntimeError(f"service/page/index.html must contain {old!r} once.")
        html = html.replace(old, new)
    return html


def _inert(text: str) -> str:
    """Text that does not end the script element that it is in."""
    return text.replace("</", "<\\/").replace("<!--", "\\u003c!--")


def _common(card: dict[str, Any]) -> dict[str, Any]:
    """The parts of a card that every engine gets."""
    network = dict(card["network"])
    kind = str(network.get("name") or network.get("_target_", "network")).rpartition(".")[2].lower()
    shown = {"title": f"{kind}, trained on {card.get('dataset', 'other images')}", "network": network}
    return {
        "classNames": [str(name) for name in card["class_names"]],
        "imageSize": card["image_size"],
        "temperature": float(card.get("temperature") or 1.0),
        "sure": float(card.get("sure", 0.5)),
        "card": shown | {"export": card.get("export")},
    }


def _own(export: Export) -> dict[str, Any]:
    """The network for the page's own engine, compared with the original."""
    from mnist_lightning.export import web_network

    described = web_network.describe(export.network)
    rounded = copy.deepcopy(export.network)
    rounded.load_state_dict(web_network.rounded(rounded, rounded.state_dict()))
    differing, count = _differing(export, partial(_logits, rounded))
    if differing > DIFFERING * count:
        raise UserError(
            f"Weights of 8 bits change {differing} of {count} answers of this network: use engine=onnxruntime-web, "
            "which keeps them in float32."
        )
    return described


def _differing(export: Export, read: Callable[[np.ndarray], np.ndarray]) -> tuple[int, int]:
    """Of how many images `read` gives another answer than the network, and how many were read."""
    images = export.calibration()
    differing = int((read(images).argmax(1) != _logits(export.network, images).argmax(1)).sum())
    print(f"{differing} of {len(images)} training images are read differently")
    return differing, len(images)


def _logits(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """Logits [N, C] of images uint8 [N, H, W]."""
    import torch

    from mnist_lightning.models.network import to_input

    with torch.inference_mode():
        return network.eval()(to_input(torch.as_tensor(images))).numpy()


def _onnx(export: Export) -> dict[str, Any]:
    """The network as ONNX, compared with the original, and the runtime for it."""
    from mnist_lightning.export import onnx_runtime_web
    from mnist_lightning.export.formats import FORMATS, INT8_DIFFERING, READERS

    path = export.path.with_suffix(".onnx")
    try:
        FORMATS["onnx"](replace(export, path=path))
        differing, count = _differing(export, READERS["onnx"](path))
        if differing > (INT8_DIFFERING * count if export.quantize else 0):
            raise RuntimeError(
                f"The page does not compute what the network does: {differing} of {count} images differ."
            )
        model = path.read_bytes()
    finally:
        path.unlink(missing_ok=True)
    return {"model": base64.b64encode(model).decode(), "runtime": onnx_runtime_web.files()}
