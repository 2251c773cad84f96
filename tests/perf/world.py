"""What a bench runs against: a fresh sandbox, and the operator as its ServiceAccount in a process of its own."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.perf.audit import AuditLog
from tests.perf.milestones import Milestone, Milestones

from nicplug_sandbox import controlplane, lifecycle, operator_process, state
from nicplug_sandbox.apply import apply_manifests
from nicplug_sandbox.node.api import (
    NETWORK_ATTACHMENT_DEFINITIONS,
    PODS,
    VIRTUAL_MACHINE_INSTANCES,
    Api,
    Json,
    Resource,
    load_configuration,
)
from nicplug_sandbox.node.mirror import Mirror
from nicplug_sandbox.operator_process import ROOT, OperatorProcess
from nicplug_sandbox.processes import RecordedProcess

USER_AGENT = "nicplug-bench"
NAMESPACE = "bench"
CONNECTIONS = 40
NAMESPACES = Resource(prefix="/api/v1", plural="namespaces", namespaced=False)
SERVICE_ACCOUNTS = Resource(prefix="/api/v1", plural="serviceaccounts")
VIRTUAL_MACHINES = Resource(prefix="/apis/kubevirt.io/v1", plural="virtualmachines")
SAMPLER = Path(__file__).parent / "sampler.py"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BareCluster:
    """The processes of one run, with or without nicplug."""

    directory: Path
    admin: Path
    processes: tuple[RecordedProcess, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster(BareCluster):
    """The same with an operator, which is one of the processes."""

    operator: OperatorProcess


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The cluster as scenarios use it: connections and watches of the bench's own."""

    api: Api
    vmis: Mirror
    milestones: Milestones
    audit: AuditLog
    processes: tuple[RecordedProcess, ...]


def audit_log(directory: Path) -> AuditLog:
    """That of the control plane of a sandbox."""
    return AuditLog(directory / "audit.log")


@contextlib.contextmanager
def cluster(
    *,
    directory: Path,
    nodes: int,
    say: Say,
    samples: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    """Control plane, node simulator and operator; everything is ended when the block is left.

    Args:
        samples: where to write a profile of the operator; None for no profile.
        variables: NICPLUG_* settings of the operator; none for those that users have.

    Raises:
        SandboxError: something did not start; nothing is left running.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(controlplane.stop, directory=directory)
        status = lifecycle.up(directory=directory, nodes=nodes, existing=None, progress=say)
        assert status.kubeconfig is not None
        operator_process.install_operator(kubeconfig=status.kubeconfig)
        apply_manifests(kubeconfig=status.kubeconfig, paths=[ROOT / "examples" / "kubevirt.yaml"])
        account = operator_process.service_account_kubeconfig(
            admin=status.kubeconfig, path=directory / "operator.kubeconfig"
        )
        operator = operator_process.start_operator(
            directory=directory, kubeconfig=account, command=_command(samples=samples), variables=variables
        )
        stack.callback(operator_process.stop_operator, operator)
        operator_process.wait_until_leading(operator)
        say(f"operator leads (pid {operator.process.pid})")
        known = state.load(directory)
        assert known is not None
        processes = (operator.process, *known.processes)
        yield Cluster(directory=directory, admin=status.kubeconfig, operator=operator, processes=processes)


def _command(*, samples: Path | None) -> Sequence[str]:
    if samples is None:
        return (sys.executable, "-m", "nicplug")
    return (sys.executable, "-P", str(SAMPLER), str(samples), "nicplug")


@contextlib.asynccontextmanager
async def connected(
    cluster: BareCluster, *, awaited: frozenset[Milestone] = frozenset(Milestone)
) -> AsyncIterator[World]:
    """Watches that are up to date, and a namespace in which pods are admitted.

    Args:
        awaited: where a NIC has to have been before its hot-plug is done.
    """
    configuration = await load_configuration(cluster.admin)
    async with Api(configuration=configuration, connections=CONNECTIONS, user_agent=USER_AGENT) as api:
        await make_namespace(api, name=NAMESPACE)
        scope = {"fieldSelector": f"metadata.namespace={NAMESPACE}"}
        uid = {"uid": lambda vmi: (vmi["metadata"]["uid"],)}
        vmis = Mirror(api=api, resource=VIRTUAL_MACHINE_INSTANCES, indexes=uid, selector=scope)
        pods = Mirror(api=api, resource=PODS, selector={**scope, "labelSelector": "kubevirt.io=virt-launcher"})
        milestones = Milestones(vmis=vmis, pods=pods, awaited=awaited)
        tasks = [asyncio.create_task(mirror.run()) for mirror in (vmis, pods)]
        try:
            await asyncio.gather(vmis.synced.wait(), pods.synced.wait())
            yield World(
                api=api,
                vmis=vmis,
                milestones=milestones,
                audit=audit_log(cluster.directory),
                processes=cluster.processes,
            )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def make_namespace(api: Api, *, name: str) -> None:
    """A namespace in which pods are admitted: it has its default account."""
    await api.create(NAMESPACES, {"metadata": {"name": name}})
    scope = {"fieldSelector": f"metadata.namespace={name},metadata.name=default"}
    accounts = Mirror(api=api, resource=SERVICE_ACCOUNTS, selector=scope)
    found = asyncio.Event()
    accounts.listen(lambda _old, _new: found.set())
    watching = asyncio.create_task(accounts.run())
    try:
        async with asyncio.timeout(30):
            await found.wait()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def make_network(
    api: Api, *, name: str, namespace: str = NAMESPACE, annotations: Mapping[str, str] | None = None
) -> None:
    """A network attachment definition."""
    config = f'{{"cniVersion": "0.3.1", "type": "bridge", "name": "{name}"}}'
    body: Json = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name, "annotations": dict(annotations or {})},
        "spec": {"config": config},
    }
    await api.create(NETWORK_ATTACHMENT_DEFINITIONS, body, namespace=namespace)
