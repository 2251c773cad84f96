"""`nicplug api` in a sandbox: what is read of its log, and when it counts as available."""

import json
from pathlib import Path

import pytest

from nicplug_sandbox import api_process
from nicplug_sandbox.apply import load
from nicplug_sandbox.operator_process import BASE

SERVES = {"event": "nicplug api serves", "port": 34425, "metrics_port": 45433}


@pytest.mark.parametrize(
    "lines",
    [
        [SERVES],
        [{"event": "serving certificate made"}, SERVES],
        ["Traceback", "[1, 2]", SERVES],
        [SERVES, '{"port": 1, "metrics_p'],
    ],
    ids=str,
)
def test_the_ports_of_the_first_line_that_names_them(tmp_path: Path, lines: list[object]) -> None:
    log = tmp_path / "api.log"
    log.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    assert api_process._ports_in(log) == {"port": 34425, "metrics_port": 45433}


def test_no_log_names_no_ports(tmp_path: Path) -> None:
    assert api_process._ports_in(tmp_path / "none.log") == {}


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
    assert files - set(api_process.RIGHTS) == {"kustomization", "deployment", "service", "apiservices"}
    assert all(document["kind"] == "APIService" for document in load([api_process.REGISTRATIONS]))
