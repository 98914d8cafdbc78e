"""Headless Chromium, the one-file page, and a service that shows the page."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from waiting import wait_until_read

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
AXE = "4.14.1"


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium; tests that need it are skipped where it is missing."""
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("Playwright is not installed: pip install playwright")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"There is no Chromium at {CHROMIUM}; name one in CHROMIUM.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def reader():
    """The shipped network, read by Python."""
    from mnist_lightning.inference.predictor import Predictor
    from mnist_lightning.inference.reader import Reader
    from mnist_lightning.run import folder as runs

    return Reader(Predictor.load(runs.PRETRAINED, "cpu"), sure=0.5)


@pytest.fixture(scope="module")
def one_file(tmp_path_factory):
    """The shipped network as one HTML file."""
    import page_vectors

    from mnist_lightning.export import web
    from mnist_lightning.ink.normalise import normalise_ink
    from mnist_lightning.ink.raster import draw_digit
    from mnist_lightning.models import checkpoint
    from mnist_lightning.run import folder as runs

    network, card = checkpoint.restore(runs.PRETRAINED)
    images = np.stack([normalise_ink(draw_digit(strokes)) for strokes in page_vectors.drawings()])
    path = tmp_path_factory.mktemp("page") / "mnist.html"
    web.write(SimpleNamespace(network=network, card=card, path=path, calibration=lambda: images, options={}))
    return path


@pytest.fixture
def service(reader):
    """A service that shows the page and stores nothing."""
    from page_service import Service

    service = Service(reader)
    yield service
    service.close()


@pytest.fixture
def open_page(browser):
    """`open_page(address, **how)`: the page, ready; fails at the end of the test if a script failed."""
    contexts, problems = [], []

    def open_page(address, offline=False, **how):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **how})
        contexts.append(context)
        context.set_offline(offline)
        context.set_default_timeout(20_000)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        wait_until_read(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture(params=["service", "one file"])
def page(request, open_page):
    """The page in both forms."""
    if request.param == "service":
        return open_page(request.getfixturevalue("service").address)
    return open_page(request.getfixturevalue("one_file").as_uri(), offline=True)


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The source of axe-core, fetched with npm; $AXE may name the file."""
    if os.environ.get("AXE"):
        return Path(os.environ["AXE"]).read_text()
    folder = tmp_path_factory.mktemp("axe")
    try:
        command = ["npm", "pack", f"axe-core@{AXE}", "--silent", "--pack-destination", str(folder)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        subprocess.run(["tar", "xzf", *folder.glob("*.tgz"), "-C", str(folder)], check=True)
    except (OSError, subprocess.SubprocessError):
        pytest.skip(f"axe-core {AXE} cannot be fetched with npm; name its axe.min.js in AXE.")
    return (folder / "package/axe.min.js").read_text()


@pytest.fixture(scope="module")
def pen_digits():
    """One digit of each class: {label: paths in pixels of the sheet}."""
    lines = (Path(__file__).parent.parent / "apps/hand_digits.jsonl").read_text().splitlines()
    return {digit["label"]: digit["strokes"] for digit in map(json.loads, lines)}
