"""The words of a command line, as Hydra's parser wants them."""

import pytest

from mnist_lightning.cli import words
from mnist_lightning.errors import UserError


def test_flags_may_stand_anywhere():
    given = ["seed=1", "-m", "--config-dir", "here", "model=mlp", "--cfg", "job", "--package=x"]
    assert words.arrange(given, "train") == (
        ["-m", "--config-dir", "here", "--cfg", "job", "--package", "x"],
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


@pytest.mark.parametrize(
    ("function", "texts", "others"),
    [
        (
            "mnist_lightning.tasks.train.train",
            "outputs ckpt ckpt_path name data.folder data.drawings distill.teacher hydra.run.dir hydra.sweep.subdir "
            "search.storage logger.mlflow.experiment_name logger.mlflow.tracking_uri logger.wandb.project",
            "allow tags data.mirrors seed trainer.devices data.batch_size model nothing.at_all",
        ),
        ("mnist_lightning.sweeps.results.results", "runs where compare plot out out_of_fold", "by metric"),
        ("mnist_lightning.export.command.export", "output ckpt outputs data.folder", "format sure"),
        ("mnist_lightning.inference.files.predict_files", "image ckpt outputs", "digits sure allow"),
        ("mnist_lightning.apps.replay.replay", "strokes ckpt outputs", "move scale"),
        ("mnist_lightning.apps.window.draw", "drawings ckpt outputs", "window theme"),
        ("mnist_lightning.service.server.serve", "host ckpt outputs serve.keep_drawings", "port serve.queue"),
    ],
)
def test_texts_are_the_settings_that_are_nothing_but_text(function, texts, others):
    assert [each for each in texts.split() if not words.is_text(each, function)] == []
    assert [each for each in others.split() if words.is_text(each, function)] == []


@pytest.mark.parametrize(
    ("override", "quoted"),
    [
        ("outputs=my runs (1)", "outputs='my runs (1)'"),
        ("+outputs=a=b", "+outputs='a=b'"),
        ("outputs=it's", r"outputs='it\'s'"),
        ("outputs='as is'", "outputs='as is'"),
        ("outputs=null", "outputs=null"),
        ("outputs=~/my runs", "outputs='/home/me/my runs'"),
        ("outputs=~/runs", "outputs='/home/me/runs'"),
        ("outputs=~nobody-of-that-name/runs", "outputs='~nobody-of-that-name/runs'"),
        ("outputs=a%20b?#c", "outputs='a%20b?#c'"),
        ("outputs=${hydra:runtime.cwd}", "outputs=${hydra:runtime.cwd}"),
        ("seed=3", "seed=3"),
        ("~outputs", "~outputs"),
    ],
)
def test_a_text_is_quoted_for_hydras_grammar_and_nothing_else_is(override, quoted, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USERPROFILE", "/home/me")
    assert words.quoted(override, "outputs".__eq__, sweeps=False) == quoted


@pytest.mark.parametrize(
    "text",
    [
        r"a\b.png",
        r"a\\b.png",
        r"C:\pics\7.png",
        r"\\server\share\7.png",
        r"it's",
        "two '' quotes",
        r"a\'b",
        r"a\\'b",
        r"a\\\'\'b\c'",
        "ends in a quote'",
        "ends in one\\",
        "ends in two\\\\",
        "ends in both'\\",
        "ends in both\\'",
        r"\"double\" and 'single\"",
        "\\",
    ],
)
def test_a_text_with_backslashes_and_quotes_survives_hydras_parser(text):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    override = words.quoted(f"image={text}", "image".__eq__, sweeps=False)
    assert OverridesParser.create().parse_override(override).value() == text


def test_in_a_sweep_a_comma_separates_jobs():
    assert words.quoted("ckpt=a,b", "ckpt".__eq__, sweeps=True) == "ckpt=a,b"
    assert words.quoted("ckpt=a,b", "ckpt".__eq__, sweeps=False) == "ckpt='a,b'"
