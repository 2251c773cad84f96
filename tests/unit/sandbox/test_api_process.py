"""`nicplug api` in a sandbox: its rights, and when it counts as available."""

import pytest

from nicplug_sandbox import api_process
from nicplug_sandbox.apply import load
from nicplug_sandbox.nicplug_process import BASE


@pytest.mark.parametrize(
    ("conditions", "wanted"),
    [
        ([{"type": "Available", "status": "True"}], True),
        ([{"type": "Available", "status": "False"}], False),
        ([], False),
    ],
)
def test_available(conditions: list[dict[str, str]], wanted: bool) -> None:
    assert api_process._is_available({"status": {"conditions": conditions}}) is wanted


def test_the_rights_are_those_of_the_base() -> None:
    """All of its folder but what a process on this host replaces."""
    folder = BASE / "api"
    files = {path.stem for path in folder.glob("*.yaml")}
    of_pods = {"kustomization", "deployment", "service", "pdb"}
    assert files - set(api_process.RIGHTS) == of_pods | {"apiservices", "eviction-webhook"}
    assert all(document["kind"] == "APIService" for document in load([api_process.REGISTRATIONS]))
