"""Help, completion, the plugin of kubectl; and what the processes do not load."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.unit.cli.played import CommandLine, PlayedServer, collection

from nicplug.api_settings import ApiSettings
from nicplug.cli.completion import SECONDS, SECONDS_TO_CONNECT, SHELLS, kubectl_complete
from nicplug.cli.main import SECTIONS, main
from nicplug.settings import Settings

ROOT = Path(__file__).parents[3]


def test_every_command_is_in_one_section() -> None:
    listed = [name for _, names in SECTIONS for name in names]
    assert sorted(listed) == sorted(main.commands)


def test_help_of_a_command_that_is_cut_off_says_nothing() -> None:
    assert "..." not in CliRunner().invoke(main, ["--help"]).output.partition("\n")[2]


@pytest.mark.parametrize(("command", "settings"), [("run", Settings), ("api", ApiSettings)])
def test_help_lists_every_setting_with_its_variable(command: str, settings: type[Settings]) -> None:
    text = CliRunner().invoke(main, [command, "--help"]).output
    prefix = settings.model_config["env_prefix"]
    listed = {line.split()[0] for line in text.splitlines() if line.startswith(f"  {prefix}")}
    assert listed == {f"{prefix}{name.upper()}" for name in settings.model_fields}


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_scripts(shell: str) -> None:
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0
    assert f"_NICPLUG_COMPLETE={shell}_complete" in done.output
    plugin = CliRunner().invoke(main, ["completion", shell, "--program", "kubectl-nic"]).output
    assert "_KUBECTL_NIC_COMPLETE" in plugin


def test_kubectl_completes_commands_and_names(
    nicplug: CommandLine, server: PlayedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    item = {"metadata": {"name": "vm-fedora", "namespace": "default"}}
    base = "GET /apis/kubevirt.io/v1/namespaces/default"
    server.answers |= {f"{base}/virtualmachines": collection(item), f"{base}/virtualmachineinstances": collection()}
    monkeypatch.setattr(sys, "argv", ["kubectl_complete-nic", "sta"])
    kubectl_complete()
    assert capsys.readouterr().out == "start\nstatus\n:4\n"
    monkeypatch.setenv("KUBECONFIG", str(nicplug.kubeconfig))
    monkeypatch.setattr(sys, "argv", ["kubectl_complete-nic", "status", "vm"])
    kubectl_complete()
    assert capsys.readouterr().out == "vm-fedora\n:4\n"


def test_completion_without_a_cluster_completes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kubectl_complete-nic", "status", ""])
    kubectl_complete()
    assert capsys.readouterr().out == ":4\n"


IMPORTED = "import sys; import nicplug.cli.main; print(*sys.modules)"
HEAVY = {"rich", "aiohttp", "kubernetes", "yaml", "kopf", "structlog", "nicplug.insight"}


def test_the_command_line_alone_loads_nothing_heavy() -> None:
    """Help and completion are quick, and the processes carry nothing of the commands."""
    environment = {"PYTHONPATH": f"{ROOT / 'operator'}"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, env=environment, check=True, timeout=60
    )
    assert HEAVY & set(done.stdout.split()) == set()


def test_the_reference_is_as_the_commands_are() -> None:
    """`make docs` writes it."""
    environment = {"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT / 'sandbox'}", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "tools.cli_page", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


OLD_WORDS = ("looks elsewhere", "guest alone", "takes it with", "or look why")


def test_help_and_remedies_were_no_plain_english() -> None:
    sources = [ROOT / "operator/nicplug/insight/reasons.md", *(ROOT / "operator/nicplug/cli").glob("*.py")]
    found = {text for path in sources for text in OLD_WORDS if text in path.read_text()}
    assert found == set()


READ = re.compile(r'environ(?:\.get\(|\[)"?(\w+)')
# What the shell, the kubelet and Python set, and what a sandbox's own programs are found by.
NOT_FOR_PEOPLE = {"COMP_WORDS", "COMP_CWORD", "KUBERNETES_SERVICE_HOST", "PYTHONPATH", "LOG_VARIABLE"}
NAMES = {
    "TRACEBACK_VARIABLE": "NICPLUG_TRACEBACK",
    "OPERATOR_NAMESPACE": "NICPLUG_NAMESPACE",
    "ASSETS": "KUBEBUILDER_ASSETS",
    "KUBERNETES": "NICPLUG_SANDBOX_KUBERNETES",
}
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")


def test_variables_that_are_read_were_in_no_help() -> None:
    sources = [*(ROOT / "operator").rglob("*.py"), *(ROOT / "sandbox").rglob("*.py")]
    found = {name for path in sources for name in READ.findall(path.read_text())} - NOT_FOR_PEOPLE
    assert {"NO_COLOR", "KUBECONFIG", "ASSETS"} <= found
    commands = [(), ("sandbox",), *((name,) for name in main.commands if name != "sandbox")]
    texts = " ".join(CliRunner().invoke(main, [*command, "--help"]).output for command in commands)
    assert sorted(name for name in {NAMES.get(name, name) for name in found} | {*PROXIES} if name not in texts) == []


def test_a_busy_machine_completed_no_names(
    nicplug: CommandLine, server: PlayedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The time in which names are asked for does not begin before there is somebody to ask."""
    item = {"metadata": {"name": "vm-fedora", "namespace": "default"}}
    base = "GET /apis/kubevirt.io/v1/namespaces/default"
    server.answers |= {f"{base}/virtualmachines": collection(item), f"{base}/virtualmachineinstances": collection()}
    spent: list[float] = []
    real = asyncio.timeout

    def count(seconds: float) -> asyncio.Timeout:
        spent.append(seconds)
        assert not (server.requests and len(spent) == 1), "the connection counted"
        return real(seconds)

    monkeypatch.setattr(asyncio, "timeout", count)
    monkeypatch.setenv("KUBECONFIG", str(nicplug.kubeconfig))
    monkeypatch.setattr(sys, "argv", ["kubectl_complete-nic", "status", "vm"])
    kubectl_complete()
    assert capsys.readouterr().out == "vm-fedora\n:4\n"
    assert spent[:2] == [SECONDS_TO_CONNECT, SECONDS]
