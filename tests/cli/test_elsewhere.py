"""A config that does not come with the package: of `hydra.` it sets what harms nobody, and it is no bomb."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from mnist_lightning.cli import elsewhere, main
from mnist_lightning.cli.config import CONF
from mnist_lightning.errors import UserError

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """`project(hydra={...})`: a folder with an experiment `theirs` that sets this; it is the current one."""

    def make(name="experiment/theirs", header="# @package _global_\n", **content):
        path = tmp_path / "conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(header + yaml.safe_dump(content))
        return path

    monkeypatch.chdir(tmp_path)
    return make


def nested(key, value):
    for name in reversed(key.split("/")):
        value = {name: value}
    return value


HARMFUL = {
    "job_logging/handlers/file/filename": "{folder}/theirs",
    "job_logging/handlers": {"file": {"class": "logging.FileHandler", "filename": "{folder}/theirs", "mode": "w"}},
    "hydra_logging/handlers/file/filename": "{folder}/theirs",
    "callbacks/mine/_target_": "os.system",
    "callbacks/run_folders/_target_": "hydra.experimental.callback.Callback",
    "job/env_set/LD_PRELOAD": "theirs.so",
    "job/env_copy": ["HOME"],
    "job/name": "../../theirs",
    "job/config/override_dirname/kv_sep": "/../",
    "output_subdir": "../..",
    "run/dir": "{folder}/theirs",
    "run": {"dir": "../theirs"},
    "sweep/dir": "outputs/../../theirs",
    "sweep/subdir": "../../${hydra.job.num}",
    "sweeper/_target_": "os.system",
    "sweeper/params": {"hydra.run.dir": "/theirs"},
    "sweeper/params/+hydra@x": "theirs",
    "launcher/_target_": "os.system",
    "launcher/setup": ["touch theirs"],
    "launcher/submitit_folder": "/theirs",
    "launcher/init/address": "ray://theirs:10001",
    "runtime/output_dir": "/theirs",
    "searchpath": ["pkg://theirs"],
    "sweep": "${theirs}",
}


@pytest.mark.parametrize("key", HARMFUL)
def test_what_would_write_or_run_elsewhere_is_one_sentence(project, key, tmp_path, capsys):
    text = json.dumps(HARMFUL[key]).replace("{folder}", str(tmp_path))
    project(hydra=nested(key, json.loads(text)), theirs={"dir": "/theirs"})
    with pytest.raises(UserError) as caught:
        main.run("train", ["experiment=theirs", "data=digits", "model=mlp", "trainer.max_epochs=1"])
    told = str(caught.value)
    assert told.startswith(f"{tmp_path}/conf/experiment/theirs.yaml sets hydra.{key.split('/')[0]}"), told
    assert told.endswith("may not: take it out, or type it on the command line if you know what it does.")
    assert len(told) < 400
    assert told.isprintable()
    assert {path.name for path in tmp_path.iterdir()} == {"conf"}


HARMLESS = {
    "sweeper/params": {"seed": "range(3)", "model": "cnn,mlp", "+callbacks": "x"},
    "sweeper/max_batch_size": 4,
    "sweep/dir": "${outputs}/mine/${now:%Y-%m-%d}",
    "sweep/subdir": "${hydra.job.num}_${hydra.job.override_dirname}",
    "run/dir": "outputs/mine/${now:%H-%M-%S}",
    "verbose": True,
    "job/name": "mine",
    "job/chdir": False,
    "job_logging/root/level": "INFO",
    "output_subdir": None,
    "mode": "RUN",
    "help/header": "Mine.",
}


@pytest.mark.parametrize("key", HARMLESS)
def test_what_people_set_in_their_own_configs_may_be_set(project, key, capsys):
    project(hydra=nested(key, HARMLESS[key]), seed=77)
    main.run("train", ["experiment=theirs", "--cfg", "job"])
    assert "\nseed: 77\n" in capsys.readouterr().out


def test_the_launcher_and_the_sweeper_may_be_chosen(project, capsys):
    project(defaults=[{"override /hydra/launcher": "joblib"}], hydra={"launcher": {"n_jobs": 2}})
    main.run("train", ["experiment=theirs", "--cfg", "hydra"])
    assert "n_jobs: 2" in capsys.readouterr().out
    project("hydra/launcher/mine", "", _target_="hydra_plugins.mnist_lightning_joblib.JoblibLauncher", n_jobs=3)
    main.run("train", ["hydra/launcher=mine", "--cfg", "hydra"])
    assert "n_jobs: 3" in capsys.readouterr().out


@pytest.mark.parametrize("group", ["hydra/job_logging", "hydra/callbacks", "hydra/env"])
def test_a_group_of_hydras_may_not_be_brought_along(project, group, tmp_path):
    name, content = {
        "hydra/job_logging": ("loud", {"version": 1, "handlers": {"a": {"class": "logging.FileHandler"}}}),
        "hydra/callbacks": ("loud", {"loud": {"_target_": "os.system"}}),
        "hydra/env": ("loud", {"job": {"env_set": {"PATH": "/theirs"}}}),
    }[group]
    header = "# @package hydra\n" if group == "hydra/env" else ""
    project(f"{group}/{name}", header, **content)
    project(defaults=[{f"override /{group}": name}])
    # Of a group that the package chooses itself the experiment's choice does not count; a typed one does.
    words = [f"{group}={name}"] if group == "hydra/job_logging" else ["experiment=theirs"]
    with pytest.raises(UserError, match=rf"^{tmp_path}/conf/{group}/loud\.yaml sets hydra\."):
        main.run("train", words)


def test_a_package_line_does_not_hide_it(project, tmp_path):
    project("model/theirs", "# @package hydra.job_logging\n", handlers={"file": {"filename": "x"}})
    with pytest.raises(UserError, match=r"theirs\.yaml sets hydra\.job_logging\.handlers\.file\.filename to 'x'"):
        main.run("train", ["model=theirs", "--cfg", "job"])


def test_a_primary_config_of_ones_own_may_say_what_the_packages_says(project, tmp_path, capsys):
    own = yaml.safe_load((CONF / "train.yaml").read_text())
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine.yaml").write_text(yaml.safe_dump({**own, "seed": 5}))
    main.run("train", ["--config-dir", "own", "--config-name", "mine", "--cfg", "job"])
    assert "\nseed: 5\n" in capsys.readouterr().out
    own["hydra"]["job_logging"] = {"handlers": {"file": {"filename": "x"}}}
    (tmp_path / "own" / "mine.yaml").write_text(yaml.safe_dump(own))
    with pytest.raises(UserError, match=r"own/mine\.yaml sets hydra\.job_logging\.handlers\.file\.filename to 'x'"):
        main.run("train", ["--config-dir", "own", "--config-name", "mine", "--cfg", "job"])


def test_the_local_config_is_held_to_it_too(tmp_path):
    local = CONF / "local" / "default.yaml"
    given = OmegaConf.create({"hydra": {"job": {"env_set": {"A": "b"}}}})
    with pytest.raises(UserError, match=r"conf/local/default\.yaml sets hydra\.job\.env_set\.A to 'b', which"):
        elsewhere.check_config(f"file://{CONF}", "local/default", given)
    elsewhere.check_config(f"file://{CONF}", "train", given)
    elsewhere.check_file(local)  # which need not be there


def test_what_is_typed_is_free(project, capsys):
    project(seed=77)
    main.run("train", ["experiment=theirs", "+hydra.job.env_set.A=b", "hydra.job.name=other", "--cfg", "hydra"])
    said = capsys.readouterr().out
    assert "A: b" in said
    assert "name: other" in said


BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10))]
)


@pytest.mark.parametrize(
    ("text", "told"),
    [(BOMB, "stands for more than 1,000,000 values"), ("a: [", "is not valid YAML"), ("[" * 9999, "nested too deeply")],
)  # fmt: skip
def test_a_config_that_is_a_trap_is_one_sentence_at_once(project, text, told):
    path = project()
    path.write_text(f"# @package _global_\n{text}\n")
    limited = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_CPU, (20, 20)); sys.argv = sys.argv[1:]; "
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{limited} runpy.run_path(sys.argv[0], run_name='__main__')",
         str(PROJECT / "scripts/train.py"), "experiment=theirs"],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(PROJECT)}, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith(f"{path} is not valid")
    assert told in done.stderr


def test_a_folder_with_files_in_it_is_used_only_if_it_is_typed(project, tmp_path):
    (tmp_path / "outputs" / "mine").mkdir(parents=True)
    (tmp_path / "outputs" / "mine" / "notes").write_text("mine")
    project(hydra={"run": {"dir": "outputs/mine"}, "sweep": {"dir": "outputs/mine"}})
    with pytest.raises(UserError, match=r"outputs/mine is not empty, and a config file names it as hydra\.run\.dir: "):
        main.run("train", ["experiment=theirs", "data=digits"])
    with pytest.raises(UserError, match=r"outputs/mine is not empty, and a config file names it as hydra\.sweep\.dir:"):
        main.run("train", ["-m", "experiment=theirs", "data=digits", "seed=0,1"])
    assert [path.name for path in (tmp_path / "outputs" / "mine").iterdir()] == ["notes"]
    with pytest.raises(UserError, match=r"^seed=-1 is not allowed"):
        main.run("train", ["experiment=theirs", "hydra.run.dir=outputs/mine", "seed=-1"])


def test_a_pickle_of_hydras_is_not_read(tmp_path):
    with pytest.raises(UserError, match=r"^There is no flag --experimental-rerun: "):
        main.run("train", ["--experimental-rerun", "config.pickle"])


def test_a_package_that_a_config_names_as_a_search_path_is_not_imported(project, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "__init__.py").write_text("open('ran', 'w')\n")
    project("mine", "", defaults=["train"], hydra={"searchpath": ["pkg://theirs"]})
    with pytest.raises(UserError, match=r"conf/mine\.yaml sets hydra\.searchpath to \['pkg://theirs'\], which a"):
        main.run("train", ["--config-dir", "conf", "--config-name", "mine", "--cfg", "job"])
    assert not (tmp_path / "ran").exists()
