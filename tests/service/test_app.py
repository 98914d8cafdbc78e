"""What the service answers."""

import asyncio
import base64
import contextlib
import json
import logging
import shutil
import subprocess
import threading
import time

import cv2
import numpy as np
import pytest

pytest.importorskip("prometheus_client")
pytest.importorskip("onnxruntime")

from mnist_lightning.inference.reader import Reader
from mnist_lightning.ink.extract import extract_ink
from mnist_lightning.ink.normalise import normalise, normalise_ink
from mnist_lightning.ink.raster import draw_digit
from mnist_lightning.ink.strokes import Drawing
from mnist_lightning.service import documentation, inputs
from mnist_lightning.service.app import MOST_MANY

PREDICT, BATCH, EXPLAIN = "/v1/predict", "/v1/predict/batch", "/v1/explain"
PROBLEM = "application/problem+json"


def page(strokes, scale=1.0, dark=True):
    """A picture of strokes, as a PNG file, dark on light or light on dark."""
    points = [np.array(stroke) * scale for stroke in strokes]
    corner = np.concatenate(points).min(axis=0) - 30
    size = np.concatenate(points).max(axis=0) - corner + 30
    paper = np.full((int(size[1]), int(size[0])), 255, np.uint8)
    for line in points:
        cv2.polylines(paper, [(line - corner).astype(np.int32)[:, None]], False, 0, 12, cv2.LINE_AA)
    return png(paper if dark else 255 - paper)


def png(image, ending=".png"):
    return cv2.imencode(ending, image)[1].tobytes()


def shifted(strokes, dx):
    return [[[x + dx, y] for x, y in stroke] for stroke in strokes]


def number(pens, digits, gap=60):
    """The strokes of several digits, side by side."""
    at, found = 0.0, []
    for digit in digits:
        points = np.concatenate([np.array(stroke) for stroke in pens[digit]])
        found += shifted(pens[digit], at - points[:, 0].min())
        at += float(np.ptp(points[:, 0])) + gap
    return found


def test_strokes_are_read_as_the_window_reads_them(client, pens):
    for label in sorted(set(pens) - {3}):  # the shipped network takes that 3 for a 7
        answer = client.post(PREDICT, json={"strokes": pens[label]}).json()
        assert (answer["number"], answer["digits"][0]["digit"], answer["sure"]) == (str(label), label, True)
        image = normalise_ink(draw_digit(Drawing.from_data({"strokes": pens[label]}).strokes))
        wanted = client.service.predictor.probabilities(image[None])[0]
        np.testing.assert_allclose(answer["digits"][0]["probabilities"], wanted, atol=2e-6)


def test_a_number_has_a_box_round_each_digit(client, pens):
    strokes = number(pens, [2, 0, 7])
    answer = client.post(PREDICT, json={"strokes": strokes}).json()
    assert [digit["digit"] for digit in answer["digits"]] == [2, 0, 7]
    left = [digit["box"][0] for digit in answer["digits"]]
    assert left == sorted(left)
    points = np.concatenate([np.array(stroke) for stroke in strokes])
    assert answer["digits"][0]["box"][0] == pytest.approx(points[:, 0].min(), abs=0.01)
    assert answer["digits"][2]["box"][2] == pytest.approx(points[:, 0].max(), abs=0.01)


@pytest.mark.parametrize("dark", [True, False])
@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_pictures_are_read_whatever_their_polarity(client, pens, ending, dark):
    data = png(cv2.imdecode(np.frombuffer(page(number(pens, [5, 1]), dark=dark), np.uint8), 0), ending)
    kind = "image/png" if ending == ".png" else "image/jpeg"
    raw = client.post(PREDICT, content=data, headers={"Content-Type": kind}).json()
    form = client.post(PREDICT, files={"file": ("a", data, kind)}).json()
    assert raw["number"] == form["number"] == "51"
    assert raw["digits"] == form["digits"]


def test_a_28x28_array_is_read(client, pens):
    image = normalise_ink(draw_digit(Drawing.from_data({"strokes": pens[5]}).strokes))
    plain = client.post(PREDICT, json={"image": image.tolist()}).json()
    inverted = client.post(PREDICT + "?images=true", json={"image": (255 - image).tolist()}).json()
    assert plain["number"] == inverted["number"] == "5"
    assert np.array(inverted["digits"][0]["image"]).shape == (28, 28)
    assert "image" not in plain["digits"][0]


def test_an_empty_sheet_is_no_digit(client):
    for body in ({"strokes": []}, {"strokes": [[]]}, {"image": [[0] * 28] * 28}):
        answer = client.post(PREDICT, json=body).json()
        assert (answer["number"], answer["sure"], answer["digits"]) == ("", False, [])


def test_the_shortcut_for_images_of_mnist_changes_nothing():
    draw = np.random.default_rng(0)
    taken = 0
    for _ in range(300):
        line = (draw.random((draw.integers(2, 6), 2)) * 200).tolist()
        image = normalise_ink(draw_digit(Drawing.from_data({"strokes": [line]}).strokes, float(draw.uniform(1, 4))))
        if draw.random() < 0.3:
            image[draw.integers(28), draw.integers(28)] = draw.integers(256)
        if inputs.mnist_box(image) is not None:
            taken += 1
            np.testing.assert_array_equal(normalise_ink(extract_ink(image)), image)
            np.testing.assert_array_equal(normalise(image), image)
    assert taken > 60


def test_the_answer_put_together_as_text_is_the_one_of_the_tables(client, pens):
    strokes = Drawing.from_data({"strokes": number(pens, [4, 9])}).strokes
    reading, words = Reader(client.service.predictor, 0.5).read(strokes), client.service.words
    wanted = words.reading(reading, images=True) | {"model": words.model, "milliseconds": 1.5}
    assert json.loads(words.answer(words.fields(reading, images=True), 1.5).body) == wanted


def test_raw_bytes_give_json_or_raw_probabilities(client):
    images = np.random.default_rng(0).integers(0, 256, (150, 28, 28)).astype(np.uint8)
    wanted = client.service.predictor.probabilities(images)
    head = {"Content-Type": "application/octet-stream"}
    answer = client.post(BATCH, content=images.tobytes(), headers=head).json()
    assert answer["digits"] == wanted.argmax(1).tolist()
    np.testing.assert_allclose(answer["probabilities"], wanted, atol=2e-6)
    raw = client.post(BATCH, content=images.tobytes(), headers=head | {"Accept": "application/octet-stream"})
    assert raw.headers["content-type"] == "application/octet-stream"
    np.testing.assert_allclose(np.frombuffer(raw.content, "<f4").reshape(150, 10), wanted, atol=1e-6)


@pytest.mark.parametrize("path", [BATCH, "/v2/models/mnist/infer"])
def test_the_answer_to_many_images_is_not_written_in_the_event_loop(client, monkeypatch, path):
    """Thousands of rows take a tenth of a second, in which nobody else would be answered."""
    threads = []

    class Rows(np.ndarray):
        def tolist(self):
            threads.append(threading.current_thread().name)
            return super().tolist()

    async def read_many(images):
        return np.full((len(images), 10), 0.1, np.float32).view(Rows)

    monkeypatch.setattr(client.service, "read_many", read_many)
    if path == BATCH:
        answer = client.post(BATCH, content=bytes(2 * 784), headers={"Content-Type": "application/octet-stream"}).json()
        assert answer["probabilities"] == [[0.1] * 10] * 2
    else:
        tensor = {"name": "images", "shape": [2, 784], "datatype": "UINT8", "data": [0] * 2 * 784}
        (output,) = client.post(path, json={"id": "a", "inputs": [tensor]}).json()["outputs"]
        assert (output["shape"], output["data"]) == ([2, 10], [float(np.float32(0.1))] * 20)
    assert threads
    assert all(name.startswith("prepare") for name in threads)


def test_many_drawings_or_files_are_read_in_their_order(client, pens):
    items = [{"strokes": number(pens, digits)} for digits in ([1, 2], [], [7]) if digits] + [{"strokes": []}]
    answer = client.post(BATCH, json={"items": items}).json()
    assert [result["number"] for result in answer["results"]] == ["12", "7", ""]
    alone = [client.post(PREDICT, json=item).json() for item in items]
    assert answer["results"] == [{key: each[key] for key in ("number", "sure", "digits")} for each in alone]
    files = [("file", (str(digit), page(pens[digit]), "image/png")) for digit in (8, 0, 6)]
    answer = client.post(BATCH, files=files).json()
    assert [result["number"] for result in answer["results"]] == ["8", "0", "6"]


def test_an_explanation_says_which_pixels_decided_and_what_each_layer_computes(client, pens):
    answer = client.post(EXPLAIN, json={"strokes": pens[7]}).json()
    (digit,) = answer["digits"]
    image, saliency = np.array(digit["image"]), np.array(digit["saliency"])
    assert answer["number"] == "7"
    assert saliency.shape == (28, 28)
    assert (saliency[image == 0] == 0).all()
    assert saliency.max() > 0
    assert [maps["layer"] for maps in digit["feature_maps"]] == [f"block {number}" for number in range(1, 7)]
    for maps, wanted in zip(digit["feature_maps"], client.service.predictor.feature_maps(image.astype(np.uint8)),
                            strict=True):  # fmt: skip
        found = np.frombuffer(base64.b64decode(maps["maps"]), np.uint8).reshape(maps["shape"])
        values = maps["low"] + found / 255 * (maps["high"] - maps["low"])
        np.testing.assert_allclose(values, wanted.maps, atol=(maps["high"] - maps["low"]) / 255)


WRONG = {
    "no body": (PREDICT, {}, "", 415, "media type ''"),
    "text": (PREDICT, {"Content-Type": "text/plain"}, "7", 415, "'text/plain' is not read: send image/png"),
    "empty": (PREDICT, {"Content-Type": "image/png"}, "", 422, "The body is empty"),
    "no picture": (PREDICT, {"Content-Type": "image/png"}, "hello", 415, "neither PNG nor JPEG"),
    "cut PNG": (PREDICT, {"Content-Type": "image/png"}, b"\x89PNG\r\n\x1a\n\0\0", 422, "header is cut off"),
    "hollow PNG": (PREDICT, {"Content-Type": "image/png"}, png(np.zeros((9, 9), np.uint8))[:40], 422, "is not an"),
    "bomb": (PREDICT, {"Content-Type": "image/png"}, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\0\0\0\1\0\0", 413,
             "65536 x 65536 pixels: at most 20,000,000"),
    "JPEG bomb": (PREDICT, {"Content-Type": "image/jpeg"}, b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff", 413, "p"),
    "JPEG scans": (PREDICT, {"Content-Type": "image/jpeg"}, b"\xff\xd8\xff" + b"\xff\xda" * 200, 422, "100 scans"),
    "no JSON": (PREDICT, {"Content-Type": "application/json"}, "{", 400, "not valid JSON"),
    "NaN": (PREDICT, {"Content-Type": "application/json"}, '{"strokes": [[[NaN, 1]]]}', 400, "not valid JSON"),
    "deep": (PREDICT, {"Content-Type": "application/json"}, "[" * 100_000, 400, "not valid JSON"),
    "list": (PREDICT, {"Content-Type": "application/json"}, "[]", 422, "not a JSON object"),
    "both": (PREDICT, {"Content-Type": "application/json"}, '{"strokes": [], "image": []}', 422, 'either "strokes"'),
    "point": (PREDICT, {"Content-Type": "application/json"}, '{"strokes": [[[1, 2, 3]]]}', 422, "A point of a stroke"),
    "huge number": (PREDICT, {"Content-Type": "application/json"}, '{"strokes": [[[1e999, 2]]]}', 422, "A point of"),
    "rows": (PREDICT, {"Content-Type": "application/json"}, '{"image": [[1]]}', 422, "not 28 rows of 28"),
    "grey": (PREDICT, {"Content-Type": "application/json"}, json.dumps({"image": [[256] * 28] * 28}), 422, "0 to 255"),
    "images=": (PREDICT + "?images=7", {"Content-Type": "application/json"}, '{"strokes": []}', 422, "neither true"),
    "bytes": (BATCH, {"Content-Type": "application/octet-stream"}, b"1" * 785, 422, "785 bytes: send 784"),
    "items": (BATCH, {"Content-Type": "application/json"}, '{"items": [7]}', 422, '"items" is not a list'),
    "form": (PREDICT, {"Content-Type": "multipart/form-data"}, "x", 400, ""),
    "label": ("/v1/drawings", {"Content-Type": "application/json"}, "{}", 403, "keeps no drawings"),
    "nowhere": ("/v1/nowhere", {}, "", 404, "nothing here"),
    "tensor": ("/v2/models/mnist/infer", {"Content-Type": "application/json"}, "{}", 422, "not a list of one tensor"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_in_a_sentence(client, name):
    path, headers, body, status, detail = WRONG[name]
    answer = client.post(path, content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    problem = answer.json()
    assert (problem["status"], problem["type"]) == (status, "about:blank")
    assert detail in problem["detail"]


@pytest.mark.parametrize(
    ("limits", "body", "status", "detail"),
    [
        ({"strokes": 2}, {"strokes": [[[1, 1]]] * 3}, 422, "3 strokes: at most 2"),
        ({"points": 5}, {"strokes": [[[1, 1]] * 6]}, 422, "6 points: at most 5"),
        ({"digits": 1}, {"strokes": [[[0, 0], [0, 90]], [[99, 0], [99, 90]]]}, 422, "2 digits: at most 1"),
        ({"body": 1024}, {"strokes": [[[1, 1]] * 600]}, 413, "The body is too large"),
    ],
)
def test_limits_hold(make_client, limits, body, status, detail):
    answer = make_client(**limits).post(PREDICT, json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert detail in answer.json()["detail"]


def test_a_full_queue_is_said_at_once(make_client, pens):
    client = make_client(queue=2)
    client.service.batcher.reserve(2)
    for path in (PREDICT, BATCH, EXPLAIN, "/v2/models/mnist/infer"):
        answer = client.post(path, json={"strokes": pens[1]})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["detail"] == "The queue is full: try again in a second."
    assert client.get("/healthz").status_code == 200
    client.service.batcher.release(1)
    assert client.post(PREDICT, json={"strokes": pens[1]}).json()["number"] == "1"
    assert client.service.batcher.waiting == 1


def test_requests_of_many_images_have_one_limit_whatever_their_form(client, pens, monkeypatch):
    gate, begun, prepare = threading.Event(), [], client.service.prepare

    async def wait(*given):
        begun.append(given)
        for _ in range(1_000):
            if not gate.is_set():
                await asyncio.sleep(0.01)
        return await prepare(*given)

    monkeypatch.setattr(client.service, "prepare", wait)
    tensor = {"name": "images", "shape": [1, 784], "datatype": "UINT8", "data": [0] * 784}
    ways = {
        "json": lambda: client.post(BATCH, json={"items": [{"strokes": pens[1]}]}),
        "files": lambda: client.post(BATCH, files=[("file", ("a", page(pens[1]), "image/png"))]),
        "v2": lambda: client.post("/v2/models/mnist/infer", json={"inputs": [tensor]}),
        "raw": lambda: client.post(BATCH, content=bytes(784), headers={"Content-Type": "application/octet-stream"}),
    }
    found = []
    with contextlib.ExitStack() as ending:
        threads = [threading.Thread(target=lambda: found.append(ways["json"]().status_code)) for _ in range(MOST_MANY)]
        for thread in threads:
            thread.start()
            ending.callback(thread.join)
        ending.callback(gate.set)  # before the threads are waited for, also where an assertion fails
        deadline = time.monotonic() + 60
        while len(begun) < MOST_MANY:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for name, ask in ways.items():
            answer = ask()
            assert (name, answer.status_code, answer.headers.get("retry-after")) == (name, 503, "1")
        assert client.get("/healthz").status_code == 200
    assert found == [200] * MOST_MANY
    assert [ask().status_code for ask in ways.values()] == [200] * 4


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/metrics", "/v1/model", "/v2/health/ready", "/docs", "/", "/page.css"]
)
def test_head_is_answered_as_get_without_a_body(client, path):
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert head.headers.keys() == got.headers.keys()
    assert client.head(PREDICT).status_code == 405
    assert client.head("/nowhere").status_code == 404
    route = "/" if path == "/page.css" else path
    assert f'http_requests_total{{method="HEAD",route="{route}",status="200"}} 1.0' in client.get("/metrics").text


def test_from_sigterm_on_it_is_not_ready_and_closes_connections(client, pens):
    assert client.get("/readyz").json() == {"status": "ready"}
    assert "connection" not in client.get("/healthz").headers
    client.service.guard.draining = True
    answer = client.get("/readyz")
    assert (answer.status_code, answer.headers["connection"]) == (503, "close")
    assert client.get("/v2/health/ready").status_code == 503
    assert client.post(PREDICT, json={"strokes": pens[1]}).json()["number"] == "1"
    assert client.get("/healthz").status_code == 200


def test_an_api_key_guards_what_reads(make_client, pens):
    client = make_client(key="geheim")
    body = {"strokes": pens[1]}
    for path in (PREDICT, EXPLAIN, "/v1/drawings", "/v2/models/mnist/infer"):
        for headers in ({}, {"X-API-Key": "falsch"}, {"Authorization": "Bearer falsch"}, {"X-API-Key": "ä".encode()}):
            assert client.post(path, json=body, headers=headers).status_code == 401
    for headers in ({"X-API-Key": "geheim"}, {"Authorization": "Bearer geheim"}):
        assert client.post(PREDICT, json=body, headers=headers).json()["number"] == "1"
    for path in ("/healthz", "/readyz", "/metrics", "/docs"):
        assert client.get(path).status_code == 200


def test_a_missing_key_is_answered_as_http_wants_and_counted_for_its_route(make_client):
    client = make_client(key="geheim")
    assert client.get("/v1/model", headers={"Authorization": "bearer geheim"}).status_code == 200  # in any case
    assert client.get("/v1/model").headers["www-authenticate"] == "Bearer"
    client.post("/v1/made-up")
    text = client.get("/metrics").text
    assert 'http_requests_total{method="GET",route="/v1/model",status="401"} 1.0' in text
    assert 'http_requests_total{method="POST",route="unmatched",status="401"} 1.0' in text


def test_the_description_and_its_page_ask_for_a_key_where_one_is_needed(make_client, client):
    keyed = make_client(key="geheim")
    description = keyed.get("/openapi.json").json()
    schemes = description["components"]["securitySchemes"]
    assert schemes["key"] == {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            free = keyed.request(method, path).status_code != 401
            assert operation.get("security") == (None if free else [{"key": []}, {"bearer": []}]), path
            assert ("401" in operation["responses"]) is not free, path
    for each, count in ((keyed, 1), (client, 0)):
        assert each.get("/docs").text.count('<input id="key"') == count
        assert ("X-API-Key: $KEY" in each.get("/docs").text) == bool(count)
    assert "securitySchemes" not in client.get("/openapi.json").text
    assert '"401"' not in client.get("/openapi.json").text


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@pytest.mark.parametrize("key", ["geheim", "", None])
def test_the_page_of_documentation_sends_the_key_that_was_typed(key):
    field = "undefined" if key is None else json.dumps({"value": key})
    script = f"""
      const found = [];
      const area = {{ textarea: {{ value: "{{}}" }}, pre: {{}} }};
      const form = {{ dataset: {{ method: "POST", path: "/v1/predict" }}, querySelector: (name) => area[name],
        addEventListener: (_, act) => {{ form.act = act; }} }};
      globalThis.document = {{ forms: [form], getElementById: (name) => (name === "key" ? {field} : undefined) }};
      globalThis.fetch = async (path, how) => {{ found.push([path, how]); return {{ text: async () => "" }}; }};
      {(documentation.FILES / "docs.js").read_text()}
      await form.act({{ preventDefault() {{}} }});
      console.log(JSON.stringify(found));
    """
    done = subprocess.run(["node", "--input-type=module", "-e", script], capture_output=True, text=True, check=True)
    headers = {"Content-Type": "application/json"} | ({"X-API-Key": key} if key else {})
    assert json.loads(done.stdout) == [["/v1/predict", {"method": "POST", "headers": headers, "body": "{}"}]]


@pytest.mark.parametrize("most", [7, 1000])
def test_one_setting_decides_how_many_strokes_a_drawing_may_have(make_client, most):
    client = make_client(strokes=most)
    schemas = client.get("/openapi.json").json()["paths"]
    found = []

    def look(part):
        if isinstance(part, dict) and "strokes" in part.get("properties", {}):
            found.append(part["properties"]["strokes"]["maxItems"])
        for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            look(each)

    look(schemas)
    assert found == [most] * 4  # predict, batch, explain, drawings
    strokes = [[[30, 40], [30, 200]], *([[]] * most)]  # those without points count, too
    assert client.post(PREDICT, json={"strokes": strokes[:-1]}).json()["number"] == "1"
    answer = client.post(PREDICT, json={"strokes": strokes})
    assert (answer.status_code, answer.json()["detail"]) == (
        422, f"The drawing has {most + 1} strokes: at most {most} are read.",
    )  # fmt: skip


def test_drawings_to_keep_wait_in_the_queue_too(make_client, pens, tmp_path, caplog):
    client = make_client(queue=2, keep_drawings=str(tmp_path / "kept"))
    body = {"strokes": pens[7], "label": 7}
    client.service.batcher.reserve(2)
    assert client.post("/v1/drawings", json=body).status_code == 503
    client.service.batcher.release(2)
    (tmp_path / "kept").touch()  # where the folder would be
    assert client.post("/v1/drawings", json=body).status_code == 503
    assert "a drawing is lost" in caplog.text
    (tmp_path / "kept").unlink()
    assert client.post("/v1/drawings", json=body).json() == {"drawings": 1}
    assert client.service.batcher.waiting == 0


def test_drawings_are_kept_only_where_the_user_says(make_client, client, pens, tmp_path):
    body = {"strokes": pens[7], "label": 7}
    assert client.post("/v1/drawings", json=body).status_code == 403
    keeper = make_client(keep_drawings=str(tmp_path / "kept"))
    assert keeper.post("/v1/drawings", json=body).json() == {"drawings": 1}
    assert keeper.post("/v1/drawings", json=body).json() == {"drawings": 2}
    for wrong in ({"label": 10}, {"label": "7"}, {"label": True}, {"strokes": []}, {"strokes": 7}):
        assert keeper.post("/v1/drawings", json=body | wrong).status_code == 422
    lines = [json.loads(line) for line in (tmp_path / "kept/drawings.jsonl").read_text().splitlines()]
    assert [line["label"] for line in lines] == [7, 7]
    assert lines[0]["strokes"] == [[[round(x, 2), round(y, 2)] for x, y in stroke] for stroke in pens[7]]
    assert keeper.get("/v1/model").json()["keeps_drawings"] is True
    assert client.get("/v1/model").json()["keeps_drawings"] is False


def test_the_model_says_what_it_is(client):
    found = client.get("/v1/model").json()
    assert (found["classes"], found["sure"], found["precision"]) == (list("0123456789"), 0.5, "int8")
    assert found["card"]["export"]["source"] == "mnist.ckpt"
    assert "settings" not in found["card"]


def test_the_open_inference_protocol(client, pens):
    image = normalise_ink(draw_digit(Drawing.from_data({"strokes": pens[6]}).strokes))
    form = client.get("/v2/models/mnist").json()
    assert form["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}]
    for kind, shape, data in (
        ("FP32", [1, 1, 28, 28], (image / 255).tolist()),
        ("UINT8", [1, 784], image.ravel().tolist()),
    ):
        tensor = {"name": "images", "shape": shape, "datatype": kind, "data": data}
        answer = client.post("/v2/models/mnist/infer", json={"id": "a", "inputs": [tensor]}).json()
        assert (answer["id"], answer["model_name"]) == ("a", "mnist")
        (output,) = answer["outputs"]
        assert (output["shape"], int(np.argmax(output["data"]))) == ([1, 10], 6)
    for wrong in ({"shape": [2, 784]}, {"datatype": "BYTES"}, {"data": ["x"]}, {"data": [[1], [2, 3]]}, {"shape": [0]}):
        body = {"inputs": [tensor | wrong]}
        assert client.post("/v2/models/mnist/infer", json=body).status_code == 422
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/models/mnist/ready").json()["ready"] is True


def test_metrics_know_routes_and_nothing_that_a_stranger_can_make_up(client, pens):
    client.post(PREDICT, json={"strokes": pens[1]})
    for number in range(3):
        client.get(f"/nowhere/{number}")
    client.request("BREW", "/healthz")
    text = client.get("/metrics").text
    assert 'http_requests_total{method="POST",route="/v1/predict",status="200"} 1.0' in text
    assert 'http_requests_total{method="GET",route="unmatched",status="404"} 3.0' in text
    assert "/nowhere" not in text
    assert "BREW" not in text
    assert 'method="other"' in text
    assert "mnist_batch_images_bucket" in text
    assert "mnist_waiting_images 0.0" in text


def test_every_answer_has_an_id_and_headers_that_keep_browsers_safe(client, caplog):
    caplog.set_level(logging.INFO, "mnist_lightning.access")
    for path in ("/healthz", "/nowhere", "/docs", "/v1/model"):
        answer = client.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers
        assert json.loads(caplog.messages[-1])["id"] == answer.headers["x-request-id"]
    assert client.get("/healthz", headers={"X-Request-ID": "mine-7"}).headers["x-request-id"] == "mine-7"
    assert client.get("/healthz", headers={"X-Request-ID": "x\ty" * 99}).headers["x-request-id"] != "x\ty" * 99
    assert json.loads(caplog.messages[-1]).keys() == {"id", "client", "method", "path", "status", "milliseconds"}


def test_a_fault_of_the_program_shows_no_traceback(client, pens, monkeypatch):
    monkeypatch.setattr(inputs, "strokes_of", lambda *_: 1 / 0)
    answer = client.post(PREDICT, json={"strokes": pens[1]})
    assert (answer.status_code, answer.headers["content-type"]) == (500, PROBLEM)
    assert "ZeroDivisionError" not in answer.text
    assert client.service.batcher.waiting == 0


def test_the_documentation_asks_nothing_of_other_servers_and_its_examples_work(make_client, tmp_path):
    client = make_client(keep_drawings=str(tmp_path))
    page = client.get("/docs").text
    assert "http" not in page.replace("http://127.0.0.1:8000", "")
    for path, example in documentation.EXAMPLES.items():
        assert f"POST {path}" in page
        answer = client.post(path, json=example)
        assert answer.status_code in (200, 201), answer.text
    description = client.get("/openapi.json").json()
    content = description["paths"][PREDICT]["post"]["requestBody"]["content"]
    assert content["application/json"]["example"] == documentation.EXAMPLES[PREDICT]
    assert {"image/png", "image/jpeg", "multipart/form-data"} < content.keys()
    for name in ("docs.js", "docs.css"):
        assert client.get(f"/docs/{name}").status_code == 200


@pytest.mark.parametrize("path", ["/" + 300 * "a", "/a%00b"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_path_that_no_file_can_have_is_not_found(client, method, path):
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)


def test_a_client_that_goes_away_while_it_sends_is_no_fault_of_the_service(client):
    sent = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
             "path": PREDICT, "raw_path": PREDICT.encode(), "query_string": b"", "root_path": "", "client": None,
             "server": None, "headers": [(b"content-type", b"image/png"), (b"content-length", b"9")]}  # fmt: skip
    asyncio.run(client.service.guard(scope, receive, send))
    assert sent[0]["status"] == 400
    assert 'status="500"' not in client.get("/metrics").text


def test_the_pictures_of_a_batch_are_not_all_decoded_before_the_first_is_read(client, pens, monkeypatch):
    """Or a few kilobytes of files would become gigabytes."""
    steps, decode, read = [], inputs.from_picture, Reader.read_picture
    monkeypatch.setattr(inputs, "from_picture", lambda *given: steps.append("decoded") or decode(*given))
    monkeypatch.setattr(Reader, "read_picture", lambda *given: steps.append("read") or read(*given))
    files = [("file", (f"{label}.png", page(pens[label]), "image/png")) for label in (1, 2, 5)]
    answer = client.post(BATCH, files=files).json()
    assert [each["number"] for each in answer["results"]] == ["1", "2", "5"]
    assert steps == ["decoded", "read"] * 3
