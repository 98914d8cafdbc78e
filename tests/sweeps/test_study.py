"""The ledger of trials: what is claimed, counted and tried again, whoever dies. No Hydra, no training."""

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from optuna.pruners import NopPruner
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from mnist_lightning.errors import UserError
from mnist_lightning.sweeps import storage, study, workers
from mnist_lightning.sweeps.samplers import Reseeded
from mnist_lightning.sweeps.space import Space
from mnist_lightning.sweeps.study import Ledger, Outcome

LR = {"optimizer.lr": {"low": 0.001, "high": 0.1, "log": True}}
FINISHED = Outcome("finished", [0.5])


@pytest.fixture(scope="session")
def empty_storage(tmp_path_factory):
    """An SQLite file with Optuna's tables, which take half a second to make."""
    path = tmp_path_factory.mktemp("storage") / "study.db"
    storage.connect(f"sqlite:///{path}")
    return path


@pytest.fixture
def begin(tmp_path, empty_storage):
    """`begin(total=5)`: a process's ledger of the one study in this folder; left ones are closed."""
    begun = []
    shutil.copy(empty_storage, tmp_path / "study.db")

    def begin(total=5, sampler="random", space=LR, outcomes=None, local=True, directions=("maximize",), terms=None):
        ledger = Ledger(
            "s", tmp_path, f"sqlite:///{tmp_path}/study.db", local, total, directions,
            Reseeded(sampler, Space(space), 0, 3), NopPruner(), terms or {"space": "lr"}, (outcomes or {}).get,
        )  # fmt: skip
        begun.append(ledger)
        return ledger

    yield begin
    for ledger in begun:
        ledger.worker.close()


def die(ledger):
    """What SIGKILL does: the lock is gone, and nothing is written down."""
    ledger.worker.close()


def run(ledger, count=1, outcome=FINISHED):
    return [(trial.number, ledger.tell(trial.number, outcome)) for trial in ledger.claim(count)]


def states(ledger):
    return [trial.state.name for trial in ledger.trials()]


def test_a_ledger_gives_out_so_many_trials_and_no_more(begin):
    ledger = begin(total=3)
    assert [trial.number for trial in ledger.claim(2)] == [0, 1]
    assert [trial.number for trial in ledger.claim(2)] == [2]
    assert ledger.claim(2) == []
    assert (ledger.counted(), ledger.running()) == (0, 3)
    assert [ledger.tell(number, FINISHED) for number in range(3)] == [True] * 3
    assert ledger.claim(1) == []
    assert (ledger.counted(), ledger.running()) == (3, 0)
    assert ledger.study.best_value == 0.5


def test_a_failed_trial_is_replaced_and_a_pruned_one_counts(begin):
    ledger = begin(total=2)
    assert run(ledger, outcome=Outcome("failed", error="no memory")) == [(0, True)]
    assert run(ledger, outcome=Outcome("pruned")) == [(1, True)]
    assert run(ledger, 5) == [(2, True)]
    assert run(ledger) == []
    assert states(ledger) == ["FAIL", "PRUNED", "COMPLETE"]
    assert ledger.trials()[0].user_attrs["error"] == "no memory"


def test_what_a_dead_process_was_training_is_tried_again_with_the_same_values(begin):
    dead = begin()
    run(dead)
    lost = dead.claim(2)
    die(dead)
    ledger = begin()
    assert states(ledger) == ["COMPLETE", "FAIL", "FAIL", "WAITING", "WAITING"]
    again = ledger.claim(2)
    assert [trial.params for trial in again] == [trial.params for trial in lost]
    assert [trial.number for trial in again] == [3, 4]
    assert len(ledger.claim(9)) == 2  # 5 in all: one done, two again, two new


def test_what_a_dead_process_had_finished_but_not_told_counts(begin):
    dead = begin()
    dead.claim(3)
    die(dead)
    ledger = begin(outcomes={0: Outcome("finished", [0.75]), 1: Outcome("pruned"), 2: Outcome("failed", error="oh")})
    assert states(ledger) == ["COMPLETE", "PRUNED", "FAIL"]
    assert ledger.trials()[0].value == 0.75
    assert ledger.counted() == 2


def test_a_living_process_keeps_its_trials(begin):
    other = begin(total=2)
    other.claim(1)
    ledger = begin(total=2)
    assert [trial.number for trial in ledger.claim(5)] == [1]
    assert states(ledger) == ["RUNNING", "RUNNING"]
    assert other.tell(0, FINISHED)


def test_a_trial_is_told_of_once_by_the_process_that_has_it(begin):
    slow = begin()
    (trial,) = slow.claim(1)
    die(slow)  # it only seems so
    ledger = begin()
    (again,) = ledger.claim(1)
    assert not slow.tell(trial.number, FINISHED)
    assert not slow.tell(again.number, FINISHED)
    assert ledger.tell(again.number, FINISHED)
    assert states(ledger) == ["FAIL", "COMPLETE"]


def test_a_process_killed_while_it_put_a_trial_back_puts_it_back_once(begin):
    dead = begin()
    (trial,) = dead.claim(1)
    dead.study.enqueue_trial(trial.params, user_attrs={"repeats": 0, "attempt": 2})
    die(dead)
    ledger = begin()
    assert states(ledger) == ["FAIL", "WAITING"]


def test_a_trial_claimed_by_a_process_that_died_before_it_could_sign_is_no_zombie(begin):
    dead = begin()
    dead.study.ask()
    die(dead)
    assert states(begin()) == ["FAIL"]


def test_a_trial_that_takes_its_process_with_it_is_given_up(begin):
    for _ in range(study.MOST_ATTEMPTS):
        dead = begin(total=1)
        dead.claim(1)
        die(dead)
    ledger = begin(total=1)
    last = ledger.trials()[-1]
    assert last.user_attrs["error"] == f"its process died {study.MOST_ATTEMPTS} times"
    assert set(states(ledger)) == {"FAIL"}
    (fresh,) = ledger.claim(1)
    assert fresh.params != last.params


def test_leaving_puts_trials_back_at_once(begin):
    leaving = begin()
    leaving.claim(1)
    leaving.close()
    assert states(leaving) == ["FAIL", "WAITING"]


def test_of_two_machines_that_claim_the_last_trial_at_once_one_gives_it_back(begin, monkeypatch):
    ledger, other = begin(total=2), begin(total=2)
    ledger.lock = contextlib.nullcontext()  # each machine has a lock of its own
    run(ledger)
    monkeypatch.setattr(other, "_settle_dead", lambda: ledger.claim(1))  # comes in between, as without a common lock
    monkeypatch.setattr(other, "running", lambda: 0)  # and other has looked before
    assert other.claim(1) == []
    assert states(ledger) == ["COMPLETE", "RUNNING"]  # the one too many is on no list


@pytest.mark.parametrize("beating", [True, False])
def test_a_process_on_another_machine_lives_as_long_as_its_heart_beats(begin, monkeypatch, beating):
    now = [0.0]
    monkeypatch.setattr(workers.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(workers.socket, "gethostname", lambda: "elsewhere")
    other = begin(local=False)
    other.claim(1)
    monkeypatch.setattr(workers.socket, "gethostname", lambda: "here")
    ledger = begin(local=False)
    for _ in range(3):
        now[0] += workers.GRACE * 0.9
        if beating:
            other._beat(other.worker.name)
        ledger._settle_dead()
    assert states(ledger) == (["RUNNING"] if beating else ["FAIL", "WAITING"])


def test_a_grid_tries_every_point_once_and_no_failed_one_again(begin):
    space = {"optimizer.lr": [0.1, 0.2], "model.dropout": {"low": 0.0, "high": 0.4, "step": 0.2}}
    dead = begin(total=100, sampler="grid", space=space)
    assert dead.total == 6
    run(dead, 2)
    run(dead, 1, Outcome("failed", error="no"))
    dead.claim(1)
    die(dead)
    ledger = begin(total=100, sampler="grid", space=space)
    while run(ledger, 2):
        pass
    tried = [tuple(trial.params.values()) for trial in ledger.trials() if trial.state == TrialState.COMPLETE]
    assert len(tried) == len(set(tried)) == 5
    assert ledger.counted() == 6


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_a_search_that_was_broken_off_proposes_what_an_unbroken_one_would(tmp_path, empty_storage, sampler):
    space = {**LR, "model.dropout": {"low": 0.0, "high": 0.5}}

    def proposals(folder, restarts):
        folder.mkdir()
        shutil.copy(empty_storage, folder / "study.db")
        found = []
        for number in range(5):
            if number == 0 or restarts:
                ledger = Ledger(
                    "s", folder, f"sqlite:///{folder}/study.db", True, 99, ["maximize"],
                    Reseeded(sampler, Space(space), 0, 3), NopPruner(), {}, lambda number: None,
                )  # fmt: skip
            (trial,) = ledger.claim(1)
            ledger.tell(trial.number, Outcome("finished", [-trial.params["model.dropout"]]))
            found.append(trial.params)
            if restarts:
                die(ledger)
        die(ledger)
        return found

    whole = proposals(tmp_path / "whole", restarts=False)
    assert proposals(tmp_path / "broken", restarts=True) == whole
    assert len({each["optimizer.lr"] for each in whole}) >= 3


@pytest.mark.parametrize("sampler", ["gp", "nsga2"])
def test_the_other_samplers_propose_values_of_the_space(begin, sampler):
    ledger = begin(sampler=sampler, space={**LR, "data.batch_size": {"low": 8, "high": 16}, "model": ["cnn", "mlp"]})
    for _ in range(4):  # one more than are drawn at random
        (trial,) = ledger.claim(1)
        values = trial.params
        assert 0.001 <= values["optimizer.lr"] <= 0.1
        assert values["data.batch_size"] in range(8, 17)
        assert values["model"] in ("cnn", "mlp")
        ledger.tell(trial.number, FINISHED)


def test_a_study_of_another_space_is_refused(begin):
    begin(terms={"space": {"a": "1", "b": "2"}, "command line": ["seed=1"]})
    with pytest.raises(UserError, match=r"^The study s was begun with another space \(it differs in a, c\): go on "):
        begin(terms={"space": {"a": "0", "b": "2", "c": "3"}, "command line": ["seed=1"]})
    with pytest.raises(UserError, match=r"^The study s was begun with another command line \(seed=1\): go on "):
        begin(terms={"space": {"a": "1", "b": "2"}, "command line": []})


WORK = """
import sys
sys.path[:0] = {paths!r}
from test_study import *
folder = Path(sys.argv[1])
ledger = Ledger("s", folder, f"sqlite:///{{folder}}/study.db", True, 8, ["maximize"],
                Reseeded("random", Space(LR), 0, 3), NopPruner(), {{}}, lambda number: None)
while ledger.counted() < 8:
    for trial in ledger.claim(1):
        print(trial.number)
        ledger.tell(trial.number, Outcome("finished", [0.5]))
ledger.close()
"""


def test_processes_side_by_side_share_the_trials_and_make_exactly_the_total(tmp_path):
    program = WORK.format(paths=[str(Path(__file__).parent), str(Path(__file__).parent.parent.parent)])
    start = [sys.executable, "-c", program, str(tmp_path)]
    processes = [subprocess.Popen(start, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    taken = [number for process in processes for number in process.communicate(timeout=60)[0].split()]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(map(int, taken)) == list(range(8))


def test_a_search_over_two_values_tries_each_once(begin):
    ledger = begin(total=5, sampler="tpe", space={"optimizer.lr": [0.1, 0.2]})
    assert ledger.total == 2
    while run(ledger, 2):
        pass
    assert sorted(trial.params["optimizer.lr"] for trial in ledger.trials()) == [0.1, 0.2]
    assert states(ledger) == ["COMPLETE", "COMPLETE"]


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2"])
def test_no_point_is_tried_twice_and_one_that_fails_is_not_tried_again(begin, sampler):
    space = {"optimizer.lr": [0.1, 0.2, 0.3], "data.batch_size": {"low": 8, "high": 10}}
    ledger = begin(total=99, sampler=sampler, space=space)
    assert ledger.total == 9
    assert run(ledger, 1, Outcome("failed", error="no")) == [(0, True)]
    assert ledger.total == 8
    while run(ledger, 2):
        pass
    tried = [tuple(trial.params.values()) for trial in ledger.trials()]
    assert len(tried) == len(set(tried)) == 9
    assert ledger.counted() == 8


def test_equal_choices_are_one():
    assert Space({"optimizer.lr": [0.1, 0.1, 0.2]}).distributions["optimizer.lr"].choices == (0.1, 0.2)
    assert Space({"optimizer.lr": [0.1, 0.1, 0.2]}).size == 2
    assert Space(LR).size is None


def test_a_claim_that_the_database_broke_off_hands_out_what_it_had_claimed(begin, monkeypatch):
    ledger = begin(total=3)
    whole, asked = ledger.study.ask, []

    def ask(distributions):
        asked.append(1)
        if len(asked) == 2:
            raise OperationalError("select", {}, Exception("server closed the connection"))
        return whole(distributions)

    monkeypatch.setattr(ledger.study, "ask", ask)
    monkeypatch.setattr(storage, "PAUSE", 0)
    assert [trial.number for trial in storage.patiently(lambda: ledger.claim(2))] == [0, 1]
    assert [trial.number for trial in ledger.claim(2)] == [2]


def test_telling_again_after_the_database_was_away_is_as_good_as_telling_once(begin, monkeypatch):
    ledger = begin(total=1)
    (trial,) = ledger.claim(1)
    whole, told = ledger.study.tell, []

    def tell(*values, **how):
        whole(*values, **how)
        told.append(1)
        raise OperationalError("commit", {}, Exception("the answer was lost"))

    monkeypatch.setattr(ledger.study, "tell", tell)
    monkeypatch.setattr(storage, "PAUSE", 0)
    assert storage.patiently(lambda: ledger.tell(trial.number, FINISHED))
    assert (told, states(ledger)) == ([1], ["COMPLETE"])


def test_a_trial_takes_over_what_the_one_before_it_had_reported(begin):
    dead = begin()
    (lost,) = dead.claim(1)
    for epoch in (1, 2, 3):
        trial_id = dead.storage.get_trial_id_from_study_id_trial_number(1, lost.number)
        dead.storage.set_trial_intermediate_value(trial_id, epoch, epoch / 10)
    die(dead)
    ledger = begin()
    (again,) = ledger.claim(1)
    assert ledger.predecessors(again) == [lost.number]
    ledger.inherit(again, lost.number, 2)
    assert ledger.trials()[again.number].intermediate_values == {1: 0.1, 2: 0.2}
