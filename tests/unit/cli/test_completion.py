"""What shells complete: names from the cluster and from the kubeconfig, in the words that each shell sends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.cli.played import CommandLine, PlayedServer, collection

from nicplug.cli.completion import kubectl_complete
from nicplug.cli.main import main


def named(*names: str) -> tuple[int, dict[str, object] | None]:
    return collection(*({"metadata": {"name": name}} for name in names))


NADS = "GET /apis/k8s.cni.cncf.io/v1/namespaces/{}/network-attachment-definitions"


@pytest.fixture(autouse=True)
def _cluster(server: PlayedServer, nicplug: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(nicplug.kubeconfig))
    server.answers |= {
        "GET /api/v1/namespaces": named("default", "dev", "red"),
        NADS.format("default"): named("lan", "lan2", "wan"),
        NADS.format("red"): named("lab"),
    }


def completed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """As kubectl asks."""
    monkeypatch.setattr(sys, "argv", ["kubectl_complete-nic", *words])
    kubectl_complete()
    *found, directive = capsys.readouterr().out.splitlines()
    assert directive == ":4"
    return found


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["status", "-n", "d"], ["default", "dev"]),
        (["status", "--namespace", ""], ["default", "dev", "red"]),
        (["-n", "r"], ["red"]),
        (["status", "--context", ""], ["x"]),
        (["status", "--context", "y"], []),
        (["plan", "V", "--add", "la"], ["lan", "lan2"]),
        (["plan", "V", "--add", "blue="], ["blue=lan", "blue=lan2", "blue=wan"]),
        (["plan", "V", "--add=blue=w"], ["blue=wan"]),
        (["plan", "-n", "red", "V", "--add", "blue="], ["blue=lab"]),
        (["add", "V", "--network=la"], ["lan", "lan2"]),
    ],
    ids=" ".join,
)
def test_values_of_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], found: list[str]
) -> None:
    assert completed(monkeypatch, capsys, *words) == found


def test_contexts_of_a_kubeconfig_that_has_no_usable_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], nicplug: CommandLine, server: PlayedServer
) -> None:
    content = json.loads(nicplug.kubeconfig.read_text())
    content |= {"current-context": "", "users": []}
    content["contexts"].append({"name": "a", "context": {"cluster": "none"}})
    nicplug.kubeconfig.write_text(json.dumps(content))
    assert completed(monkeypatch, capsys, "status", "--context", "") == ["a", "x"]
    assert server.requests == []
    nicplug.kubeconfig.write_text("[")
    assert completed(monkeypatch, capsys, "status", "--context", "") == []


def test_contexts_of_the_kubeconfig_that_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], nicplug: CommandLine
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    assert completed(monkeypatch, capsys, "status", f"--kubeconfig={nicplug.kubeconfig}", "--context", "") == ["x"]


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["plan", "V", "--add", "blue", "="], ["lan", "lan2", "wan"]),
        (["plan", "V", "--add", "blue", "=", "lan"], ["lan", "lan2"]),
        (["plan", "V", "--add", "=", "blue", "=", "w"], ["wan"]),
        (["plan", "V", "--add", "blue=", "--add", "lan"], ["lan", "lan2"]),
        (["plan", "V", "--add", "blue=w"], ["blue=wan"]),  # who has taken `=` out of COMP_WORDBREAKS
        (["plan", "V", "--add", "blue", "=", "lan", "--add", "red", "=", "w"], ["wan"]),
        (["plan", "V", "--add", "blue", "=", "--add", "w"], ["wan"]),
        (["add", "V", "--network", "=", "la"], ["lan", "lan2"]),
        (["status", "-n", "d"], ["default", "dev"]),
        (["plan", "V", "--add", "blue", "=", "lan", "-n", ""], ["default", "dev", "red"]),
    ],
    ids=" ".join,
)
def test_bash_breaks_words_at_equals_signs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], values: list[str]
) -> None:
    monkeypatch.setenv("COMP_WORDS", "\n".join(["nicplug", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    monkeypatch.setenv("_NICPLUG_COMPLETE", "bash_complete")
    with pytest.raises(SystemExit):
        main([], prog_name="nicplug")
    assert capsys.readouterr().out.splitlines() == [f"plain,{value}" for value in values]


def test_the_package_installs_the_executable_that_kubectl_asks() -> None:
    scripts = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    assert '\nkubectl_complete-nic = "nicplug.cli.completion:kubectl_complete"\n' in scripts


def test_kubectl_complete_is_a_command(nicplug: CommandLine) -> None:
    """As its installed script runs it."""
    command = [sys.executable, "-c", "from nicplug.cli.completion import kubectl_complete; kubectl_complete()", "mig"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3] / "operator"
    )
    assert done.stdout == "migrate\nmigrations\n:4\n"
