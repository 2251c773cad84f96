"""The command line: help, errors with a remedy on stderr, exit codes."""

import importlib.util
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner

from nicplug import __version__, api_app, run
from nicplug.cli.exits import Exit
from nicplug.cli.main import main
from nicplug.settings import Settings
from nicplug.startup import RivalError


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Settings of the operators that would have been run."""
    settings: list[Settings] = []

    async def record(given: Settings) -> None:
        settings.append(given)

    monkeypatch.setattr(run, "run_operator", record)
    monkeypatch.setattr("nicplug.obs.logging.configure_logging", lambda **_: None)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"NICPLUG_{name.upper()}", raising=False)
    return settings


def _invoke(*arguments: str, **options: Any) -> Any:
    return CliRunner().invoke(main, list(arguments), **options)


def test_help_lists_the_commands_and_what_they_are_for() -> None:
    done = _invoke("-h")
    assert done.exit_code == 0
    assert "Run the operator in the foreground" in done.output
    assert "laptop cluster" in done.output


def test_the_version_is_that_of_the_package() -> None:
    assert _invoke("--version").output == f"nicplug, version {__version__}\n"


def test_options_become_settings(started: list[Settings]) -> None:
    done = _invoke("run", "--kubeconfig", "/k", "--metrics-port", "0", "--namespace", "n", "--no-leader-election")
    assert done.exit_code == 0, done.output
    [settings] = started
    assert settings.kubeconfig == Path("/k")
    assert (settings.metrics_port, settings.namespace, settings.leader_election) == (0, "n", False)


def test_a_variable_that_is_no_setting_is_told(started: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NICPLUG_LAUNCHER_IMGE", "mine:1")
    with structlog.testing.capture_logs() as logs:
        assert _invoke("run").exit_code == 0
    assert len(started) == 1
    (line,) = [line for line in logs if line.get("variable") == "NICPLUG_LAUNCHER_IMGE"]
    assert (line["log_level"], line["remedy"]) == ("warning", "did you mean NICPLUG_LAUNCHER_IMAGE?")


def test_an_option_that_is_not_given_leaves_the_environment_alone(
    started: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NICPLUG_LEADER_ELECTION", "false")
    monkeypatch.setenv("NICPLUG_WORKERS", "3")
    assert _invoke("run").exit_code == 0
    [settings] = started
    assert (settings.leader_election, settings.workers) == (False, 3)


def test_a_bad_setting_names_itself_and_where_it_may_come_from(
    started: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NICPLUG_WORKERS", "none")
    done = _invoke("run")
    assert done.exit_code == Exit.WRONG_USE
    assert "bad settings: NICPLUG_WORKERS: Input should be a valid integer" in done.output
    assert started == []


def test_a_failing_operator_is_an_exit_code_and_one_line(
    started: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Settings) -> None:
        raise RuntimeError("the watch has failed")

    monkeypatch.setattr(run, "run_operator", fail)
    done = _invoke("run")
    assert done.exit_code == 1
    assert done.output == "nicplug: ended by RuntimeError: the watch has failed\n"


@pytest.mark.parametrize("command", ["run", "api"])
def test_beside_another_controller_it_ends_with_a_code_of_its_own(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: object) -> None:
        raise RivalError("KubeVirt's virt-controller works in namespace kubevirt", remedy="Remove KubeVirt first.")

    monkeypatch.setattr(run, "run_operator", refuse)
    monkeypatch.setattr(api_app, "run_api", refuse)
    done = _invoke(command)
    assert done.exit_code == Exit.REFUSED
    assert "virt-controller works in namespace kubevirt" in done.output
    assert "Remove KubeVirt first." in done.output


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return _python("-m", "nicplug", *arguments)


def _python(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *arguments]
    root = Path(__file__).parents[3]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, env={"PYTHONPATH": str(root / "operator")}
    )


@pytest.mark.parametrize(("command", "variable"), [("run", "NICPLUG_KUBECONFIG"), ("api", "NICPLUG_API_KUBECONFIG")])
def test_a_missing_kubeconfig_is_told_on_stderr_with_the_remedy(tmp_path: Path, command: str, variable: str) -> None:
    done = _run(command, "--kubeconfig", str(tmp_path / "none"))
    assert (done.returncode, done.stdout) == (Exit.WRONG_USE, "")
    assert (
        f"bad settings: {variable}: no kubeconfig at {tmp_path / 'none'}: give --kubeconfig PATH or set KUBECONFIG"
        in done.stderr
    )
    assert "Traceback" not in done.stderr


RUN_AND_LIST_MODULES = """
import sys
from nicplug.cli.main import main
try:
    main(["run", "--kubeconfig", sys.argv[1]])
except SystemExit:
    print(*(name for name, module in sys.modules.items() if module is not None))
"""


def test_the_operator_imported_rich_for_traces_that_it_does_not_print(tmp_path: Path) -> None:
    """Some MiB of every replica."""
    assert importlib.util.find_spec("rich") is not None, "else nothing could import it"
    done = _python("-c", RUN_AND_LIST_MODULES, str(tmp_path / "none"))
    imported = set(done.stdout.split())
    assert {"nicplug.app", "nicplug.startup", "structlog.dev"} <= imported, done.stderr
    assert sorted(name for name in imported if name.split(".")[0] == "rich") == []


def test_a_taken_metrics_port_is_told_by_number(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],"
        " clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}], users: [{name: u, user: {}}]}"
    )
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = _run("run", "--kubeconfig", str(kubeconfig), "--metrics-port", str(port))
    assert done.returncode == 1
    assert f":{port}: " in done.stderr
    assert "cannot serve metrics on" in done.stderr
    assert "--metrics-port 0" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_operator_runs_without_the_sandbox_and_says_what_to_install() -> None:
    """The image contains no sandbox; the sources of this checkout are hidden from the process."""
    done = _run("sandbox", "up")
    assert done.returncode == 1
    assert "nicplug[sandbox]" in done.stderr
    assert "Traceback" not in done.stderr
