import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mnist_lightning.run import machine

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
    return sys.platform.startswith("linux") and bool(machine.platform.libc_ver()[0])


@pytest.mark.skipif(not is_glibc(), reason="glibc's knobs")
def test_freed_memory_is_kept_and_taken_again_without_page_faults():
    kept, handed_back = (
        int(subprocess.check_output([sys.executable, "-c", FAULTS, how], text=True)) for how in ("keep", "not")
    )
    assert kept < 100
    assert handed_back > 20 * max(kept, 1)


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(machine.sys, "platform", "darwin")
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: pytest.fail("touched the C library"))
    assert machine.keep_freed_memory() is False


def test_a_c_library_without_the_knobs_is_left_alone(monkeypatch):
    monkeypatch.setattr(machine.sys, "platform", "linux")
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: SimpleNamespace())
    assert machine.keep_freed_memory() is False


def test_lightning_is_imported_without_scipy_signal_which_can_be_imported_afterwards():
    code = """
import sys
from mnist_lightning.run import machine
with compat.without_scipy_signal():
    import lightning.pytorch
assert "scipy" in sys.modules and "scipy.signal" not in sys.modules
with compat.without_scipy_signal():
    import lightning.pytorch
import scipy.signal
assert len(scipy.signal.convolve([1, 2], [1, 2])) == 3
with compat.without_scipy_signal():
    assert sys.modules["scipy.signal"] is scipy.signal
assert sys.modules["scipy.signal"] is scipy.signal
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_imported_heavily_is_out_of_the_collectors_sight_and_it_works_on():
    code = """
import gc, weakref
from mnist_lightning.run import machine
from mnist_lightning import compat
from mnist_lightning.run import provenance
with compat.heavy_imports():
    assert not gc.isenabled()
    import torch
assert gc.isenabled() and gc.get_freeze_count() > 100_000
class Garbage: pass
found = Garbage()
found.itself, seen = found, weakref.ref(found)
del found
frozen = gc.get_freeze_count()
with compat.heavy_imports():  # a later job: torch is there, and this job's garbage is not to stay for ever
    import torch
assert gc.get_freeze_count() == frozen
gc.collect()
assert seen() is None
try:
    with compat.heavy_imports():
        import no_such_package
except ModuleNotFoundError:
    assert gc.isenabled()
gc.disable()
with compat.heavy_imports():
    pass
assert not gc.isenabled()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


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
    assert machine._cpu_name() == ("Abacus 3" if flags else machine.platform.machine())


@pytest.mark.parametrize(("supported", "precision"), [(True, "bf16-mixed"), (False, "32-true")])
def test_a_gpu_takes_bfloat16_where_it_need_not_be_emulated(monkeypatch, supported, precision):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: supported)
    assert machine.pick_precision("cuda") == precision


def test_apples_gpu_takes_single_precision():
    assert machine.pick_precision("mps") == "32-true"


def test_the_record_names_versions_device_and_threads():
    found = provenance.describe("cpu", "32-true")
    assert torch.__version__.startswith(found["versions"]["torch"])
    assert set(found["versions"]) == {"torch", "torchvision", "lightning", "hydra-core", "torchmetrics", "numpy"}
    assert found["python"] == sys.version.split()[0]
    assert (found["precision"], found["threads"]) == ("32-true", torch.get_num_threads())
    assert found["device"] == machine._cpu_name()
    assert provenance.describe("mps", "32-true")["device"] == "mps"


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_record_names_the_commit_and_whether_files_in_it_were_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "package" / "machine.py"))
    (tmp_path / "package").mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert machine._git() == {"git_commit": None, "git_dirty": None}
    git(tmp_path, "init")
    (tmp_path / "tracked").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert machine._git() == {"git_commit": commit, "git_dirty": False}
    (tmp_path / "notes").write_text("untracked")
    assert machine._git() == {"git_commit": commit, "git_dirty": False}
    (tmp_path / "tracked").write_text("2")
    assert machine._git() == {"git_commit": commit, "git_dirty": True}


def test_without_git_the_record_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine._git() == {"git_commit": None, "git_dirty": None}
