"""What the project is built from: no known bad release, actions pinned by digest, workflows without findings."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

PROJECT = Path(__file__).parent.parent
WORKFLOWS = sorted((PROJECT / ".github/workflows").glob("*.yml"))


def denied() -> dict[str, list[SpecifierSet]]:
    """For each package the releases that must not be installed."""
    found: dict[str, list[SpecifierSet]] = {}
    for line in (PROJECT / "tests/denied_releases.txt").read_text(encoding="utf-8").splitlines():
        if text := line.partition("#")[0].strip():
            requirement = Requirement(text)
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement.specifier)
    return found


def is_denied(name: str, version: str) -> bool:
    wrong = denied().get(canonicalize_name(name), [])
    return any(each.contains(Version(version), prereleases=True) for each in wrong)


def project() -> dict:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def direct() -> dict[str, SpecifierSet]:
    """The packages that pyproject.toml asks for, with the releases that it allows."""
    settings = project()
    lines = settings["dependencies"] + [line for group in settings["optional-dependencies"].values() for line in group]
    requirements = [Requirement(line) for line in lines]
    return {canonicalize_name(each.name): each.specifier for each in requirements if each.name != settings["name"]}


def test_the_list_knows_the_releases_that_we_know_of():
    assert is_denied("lightning", "2.6.2")
    assert is_denied("Lightning", "2.6.3")
    assert is_denied("pytorch_lightning", "2.6.3")
    assert not is_denied("lightning", "2.6.6")
    assert is_denied("torch", "2.9.1")
    assert is_denied("torch", "2.9.1+cpu")
    assert not is_denied("torch", "2.10.0")


def test_no_denied_release_is_in_the_constraints():
    lines = (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    assert len(pinned) > 50
    versions = [(each.name, next(iter(each.specifier)).version) for each in pinned]
    assert all([pin.operator for pin in each.specifier] == ["=="] for each in pinned)
    assert [each for each in versions if is_denied(*each)] == []


def test_no_denied_release_is_installed():
    there = [(each.metadata["Name"], each.version) for each in distributions() if each.metadata["Name"]]
    assert len(there) > 20
    assert [each for each in there if is_denied(*each)] == []


def test_no_denied_release_is_allowed_by_pyproject():
    """Each release on the list, and for a range the one below its end, lies outside of what we ask for."""
    allowed = direct()
    wrong = []
    for name in denied().keys() & allowed.keys():
        for specifiers in denied()[name]:
            for each in specifiers:
                version = each.version if each.operator != "<" else f"{each.version}.dev0"
                if allowed[name].contains(version, prereleases=True):
                    wrong.append(f"{name} {version}")
    assert wrong == []


def test_the_constraints_are_what_ci_installs():
    commands = [
        line for path in WORKFLOWS for line in path.read_text(encoding="utf-8").splitlines() if "pip install" in line
    ]
    ours = [line for line in commands if re.search(r"editable| \.$|\"\.\[|\.whl", line)]
    assert len(ours) >= 4
    assert [line for line in ours if "--constraint" not in line] == []
    assert "--constraint constraints.txt" in (PROJECT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_digest_and_jobs_have_few_rights(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {}
    assert True in workflow  # `on`, which YAML reads as a truth value
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    uses = [step["uses"] for step in steps if "uses" in step]
    assert uses
    assert [each for each in uses if not re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", each)] == []
    for name, job in workflow["jobs"].items():
        assert "timeout-minutes" in job, name
        assert set(job["permissions"]) <= {"contents", "id-token", "attestations", "pages"}, name
        assert job["permissions"].get("contents", "read") == "read", name
    for step in steps:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_one_action_has_one_digest():
    digests: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for action, digest in re.findall(r"uses: ([\w./-]+)@([0-9a-f]{40})", path.read_text(encoding="utf-8")):
            digests.setdefault(action, set()).add(digest)
    assert {action: found for action, found in digests.items() if len(found) > 1} == {}


def test_what_runs_code_of_a_pull_request_gets_no_secrets():
    for path in WORKFLOWS:
        text = path.read_text(encoding="utf-8")
        assert "pull_request_target" not in text
        assert "secrets." not in text


def test_zizmor_has_nothing_to_say():
    zizmor = shutil.which("zizmor") or shutil.which("zizmor", path=str(Path(sys.executable).parent))
    if zizmor is None:
        pytest.skip("zizmor is not installed")
    command = [zizmor, "--offline", "--persona=pedantic", "--no-progress", PROJECT / ".github"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_citation_names_this_version():
    import mnist_lightning

    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"] == project()["name"]
    assert citation["version"] == mnist_lightning.__version__
    assert citation["license"] == project()["license"]


def test_issue_templates_ask_for_what_a_bug_needs():
    forms = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in
             (PROJECT / ".github/ISSUE_TEMPLATE").glob("*.yml")}  # fmt: skip
    assert {"bug", "idea", "misread_digit", "config"} == set(forms)
    required = [field["id"] for field in forms["bug"]["body"] if field.get("validations", {}).get("required")]
    assert required == ["command", "expected", "environment"]
