"""Killed at any moment, out of disk, or not allowed to write: no state is lost, and resuming gives the unbroken run.

The short forms try a few of each; the long ones 200 random kills, half of them on another file system than TMPDIR's,
and 50 full disks.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("fixtures_faults.py")
MEMORY = Path("/dev/shm")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its processes")


def find(*arguments, prefix=()):
    done = subprocess.run(
        [*prefix, sys.executable, str(PROGRAM), *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def mounts():
    """How a program may mount a file system: as root, or in a namespace of its own; None where it cannot."""
    for prefix in ([], ["unshare", "--user", "--map-root-user", "--mount"]):
        with tempfile.TemporaryDirectory() as folder:
            tried = f"mount -t tmpfs -o size=8k tmpfs {folder} && umount {folder}"
            done = subprocess.run([*prefix, "sh", "-c", tried], capture_output=True, check=False)
        if done.returncode == 0:
            return prefix
    return None


def folder_of(memory):
    """A temporary folder: on tmpfs, or where the system keeps them. Pytest's own are closed to other users."""
    if memory and not os.access(MEMORY, os.W_OK):
        pytest.skip("there is no tmpfs at /dev/shm")
    return tempfile.TemporaryDirectory(dir=MEMORY if memory else None)


@pytest.fixture(scope="module")
def short(mounts, tmp_path_factory):
    """What a few of each found, from one process where one may do all."""
    with folder_of(os.access(MEMORY, os.W_OK)) as folder:
        Path(folder).chmod(0o755)
        asked = ["kill", "lock", *(["fill"] if mounts == [] else [])]
        return find(*asked, "--folder", folder, "--temporary", tmp_path_factory.mktemp("temporary"))


def assert_nothing_was_lost(found):
    assert found["faults"] == []
    assert found["different"] == []


def test_runs_killed_at_random_moments_end_as_the_unbroken_ones(short):
    assert_nothing_was_lost(short["kill"])
    assert short["kill"]["kills"] == 6


@pytest.mark.long
@pytest.mark.parametrize("place", ["disk", "memory"])
def test_a_hundred_random_kills_each_lose_nothing(place, tmp_path):
    seed = random.randrange(10**6)
    with folder_of(place == "memory") as folder:
        found = find("kill", "--folder", folder, "--kills", 100, "--temporary", tmp_path, "--seed", seed)["kill"]
    print(f"{place}, seed {seed}: {found}")
    assert_nothing_was_lost(found)
    assert found["kills"] == 100
    assert found["runs"] >= 10
    assert found["nothing_yet"] < 80  # the others came after the first checkpoint


def full_disks(folder, mounts, count, seed):
    if mounts is None:
        pytest.skip("no small file system can be mounted here")
    return find("fill", "--folder", folder, "--disks", count, "--seed", seed, prefix=mounts)["fill"]


def test_a_full_disk_is_one_sentence_and_the_last_good_state_resumes(short, tmp_path, mounts):
    found = short.get("fill") or full_disks(tmp_path, mounts, 3, 0)
    assert_nothing_was_lost(found)
    assert found["full"] == len(found["sentences"]) == 3


@pytest.mark.long
def test_fifty_full_disks_lose_nothing(tmp_path, mounts):
    seed = random.randrange(10**6)
    found = full_disks(tmp_path, mounts, 50, seed)
    print(f"seed {seed}: {found['full']} full, {found['enough']} large enough, {found['nothing_yet']} before the first "
          f"checkpoint; {sorted(set(found['sentences']))}")  # fmt: skip
    assert_nothing_was_lost(found)
    assert found["full"] == len(found["sentences"]) == 50
    assert found["nothing_yet"] < 40


def test_a_folder_that_may_not_be_written_is_one_sentence_and_the_run_goes_on_once_it_may(short):
    assert_nothing_was_lost(short["lock"])
    assert len(short["lock"]["sentences"]) == 2
