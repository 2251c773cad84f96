"""What a person at the terminal gets: results on stdout, everything else on stderr, honest exit codes."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from nicplug_sandbox import lifecycle, state
from nicplug_sandbox.cli import sandbox
from nicplug_sandbox.controlplane import SandboxStatus
from nicplug_sandbox.errors import HalfStarted, SandboxError
from nicplug_sandbox.processes import RecordedProcess
from nicplug_sandbox.state import State
from nicplug_sandbox.whereabouts import remember


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("NICPLUG_CACHE_DIR", str(tmp_path / "cache"))
    return CliRunner()


def test_status_without_a_sandbox(runner: CliRunner) -> None:
    result = runner.invoke(sandbox, ["status"])
    assert result.exit_code == 0
    assert "No sandbox runs in" in result.stdout
    assert "nicplug sandbox up" in result.stdout


def test_status_lists_the_other_sandboxes_of_this_user(runner: CliRunner, tmp_path: Path) -> None:
    """Wherever they are; the name of the one that is asked about is given by hand to see that one alone."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    dead = RecordedProcess(name="etcd", pid=2**22 - 1, created=1.0, argv=(), log=elsewhere / "logs" / "etcd.log")
    started = time.time() - 300
    state.save(elsewhere, State(server="https://s", kubeconfig=elsewhere / "k", started_at=started, processes=(dead,)))
    remember(elsewhere)

    told = runner.invoke(sandbox, ["status"]).stdout
    assert "Other sandboxes of yours; end one with `nicplug sandbox down --directory DIRECTORY`:\n" in told
    line = f"{elsewhere}  0 programs run, up 5m, dead: etcd (`up --directory` starts them again)"
    assert line in told.splitlines()
    others = json.loads(runner.invoke(sandbox, ["status", "-o", "json"]).stdout)["others"]
    (found,) = [item for item in others if item["directory"] == str(elsewhere)]
    assert (found["running"], found["dead"], found["is_recorded"]) == (0, ["etcd"], True)

    alone = runner.invoke(sandbox, ["status", "--directory", str(tmp_path / "mine")]).stdout
    assert str(elsewhere) not in alone
    itself = runner.invoke(sandbox, ["status", "--directory", str(elsewhere)])
    assert (itself.exit_code, "Other sandboxes" in itself.stdout) == (1, False)


def test_status_as_json(runner: CliRunner, tmp_path: Path) -> None:
    result = runner.invoke(sandbox, ["status", "-o", "json", "--directory", str(tmp_path / "mine")])
    assert json.loads(result.stdout) == {
        "directory": str(tmp_path / "mine"),
        "running": False,
        "ready": False,
        "external": False,
        "server": "",
        "kubeconfig": None,
        "started_at": None,
        "nodes": 0,
        "processes": [],
    }


def test_down_twice_is_no_error(runner: CliRunner) -> None:
    for _ in range(2):
        result = runner.invoke(sandbox, ["down"])
        assert result.exit_code == 0
        assert "nothing runs in" in result.stderr
        assert result.stdout == ""


def test_down_says_where_the_logs_are(runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "down", lambda **_: True)
    result = runner.invoke(sandbox, ["down", "--directory", str(tmp_path / "mine")])
    assert result.exit_code == 0
    assert f"its logs stay in {tmp_path / 'mine'}" in result.stderr


def test_up_prints_only_the_exports_on_stdout(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []

    def up(**options: object) -> SandboxStatus:
        asked.append(options)
        options["progress"]("control plane at https://127.0.0.1:1")  # type: ignore[operator]
        return SandboxStatus(
            directory=tmp_path,
            running=True,
            ready=True,
            external=False,
            server="https://127.0.0.1:1",
            kubeconfig=tmp_path / "kubeconfig",
            started_at=0.0,
            nodes=5,
            processes=(),
        )

    monkeypatch.setattr(lifecycle, "up", up)
    result = runner.invoke(sandbox, ["up", "--nodes", "5", "--directory", str(tmp_path)])
    assert result.exit_code == 0
    assert result.stdout == f"export KUBECONFIG={tmp_path}/kubeconfig\nexport PATH={tmp_path}/bin:$PATH\n"
    assert result.stderr == "nicplug: control plane at https://127.0.0.1:1\n"
    assert asked[0]["nodes"] == 5
    assert asked[0]["existing"] is None


def test_a_sandbox_without_its_operator_can_be_used(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def up(**_: object) -> SandboxStatus:
        error = SandboxError("operator did not say its port")
        raise HalfStarted(error, directory=tmp_path, kubeconfig=tmp_path / "kubeconfig")

    monkeypatch.setattr(lifecycle, "up", up)
    result = runner.invoke(sandbox, ["up", "--operator"])
    assert result.exit_code == 1
    assert result.stdout == f"export KUBECONFIG={tmp_path}/kubeconfig\nexport PATH={tmp_path}/bin:$PATH\n"
    assert "Error: operator did not say its port\n" in result.stderr
    assert "Run the same command again, or end the sandbox: nicplug sandbox down" in result.stderr


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("etcd",), "No operator was started here. To start one: nicplug sandbox up --operator --directory "),
        (("operator",), "Dead: operator. To start again what has died: nicplug sandbox up --operator --directory "),
    ],
)
def test_status_says_what_starts_the_operator(
    runner: CliRunner, tmp_path: Path, names: tuple[str, ...], told: str
) -> None:
    itself = psutil.Process()
    known = [
        RecordedProcess(
            name=name,
            pid=itself.pid if name == "etcd" else 2**22 - 1,
            created=itself.create_time(),
            argv=(),
            log=tmp_path / "logs" / f"{name}.log",
        )
        for name in names
    ]
    config = tmp_path / "kubeconfig"
    known_state = State(
        server="https://s", kubeconfig=config, started_at=time.time(), processes=tuple(known), external=True
    )
    state.save(tmp_path, known_state)
    shown = runner.invoke(sandbox, ["status", "--directory", str(tmp_path)]).stdout
    assert f"{told}{tmp_path.resolve()}\n" in shown


def test_the_port_of_the_metrics_was_in_the_log_alone(runner: CliRunner, tmp_path: Path) -> None:
    itself = psutil.Process()
    log = tmp_path / "logs" / "operator.log"
    log.parent.mkdir()
    log.write_text('{"event": "starting"}\n{"event": "serving", "metrics_port": 41234}\n')
    operator = RecordedProcess(name="operator", pid=itself.pid, created=itself.create_time(), argv=(), log=log)
    etcd = replace(operator, name="etcd", log=tmp_path / "logs" / "etcd.log")
    state.save(
        tmp_path,
        State(server="https://s", kubeconfig=tmp_path / "k", started_at=1.0, processes=(etcd, operator), external=True),
    )
    table = runner.invoke(sandbox, ["status", "--directory", str(tmp_path)]).stdout
    assert re.search(r"^PROCESS .* METRICS +LOG *$", table, re.MULTILINE)
    assert re.search(r"^operator .* MiB +41234 +logs/operator.log *$", table, re.MULTILINE)
    told = json.loads(runner.invoke(sandbox, ["status", "-o", "json", "--directory", str(tmp_path)]).stdout)
    assert {item["name"]: item["metrics_port"] for item in told["processes"]} == {"etcd": None, "operator": 41234}


def test_a_directory_that_cannot_be_made_was_a_traceback(runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    result = runner.invoke(sandbox, ["up", "--directory", str(tmp_path / "file" / "x")])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: no sandbox can live in {tmp_path / 'file' / 'x'}: Not a directory\n")
    assert "--directory" in result.stderr


def test_an_error_comes_with_its_remedy(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    def up(**_: object) -> SandboxStatus:
        raise SandboxError("the disk is full", remedy="Free some GiB.", detail="no space left on device")

    monkeypatch.setattr(lifecycle, "up", up)
    result = runner.invoke(sandbox, ["up"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "Error: the disk is full\nFree some GiB.\nno space left on device\n"
