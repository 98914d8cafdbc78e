"""A run that goes on: what an unbroken run would have done, with the settings that it was begun with."""

import json
import shutil
import signal

import pytest
import torch
from fixtures_training import NO_PICTURES, SMALL, compose, train, weights

from mnist_lightning.callbacks import BestAndLast, Progress
from mnist_lightning.callbacks import checkpoint as checkpoint_callback
from mnist_lightning.errors import Interrupted, UserError
from mnist_lightning.models import Classifier
from mnist_lightning.run import folder as runs
from mnist_lightning.run import record as records
from mnist_lightning.tasks import finish, resume
from mnist_lightning.tasks import train as training
from mnist_lightning.tasks.trainer import Trainer

QUIET = ["logger=none", "callbacks=[seeding,metrics_json,checkpoint]"]


class Killed(BaseException):
    """As good as SIGKILL: nobody catches it."""


@pytest.fixture
def killed_after(monkeypatch):
    """`killed_after(2, folder, ...)`: train, and die once epoch 2 is on disk."""

    def killed_after(epoch, folder, *overrides, small=True):
        end_epoch = BestAndLast.on_train_epoch_end

        def die(self, trainer, module):
            end_epoch(self, trainer, module)
            if trainer.current_epoch + 1 == epoch:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(BestAndLast, "on_train_epoch_end", die)
            with pytest.raises(Killed):
                train(folder, *overrides, small=small)
        return folder / "run"

    return killed_after


def assert_same(ours, theirs, history=("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy")):
    for name in history:
        assert ours["history"][name] == theirs["history"][name], name
    assert ours["test"] == theirs["test"]
    assert ours["best"] == theirs["best"]


def test_resuming_gives_what_an_unbroken_run_gives(finished, tmp_path, monkeypatch):
    end_epoch = BestAndLast.on_train_epoch_end

    def interrupt(self, trainer, module):
        end_epoch(self, trainer, module)
        if trainer.current_epoch == 0:
            raise Interrupted(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(BestAndLast, "on_train_epoch_end", interrupt)
        with pytest.raises(Interrupted):
            train(tmp_path / "broken")
    broken = tmp_path / "broken" / "run"
    told = records.read_metrics(broken)
    assert (told["status"], told["history"]["epoch"]) == ("interrupted", [1])
    assert told["error"] == "Interrupted by SIGTERM."
    assert told["test"] is None  # the test images are for the network that the run ends with
    assert (broken / "loss_graph.png").exists()
    assert runs.latest(tmp_path / "broken") is None

    resumed = train(tmp_path / "resumed", f"ckpt_path={broken / runs.LAST}", small=False)
    assert_same(resumed, finished[1])
    expected = weights(finished[0] / "run")
    for name, value in weights(tmp_path / "resumed" / "run").items():
        assert torch.equal(value, expected[name]), name


def test_random_numbers_go_on_after_two_kills(tmp_path, killed_after):
    asked = ["augment=affine", "model.dropout=0.3", "trainer.max_epochs=3", *NO_PICTURES]
    whole = train(tmp_path / "whole", *asked)
    first = killed_after(1, tmp_path / "first", *asked)
    assert records.read_metrics(first)["status"] == "running"
    second = killed_after(2, tmp_path / "second", f"ckpt_path={first}", small=False)
    resumed = train(tmp_path / "third", f"ckpt_path={second}", small=False)
    assert_same(resumed, whole)
    assert len(resumed["timing"]["seconds_per_epoch"]) == 3


def test_a_schedule_that_watches_a_metric_goes_on_where_it_stood(tmp_path, killed_after):
    """Its last look is in the checkpoint of the epoch, whose learning rate is that of the next one."""
    asked = ["scheduler=plateau", "scheduler.patience=0", "optimizer=sgd", "optimizer.lr=1e-6", "logger=csv",
             "trainer.max_epochs=4", "averaging.decay=0.0", "trainer.precision=32-true"]  # fmt: skip
    whole = train(tmp_path / "whole", *asked, "scheduler.monitor=val_accuracy")
    broken = killed_after(2, tmp_path / "broken", *asked, "scheduler.monitor=val_accuracy")
    resumed = train(tmp_path / "resumed", f"ckpt_path={broken}", small=False)
    assert_same(resumed, whole)
    states = [
        torch.load(tmp_path / name / "run" / runs.LAST, weights_only=True)["lr_schedulers"]
        for name in ("whole", "resumed")
    ]
    assert states[0] == states[1]
    assert states[0][0]["_last_lr"][0] < 1e-6  # and it did fall


def test_the_settings_are_those_of_the_checkpoint(tmp_path, killed_after):
    asked = ["model.hidden_sizes=[48]", "optimizer.lr=0.003", "seed=5", "loss.label_smoothing=0.2", *NO_PICTURES]
    broken = killed_after(1, tmp_path / "broken", *asked)
    resumed = train(tmp_path / "resumed", f"ckpt_path={broken}", "logger=none", small=False)  # nothing else is given
    chosen = resumed["hyperparameters"]
    assert (chosen["model"]["hidden_sizes"], chosen["optimizer"]["lr"], chosen["seed"]) == ([48], 0.003, 5)
    assert chosen["loss"]["label_smoothing"] == 0.2
    assert (chosen["data"]["limit"], chosen["trainer"]["max_epochs"]) == (320, 2)
    assert resumed["dataset"]["name"] == "digits"
    assert_same(resumed, train(tmp_path / "whole", *asked))


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("model=lenet5", r"^model=lenet5 cannot change in a resumed run, whose model\."),
        (
            "model=mlp model.hidden_sizes=[7]",
            r"cannot change in a resumed run, whose model\.hidden_sizes is \[256, 128\]: leave",
        ),
        (
            "optimizer.lr=0.5",
            r"cannot change in a resumed run, whose optimizer\.lr is 0\.02: leave it out, or start",
        ),
        ("seed=3", r"^seed=3 cannot change in a resumed run, whose seed is 0: leave it out"),
        ("data.batch_size=8", r"whose data\.batch_size is 32"),
        ("trainer.accumulate_grad_batches=2", r"whose trainer\.accumulate_grad_batches is 1"),
        ("experiment=fast", r"^experiment=fast cannot be given with ckpt_path="),
    ],
)
def test_what_would_change_what_was_learned_is_refused(finished, tmp_path, override, told):
    with pytest.raises(UserError, match=told):
        train(tmp_path, f"ckpt_path={finished[0] / 'run'}", "trainer.max_epochs=9", *override.split(), small=False)
    assert list((tmp_path / "run").iterdir()) == []


def test_what_changes_nothing_of_it_may_be_given_and_so_may_what_is_the_same(finished, tmp_path):
    free = ["trainer.max_epochs=3", "logger=csv", "~callbacks.loss_graph", "test=false", "early_stopping.patience=7"]
    metrics = train(tmp_path, f"ckpt_path={finished[0] / 'run'}", "model=mlp", "optimizer.lr=0.02", *free, small=False)
    assert metrics["history"]["epoch"] == [1, 2, 3]
    assert metrics["test"] is None
    assert metrics["hyperparameters"]["early_stopping"]["patience"] == 7
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert "csv" in left
    assert not left & {"loss_graph.png", "tensorboard"}


def test_a_resumed_run_is_recorded_as_the_recipe_that_it_continues(finished, tmp_path):
    begun = tmp_path / "begun"
    shutil.copytree(finished[0] / "run", begun)
    said = records.read_metrics(begun)
    chosen = {"model": "mlp", "experiment": "quick", "logger": "none"}
    recipe = {"overrides": ["seed=2", "model=mlp", "ckpt_path=before"], "experiment": "quick", "choices": chosen}
    (begun / records.METRICS_FILE).write_text(json.dumps(said | recipe))
    now = {
        "command": "typed", "overrides": [f"ckpt_path={begun}", "logger=csv"],
        "experiment": None, "choices": {"model": "cnn", "experiment": None, "logger": "csv"},
    }  # fmt: skip
    assert resume.asked(now, begun / runs.LAST) == {
        "command": "typed", "overrides": ["seed=2", "model=mlp", f"ckpt_path={begun}", "logger=csv"],
        "experiment": "quick", "choices": chosen | {"logger": "csv"},
    }  # fmt: skip
    assert resume.asked(now, tmp_path / "elsewhere" / runs.LAST) == now
    resumed = train(tmp_path, f"ckpt_path={begun}", "trainer.max_epochs=3", "test=false", small=False)
    assert resumed["overrides"][:2] == ["seed=2", "model=mlp"]
    assert (resumed["experiment"], resumed["choices"]["model"]) == ("quick", "mlp")


def test_a_resumed_run_has_the_patience_that_it_is_given(tmp_path):
    stops = ["trainer.max_epochs=9", "early_stopping.min_delta=1000", "logger=none", "test=false"]
    stopped = train(tmp_path / "a", *stops, "early_stopping.patience=1")
    assert len(stopped["history"]["epoch"]) == 2
    resumed = train(tmp_path / "b", f"ckpt_path={tmp_path / 'a/run'}", "early_stopping.patience=4", small=False)
    assert len(resumed["history"]["epoch"]) == 5  # one epoch without a better value was counted, three follow


def test_a_finished_run_resumes_with_more_epochs(finished, tmp_path):
    last = finished[0] / "run" / runs.LAST
    metrics = train(tmp_path, f"ckpt_path={last}", "trainer.max_epochs=3", small=False)
    assert metrics["history"]["epoch"] == [1, 2, 3]
    assert metrics["history"]["val_loss"][:2] == finished[1]["history"]["val_loss"]
    for asked in ([], ["trainer.max_epochs=2"], ["trainer.max_epochs=1"]):
        with pytest.raises(UserError, match=r"has done 2 epochs already: ask for more with trainer\.max_epochs=3 or"):
            train(tmp_path, f"ckpt_path={last}", *asked, small=False, run=tmp_path / f"same{len(asked)}{asked}")


@pytest.mark.parametrize("asked", ["trainer.max_epochs=3", "++trainer.max_epochs=3"])
def test_more_epochs_may_be_asked_for_in_any_of_hydras_ways(finished, asked):
    last = finished[0] / "run" / runs.LAST
    resume.check_unfinished(last, [asked])
    with pytest.raises(UserError, match=r"has done 2 epochs already"):
        resume.check_unfinished(last, [asked.replace("3", "2")])


def test_a_record_without_a_number_of_epochs_leaves_it_to_the_checkpoint(finished, tmp_path):
    shutil.copytree(finished[0] / "run", tmp_path / "run")
    path = tmp_path / "run" / records.METRICS_FILE
    record = json.loads(path.read_text())
    record["hyperparameters"]["trainer"]["max_epochs"] = None
    path.write_text(json.dumps(record))
    resume.check_unfinished(tmp_path / "run" / runs.LAST, [])


def test_a_run_killed_after_its_last_epoch_still_gets_its_test_and_pictures(finished, tmp_path, monkeypatch):
    def die(job, path):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(finish, "_test", die)
        with pytest.raises(Killed):
            train(tmp_path / "broken")
    broken = tmp_path / "broken" / "run"
    assert records.read_metrics(broken)["status"] == "running"
    resumed = train(tmp_path / "resumed", f"ckpt_path={broken}", small=False)
    assert_same(resumed, finished[1])
    assert resumed["status"] == "finished"
    there, here = finished[0] / "run", tmp_path / "resumed" / "run"
    assert {path.name for path in there.iterdir()} == {path.name for path in here.iterdir()}
    assert {path.name for path in (here / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


def test_a_run_killed_between_its_two_checkpoints_tests_the_right_one(finished, tmp_path, monkeypatch):
    def die(path, data):
        if path.name == "best.ckpt" and path.exists():  # the second time
            raise Killed
        write(path, data)

    write = checkpoint_callback.write_atomically
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_callback, "write_atomically", die)
        with pytest.raises(Killed):
            train(tmp_path / "broken")
    resumed = train(tmp_path / "resumed", f"ckpt_path={tmp_path / 'broken' / 'run'}", small=False)
    assert resumed["best"]["epoch"] == 2
    assert_same(resumed, finished[1])


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_run_interrupted_before_its_first_epoch_ends_can_be_resumed(tmp_path, monkeypatch, finished, signum):
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_train_batch_end", lambda self, *arguments: signal.raise_signal(signum))
        with pytest.raises(Interrupted):
            train(tmp_path / "broken")
    told = records.read_metrics(tmp_path / "broken" / "run")
    assert (told["status"], told["history"]["epoch"], told["best"], told["test"]) == ("interrupted", [], None, None)
    resumed = train(tmp_path / "resumed", f"ckpt_path={tmp_path / 'broken' / 'run'}", small=False)
    assert resumed["history"] == finished[1]["history"]


def test_a_run_goes_on_from_within_an_epoch_that_it_has_saved(tmp_path, killed_after):
    """The epoch is begun anew: what was done of it is not lost, and its order is the same."""
    steps = []
    asked = ["checkpoint.every_n_steps=4", "trainer.max_epochs=1", *NO_PICTURES]

    def note(self, trainer, *arguments):
        steps.append(trainer.global_step)
        if trainer.global_step == 6:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Progress, "on_train_batch_end", note)
        with pytest.raises(Killed):
            train(tmp_path / "broken", *asked, "data.batch_size=32")
    kept = torch.load(tmp_path / "broken" / "run" / runs.LAST, weights_only=True)
    assert kept["global_step"] == 4
    resumed = train(tmp_path / "resumed", f"ckpt_path={tmp_path / 'broken' / 'run'}", small=False)
    assert (resumed["status"], resumed["history"]["epoch"]) == ("finished", [1])


def test_a_run_of_a_share_of_each_epoch_resumes_as_if_nothing_had_happened(tmp_path, killed_after):
    asked = ["trainer.limit_train_batches=0.7", "data.batch_size=32", *QUIET]
    unbroken = train(tmp_path / "unbroken", *asked)
    broken = killed_after(1, tmp_path / "broken", *asked)
    resumed = train(tmp_path / "resumed", f"ckpt_path={broken}", small=False)
    assert_same(resumed, unbroken)
    ours, theirs = (weights(tmp_path / name / "run") for name in ("resumed", "unbroken"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_an_epoch_that_was_cut_short_is_over_and_the_next_one_is_whole(tmp_path, monkeypatch):
    orders = []
    step = Classifier.training_step

    def note(self, batch, batch_idx):
        orders.append((self.current_epoch, batch_idx, tuple(batch[1].tolist())))
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Classifier, "training_step", note)
    asked = ["trainer.max_epochs=3", "data.batch_size=32", "scheduler=none", "test=false", *QUIET]
    train(tmp_path / "unbroken", *asked)
    unbroken, orders = orders, []
    train(tmp_path / "cut", *asked, "trainer.max_steps=4")
    assert orders == unbroken[:4]
    orders.clear()
    resumed = train(tmp_path / "on", f"ckpt_path={tmp_path / 'cut/run'}", "trainer.max_steps=24", small=False)
    assert orders == unbroken[10:30]
    assert resumed["history"]["epoch"] == [1, 2, 3]


def test_no_checkpoint_is_written_between_the_batches_of_a_step(tmp_path, monkeypatch):
    """What they have added to the gradients is in no checkpoint."""
    written = []

    save = Trainer.save_checkpoint

    def note(trainer, *arguments):
        save(trainer, *arguments)
        if trainer.fit_loop.batch_idx >= 0 and not trainer.is_last_batch:
            written.append((trainer.global_step, trainer.fit_loop.batch_idx))

    monkeypatch.setattr(Trainer, "save_checkpoint", note)
    asked = ["checkpoint.every_n_steps=2", "trainer.accumulate_grad_batches=2", "data.batch_size=32"]
    train(tmp_path, *asked, "trainer.max_epochs=1", "test=false", *QUIET)
    assert written == [(2, 3), (4, 7)]  # of ten batches, two to a step


def test_a_fine_tuning_run_is_resumed_with_the_settings_of_its_checkpoint(finished):
    """As its ranks are: what the checkpoint keeps holds `ckpt` and `ckpt_path`, of which a user may give only one."""
    kept = {**compose("train", *SMALL), "ckpt": "pretrained", "ckpt_path": str(finished[0] / "run" / runs.LAST)}
    chosen, start = training._choose(kept, ["trainer.max_epochs=9"], final=True)
    assert (chosen["ckpt"], start) == ("pretrained", finished[0] / "run" / runs.LAST)


def test_a_resumed_trial_may_differ_in_what_the_run_itself_has_put_in(finished):
    """Such as the seed that was drawn, and the checkpoint that was `latest`: the search vouches for its settings."""
    kept = compose("train", *SMALL)
    composed = {**kept, "ckpt": None, "search": {"trial": 3}}
    kept = {**kept, "ckpt": "/made/of/latest.ckpt"}
    assert resume.settings(composed, kept, ["ckpt=null"], finished[0])["ckpt"] == "/made/of/latest.ckpt"
    with pytest.raises(UserError, match="ckpt=null cannot be given with ckpt_path="):
        resume.settings({**composed, "search": None}, kept, ["ckpt=null"], finished[0])


def test_a_resumed_run_draws_its_curve_as_before(finished):
    kept = compose("train", *SMALL, "trainer.log_every_n_steps=1")
    again = resume.settings(compose("train", *SMALL), kept, [], finished[0])
    assert again["callbacks"]["learning_curves"]["every_n_steps"] == again["trainer"]["log_every_n_steps"] == 1
    asked = ["trainer.log_every_n_steps=7"]
    again = resume.settings(compose("train", *SMALL, *asked), kept, asked, finished[0])
    assert again["callbacks"]["learning_curves"]["every_n_steps"] == again["trainer"]["log_every_n_steps"] == 7


def test_weights_alone_cannot_be_resumed(finished, tmp_path):
    from mnist_lightning.models import checkpoint

    checkpoint.strip(finished[0] / "run" / runs.BEST, tmp_path / "weights.ckpt")
    with pytest.raises(UserError, match=r"holds weights only and cannot be resumed: start from it anew with ckpt="):
        train(tmp_path, f"ckpt_path={tmp_path / 'weights.ckpt'}", small=False)


def test_a_checkpoint_of_an_earlier_version_cannot_be_resumed_and_says_the_way_out(finished, tmp_path):
    old = torch.load(finished[0] / "run" / runs.LAST, weights_only=True)
    old["callbacks"]["RunFolder"] = {}
    torch.save(old, tmp_path / "old.ckpt")
    with pytest.raises(
        UserError, match=r"was written by an earlier version and cannot be resumed: start anew with ckpt="
    ):
        train(tmp_path, f"ckpt_path={tmp_path / 'old.ckpt'}", small=False)


def test_what_to_resume_is_found(finished, tmp_path):
    outputs = finished[0]
    last = outputs / "run" / runs.LAST
    assert resume.find("latest", outputs) == last.resolve()
    assert resume.find(str(outputs / "run"), tmp_path) == resume.find(str(last), tmp_path) == last
    with pytest.raises(
        UserError, match=r"^There is no finished run under .* yet: name a run folder with ckpt_path=\.$"
    ):
        resume.find("latest", tmp_path)
    with pytest.raises(
        UserError, match=r"^There is no checkpoint .*nowhere: give a run folder, `latest` or a \.ckpt fi"
    ):
        resume.find(str(tmp_path / "nowhere"), tmp_path)
    shutil.copytree(outputs / "run", tmp_path / "copy", ignore=shutil.ignore_patterns("*.ckpt"))
    with pytest.raises(UserError, match=r"^There is no checkpoint .*copy/checkpoints/last\.ckpt: give a run folder"):
        resume.find(str(tmp_path / "copy"), tmp_path)


def test_settings_in_a_checkpoint_are_held_against_their_types(finished, tmp_path):
    content = torch.load(finished[0] / "run" / runs.LAST, weights_only=True)
    content["mnist_lightning"]["settings"]["seed"] = -1
    torch.save(content, tmp_path / "strange.ckpt")
    with pytest.raises(UserError, match=r"^seed=-1 is not allowed: "):
        train(tmp_path, f"ckpt_path={tmp_path / 'strange.ckpt'}", "trainer.max_epochs=3", small=False)


def test_the_line_to_paste_gives_what_no_checkpoint_holds(compose):
    settings = compose("train", "outputs='my runs'", "logger=csv", "allow=[my.nets]")
    given = ["data=digits", "outputs='my runs'", "logger=csv", "logger.csv.name=x", "seed=3", "allow=[my.nets]"]
    assert resume.not_in_checkpoint(settings, given) == [
        "outputs=my runs", "logger=csv", "logger.csv.name=x", "allow=[my.nets]",
    ]  # fmt: skip
    assert resume.not_in_checkpoint(compose("train"), ["data=digits", "~callbacks.loss_graph"]) == []


def test_a_rank_that_torchrun_started_takes_the_settings_of_the_checkpoint_too(finished, compose, monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    given = [f"ckpt_path={finished[0] / 'run'}", "trainer.max_epochs=9"]
    settings, _ = training._choose(compose("train", *given), given, final=False)
    assert (settings["data"]["name"], settings["optimizer"]["lr"]) == ("digits", 0.02)
    assert (settings["data"]["limit"], settings["trainer"]["max_epochs"]) == (320, 9)
    again, _ = training._choose(settings, given, final=True)  # what the launcher hands on stays as it is
    assert again == settings
