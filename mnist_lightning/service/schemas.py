"""The forms of requests and answers, for the OpenAPI description. Answers are not validated at run time."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Grey = Annotated[int, Field(ge=0, le=255)]
Row = Annotated[list[Grey], Field(min_length=28, max_length=28)]
Image = Annotated[list[Row], Field(min_length=28, max_length=28)]
Coordinate = Annotated[float, Field(gt=-1e9, lt=1e9)]
Point = Annotated[list[Coordinate], Field(min_length=2, max_length=2)]
Strokes = list[list[Point]]
Width = Annotated[float, Field(gt=0, lt=1e9)]

A_SEVEN = [[[30, 40], [100, 38], [170, 40], [120, 120], [90, 200]]]
A_NUMBER = [*A_SEVEN, [[290, 30], [288, 120], [290, 210]]]


class Problem(BaseModel):
    """What is wrong with a request (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class Model(BaseModel):
    """Which network answered."""

    name: str
    version: str
    precision: str


class Digit(BaseModel):
    """One digit that was read."""

    digit: int | str
    confidence: Share
    probabilities: list[Share]
    sure: bool
    is_digit: Annotated[bool, Field(description="false for a letter, a sign or a scribble")]
    box: Annotated[list[float], Field(min_length=4, max_length=4, description="left, top, right, bottom")]
    image: Image | None = None


class Reading(BaseModel):
    """What was read in a picture or drawing; digits that are not sure are "?" in the number."""

    number: str
    sure: bool
    digits: list[Digit]


class Prediction(Reading):
    """The answer of `/v1/predict`."""

    model: Model
    milliseconds: Annotated[float, Field(ge=0)]


class BatchPrediction(BaseModel):
    """The answer of `/v1/predict/batch`: `results` for pictures and drawings, `digits` for raw images."""

    results: list[Reading] | None = None
    digits: list[int | str] | None = None
    probabilities: list[list[Share]] | None = None
    model: Model
    milliseconds: Annotated[float, Field(ge=0)]


class Layer(BaseModel):
    """Feature maps: bytes in base64, from `low` (0) to `high` (255)."""

    layer: str
    shape: Annotated[list[int], Field(min_length=3, max_length=3)]
    low: float
    high: float
    maps: str


class Explained(Digit):
    """A digit, and how it was read."""

    saliency: Annotated[list[list[float]], Field(description="above 0 where ink speaks for the digit, below 0 against")]
    feature_maps: list[Layer]


class Explanation(Prediction):
    """The answer of `/v1/explain`."""

    digits: list[Explained]  # type: ignore[assignment]


class ModelCard(BaseModel):
    """The answer of `/v1/model`."""

    model_config = ConfigDict(extra="allow")
    name: str
    version: str
    precision: str
    classes: list[str]
    sure: Share
    temperature: float
    keeps_drawings: bool
    card: dict[str, Any]


class Drawing(BaseModel):
    """Strokes, y pointing down, in any unit; `widths` are those of the pen, one per stroke."""

    strokes: Strokes
    widths: list[Width] | None = None


class Picture(BaseModel):
    """A picture of 28x28 grey values; dark ink on light or light ink on dark."""

    image: Image


class Labelled(Drawing):
    """A drawing, and the digit that it is."""

    label: Annotated[int, Field(ge=0, le=9)]


class Many(BaseModel):
    """Several drawings or pictures."""

    items: Annotated[list[Drawing | Picture], Field(min_length=1)]


class Kept(BaseModel):
    """How many drawings are kept now."""

    drawings: int


class State(BaseModel):
    """Whether the service is alive, or accepts requests."""

    status: str


class InferInput(BaseModel):
    """A tensor of the Open Inference Protocol."""

    name: str
    shape: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=4)]
    datatype: Literal["FP32", "UINT8"]
    data: list[Any]
    parameters: dict[str, Any] | None = None


class InferRequest(BaseModel):
    """A request of the Open Inference Protocol, version 2."""

    id: str | None = None
    inputs: Annotated[list[InferInput], Field(min_length=1, max_length=1)]
    parameters: dict[str, Any] | None = None
    outputs: list[dict[str, Any]] | None = None


class InferOutput(BaseModel):
    """A tensor in an answer of the Open Inference Protocol."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class InferAnswer(BaseModel):
    """An answer of the Open Inference Protocol, version 2."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[InferOutput]


class Server(BaseModel):
    """What `/v2` says about the server."""

    name: str
    version: str
    extensions: list[str]


class TensorForm(BaseModel):
    """Name, type and shape of a tensor; -1 is any number."""

    name: str
    datatype: str
    shape: list[int]


class InferModel(BaseModel):
    """What `/v2/models/mnist` says about the network."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorForm]
    outputs: list[TensorForm]


class Ready(BaseModel):
    """Whether a model is ready, in the Open Inference Protocol."""

    name: str | None = None
    ready: bool | None = None
    live: bool | None = None


def body(*models: type[BaseModel], **others: Any) -> dict[str, Any]:
    """`openapi_extra` of a route that takes JSON of one of these forms, or a body of another media type."""
    content: dict[str, Any] = {name.replace("_", "/"): value for name, value in others.items()}
    if models:
        schemas = [inlined(model) for model in models]
        content["application/json"] = {"schema": schemas[0] if len(schemas) == 1 else {"oneOf": schemas}}
    return {"requestBody": {"required": True, "content": content}}


def inlined(model: type[BaseModel]) -> dict[str, Any]:
    """A model's schema with its definitions in place, so that it can be used anywhere in the description."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def put(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return put(definitions[value["$ref"].rpartition("/")[2]])
            return {key: put(each) for key, each in value.items()}
        return [put(each) for each in value] if isinstance(value, list) else value

    return put(schema)


BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
ONE_FILE: dict[str, Any] = {
    "schema": {"type": "object", "required": ["file"], "properties": {"file": {"type": "string", "format": "binary"}}}
}
MANY_FILES: dict[str, Any] = {
    "schema": {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
    }
}
