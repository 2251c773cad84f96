"""The stand-in of KubeVirt in a soak: its virt-controller is started again whenever it has ended."""

import shutil
from pathlib import Path

import yaml
from tests.perf.world import Say
from tests.soak.proxy import Proxy
from tests.soak.supervisor import Supervisor

from nicplug_sandbox import kubevirt_processes, lifecycle, operator_process, processes, state
from nicplug_sandbox.certificates import write_private
from nicplug_sandbox.node.api import Resource
from nicplug_sandbox.processes import RecordedProcess

REPORTS = Resource(prefix="/apis/nicplug.io/v1alpha1", plural="interfacereports")
_CONTROLLER = "virt-controller"


def start_kubevirt(*, directory: Path, nodes: int, say: Say) -> Path:
    """Control plane, nodes, the stand-in, and the companion's rights; the kubeconfig of an admin.

    The virt-controller of the sandbox is ended: `virt_controller` has one of its own.

    Raises:
        SandboxError: something did not start.
    """
    status = lifecycle.up(directory=directory, nodes=nodes, existing=None, progress=say, with_kubevirt=True)
    assert status.kubeconfig is not None
    known = state.load(directory)
    running = known.process(_CONTROLLER) if known is not None else None
    assert running is not None
    processes.end([running], grace_seconds=0)
    operator_process.install_companion(kubeconfig=status.kubeconfig)
    return status.kubeconfig


def virt_controller(*, directory: Path, admin: Path, proxy: Proxy, say: Say) -> Supervisor:
    """Keeps one virt-controller running; its connections are cut with those of nicplug."""
    account = directory / f"{_CONTROLLER}.kubeconfig"
    shutil.copyfile(admin, account)
    point_at(account, server=proxy.url)
    return Supervisor(directory=directory, kubeconfig=account, say=say, names=(_CONTROLLER,), spawn=_spawn)


def _spawn(*, directory: Path, kubeconfig: Path, name: str) -> RecordedProcess:
    return kubevirt_processes.spawn(directory, name=name, part="controller", kubeconfig=kubeconfig, options=[])


def point_at(kubeconfig: Path, *, server: str) -> None:
    """Another server in the same kubeconfig; the certificate names the address, whatever the port."""
    content = yaml.safe_load(kubeconfig.read_text())
    content["clusters"][0]["cluster"]["server"] = server
    write_private(kubeconfig, yaml.safe_dump(content, sort_keys=False).encode())


def tracebacks(supervisor: Supervisor) -> list[str]:
    """The logs in which a process has met a bug."""
    logs = [log for replica in supervisor.replicas for log in replica.logs]
    return [f"a traceback in the log {log.name}" for log in logs if "Traceback" in log.read_text(errors="replace")]
