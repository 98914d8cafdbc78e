import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mnist_lightning.run import machine, provenance

FAULTS = """
import resource, sys
from mnist_lightning.run import machine

if sys.argv[1] == "keep":
    assert machine.keep_freed_memory() is True
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(2):
    b"x" * (64 * 2**20)
before = faults()
for _ in range(5):
    b"x" * (64 * 2**20)
print(faults() - before)
"""


def is_glibc():
    return sys.platform.startswith("linux") and bool(platform.libc_ver()[0])


@pytest.mark.skipif(not is_glibc(), reason="glibc's knobs")
def test_freed_memory_is_kept_and_taken_again_without_page_faults():
    kept, handed_back = (
        int(subprocess.check_output([sys.executable, "-c", FAULTS, how], text=True)) for how in ("keep", "not")
    )
    assert kept < 100
    assert handed_back > 20 * max(kept, 1)


@pytest.mark.parametrize(
    ("shell", "asleep", "policy", "spins"),
    [
        ({}, False, None, "10000"),
        ({}, True, "passive", None),
        ({"OMP_WAIT_POLICY": "active"}, True, "active", None),
        ({"OMP_WAIT_POLICY": "active"}, False, "active", None),
        ({"GOMP_SPINCOUNT": "7"}, False, None, "7"),
    ],
)
def test_threads_wait_briefly_or_asleep_unless_the_shell_says_otherwise(monkeypatch, shell, asleep, policy, spins):
    with monkeypatch.context() as patch:
        for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
            patch.setenv(name, "")  # remembered, so that what is set below is taken back
            del os.environ[name]
        os.environ.update(shell)
        machine.wait_briefly(asleep=asleep)
        assert (os.environ.get("OMP_WAIT_POLICY"), os.environ.get("GOMP_SPINCOUNT")) == (policy, spins)


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(machine.sys, "platform", "darwin")
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: pytest.fail("touched the C library"))
    assert machine.keep_freed_memory() is False


def test_a_c_library_without_the_knobs_is_left_alone(monkeypatch):
    monkeypatch.setattr(machine.sys, "platform", "linux")
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: SimpleNamespace())
    assert machine.keep_freed_memory() is False


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("fpu avx512f avx512_bf16", "bf16-mixed"),
        ("fpu amx_bf16 amx_tile", "bf16-mixed"),
        ("fpu avx2 avx512f avx512_bf16_lookalike", "32-true"),
        (None, "32-true"),
    ],
)
def test_a_cpu_takes_bfloat16_where_it_multiplies_it(monkeypatch, tmp_path, flags, precision):
    cpuinfo = tmp_path / "cpuinfo"
    if flags is not None:
        cpuinfo.write_text(f"processor : 0\nmodel name\t: Abacus 3\nflags\t\t: {flags}\n\nprocessor : 1\n")
    monkeypatch.setattr(machine, "Path", lambda path: cpuinfo if path == "/proc/cpuinfo" else Path(path))
    assert machine.pick_precision("cpu") == precision
    monkeypatch.setattr(provenance, "Path", machine.Path)
    assert provenance._cpu_name() == ("Abacus 3" if flags else platform.machine())


@pytest.mark.parametrize(("supported", "precision"), [(True, "bf16-mixed"), (False, "32-true")])
def test_a_gpu_takes_bfloat16_where_it_need_not_be_emulated(monkeypatch, supported, precision):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: supported)
    assert machine.pick_precision("cuda") == precision


def test_apples_gpu_takes_single_precision():
    assert machine.pick_precision("mps") == "32-true"
