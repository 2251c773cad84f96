"""The workflows of continuous integration: pinned, without rights, and running what a contributor runs."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))


def steps(path: Path) -> list[dict[str, Any]]:
    """Of all jobs."""
    jobs = yaml.safe_load(path.read_text())["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
class TestWorkflow:
    def test_actions_are_pinned_by_commit_and_name_their_version(self, path: Path) -> None:
        used = re.findall(r"uses: (.*)", path.read_text())
        assert used
        assert [line for line in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v[\d.]+", line)] == []

    def test_a_token_may_only_read(self, path: Path) -> None:
        document = yaml.safe_load(path.read_text())
        assert document["permissions"] == {"contents": "read"}
        assert [name for name, job in document["jobs"].items() if "permissions" in job] == []

    def test_every_job_ends(self, path: Path) -> None:
        jobs = yaml.safe_load(path.read_text())["jobs"]
        assert [name for name, job in jobs.items() if "timeout-minutes" not in job] == []


# `make e2e` builds the image with Docker, and runs it.
NOT_RUN = {"image-test"}


def test_they_run_all_tests_and_those_that_need_docker() -> None:
    run = "\n".join(step.get("run", "") for path in WORKFLOWS for step in steps(path))
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets is not None
    known, used = set(targets[1].split()), set(re.findall(r"\bmake ([a-z0-9-]+)", run))
    assert used <= known
    assert {name for name in known if name.endswith("-test")} - used == NOT_RUN
    assert ".ci/run" in run
    assert "make e2e" in run
