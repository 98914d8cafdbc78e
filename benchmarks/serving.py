"""The service against its bars: `python benchmarks/serving.py what=predict,batch,overload,sigterm [seconds=5]`.

    predict   28x28 PNG from 64 connections: this service, its /healthz, and LitServe (`pip install litserve`) with the
              same network and the same preparation, taken by turns
    batch     raw images to /v1/predict/batch, against ONNX Runtime alone on the same batches
    overload  four times as many connections as the queue has room for, and /healthz meanwhile
    soak      full load for `seconds`: the memory of the process over time
    sigterm   SIGTERM under load: all that was accepted is answered
    start     from the command to the first answer of /readyz, against the imports that it needs

Everything runs on this machine, over the loopback. The last line of each part is JSON.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import load

from mnist_lightning.ink.normalise import normalise_ink
from mnist_lightning.ink.raster import draw_digit
from mnist_lightning.ink.strokes import Stroke
from mnist_lightning.run import folder as runs

NETWORK = runs.PRETRAINED.with_name("mnist.int8.onnx")
PORT, RIVAL = 8431, 8432
ROOT = Path(__file__).parent.parent


class Process:
    """A server in a process of its own, killed at the end."""

    def __init__(self, command: list[str], ready: str, **environment: str) -> None:
        self.began = time.perf_counter()
        self._log = open("/dev/null", "w", encoding="utf-8")  # noqa: PTH123, SIM115
        self.process = subprocess.Popen(
            command, stdout=self._log, stderr=self._log, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}", **environment},
            start_new_session=True,
        )  # fmt: skip
        while time.perf_counter() - self.began < 120:
            try:
                urllib.request.urlopen(ready, timeout=1).read()
                break
            except OSError:
                time.sleep(0.005)
        self.ready = time.perf_counter() - self.began

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: Any) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.killpg(self.process.pid, signal.SIGKILL)  # with its workers, which would go on running
        self.process.wait()

    def memory(self) -> float:
        """Resident memory, MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="utf-8").split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20


def service(*settings: str) -> Process:
    """This project's service."""
    command = [sys.executable, "scripts/serve.py", f"ckpt={NETWORK}", f"port={PORT}", "log_requests=false", *settings]
    return Process(command, f"http://127.0.0.1:{PORT}/readyz")


def litserve() -> Process:
    """LitServe with the same network."""
    command = [sys.executable, "benchmarks/rival.py", str(NETWORK), str(RIVAL)]
    return Process(command, f"http://127.0.0.1:{RIVAL}/health")


def digit() -> np.ndarray:
    """A zero, prepared as MNIST is."""
    turn = np.linspace(0, 2 * np.pi, 20)
    return normalise_ink(draw_digit([Stroke(list(zip(70 * np.sin(turn), 100 * np.cos(turn), strict=True)))]))


def png() -> bytes:
    """The zero as a PNG file."""
    return cv2.imencode(".png", digit())[1].tobytes()


def predict(seconds: float) -> dict[str, Any]:
    """This service, its health check and LitServe by turns, 64 connections each."""
    rival_body = json.dumps({"image": base64.b64encode(png()).decode()}).encode()
    takes: dict[str, Callable[[], load.Outcome]] = {
        "predict": lambda: load.run(f"http://127.0.0.1:{PORT}/v1/predict", 64, seconds, png()),
        "healthz": lambda: load.run(f"http://127.0.0.1:{PORT}/healthz", 64, seconds),
        "litserve": lambda: load.run(f"http://127.0.0.1:{RIVAL}/predict", 64, seconds, rival_body, "application/json"),
    }
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in takes}
    with service(), litserve():
        for _ in range(5):
            for name, take in takes.items():
                found[name].append(take().summary())
                print(name, found[name][-1], flush=True)
    rate = {name: statistics.median(each["per_second"] for each in rounds) for name, rounds in found.items()}
    by_turn = [
        {name: rounds[turn]["per_second"] for name, rounds in found.items()} for turn in range(len(found["predict"]))
    ]
    return {
        "per_second": rate,
        "of_healthz": statistics.median(turn["predict"] / turn["healthz"] for turn in by_turn),
        "of_litserve": statistics.median(turn["predict"] / max(turn["litserve"], 1e-9) for turn in by_turn),
        "p99_of_median": statistics.median(each["p99_ms"] / each["median_ms"] for each in found["predict"]),
        "statuses": [each["statuses"] for each in found["predict"]],
    }


def batch(seconds: float) -> dict[str, Any]:
    """Raw bytes against ONNX Runtime alone, in this process, with as many threads."""
    from mnist_lightning.inference import onnx_file
    from mnist_lightning.inference.onnx_predictor import session, to_input

    count = 2048
    images = np.repeat(digit()[None], count, axis=0)
    bare = session(onnx_file.read(NETWORK)[0], max(1, (os.cpu_count() or 2) - 1))
    ready = [to_input(images[start : start + 64]) for start in range(0, count, 64)]
    found: dict[str, list[float]] = {"service": [], "bare": []}
    headers = "Accept: application/octet-stream\r\n"
    with service():
        for _ in range(5):
            outcome = load.run(f"http://127.0.0.1:{PORT}/v1/predict/batch", 2, seconds, images.tobytes(),
                               "application/octet-stream", headers=headers)  # fmt: skip
            found["service"].append(count * outcome.statuses[200] / outcome.took)
            began, done = time.perf_counter(), 0
            while time.perf_counter() - began < seconds:
                for part in ready:
                    bare.run(None, {"images": part})
                done += count
            found["bare"].append(done / (time.perf_counter() - began))
            print({name: round(rounds[-1]) for name, rounds in found.items()}, flush=True)
    ratios = [one / other for one, other in zip(found["service"], found["bare"], strict=True)]
    return {name: statistics.median(rounds) for name, rounds in found.items()} | {"of_bare": statistics.median(ratios)}


def overload(seconds: float) -> dict[str, Any]:
    """512 connections against a queue of 128, and a health check every 50 ms."""
    with service():
        watch = subprocess.Popen(
            [sys.executable, str(Path(load.__file__)), f"http://127.0.0.1:{PORT}/healthz", "connections=1",
             f"seconds={seconds}", "pause=0.05"], stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        outcome = load.run(f"http://127.0.0.1:{PORT}/v1/predict", 512, seconds, png())
        health = json.loads(watch.communicate()[0])
    return {"predict": outcome.summary(), "healthz": health}


def soak(seconds: float) -> dict[str, Any]:
    """Memory under load, in ten equal parts."""
    with service() as server:
        memory = []
        for _ in range(10):
            outcome = load.run(f"http://127.0.0.1:{PORT}/v1/predict", 64, seconds / 10, png())
            memory.append(round(server.memory(), 1))
            print(memory[-1], outcome.summary()["statuses"], flush=True)
    return {"memory_mib": memory, "growth": memory[-1] / memory[0] - 1}


def sigterm(seconds: float) -> dict[str, Any]:
    """SIGTERM in the middle of a load; `0` among the statuses is a request that got no answer."""
    with service("serve.drain=1") as server:
        subprocess.Popen(["sh", "-c", f"sleep {seconds / 2}; kill -TERM {server.process.pid}"])
        outcome = load.run(f"http://127.0.0.1:{PORT}/v1/predict", 64, seconds, png())
        began = time.perf_counter()
        code = server.process.wait(30)
    return {**outcome.summary(), "exit": code, "waited": time.perf_counter() - began}


def start(_seconds: float) -> dict[str, Any]:
    """Seconds to the first answer, and those of the imports alone; medians of five, by turns."""
    imports = [sys.executable, "-c", "import fastapi, uvicorn, onnxruntime"]
    ready, alone = [], []
    for _ in range(5):
        with service() as server:
            ready.append(server.ready)
        began = time.perf_counter()
        subprocess.run(imports, check=True)
        alone.append(time.perf_counter() - began)
    return {"ready": statistics.median(ready), "imports": statistics.median(alone)}


PARTS = {"predict": predict, "batch": batch, "overload": overload, "soak": soak, "sigterm": sigterm, "start": start}

if __name__ == "__main__":
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    for name in given.get("what", "predict,batch,overload,sigterm,start").split(","):
        print(name, json.dumps(PARTS[name](float(given.get("seconds", 5)))), flush=True)
