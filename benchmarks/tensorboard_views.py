"""What TensorBoard shows of three runs, as pictures: `python benchmarks/tensorboard_views.py docs/images`.

Trains on scikit-learn's digits with three learning rates, starts TensorBoard on them, and takes a picture of its first
view and of its table of hyperparameters. Needs Playwright and Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
VIEWS = {"tensorboard": "timeseries", "tensorboard_hparams": "hparams"}


def main() -> None:
    """Train, serve, look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--size", default="1600x800", help="of the browser's window, pixels")
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    with tempfile.TemporaryDirectory() as outputs, socket.socket() as free:
        for lr in (0.003, 0.01, 0.03):
            subprocess.run(
                [sys.executable, str(PROJECT / "scripts/train.py"), "data=digits", f"optimizer.lr={lr}",
                 "trainer.log_every_n_steps=5", f"hydra.run.dir={outputs}/lr={lr}"],
                check=True,
            )  # fmt: skip
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        server = subprocess.Popen([sys.executable, "-m", "tensorboard.main", "--logdir", outputs, "--port", str(port)])
        try:
            _wait_for(f"http://127.0.0.1:{port}/data/runs")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": width, "height": height})
                for name, view in VIEWS.items():
                    page.goto(f"http://127.0.0.1:{port}/#{view}")
                    page.wait_for_timeout(8000)  # its charts are drawn long after the network is idle
                    page.screenshot(path=given.folder / f"{name}.png")
                browser.close()
        finally:
            server.terminate()
            server.wait()


def _wait_for(address: str, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if len(urllib.request.urlopen(address).read()) > 10:  # the names of the runs
                return
        except OSError:
            pass
        time.sleep(0.5)
    sys.exit("TensorBoard does not answer.")


if __name__ == "__main__":
    main()
