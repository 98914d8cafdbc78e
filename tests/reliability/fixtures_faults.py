"""Trainings that are killed, run out of disk or meet a read-only folder: `test_faults.py` runs this as a program.

It imports torch once and forks a child for each training, which then takes under a second. It prints what it found as
JSON. Each training that was broken is resumed, and compared bit for bit with one that was not.
"""

import argparse
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent / "tasks")]
os.environ["OMP_NUM_THREADS"] = "1"  # a process with threads of OpenMP cannot be forked

import torch  # noqa: E402
from fixtures_training import compose  # noqa: E402

from mnist_lightning.cli.config import job_began  # noqa: E402, F401
from mnist_lightning.data import DigitsDataModule  # noqa: E402
from mnist_lightning.errors import UserError  # noqa: E402
from mnist_lightning.run import folder as runs  # noqa: E402
from mnist_lightning.run.record import METRICS_FILE, read_metrics  # noqa: E402
from mnist_lightning.tasks import finish, fit, setup  # noqa: E402, F401
from mnist_lightning.tasks import train as training  # noqa: E402

SMALL = ["data=digits", "data.limit=64", "data.batch_size=16", "trainer.max_epochs=8", "model=mlp",
         "model.hidden_sizes=[16]", "runtime.threads=1", "logger=none", "~callbacks.worst_mistakes",
         "~callbacks.confusion_matrix", "~callbacks.network_graph"]  # fmt: skip
QUICK = ["~callbacks.sample_prediction", "~callbacks.loss_graph"]
RECIPES = (
    ["optimizer=adam", "scheduler=onecycle", "averaging.every_n_steps=2", *QUICK],
    ["optimizer=sgd", "scheduler=plateau", "averaging.decay=0.0", "checkpoint.every_n_steps=1", *QUICK],
    ["optimizer=adamw", "scheduler=cosine", "trainer.accumulate_grad_batches=2", "augment=affine", *QUICK],
    ["optimizer=rmsprop", "scheduler=step", "model.dropout=0.3", "trainer.gradient_clip_val=1.0", *QUICK],
    ["data.num_workers=1", "checkpoint.every_n_steps=2", *QUICK],
    ["checkpoint.monitor=val_loss"],  # with its pictures
)
MOST_KILLS = 5  # of one run
NOBODY = 65534


class Child:
    """A training in a forked process.

    Args:
        overrides: what it is asked for.
        run: its folder.
        log: file for what it prints, and for how it ended.
        temporary: its TMPDIR.
        user: whom it runs as; None for this process's user.
    """

    def __init__(self, overrides, run, log, temporary=None, user=None):
        self.log = log
        settings = compose("train", f"outputs={run.parent}", *overrides)
        self.began = time.monotonic()
        self.pid = os.fork()
        if self.pid:
            return
        code = 1
        try:
            os.setsid()
            for stream in (1, 2):
                os.dup2(os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666), stream)
            if temporary:
                os.environ["TMPDIR"], tempfile.tempdir = str(temporary), None
            if user is not None:
                os.setgid(user)
                os.setuid(user)
            run.mkdir(parents=True, exist_ok=True)
            training.train(settings, run, {"overrides": overrides})
            code = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
            code = 2 if isinstance(error, UserError) else 1
        finally:
            os._exit(code)

    def poll(self):
        """The exit code, negative for a signal; None while it runs."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def wait(self, seconds=120.0):
        """The same once it has ended, or after so many seconds."""
        until = time.monotonic() + seconds
        while (code := self.poll()) is None and time.monotonic() < until:
            time.sleep(0.002)
        return code

    def kill(self):
        """Kill it with all that it has started."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:  # it has no group of its own yet
            os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def said(self):
        """The last line that it printed."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


def faults(run):
    """What is not whole in a run folder; what a killed process was writing has a name of its own."""
    for path in run.rglob("*"):
        if not path.is_file() or path.name.endswith(".tmp"):
            continue
        content = path.read_bytes()
        try:
            if path.suffix == ".json":
                json.loads(content)
            elif path.suffix == ".ckpt":
                torch.load(path, weights_only=True)
            elif path.suffix == ".png":
                assert content.endswith(b"IEND\xaeB`\x82")
            else:
                assert content
        except Exception as error:
            yield f"{path}: {type(error).__name__} {error}"


def same(ours, theirs):
    """Whether two nested values are equal to the last bit."""
    if isinstance(ours, torch.Tensor):
        return isinstance(theirs, torch.Tensor) and torch.equal(ours, theirs)
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list | tuple):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return ours == theirs


def differences(run, whole):
    """What a resumed run has otherwise than the unbroken one."""
    for name in (runs.LAST, runs.BEST):
        ours, theirs = (torch.load(each / name, weights_only=True) for each in (run, whole))
        for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"):
            if not same(ours[key], theirs[key]):
                yield f"{key} in {name}"
    ours, theirs = read_metrics(run), read_metrics(whole)
    for key in ("status", "history", "best", "test"):
        if ours[key] != theirs[key]:
            yield f"{key}: {ours[key]} in place of {theirs[key]}"


class Reference:
    """One unbroken run of each recipe, made when it is asked for."""

    def __init__(self, folder):
        self.folder, self.known = folder, {}

    def of(self, number, *more):
        """Its folder, and how many seconds it took."""
        if (number, more) not in self.known:
            run = self.folder / f"whole-{len(self.known)}" / "run"
            child = Child([*SMALL, *RECIPES[number], *more], run, self.folder / "log")
            code = child.wait()
            assert code == 0, child.said()
            self.known[number, more] = run, time.monotonic() - child.began
        return self.known[number, more]


def kill(count, folder, temporary, reference, chance):
    """Kill runs at random moments, several times each, until `count` kills are done; then resume and compare."""
    found = {"kills": 0, "runs": 0, "nothing_yet": 0, "after_the_end": 0, "faults": [], "different": []}
    while found["kills"] < count:
        number = found["runs"] % len(RECIPES)
        whole, seconds = reference.of(number)
        source, kills, leg, finished = None, 0, 0, None
        while finished is None:
            run, leg = folder / f"{found['runs']}-{leg}" / "run", leg + 1
            asked = [f"ckpt_path={source}", "logger=none"] if source else [*SMALL, *RECIPES[number]]
            child = Child(asked, run, folder / "log", temporary)
            if kills < MOST_KILLS and found["kills"] < count:
                code = child.wait(chance.uniform(0, 1.1 * seconds))
                if code is None and child.kill() == -signal.SIGKILL:
                    kills, found["kills"] = kills + 1, found["kills"] + 1
                    found["faults"] += list(faults(run))
                    if (run / METRICS_FILE).is_file() and read_metrics(run)["status"] == "finished":
                        found["after_the_end"] += 1
                        finished = run
                    elif (run / runs.LAST).is_file():
                        source = run
                    else:
                        found["nothing_yet"] += 1
                    continue
            else:
                code = child.wait()
            if code:
                found["different"].append(f"{asked}: exit code {code}, {child.said()}")
                break
            finished = run
        if finished:
            found["different"] += [f"recipe {number}, {kills} kills: {each}" for each in differences(finished, whole)]
        found["runs"] += 1
        for each in folder.glob(f"{found['runs'] - 1}-*"):
            shutil.rmtree(each)
    return found


def fill(count, folder, reference, chance):
    """Let runs meet full disks of random sizes; then make room, resume and compare."""
    found = {"full": 0, "enough": 0, "nothing_yet": 0, "sentences": [], "faults": [], "different": []}
    disk = folder / "disk"
    disk.mkdir()
    while found["full"] < count:
        number = (found["full"] + found["enough"]) % len(RECIPES)
        whole, _ = reference.of(number)
        need = sum(path.stat().st_size + 4096 for path in whole.rglob("*") if path.is_file())
        mount("-t", "tmpfs", "-o", f"size={chance.randrange(need // 5, need * 8 // 5)}", "tmpfs", str(disk))
        try:
            child = Child([*SMALL, *RECIPES[number]], disk / "run", folder / "log")
            code = child.wait()
            if code == 0:
                found["enough"] += 1
                continue
            found["full"] += 1
            if code != 2 or "No space left on device" not in child.said() or len(child.said()) > 400:
                found["faults"].append(f"exit code {code}: {child.said()}")
            found["sentences"].append(child.said().replace(str(disk), "DISK"))
            found["faults"] += list(faults(disk / "run"))
            mount("-o", "remount,size=64m", str(disk))
            if (disk / "run" / runs.LAST).is_file():
                child = Child([f"ckpt_path={disk / 'run'}", "logger=none"], disk / "again", folder / "log")
                code = child.wait()
                found["different"] += [child.said()] if code else list(differences(disk / "again", whole))
            else:
                found["nothing_yet"] += 1
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    return found


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def lock(folder, reference):
    """Let runs of an ordinary user meet folders that they may not write to; then open them, resume and compare."""
    user = NOBODY if os.geteuid() == 0 else None
    found = {"sentences": [], "faults": [], "different": []}
    folder.chmod(0o777)
    log = folder / "log"
    log.touch()
    log.chmod(0o666)

    def ends_in_a_sentence(child):
        code = child.wait()
        if code != 2 or "(Permission denied)" not in child.said() or "\n" in child.said().strip():
            found["faults"].append(f"exit code {code}: {child.said()}")
        found["sentences"].append(child.said().replace(str(folder), "FOLDER"))

    closed = folder / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    ends_in_a_sentence(Child([*SMALL, *RECIPES[0]], closed, log, user=user))

    longer = ("trainer.max_epochs=40",)
    whole, _ = reference.of(0, *longer)
    run = folder / "later" / "run"
    run.mkdir(parents=True)
    for each in (run.parent, run):
        each.chmod(0o777)
    child = Child([*SMALL, *RECIPES[0], *longer], run, log, user=user)
    while not (run / METRICS_FILE).is_file() or not read_metrics(run)["history"]["epoch"]:
        time.sleep(0.01)
        assert child.poll() is None, child.said()
    (run / "checkpoints").chmod(0o555)
    ends_in_a_sentence(child)
    found["faults"] += list(faults(run))
    (run / "checkpoints").chmod(stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO)
    again = folder / "again" / "run"
    again.mkdir(parents=True)
    for each in (again.parent, again):
        each.chmod(0o777)
    child = Child([f"ckpt_path={run}", "logger=none"], again, log, user=user)
    found["different"] += [child.said()] if child.wait() else list(differences(again, whole))
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("faults", nargs="+", choices=("kill", "fill", "lock"))
    parser.add_argument("--folder", type=Path, required=True, help="an empty one, which the runs are made in")
    parser.add_argument("--temporary", type=Path, default=None, help="TMPDIR of the trainings that are killed")
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--disks", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    DigitsDataModule("digits").prepare_data()  # in memory from now on, for the children too
    found = {}
    with tempfile.TemporaryDirectory() as place:
        reference = Reference(Path(place))
        for fault in given.faults:
            folder, chance = given.folder / fault, random.Random(given.seed)
            folder.mkdir()
            if fault == "kill":
                found[fault] = kill(given.kills, folder, given.temporary, reference, chance)
            elif fault == "fill":
                found[fault] = fill(given.disks, folder, reference, chance)
            else:
                found[fault] = lock(folder, reference)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
