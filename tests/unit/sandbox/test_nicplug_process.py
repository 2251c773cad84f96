"""What `nicplug run` and `nicplug api` have in common in a sandbox: the ports that their logs name."""

import json
from pathlib import Path

import pytest

from nicplug_sandbox.nicplug_process import ports_in

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
    assert ports_in(log) == {"port": 34425, "metrics_port": 45433}


def test_no_log_names_no_ports(tmp_path: Path) -> None:
    assert ports_in(tmp_path / "none.log") == {}


def test_the_operator_names_one_port(tmp_path: Path) -> None:
    log = tmp_path / "operator.log"
    log.write_text(json.dumps({"event": "nicplug starts", "metrics_port": 45433}))
    assert ports_in(log) == {"metrics_port": 45433}
