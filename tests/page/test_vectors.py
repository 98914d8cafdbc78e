"""The engine in the page computes what Python does."""

import inspect
import json

import cv2
import numpy as np
import page_vectors
import pytest
import torch

from mnist_lightning.inference import second_look
from mnist_lightning.inference.reader import Reader
from mnist_lightning.ink.strokes import MOST_UNDOS, Drawing
from mnist_lightning.models import CNN, MLP


@pytest.fixture(scope="module")
def engine(browser, reader):
    """`engine(body, value)`: run JavaScript with the page's modules at hand; `value` is its argument."""
    from page_service import Service

    service = Service(reader)
    context = browser.new_context(bypass_csp=True)
    page = context.new_page()
    page.goto(service.address + "icon.svg")

    def run(modules, body, value):
        imports = "".join(f'const {{{names}}} = await import("/{path}");' for path, names in modules.items())
        # As one text: Playwright hands over a picture number by number, a minute for a large one.
        told = page.evaluate(
            f"""async (text) => {{
                {imports}
                const work = async (value) => {{ {body} }};
                return JSON.stringify((await work(JSON.parse(text))) ?? null);
            }}""",
            json.dumps(value),
        )
        return json.loads(told)

    yield run
    context.close()
    service.close()


@pytest.fixture(scope="module")
def strokes():
    return page_vectors.stroke_vectors()


def test_strokes_are_cut_into_the_same_digits(engine, strokes):
    found = engine({"ink/segment.js": "segmentStrokeRows"}, """
        return value.map((each) => segmentStrokeRows(each).flat().map((group) => group.map(({ id }) => id)));
    """, [vector["strokes"] for vector in strokes])  # fmt: skip
    assert found == [vector["groups"] for vector in strokes]


def test_strokes_are_drawn_to_the_same_picture(engine, strokes):
    for vector in strokes:
        groups = [[vector["strokes"][at] for at in group] for group in vector["groups"]]
        found = engine({"ink/raster.js": "drawDigit"}, """
            return value.map(drawDigit).map((ink) => ({ ...ink, data: [...ink.data] }));
        """, groups)  # fmt: skip
        assert found == vector["pictures"]


def test_pictures_of_strokes_become_the_same_28x28_images(engine, strokes):
    pictures = [picture for vector in strokes for picture in vector["pictures"]]
    found = engine({"ink/normalise.js": "normaliseInk"},
                   "return value.map((ink) => [...normaliseInk({ ...ink, data: Uint8Array.from(ink.data) }).data]);",
                   pictures)  # fmt: skip
    wanted = np.array([image for vector in strokes for image in vector["images"]])
    assert np.abs(np.array(found) - wanted).max() <= 1


@pytest.mark.parametrize("name", page_vectors.pictures())
def test_pictures_give_the_same_digits(engine, name):
    vector = page_vectors.picture_vectors()[name]
    modules = {"ink/extract.js": "extractInk", "ink/segment.js": "segmentInkRows", "ink/normalise.js": "normaliseInk"}
    found = engine(modules, """
        const { ink } = extractInk({ ...value, data: Uint8ClampedArray.from(value.data) });
        const images = segmentInkRows(ink).flat().map((digit) => [...normaliseInk(digit).data]);
        return { ink: { ...ink, data: [...ink.data] }, images };
    """, vector["pixels"])  # fmt: skip
    assert (found["ink"]["width"], found["ink"]["height"]) == (vector["ink"]["width"], vector["ink"]["height"])
    assert len(found["images"]) == len(vector["images"])
    difference = np.abs(np.array(found["ink"]["data"], int) - np.array(vector["ink"]["data"]))
    assert difference.max() <= 1
    for image, wanted in zip(found["images"], vector["images"], strict=True):
        assert np.abs(np.array(image, int) - np.array(wanted)).max() <= 1


@pytest.mark.parametrize(
    ("call", "function"),
    [
        ("enlarge(picture, width, height)", lambda image, size: cv2.resize(image, size)),
        ("shrink(picture, width, height)", lambda image, size: cv2.resize(image, size, interpolation=cv2.INTER_AREA)),
        ("softened(picture)", lambda image, _: cv2.GaussianBlur(image, (3, 3), 0)),
        ("blur(picture, 4)", lambda image, _: cv2.blur(image, (9, 9), borderType=cv2.BORDER_REPLICATE)),
        ("connectedComponents(picture)", lambda image, _: cv2.connectedComponents(image)[1]),
    ],
)
def test_pixels_are_those_of_opencv(engine, call, function):
    random, cases = np.random.default_rng(0), []
    for _ in range(40):
        small, factor = random.integers(1, 40, 2), random.integers(1, 7, 2)
        large = [small * factor, random.integers(small, 200)][int(random.integers(2))]
        given, wanted = (small, large) if "enlarge" in call else (large, small)
        image = random.integers(0, 256, given, dtype=np.uint8)
        if "connected" in call:
            image[image < 190] = 0
        cases.append((image, wanted[::-1].tolist()))
    found = engine({"ink/cv.js": call.partition("(")[0]}, f"""
        return value.map(({{ picture, size: [width, height] }}) => {{
          picture.data = Uint8Array.from(picture.data);
          const made = {call};
          return [...(made.labels ?? made.data)];
        }});
    """, [{"picture": page_vectors.as_picture(image), "size": size} for image, size in cases])  # fmt: skip
    for each, (image, size) in zip(found, cases, strict=True):
        assert each == function(image, size).ravel().tolist()


@pytest.mark.parametrize("name", page_vectors.NETWORKS)
def test_networks_compute_the_same_logits_and_saliency(engine, name):
    vector = page_vectors.network_vector(page_vectors.network(name))
    found = engine({"engine/network.js": "Network"}, """
        const network = new Network(value.file);
        return value.images.map((image) => {
          const pixels = Float32Array.from(image);
          return { logits: [...network.logits(pixels)], saliency: [...network.saliency(pixels)] };
        });
    """, vector)  # fmt: skip
    logits = np.array([each["logits"] for each in found])
    assert np.ptp(vector["logits"]) > 0.1
    assert np.allclose(logits, vector["logits"], atol=1e-5)
    assert np.allclose([each["saliency"] for each in found], vector["saliency"], atol=1e-5)


def test_a_second_look_turns_and_averages_as_python_does(engine):
    images = np.random.default_rng(0).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    looks = [[0.6, 0.3, 0.1], [0.2, 0.8, 0.0], [0.1, 0.7, 0.2]]
    found = engine({"engine/second_look.js": "turned, probabilities"}, """
        const looks = [...value.looks];
        const images = value.images.map((image) => Uint8Array.from(image));
        return {
          turned: images.map((image) => [8, -8].map((degrees) => [...turned(image, degrees)])),
          doubtful: await probabilities(async () => looks.shift(), images[0], 0.9),
          certain: await probabilities(async () => [0.9, 0.1, 0.0], images[0], 0.9),
          hopeless: await probabilities(async () => [0.19, 0.1, 0.1], images[0], 0.9),
        };
    """, {"images": images.reshape(4, -1).tolist(), "looks": looks})  # fmt: skip
    for image, both in zip(images, found["turned"], strict=True):
        wanted = [second_look.turned(image[None], degrees).ravel().tolist() for degrees in (8.0, -8.0)]
        assert both == wanted

    class Looks:
        tta = ()

        def probabilities(self, batch):
            return np.array(looks[:1] if len(batch) == 1 else looks[1:], np.float32)

    assert np.allclose(found["doubtful"], second_look.probabilities(Looks(), images[:1], 0.9)[0], atol=1e-6)
    assert found["certain"] == [0.9, 0.1, 0.0]
    assert found["hopeless"] == [0.19, 0.1, 0.1]


def test_feature_maps_are_those_of_the_blocks(engine):
    made = page_vectors.network("cnn padded")
    vector = page_vectors.network_vector(made)
    found = engine({"engine/network.js": "Network"}, """
        const network = new Network(value.file);
        network.logits(Float32Array.from(value.images[0]));
        return network.featureMaps().map((each) => ({ ...each, maps: [...each.maps] }));
    """, vector)  # fmt: skip
    import torch

    maps = made.prepare(torch.tensor(vector["images"][0]).reshape(1, 1, 28, 28))
    for number, block in enumerate(made.blocks):
        maps = block(maps).detach()
        wanted = (255 * maps.abs() / maps.abs().max()).round().flatten()
        assert found[number]["layer"] == f"block {number + 1}"
        assert found[number]["shape"] == list(maps.shape[1:])
        assert np.abs(np.array(found[number]["maps"]) - wanted.numpy()).max() <= 1


@pytest.fixture(scope="module")
def shipped():
    """The shipped network as the engine takes it."""
    from mnist_lightning.export import web_network
    from mnist_lightning.models import checkpoint
    from mnist_lightning.run import folder as runs

    network, card = checkpoint.restore(runs.PRETRAINED)
    return {"imageSize": 28, "classNames": card["class_names"], "temperature": card["temperature"], "sure": 0.5,
            **web_network.describe(network)}  # fmt: skip


READ = """
  const reader = new Reader(new Network(value.file), value.file);
  const readings = [];
  for (const source of value.sources) readings.push(await reader.read(source));
  return readings;
"""
READER = {"engine/network.js": "Network", "engine/reader.js": "Reader"}


def check_reading(found, wanted):
    assert found["rows"] == list(wanted.row_lengths)
    assert len(found["digits"]) == len(wanted.digits)
    for digit, each in zip(found["digits"], wanted.digits, strict=True):
        assert digit["digit"] == each.label or each.confidence < 0.2  # a scribble may be anything
        assert np.allclose(digit["probabilities"], each.probabilities, atol=0.03)  # weights of 8 bits
        assert digit["box"] == pytest.approx(each.box, abs=2)


def test_the_shipped_network_reads_drawings_as_python_does(engine, reader, shipped):
    drawings = page_vectors.drawings()
    sources = [{"strokes": [{**stroke, "id": f"{at} {stroke['id']}"} for stroke in page_vectors.as_data(strokes)]}
               for at, strokes in enumerate(drawings)]  # fmt: skip
    found = engine(READER, READ, {"file": shipped, "sources": sources})
    for each, strokes in zip(found, drawings, strict=True):
        check_reading(each, reader.read(strokes))


@pytest.mark.parametrize("name", page_vectors.pictures())
def test_the_shipped_network_reads_pictures_as_python_does(engine, reader, shipped, name):
    image = page_vectors.pictures()[name]
    (found,) = engine(READER, READ, {"file": shipped, "sources": [{"pixels": page_vectors.rgba(image)}]})
    check_reading(found, reader.read_picture(image))


def test_receptive_fields_are_the_pixels_that_a_unit_depends_on(engine):
    import torch

    made = page_vectors.network("cnn padded")
    settings = page_vectors.NETWORKS["cnn padded"]
    fields = engine({"js/fields.js": "receptiveFields"}, "return receptiveFields(value, 28);", settings)
    image = torch.rand(1, 1, 28, 28, requires_grad=True)
    maps = made.prepare(image)
    for block, field in zip(made.blocks, fields, strict=True):
        maps = block.pool(block.conv(maps))
        middle = maps.shape[-1] // 2
        (gradient,) = torch.autograd.grad(maps[0, :, middle, middle].sum(), image, retain_graph=True)
        rows = gradient[0, 0].abs().sum(1).nonzero().flatten()
        first = field["start"] + middle * field["step"]
        # A pooling passes the gradient of its largest alone: what is used lies within what is looked at.
        assert rows.min() >= max(first, 0)
        assert rows.max() < first + field["size"]
        assert rows.max() - rows.min() + 1 >= field["size"] // 2


@pytest.mark.parametrize(("kind", "left_out"), [(CNN, ("channels", "kernels", "pools")), (MLP, ("hidden_sizes",))])
def test_receptive_fields_of_arguments_left_out_are_those_of_the_defaults(engine, kind, left_out):
    defaults = inspect.signature(kind).parameters
    name = kind.__name__.lower()
    bare = {"name": name}
    whole = {"name": name, **{argument: defaults[argument].default for argument in left_out}}
    if kind is CNN:
        whole["padding"] = defaults["padding"].default
    found = engine({"js/fields.js": "receptiveFields"}, "return value.map((each) => receptiveFields(each, 28));",
                   [bare, whole])  # fmt: skip
    assert found[0] == found[1]
    assert len(found[1]) == len(defaults[left_out[0]].default)


def test_the_history_of_a_drawing_is_that_of_python(engine):
    """Drawing, undoing and erasing: what is on the sheet, and whether there is more to undo or redo, at each step."""
    steps = [
        ("begin", 100, 100, 20), ("move", 100, 200), ("end",), ("begin", 300, 100, 20), ("move", 300, 200), ("end",),
        ("undo",), ("erase", 600, 500), ("move", 500, 500), ("end",), ("redo",),
        ("undo",), ("erase", 600, 500), ("undo",), ("redo",), ("redo",),
        ("undo",), ("erase", 600, 150), ("move", 200, 150), ("move", 90, 150), ("move", 600, 150), ("end",), ("redo",),
        ("undo",), ("erase", 600, 500), ("begin", 400, 400, 20), ("erase", 400, 400), ("undo",), ("undo",),
    ]  # fmt: skip
    drawing, wanted = Drawing(), []
    for name, *values in steps:
        if name == "erase":
            drawing.begin_erase(*values, radius=18)
        else:
            getattr(drawing, name)(*values)
        wanted.append([len(drawing.strokes), drawing.can_undo, drawing.can_redo])
    assert [True, True] in [each[1:] for each in wanted]
    found = engine({"js/drawing.js": "Drawing"}, """
        const drawing = new Drawing();
        return value.map(([name, ...values]) => {
          drawing[name === "erase" ? "beginErasing" : name](...values);
          return [drawing.strokes.length, drawing.past.length > 0, drawing.future.length > 0];
        });
    """, steps)  # fmt: skip
    assert found == wanted


def test_as_many_gestures_can_be_undone_as_in_python(engine):
    drawing = Drawing()
    for at in range(MOST_UNDOS + 20):
        drawing.begin(at, 0)
    while drawing.undo():
        pass
    left = engine({"js/drawing.js": "Drawing"}, """
        const drawing = new Drawing();
        for (let at = 0; at < value; at++) drawing.begin(at, 0, 20);
        while (drawing.undo());
        return drawing.strokes.length;
    """, MOST_UNDOS + 20)  # fmt: skip
    assert left == len(drawing.strokes) == 20


def test_a_drawing_that_no_link_can_hold_gets_none(engine):
    strokes = [{"width": 20, "points": [[at % 700, at % 600] for at in range(20_001)]}]
    found = engine({"js/share.js": "shareLink", "js/codec.js": "decodeStrokes, encodeStrokes"}, """
        const shorter = [{ ...value[0], points: value[0].points.slice(1) }];
        const back = decodeStrokes(encodeStrokes(shorter));
        return { told: await shareLink(value), hash: location.hash, back, shorter };
    """, strokes)  # fmt: skip
    assert found["told"] == "This drawing is too long for a link: save it as PNG."
    assert found["hash"] == ""
    assert found["back"] == found["shorter"]


def test_a_worker_answers_one_question_after_another(engine):
    """A network that takes its time, as ONNX Runtime's does: a reader asked twice at a time would mix both up."""
    sources = [{"strokes": page_vectors.as_data(strokes)} for strokes in page_vectors.drawings()[:2]]
    found = engine({"engine/serve.js": "serve"}, """
        const answers = [];
        const network = {
          logits: (image) => new Promise((resolve) => { setTimeout(() => resolve([image[400], 5]), 20); }),
          featureMaps: () => [],
        };
        const post = self.postMessage;
        self.postMessage = (message) => answers.push(message);
        serve(() => network);
        const tasks = [{ task: "start", file: { classNames: ["0", "1"], temperature: 1, sure: 0.5 } }];
        tasks.push({ task: "explain", ...value[0] }, { task: "read", ...value[1] });
        tasks.forEach((task, id) => self.onmessage({ data: { id, ...task } }));
        const end = Date.now() + 10000;
        while (answers.length < 3 && Date.now() < end) await new Promise((next) => { setTimeout(next, 10); });
        self.onmessage = null;
        self.postMessage = post;
        return answers.map(({ id, error }) => [id, error ?? ""]);
    """, sources)  # fmt: skip
    assert found == [[0, ""], [1, ""], [2, ""]]


@pytest.mark.parametrize(
    ("module", "name", "pattern"),
    [
        ("ink/segment.js", "segmentInkRows", "x % 2 === 0 && y % 2 === 0"),  # 24,336 dots
        ("ink/clutter.js", "removeClutter", "x % 9 < 7 && y % 3 === 0"),  # 3,640 level dashes
    ],
)
def test_a_halftone_takes_no_more_than_a_second(engine, within, module, name, pattern):
    """What was done for each digit, or each dash, on the whole picture took two to five seconds."""
    seconds = engine({module: name}, f"""
        const data = new Uint8Array(320 * 320).map((_, at) => {{
          const [x, y] = [at % 320, Math.floor(at / 320)];
          return Math.min(x, y) >= 4 && Math.max(x, y) < 316 && {pattern} ? 255 : 0;
        }});
        const times = [1, 2, 3].map(() => {{
          const began = performance.now();
          {name}({{ width: 320, height: 320, data }});
          return performance.now() - began;
        }});
        return Math.min(...times) / 1000;
    """, None)  # fmt: skip
    assert within(seconds, 1)


def test_no_piece_of_a_picture_is_read_more_often_than_in_python(engine, reader, shipped, monkeypatch):
    image = page_vectors.pictures()["halftone with dashes"]
    read = reader.predictor.probabilities
    counts = []
    monkeypatch.setattr(reader.predictor, "probabilities", lambda images: counts.append(len(images)) or read(images))
    Reader(reader.predictor, reader.sure).read_picture(image)
    count = engine(READER, """
        const network = new Network(value.file);
        let count = 0;
        const counted = { logits: (image) => { count++; return network.logits(image); } };
        await new Reader(counted, value.file).read({ pixels: value.pixels });
        return count;
    """, {"file": shipped, "pixels": page_vectors.rgba(image)})  # fmt: skip
    assert count == sum(counts) > 100


def test_matrices_are_multiplied_alike_with_and_without_webassembly(engine):
    count, rows, inner, columns = 2, 8, 37, 24
    random = np.random.default_rng(0)
    a, b = random.normal(size=(count, rows, inner)), random.normal(size=(count, inner, columns))
    found = engine({"engine/multiply.js": "COLUMNS, Products, ROWS"}, """
        const whole = globalThis.WebAssembly;
        return [whole, undefined].map((given) => {
            globalThis.WebAssembly = given;
            const products = new Products(...value.shape);
            globalThis.WebAssembly = whole;
            value.a.forEach((each, at) => products.a[at].set(each));
            value.b.forEach((each, at) => products.b[at].set(each));
            products.run();
            return { c: products.c.map((each) => [...each]), bytes: products.c[0].buffer.byteLength };
        });
    """, {"shape": [count, rows, inner, columns],
          "a": [each.reshape(-1, 4, inner).transpose(0, 2, 1).ravel().tolist() for each in a],
          "b": [each.reshape(inner, -1, 8).transpose(1, 0, 2).ravel().tolist() for each in b]})  # fmt: skip
    assert [each["bytes"] % 65536 for each in found] != [0, 0], "one of both is no WebAssembly.Memory"
    assert found[0]["bytes"] % 65536 == 0, "WebAssembly was not used"
    for each in found:
        assert np.allclose(np.array(each["c"]).reshape(count, rows, columns), a @ b, atol=1e-4)


@pytest.mark.parametrize(("height", "width", "padding"), [(6, 6, 0), (9, 8, 0), (8, 9, 1), (7, 5, 2)])
def test_convolutions_in_tiles_are_those_of_torch(engine, height, width, padding):
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(8, height, width, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 8, 3, 3, generator=generator, dtype=torch.float64)
    bias = torch.randn(5, generator=generator, dtype=torch.float64)
    out = torch.nn.functional.conv2d(image, weight, bias, padding=padding)
    back = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(out, image, back)
    found = engine({"engine/layers.js": "Convolution"}, """
        const [weight, bias, image, back] = value.numbers.map((each) => Float32Array.from(each));
        const layer = new Convolution(value.shape, { outputs: 5, kernel: 3, padding: value.padding }, weight, bias);
        const once = [...layer.forward(image)];
        const kind = layer.sums.constructor.name;
        return { kind, once, out: [...layer.forward(image)], gradient: [...layer.backward(back)] };
    """, {"shape": list(image.shape), "padding": padding,
          "numbers": [each.flatten().tolist() for each in (weight, bias, image.detach(), back)]})  # fmt: skip
    assert found["kind"] == "Winograd"
    assert found["out"] == found["once"], "nothing of the last image may be left"
    assert np.abs(np.array(found["out"]) - out.detach().flatten().numpy()).max() < 1e-4
    assert np.abs(np.array(found["gradient"]) - gradient.flatten().numpy()).max() < 1e-4
