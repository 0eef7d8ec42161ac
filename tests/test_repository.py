"""The repository's own files: workflows, templates, pinned tools, versions, the release check."""

import re
import shutil
import subprocess
import sys

import pytest
import yaml
from places import ROOT

import fastckpt

WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text("utf-8"))
    for path in (ROOT / ".github" / "workflows").glob("*.yml")
}
JOBS = [
    pytest.param(job, id=f"{name}-{job_name}")
    for name, workflow in WORKFLOWS.items()
    for job_name, job in workflow["jobs"].items()
]
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
PROJECT = (ROOT / "pyproject.toml").read_text("utf-8")
FILES_WITH_THE_VERSION = ("CITATION.cff", "CHANGELOG.md", "fastckpt/__init__.py")


def commands_of(job):
    """The shell lines of a job's steps, once for each target of its matrix."""
    targets = job.get("strategy", {}).get("matrix", {}).get("target", [""])
    runs = [step["run"] for step in job.get("steps", []) if "run" in step]
    lines = [line for run in runs for line in run.splitlines()]
    return {re.sub(r"\$\{\{ matrix\.target \}\}", name, line) for line in lines for name in targets}


def actions_of(job):
    return [step for step in job.get("steps", []) if "uses" in step]


# ---- Workflows


def test_workflows_are_there():
    assert set(WORKFLOWS) == {"ci", "nightly", "release", "wheels"}


@pytest.mark.parametrize("job", JOBS)
def test_step_calls_a_target_of_the_makefile(job):
    commands = commands_of(job)
    assert commands or "uses" in job or all("uses" in step for step in job["steps"])
    for command in commands:
        program, target = command.split()[:2]
        assert program == "make", command
        assert target in TARGETS, command


@pytest.mark.parametrize("job", JOBS)
def test_job_ends(job):
    assert "timeout-minutes" in job or job["uses"].startswith("./.github/workflows/")


@pytest.mark.parametrize("job", JOBS)
def test_action_has_a_major_version_and_leaves_no_credentials(job):
    for step in actions_of(job):
        name, _, version = step["uses"].partition("@")
        assert re.fullmatch(r"(release/)?v\d+", version), step
        if name == "actions/checkout":
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflow_may_only_read_and_does_not_pile_up(name):
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}
    assert WORKFLOWS[name]["concurrency"]["group"]


def test_only_publishing_has_more_permissions_and_only_in_its_environment():
    privileged = {
        (name, job_name): job
        for name, workflow in WORKFLOWS.items()
        for job_name, job in workflow["jobs"].items()
        if "permissions" in job
    }
    assert set(privileged) == {("release", "publish")}
    publish = privileged["release", "publish"]
    assert publish["permissions"] == {"id-token": "write", "attestations": "write"}
    assert publish["environment"] == "release"
    assert not any("run" in step for step in publish["steps"])
    assert "secrets." not in (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")


def test_every_claimed_python_is_tested_on_linux():
    claimed = re.findall(r"Programming Language :: Python :: (3\.\d+)", PROJECT)
    tested = WORKFLOWS["ci"]["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert [*claimed, "3.14t"] == tested


def test_systems_that_are_tested_are_those_with_wheels():
    matrix = WORKFLOWS["ci"]["jobs"]["test"]["strategy"]["matrix"]
    tested = {*matrix["os"], *(row["os"] for row in matrix["include"])}
    assert tested == set(WORKFLOWS["wheels"]["jobs"]["wheels"]["strategy"]["matrix"]["os"])


# ---- Pinned tools


def test_hooks_have_the_versions_of_make_lint():
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    pins = [pin for hook in local["hooks"] for pin in hook["additional_dependencies"]]
    assert {pin.partition("==")[0] for pin in pins} == {"ruff", "cython-lint", "clang-format"}
    for pin in pins:
        assert f'"{pin}"' in PROJECT


# ---- Versions


def test_citation_has_the_version_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == fastckpt.__version__


@pytest.fixture
def release(tmp_path):
    """Copies of the files that have a version, all of them 9.8.7."""
    for file in FILES_WITH_THE_VERSION:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
        edit(tmp_path / file, fastckpt.__version__, "9.8.7")
    edit(tmp_path / "CHANGELOG.md", "## Unreleased", "## 9.8.7 (2030-01-31)")
    return tmp_path


def edit(path, old, new):
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")


def check(tag, folder):
    command = [sys.executable, ROOT / ".ci" / "check_release.py", tag, folder]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_release_whose_files_agree_is_ready(release):
    done = check("v9.8.7", release)
    assert (done.returncode, done.stdout) == (0, "v9.8.7: ready\n")


@pytest.mark.parametrize("file", FILES_WITH_THE_VERSION)
def test_file_with_another_version_is_named(release, file):
    edit(release / file, "9.8.7", "9.8.6")
    done = check("v9.8.7", release)
    assert done.returncode == 1
    assert done.stdout == f"{file}: expected version 9.8.7, got 9.8.6\n"


def test_changelog_without_the_version_is_named(release):
    edit(release / "CHANGELOG.md", "## 9.8.7 (2030-01-31)", "## Unreleased")
    assert "CHANGELOG.md: expected version 9.8.7, got none" in check("v9.8.7", release).stdout


@pytest.mark.parametrize("tag", ["9.8.7", "v9.8", "main"])
def test_tag_that_is_no_version_is_refused(release, tag):
    done = check(tag, release)
    assert done.returncode == 1
    assert f"expected vX.Y.Z, got {tag!r}" in done.stdout
