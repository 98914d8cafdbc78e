"""The examples of the OpenAPI description, and `/docs`: a page of it that loads nothing from other servers."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response
from pydantic import BaseModel

from mnist_lightning.service import schemas
from mnist_lightning.service.guard import KEYED

FILES = Path(__file__).parent / "docs"

EXAMPLES: dict[str, Any] = {
    "/v1/predict": {"strokes": schemas.A_NUMBER},
    "/v1/predict/batch": {"items": [{"strokes": schemas.A_SEVEN}, {"strokes": schemas.A_NUMBER}]},
    "/v1/explain": {"strokes": schemas.A_SEVEN},
    "/v1/drawings": {"strokes": schemas.A_SEVEN, "label": 7},
    "/v2/models/mnist/infer": {
        "inputs": [{"name": "images", "shape": [1, 784], "datatype": "UINT8",
                    "data": [255 if 10 <= i // 28 < 12 and 8 <= i % 28 < 20 else 0 for i in range(784)]}]
    },
}  # fmt: skip
"""A JSON body for each route that takes one; a test sends them all."""

COMMANDS: dict[str, list[str]] = {
    "/v1/predict": [
        "{curl} -H 'Content-Type: image/png' --data-binary @digit.png {base}/v1/predict",
        "{curl} -F file=@digit.png {base}/v1/predict",
    ],
    "/v1/predict/batch": [
        "{curl} -H 'Content-Type: application/octet-stream' --data-binary @images.bin {base}/v1/predict/batch",
    ],
}
"""Commands for bodies that are not JSON."""


def with_answer(
    answer: type[BaseModel] | None, body: dict[str, Any] | None = None, status: int = 200, raw: str | None = None
) -> dict[str, Any]:
    """`openapi_extra` of a route: the form of its answer, and of its request's body from `schemas.body`.

    `raw` is a media type that it may answer with instead of JSON.
    """
    content: dict[str, Any] = {raw: schemas.BINARY} if raw else {}
    if answer is not None:
        content["application/json"] = {"schema": schemas.inlined(answer)}
    return {**(body or {}), "responses": {str(status): {"content": content}}}


def add(app: FastAPI, strokes: int, keyed: bool) -> None:
    """Add `/docs` to an application, and to its description what the settings decide, and the examples.

    Args:
        app: the application.
        strokes: how many a drawing may have.
        keyed: whether requests must send a key.
    """
    generate = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            description = generate()
            _limit_strokes(description, strokes)
            _say_whether_keyed(description, keyed)
            for path, example in EXAMPLES.items():
                content = description["paths"][path]["post"]["requestBody"]["content"]
                content["application/json"]["example"] = example
        return generate()

    app.openapi = described  # type: ignore[method-assign]

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return Response(page(described()), media_type="text/html")

    for name, kind in (("docs.css", "text/css"), ("docs.js", "text/javascript")):
        app.add_api_route(f"/docs/{name}", _file(name, kind), include_in_schema=False, name=name)


def _limit_strokes(part: Any, most: int) -> None:
    if isinstance(part, dict):
        if strokes := part.get("properties", {}).get("strokes"):
            strokes["maxItems"] = most
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            _limit_strokes(each, most)


def _say_whether_keyed(description: dict[str, Any], keyed: bool) -> None:
    if keyed:
        description.setdefault("components", {})["securitySchemes"] = {
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        }
    for path, operations in description["paths"].items():
        for operation in operations.values():
            if not keyed:
                operation["responses"].pop("401", None)
            elif path.startswith(KEYED):
                operation["security"] = [{"key": []}, {"bearer": []}]


def _file(name: str, kind: str) -> Any:
    async def answer() -> Response:
        return Response((FILES / name).read_bytes(), media_type=kind)

    return answer


def page(description: dict[str, Any]) -> str:
    """The description as one HTML page."""
    info = description["info"]
    paragraphs = "".join(f"<p>{html.escape(text)}</p>" for text in info["description"].split("\n\n"))
    routes = "".join(
        _route(path, method, operation)
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
    )
    key = '<p><label>API key <input id="key" type="password" autocomplete="off"></label></p>'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>mnist-lightning: the service</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" '
        'href="/docs/docs.css"><script type="module" src="/docs/docs.js"></script></head><body><main>'
        f"<h1>{html.escape(info['title'])} {html.escape(info['version'])}</h1>{paragraphs}"
        '<p>Machine-readable: <a href="/openapi.json">openapi.json</a>.</p>'
        f"{key if 'securitySchemes' in description.get('components', {}) else ''}{routes}</main></body></html>"
    )


def _route(path: str, method: str, operation: dict[str, Any]) -> str:
    curl = 'curl -H "X-API-Key: $KEY"' if "security" in operation else "curl"
    commands = [each.format(curl=curl, base="http://127.0.0.1:8000") for each in COMMANDS.get(path, [])]
    example = EXAMPLES.get(path)
    form = ""
    if method == "get" or example is not None:
        text = "" if example is None else html.escape(json.dumps(example))
        area = f'<textarea rows="4" aria-label="body of the request" spellcheck="false">{text}</textarea>'
        form = (
            f'<form data-method="{method.upper()}" data-path="{html.escape(path)}">'
            f"{area if example is not None else ''}<button>Send</button><pre role='status' hidden></pre></form>"
        )
    answers = "".join(
        f"<li><code>{status}</code> {html.escape(answer.get('description', ''))}</li>"
        for status, answer in operation["responses"].items()
    )
    return (
        f"<section><h2><code>{method.upper()} {html.escape(path)}</code></h2>"
        f"<p>{html.escape(operation.get('description') or operation['summary'])}</p>"
        + "".join(f"<pre>{html.escape(command)}</pre>" for command in commands)
        + f"{form}<details><summary>Answers</summary><ul>{answers}</ul></details></section>"
    )
