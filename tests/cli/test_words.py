"""The words of a command line, as Hydra's parser wants them."""

import pytest

from mnist_lightning.cli import words
from mnist_lightning.errors import UserError


def test_flags_may_stand_anywhere():
    given = ["seed=1", "-m", "--config-dir", "here", "model=mlp", "--cfg", "job", "--package=x"]
    assert words.arrange(given, "train") == (
        ["-m", "--config-dir", "here", "--cfg", "job", "--package=x"],
        ["seed=1", "model=mlp"],
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--max_epochs", "3"], r"^There is no flag --max_epochs: write trainer\.max_epochs=3\.$"),
        (["--max-epochs=3"], r"^There is no flag --max-epochs: write trainer\.max_epochs=3\.$"),
        (["--lr"], r"^There is no flag --lr: write optimizer\.lr=\.\.\.\.$"),
        (["--zzz", "3"], r"^There is no flag --zzz: settings are written key=value\.$"),
    ],
)
def test_a_flag_in_argparses_way_is_answered_with_the_setting(given, told):
    with pytest.raises(UserError, match=told):
        words.arrange(given, "train")


def test_texts_are_the_settings_that_are_nothing_but_text():
    texts = words.text_settings("mnist_lightning.tasks.train.train")
    assert texts >= {"outputs", "ckpt", "ckpt_path", "name", "data.folder", "data.drawings", "distill.teacher",
                     "hydra.run.dir"}  # fmt: skip
    assert not texts & {"allow", "tags", "data.mirrors", "seed", "trainer.devices", "data.batch_size"}
    assert words.text_settings("mnist_lightning.sweeps.results.results") >= {"runs", "where", "compare", "plot"}


@pytest.mark.parametrize(
    ("override", "quoted"),
    [
        ("outputs=my runs (1)", "outputs='my runs (1)'"),
        ("+outputs=a=b", "+outputs='a=b'"),
        ("outputs=it's", r"outputs='it\'s'"),
        ("outputs='as is'", "outputs='as is'"),
        ("outputs=null", "outputs=null"),
        ("outputs=${hydra:runtime.cwd}", "outputs=${hydra:runtime.cwd}"),
        ("seed=3", "seed=3"),
        ("~outputs", "~outputs"),
    ],
)
def test_a_text_is_quoted_for_hydras_grammar_and_nothing_else_is(override, quoted):
    assert words.quoted(override, {"outputs"}, sweeps=False) == quoted


def test_in_a_sweep_a_comma_separates_jobs():
    assert words.quoted("ckpt=a,b", {"ckpt"}, sweeps=True) == "ckpt=a,b"
    assert words.quoted("ckpt=a,b", {"ckpt"}, sweeps=False) == "ckpt='a,b'"
