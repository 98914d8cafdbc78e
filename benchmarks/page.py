"""Draw recorded pen strokes on the page in headless Chromium, and compare what it shows with Python.

    python benchmarks/page.py strokes.jsonl.gz mnist.html                         the one-file page, by mouse
    python benchmarks/page.py strokes.jsonl.gz http://127.0.0.1:8000/ --touch     a service's page, by finger

Each digit is drawn as `scripts/replay.py` draws it, in the middle of the sheet at whole pixels, and the likeliest
number counts, sure or not. `--pace 8` sends an event every 8 ms, as a pen does; without
it all events of a digit are sent at once. `reading_ms` is from the page's question to the engine's answer, of every
reading while a digit grows; `answer_ms` is from the last event of a digit to the answer about the whole of it, which is
what a person waits for. Python reads the same strokes with the checkpoint that `--ckpt` names. For a file the
browser is offline. The last line is JSON. Needs `pip install playwright` and a Chromium (Debian's, or $CHROMIUM).

`--pictures docs/images` compares nothing and writes what the page shows once 2026 is drawn: `page.png`,
`page_dark.png` with what decided, and `page_phone.png`; for them the strokes are tests/apps/hand_digits.jsonl.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import time
from pathlib import Path
from typing import Any

from mnist_lightning.apps.layout import Rect
from mnist_lightning.apps.replay import mouse_paths
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.inference.reader import Reader
from mnist_lightning.ink.strokes import Stroke, WrittenDigit, read_digits
from mnist_lightning.run import folder as runs

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
WIDTH, HEIGHT = 740, 616  # of the sheet, pixels

Points = list[tuple[int, int]]


def read_in_python(reader: Reader, paths: list[Points]) -> str:
    """What Python reads in strokes."""
    strokes = []
    for path in paths:
        points = [point for at, point in enumerate(path) if at == 0 or point != path[at - 1]]
        strokes.append(Stroke([(float(x), float(y)) for x, y in points]))
    return reader.read(strokes).best


def events(paths: list[Points], corner: tuple[float, float], touch: bool) -> list[tuple[str, dict[str, Any]]]:
    """The browser's input events that draw strokes."""
    sent: list[tuple[str, dict[str, Any]]] = []
    for path in paths:
        for at, (x, y) in enumerate([*path, path[-1]]):
            place = {"x": x + corner[0], "y": y + corner[1]}
            kind = "start" if at == 0 else "end" if at == len(path) else "move"
            if touch:
                name = {"start": "touchStart", "move": "touchMove", "end": "touchEnd"}[kind]
                points = [] if kind == "end" else [place]
                sent.append(("Input.dispatchTouchEvent", {"type": name, "touchPoints": points}))
            else:
                name = {"start": "mousePressed", "move": "mouseMoved", "end": "mouseReleased"}[kind]
                sent.append(("Input.dispatchMouseEvent", {
                    "type": name, **place, "button": "left", "buttons": 0 if kind == "end" else 1, "clickCount": 1,
                }))  # fmt: skip
    return sent


def number(digits: list[WrittenDigit], text: str, width: float) -> list[Points]:
    """A number in pixels of a sheet that the page shows `width` pixels wide."""
    strokes = {str(digit.label): digit.strokes for digit in digits}
    factor = width / WIDTH
    return [
        [(round(factor * (32 + 176 * at + 1.65 * x)), round(factor * (190 + 1.65 * y))) for x, y in stroke.points]
        for at, figure in enumerate(text)
        for stroke in strokes[figure]
    ]


SHOWN = "document.documentElement.dataset.best"
IS_READ = """() => new Promise((resolve) => {
  const { dataset } = document.documentElement;
  const check = () => (dataset.changed === dataset.read ? resolve() : setTimeout(check, 1));
  check();
})"""
IS_EXPLAINED = """() => new Promise((resolve) => {
  const message = document.getElementById("message");
  let began = false; // it says that it works, and then nothing
  const check = () => {
    began ||= message.textContent !== "";
    if (began && message.textContent === "") resolve();
    else setTimeout(check, 20);
  };
  check();
})"""
WATCH = """() => {
  globalThis.times = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntriesByName("reading")) globalThis.times.push(entry.duration);
  }).observe({ entryTypes: ["measure"] });
}"""


async def send(devtools: Any, sent: list[tuple[str, dict[str, Any]]], pace: float) -> None:
    """Send input events, one every `pace` ms by the clock, or all at once with 0."""
    began = time.perf_counter()
    waiting = []
    for at, each in enumerate(sent):
        if pace:
            await asyncio.sleep(max(0.0, began + at * pace / 1000 - time.perf_counter()))
        waiting.append(asyncio.ensure_future(devtools.send(*each)))
    await asyncio.gather(*waiting)


async def draw(
    address: str, drawings: list[list[Points]], touch: bool, pace: float
) -> tuple[list[str], list[float], list[float], float]:
    """What the page shows for each drawing; how long readings took, how long after the last event the whole drawing
    was read, and how long the page took to get ready, all in ms."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        context = await browser.new_context(viewport={"width": 1280, "height": 800}, has_touch=touch)
        await context.set_offline(address.startswith("file:"))
        page = await context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.goto(address)
        await page.wait_for_selector("html[data-ready]")
        ready = await page.evaluate("performance.now()")
        await page.evaluate(WATCH)
        box = await page.locator("#sheet").bounding_box()
        assert box is not None
        assert (box["width"], box["height"]) == (WIDTH, HEIGHT), box
        devtools = await context.new_cdp_session(page)
        shown, answers = [], []
        for paths in drawings:
            await send(devtools, events(paths, (box["x"], box["y"]), touch), pace)
            drawn = time.perf_counter()
            await page.evaluate(IS_READ)
            answers.append(1000 * (time.perf_counter() - drawn))
            shown.append(await page.evaluate(SHOWN))
            await page.keyboard.press("c")
        times = await page.evaluate("() => globalThis.times")
        await browser.close()
        if problems:
            raise RuntimeError(f"The page raised {problems[0]}")
        return shown, times, answers, ready


async def pictures(address: str, digits: list[WrittenDigit], folder: Path) -> None:
    """Write pictures of the page: as it is, dark with what decided, and on a phone."""
    from playwright.async_api import async_playwright

    looks: dict[str, dict[str, Any]] = {
        "page": {"viewport": {"width": 1280, "height": 1300}},
        "page_dark": {"viewport": {"width": 1280, "height": 1300}, "color_scheme": "dark"},
        "page_phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True},
    }
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for name, look in looks.items():
            page = await browser.new_page(**look)
            await page.goto(address)
            await page.wait_for_selector("html[data-ready]")
            box = await page.locator("#sheet").bounding_box()
            assert box is not None
            devtools = await page.context.new_cdp_session(page)
            paths = number(digits, "2026", box["width"])
            for each in events(paths, (box["x"], box["y"]), bool(look.get("has_touch"))):
                await devtools.send(*each)
            await page.evaluate(IS_READ)
            if name == "page_dark":
                await page.keyboard.press("h")
                await page.evaluate(IS_EXPLAINED)
            await page.mouse.move(1, 1)
            await page.wait_for_timeout(1000)  # the inside is drawn after the reading
            await page.screenshot(path=folder / f"{name}.png")
        await browser.close()


def main() -> None:
    """Read the command line, draw, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("strokes", type=Path)
    parser.add_argument("page", help="an HTML file, or the address of a service")
    parser.add_argument("--touch", action="store_true", help="draw by finger, not by mouse")
    parser.add_argument("--pace", type=float, default=0, help="ms between two events, as a pen's 8; 0: all at once")
    parser.add_argument("--limit", type=int, default=1000, help="digits drawn, by seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ckpt", default="pretrained")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"))
    parser.add_argument("--pictures", type=Path, help="write pictures into this folder instead")
    asked = parser.parse_args()
    address = asked.page if "://" in asked.page else Path(asked.page).resolve().as_uri()
    digits = list(read_digits(asked.strokes))
    if asked.pictures:
        asyncio.run(pictures(address, digits, asked.pictures))
        return
    digits = random.Random(asked.seed).sample(digits, min(asked.limit, len(digits)))
    drawings = [mouse_paths(digit, Rect(0, 0, WIDTH, HEIGHT)) for digit in digits]
    path, _ = runs.find_checkpoint(asked.ckpt, asked.outputs)
    reader = Reader(Predictor.load(path, "cpu"), sure=0.5)
    python = [read_in_python(reader, paths) for paths in drawings]
    began = time.perf_counter()
    shown, times, answers, ready = asyncio.run(draw(address, drawings, asked.touch, asked.pace))
    labels = [str(digit.label) for digit in digits]
    differing = [
        (digit.id, ours, theirs) for digit, ours, theirs in zip(digits, python, shown, strict=True) if ours != theirs
    ]
    found = {
        "n": len(digits),
        "by": "touch" if asked.touch else "mouse",
        "accuracy": sum(map(str.__eq__, shown, labels)) / len(labels),
        "accuracy_python": sum(map(str.__eq__, python, labels)) / len(labels),
        "differing": len(differing),
        "reading_ms_median": round(statistics.median(times), 2),
        "reading_ms_p95": round(sorted(times)[int(0.95 * len(times))], 2),
        "readings": len(times),
        "pace_ms": asked.pace,
        "answer_ms_median": round(statistics.median(answers), 2),
        "answer_ms_p95": round(sorted(answers)[int(0.95 * len(answers))], 2),
        "ready_ms": round(ready, 1),
        "seconds": round(time.perf_counter() - began, 1),
    }
    for name, ours, theirs in differing[:10]:
        print(f"{name}: Python reads {ours or 'nothing'}, the page shows {theirs or 'nothing'}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
