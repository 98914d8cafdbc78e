"""The container, as far as it can be checked without a container engine."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_hadolint_finds_nothing():
    found = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([found, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_it_copies_is_there_and_passes_the_ignore_file():
    copied = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.M)
    assert copied
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for path in copied:
        assert (ROOT / path).exists(), path
        assert path in allowed


def test_the_lock_has_checksums_and_no_torch():
    lock = (ROOT / "docker/serve.lock").read_text()
    names = re.findall(r"^([a-z0-9-]+)==", lock, re.M)
    assert {"fastapi", "uvicorn", "onnxruntime", "onnx", "hydra-core", "opencv-python-headless"} <= set(names)
    assert not {"torch", "lightning", "torchvision", "opencv-python", "onnxscript"} & set(names)
    blocks = re.split(r"^(?=[a-z0-9-]+==)", lock, flags=re.M)
    assert all("--hash=sha256:" in block for block in blocks if "==" in block)
    assert "http" not in lock.replace("httptools", "")


def test_the_lock_holds_what_is_asked_for_and_what_the_project_pins():
    asked = re.findall(r"^([a-z0-9-]+)[>=]", (ROOT / "docker/serve.in").read_text(), re.M)
    lock = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "docker/serve.lock").read_text(), re.M))
    pinned = dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;]+)", (ROOT / "constraints.txt").read_text(), re.M))
    pinned = {name.lower().replace("_", "-"): version for name, version in pinned.items()}
    assert set(asked) <= lock.keys()
    assert {name: lock[name] for name in lock.keys() & pinned.keys()} == {
        name: pinned[name] for name in lock.keys() & pinned.keys()
    }


def test_it_runs_as_nobody_special_and_says_whether_it_lives():
    last = DOCKERFILE.rsplit("FROM ", 1)[1]
    assert re.search(r"^USER 10001$", last, re.M)
    assert "HEALTHCHECK" in last
    assert "/healthz" in last
    assert "mnist.int8.onnx" in last
    assert (ROOT / "mnist_lightning/pretrained/mnist.int8.onnx").is_file()


def test_the_compose_file_has_two_replicas_a_proxy_and_prometheus():
    compose = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]
    assert compose["service"]["deploy"]["replicas"] == 2
    assert compose["service"]["init"] is True, "process 1 ignores SIGTERM until Python handles it"
    for service in ("proxy", "prometheus"):
        for volume in compose[service]["volumes"]:
            assert (ROOT / "docker" / volume.split(":")[0]).is_file()
    scrape = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text())["scrape_configs"][0]
    assert scrape["dns_sd_configs"][0]["port"] == 8000


def test_the_shipped_onnx_files_are_made_of_the_shipped_checkpoint():
    onnx_file = pytest.importorskip("mnist_lightning.inference.onnx_file")
    from mnist_lightning.export.command import digest

    folder = ROOT / "mnist_lightning/pretrained"
    wanted = digest(folder / "mnist.ckpt")
    for name in ("mnist.onnx", "mnist.int8.onnx"):
        remake = f"python scripts/export.py ckpt=pretrained output={folder / name}"
        assert onnx_file.read(folder / name)[1]["export"]["sha256"] == wanted, f"{name} is old: {remake}"
