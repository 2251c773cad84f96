"""Sandboxes begin, live side by side, crash and end."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner
from tests.integration.kubectl import Kubectl, Object
from tests.integration.waiting import until
from tests.slow import slow

from nicplug_sandbox import build, controlplane, go_programs, lifecycle, processes, programs, state
from nicplug_sandbox.api_process import is_available
from nicplug_sandbox.cli import sandbox
from nicplug_sandbox.controlplane import CONTROL_PLANE
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.operator_process import is_accepted
from nicplug_sandbox.processes import RecordedProcess

# A start takes seconds where nothing else runs, and several times that beside other tests.
pytestmark = pytest.mark.timeout(300)

EXPORTS = "export KUBECONFIG={0}/kubeconfig\nexport PATH={0}/bin:$PATH\n"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A place for one sandbox, of which nothing is left afterwards."""
    place = tmp_path / "sandbox"
    yield place
    controlplane.stop(directory=place)
    assert not left_in(place)


# A start takes seconds, and finds what runs already: several tests use one place, whichever of them is the first.


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A place for a control plane."""
    place = tmp_path_factory.mktemp("shared") / "sandbox"
    yield place
    controlplane.stop(directory=place)
    assert not left_in(place)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A place for a sandbox with all that `up` starts."""
    place = tmp_path_factory.mktemp("whole") / "sandbox"
    yield place
    lifecycle.down(directory=place)
    assert not left_in(place)


def left_in(directory: Path) -> list[psutil.Process]:
    """Programs that still run in a sandbox's directory, recorded or not."""
    return [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(directory)]


def recorded(directory: Path, name: str) -> RecordedProcess:
    known = state.load(directory)
    assert known
    process = known.process(name)
    assert process
    return process


def test_an_outage_of_the_server_keeps_port_and_data(shared: Path) -> None:
    plane = controlplane.start(directory=shared)
    kubectl = Kubectl(kubeconfig=plane.kubeconfig)
    kubectl("create", "configmap", "mine")
    server, etcd = recorded(shared, "kube-apiserver"), recorded(shared, "etcd")
    controlplane.restart(directory=shared, down_seconds=0.1)
    assert recorded(shared, "kube-apiserver") != server
    assert recorded(shared, "etcd") == etcd
    assert controlplane.status(directory=shared).server == plane.server
    assert kubectl.get("configmap", "mine")["metadata"]["name"] == "mine"
    # The controllers found their way back too.
    kubectl("create", "namespace", "after")
    until(lambda: kubectl.run("get", "serviceaccount", "default", "--namespace", "after").returncode == 0)


def test_a_start_after_a_crash_begins_anew(shared: Path) -> None:
    controlplane.start(directory=shared)
    crashed = [recorded(shared, name) for name in CONTROL_PLANE]
    processes.end([recorded(shared, "etcd")], grace_seconds=0)
    assert not controlplane.status(directory=shared).is_healthy
    said: list[str] = []
    controlplane.start(directory=shared, progress=said.append)
    assert said == ["a control plane died here; removing what is left of it"]
    assert controlplane.status(directory=shared).is_healthy
    assert not any(map(processes.is_alive, crashed)), "nothing of the old one is left"


def test_two_side_by_side_and_nothing_left_of_one_that_is_stopped(
    shared: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one also loses the port that it has found free to a race, and takes another."""
    first = controlplane.start(directory=shared)
    free, ports = controlplane._free_port, iter([int(first.server.rsplit(":", 1)[1])])
    monkeypatch.setattr(controlplane, "_free_port", lambda: next(ports, None) or free())
    second = controlplane.start(directory=directory)
    assert second.server != first.server
    ours, theirs = Kubectl(kubeconfig=first.kubeconfig), Kubectl(kubeconfig=second.kubeconfig)
    theirs("create", "configmap", "theirs")
    assert "NotFound" in ours.refused("get", "configmap", "theirs")
    assert controlplane.start(directory=directory) == second, "a second start finds the first"

    programs_of_second = [recorded(directory, name) for name in CONTROL_PLANE]
    controlplane.stop(directory=directory)
    assert not any(map(processes.is_alive, programs_of_second))
    assert not left_in(directory)
    assert not (directory / "pki").exists()
    assert not second.kubeconfig.exists()
    assert second.audit_log.exists(), "logs stay for those who ask what happened"
    assert controlplane.status(directory=shared).is_healthy
    controlplane.stop(directory=directory)


def test_no_outage_where_nothing_runs(directory: Path) -> None:
    with pytest.raises(SandboxError, match="no control plane runs in"):
        controlplane.restart(directory=directory)


def test_a_program_that_ends_is_named_with_its_last_words(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last_words = ["/bin/sh", "-c", "echo 'data directory is corrupt' >&2; exit 1"]
    monkeypatch.setattr(programs, "etcd", lambda _: last_words)
    with pytest.raises(SandboxError, match=r"etcd ended (at once|while the control plane was starting)") as caught:
        controlplane.start(directory=directory)
    assert caught.value.detail == "data directory is corrupt"
    assert state.load(directory) is None
    assert not left_in(directory), "the API server that had been started is ended too"


@slow
def test_etcd_and_server_of_envtest_with_our_scheduler_and_controllers(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = build.binary(go_programs.CONTROL_PLANE, progress=print)
    assets = tmp_path / "assets"
    assets.mkdir()
    for name in ("etcd", "kube-apiserver"):
        (assets / name).write_text(f'#!/bin/sh\nexec {ours} {name} "$@"\n')
        (assets / name).chmod(0o755)
    monkeypatch.setenv(build.ASSETS, str(assets))
    plane = controlplane.start(directory=directory)
    # A shell script replaced by its program: the arguments tell where it came from.
    assert recorded(directory, "etcd").argv[0] == str(assets / "etcd")
    assert recorded(directory, "kube-scheduler").argv[0] == str(ours)
    Kubectl(kubeconfig=plane.kubeconfig)("create", "configmap", "works")


def run(*arguments: str) -> str:
    """A `nicplug sandbox` command that must succeed; returns its stdout."""
    result = CliRunner().invoke(sandbox, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def ready_nodes(kubectl: Kubectl) -> list[str]:
    nodes: list[Object] = kubectl.get("nodes")["items"]
    return [
        node["metadata"]["name"]
        for node in nodes
        if {"type": "Ready", "status": "True"}.items()
        <= next((c for c in node["status"]["conditions"] if c["type"] == "Ready"), {}).items()
    ]


@slow
def test_up_again_after_the_simulator_died(whole: Path) -> None:
    directory, where = whole, f"--directory={whole}"
    assert run("up", "--nodes=2", where) == EXPORTS.format(directory)
    kubectl = Kubectl(kubeconfig=directory / "kubeconfig")
    assert len(until(lambda: ready_nodes(kubectl))) == 2
    gates = kubectl.get("kubevirt", "kubevirt", "--namespace=kubevirt")["spec"]["configuration"]
    assert gates["developerConfiguration"]["featureGates"] == ["HotplugNICs"]

    simulator, server = recorded(directory, "node-simulator"), recorded(directory, "kube-apiserver")
    for asked in (["--nodes=2"], []):
        run("up", *asked, where)
        assert recorded(directory, "node-simulator") == simulator, "what runs as asked is left alone"
    processes.end([simulator], grace_seconds=0)
    assert CliRunner().invoke(sandbox, ["status", where]).exit_code == 1
    run("up", "--nodes=3", where)
    assert recorded(directory, "kube-apiserver") == server
    until(lambda: len(ready_nodes(kubectl)) == 3)
    shown = json.loads(run("status", "-o", "json", where))
    assert (shown["ready"], shown["nodes"]) == (True, 3)
    assert {process["name"] for process in shown["processes"]} == {*CONTROL_PLANE, "node-simulator"}
    _, table, hint = run("status", where).split("\n\n")
    assert "node-simulator" in table
    assert max(map(len, table.splitlines())) <= 100
    assert hint.startswith("No operator was started here. To start one: nicplug sandbox up --operator")


@slow
def test_an_operator_that_died_is_started_again_by_up_and_down_ends_all(whole: Path) -> None:
    directory, where = whole, f"--directory={whole}"
    run("up", "--operator", where)
    operator = recorded(directory, "operator")
    run("up", where)
    assert recorded(directory, "operator") == operator, "what lives is left alone"
    processes.end([operator], grace_seconds=0)
    run("up", where)
    assert processes.is_alive(recorded(directory, "operator"))
    assert recorded(directory, "operator").pid != operator.pid

    virtctl = [str(directory / "bin" / "virtctl")]
    status = subprocess.run([*virtctl, "doctor", "-o", "name"], capture_output=True, text=True, check=False)
    assert {"leader=ok", "crds=ok", "rbac=ok"} <= set(status.stdout.split()), status.stdout + status.stderr
    wrong = subprocess.run([*virtctl, "addinterface"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
    assert "accepts 1 arg(s), received 0" in wrong.stderr
    shutil.rmtree(directory)
    run("down", where)
    assert not left_in(directory), "nobody loses a sandbox by deleting its directory"
    run("down", where)


@slow
def test_up_repairs_what_a_helm_release_has_overwritten_or_taken_away(whole: Path) -> None:
    """The API was called ready while nobody reached it, and the operator while no token of it was taken."""
    directory, where = whole, f"--directory={whole}"
    run("up", "--operator", where)
    kubectl = Kubectl(kubeconfig=directory / "kubeconfig")
    api = recorded(directory, "api")
    port = '[{"op":"replace","path":"/spec/service/port","value":443}]'
    kubectl("patch", "apiservice", "v1.subresources.kubevirt.io", "--type=json", "-p", port)
    run("up", where)
    assert recorded(directory, "api") == api, "what lives is left alone"
    assert is_available(directory / "kubeconfig")

    operator = recorded(directory, "operator")
    kubectl("delete", "serviceaccount", "--namespace=nicplug-system", "nicplug-api", "nicplug-operator")
    until(lambda: not any(is_accepted(directory / f"{name}.kubeconfig") for name in ("api", "operator")))
    run("up", where)
    assert not processes.is_alive(operator)
    assert not processes.is_alive(api)
    assert is_accepted(directory / "operator.kubeconfig")
    assert is_available(directory / "kubeconfig")


@slow
def test_a_foreign_cluster_gets_what_it_lacks_and_stays_when_we_go(directory: Path, tmp_path: Path) -> None:
    theirs = controlplane.start(directory=tmp_path / "theirs")
    try:
        kubectl = Kubectl(kubeconfig=theirs.kubeconfig)
        lifecycle.up(directory=directory, nodes=1, existing=theirs.kubeconfig, progress=print)
        until(lambda: len(ready_nodes(kubectl)) == 1)
        status = controlplane.status(directory=directory)
        assert status.external
        assert [process.name for process in status.processes] == ["node-simulator"]
        lifecycle.up(directory=directory, nodes=1, existing=theirs.kubeconfig, progress=print)
        assert lifecycle.down(directory=directory)
        assert kubectl("get", "nodes", "-o", "name") == "", "nodes that nobody plays any more are removed"
        assert "virtualmachines.kubevirt.io" in kubectl("get", "crds", "-o", "name")
        assert controlplane.status(directory=theirs.directory).is_healthy
    finally:
        controlplane.stop(directory=theirs.directory)
