"""One soak: a script is carried out while things go wrong, then everything has to be as declared, and silent."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import aiohttp
import psutil
from tests.perf.audit import OPERATOR, AuditLog, Write, counted, settled, without_lease
from tests.perf.companion import foreign_writes
from tests.perf.concurrency import Sight, replay
from tests.perf.migrations import MIGRATIONS, MigrationWatch, watching
from tests.perf.world import Say, make_namespace
from tests.soak.companion_expectations import companion_violations, doubled, explained, left_behind, makers
from tests.soak.companion_users import CompanionUsers
from tests.soak.expectations import Found, violations
from tests.soak.kubevirt import REPORTS, point_at, start_kubevirt, tracebacks, virt_controller
from tests.soak.misfortunes import Fault, Misfortune
from tests.soak.moves import exceeded
from tests.soak.proxy import Proxy
from tests.soak.script import FIRST_NIC, Deed, Operation, Step, vm_names, write_script
from tests.soak.shape import Scenario, Shape
from tests.soak.supervisor import Supervisor, leader_pid
from tests.soak.users import NAMESPACE, VIRTUAL_MACHINES, Users
from tests.soak.watches import PathWatch, PodWatch

from nicplug_sandbox import controlplane, lifecycle, operator_process
from nicplug_sandbox.apply import apply_manifests
from nicplug_sandbox.node.api import (
    PODS,
    VIRTUAL_MACHINE_INSTANCES,
    Api,
    ApiError,
    Resource,
    load_configuration,
)
from nicplug_sandbox.node.mirror import Mirror
from nicplug_sandbox.operator_process import ROOT

USER_AGENT = "nicplug-soak"
REVISIONS = Resource(prefix="/apis/apps/v1", plural="controllerrevisions")
_READY_SECONDS = 60.0
_START_SECONDS = 180.0
# Longer than a start back-off after a failure or two, and a Lease whose holder was killed.
_CONVERGE_SECONDS = 180.0
_STALL_SECONDS = 2.0
_DOWN_SECONDS = 1.0
# A polite kube-apiserver waits for its watches; a rollout does not wait for ever either.
_APISERVER_GRACE_SECONDS = 5.0
_SETTLE_SECONDS = 60.0
# Longer than the operator holds back repetitions of an event.
_QUIET_SECONDS = 12.0
_POLL_SECONDS = 0.5


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came out of a soak.

    Attributes:
        violations: what did not hold, in the end or at any moment.
        done: operations by kind.
        not_possible: operations that found nothing to work on.
        converged_seconds: from the last operation until everything was as declared.
        rest_writes: of the operator, Lease not counted, while nobody asked for anything.
        ends: operator processes that ended by themselves.
        rss_mib: of each replica at the end.
        migrations: by their last phase.
        at_once: the most migrations at once, by what watches of the API told.
        paths: NICs that were ready at any moment, by the path on which they came.
        explained: beside KubeVirt, NICs that are not as declared in the end, and whose reports say why.
        virt_controller_starts: beside KubeVirt, processes of virt-controller.
    """

    seed: int
    shape: Shape
    violations: list[str] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    not_possible: list[str] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    connections_cut: int = 0
    seconds: float = 0.0
    converged_seconds: float | None = None
    writes: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    rest_writes: dict[str, int] = field(default_factory=dict)
    starts: int = 0
    ends: list[str] = field(default_factory=list)
    rss_mib: dict[str, float] = field(default_factory=dict)
    events_dropped: float = 0.0
    warnings: dict[str, int] = field(default_factory=dict)
    migrations: dict[str, int] = field(default_factory=dict)
    at_once: dict[str, int] = field(default_factory=dict)
    paths: dict[str, int] = field(default_factory=dict)
    explained: list[str] = field(default_factory=list)
    virt_controller_starts: int = 0


@dataclass(slots=True, kw_only=True)
class World:
    """What a soak holds in its hands."""

    directory: Path
    api: Api
    proxy: Proxy
    supervisor: Supervisor
    users: Users
    audit: AuditLog
    outcome: Outcome
    say: Say
    virt_controller: Supervisor | None = None

    @property
    def is_kubevirts(self) -> bool:
        """nicplug runs beside KubeVirt."""
        return self.virt_controller is not None

    def violations(self, found: Found) -> list[str]:
        """What does not hold."""
        judge = companion_violations if self.is_kubevirts else violations
        return judge(found, self.users.declared)


def soak(*, directory: Path, shape: Shape, seed: int, say: Say) -> Outcome:
    """Run one; everything that it started is ended when it returns.

    Raises:
        SandboxError: something did not start.
        TimeoutError: the VMs did not start, or their first NICs did not arrive, before the script began.
    """
    with _sandbox(directory=directory, shape=shape, say=say) as admin:
        return asyncio.run(_soak(directory=directory, admin=admin, shape=shape, seed=seed, say=say))


@contextlib.contextmanager
def _sandbox(*, directory: Path, shape: Shape, say: Say) -> Iterator[Path]:
    """Control plane, nodes, and the operator's rights; the kubeconfig of an admin."""
    with contextlib.ExitStack() as stack:
        stack.callback(controlplane.stop, directory=directory)
        if shape.scenario is Scenario.COMPANION:
            yield start_kubevirt(directory=directory, nodes=shape.nodes, say=say)
            return
        status = lifecycle.up(directory=directory, nodes=shape.nodes, existing=None, progress=say)
        assert status.kubeconfig is not None
        operator_process.install_operator(kubeconfig=status.kubeconfig)
        apply_manifests(kubeconfig=status.kubeconfig, paths=[ROOT / "examples" / "kubevirt.yaml"])
        yield status.kubeconfig


async def _soak(*, directory: Path, admin: Path, shape: Shape, seed: int, say: Say) -> Outcome:
    outcome = Outcome(seed=seed, shape=shape)
    began = time.monotonic()
    async with _world(directory=directory, admin=admin, outcome=outcome, say=say) as world:
        async with _watched(world) as (pods, migrations, paths):
            await _start_all(world)
            script = write_script(shape, seed=seed)
            begin = len(shape.fragile_nodes)
            await _carry_out(world, script[:begin])
            if begin:
                await _plug_on_each_node(world)
            await _carry_out(world, script[begin:])
            if await _converge(world):
                await _rest(world)
            if world.is_kubevirts:
                await _delete_all(world)
            await _take_stock(world)
        outcome.violations += pods.seen if not world.is_kubevirts else []
        outcome.paths = paths.counted()
        _judge_migrations(world, migrations.take())
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


@contextlib.asynccontextmanager
async def _watched(world: World) -> AsyncIterator[tuple[PodWatch, MigrationWatch, PathWatch]]:
    """What is looked at all the time, not only in the end."""
    pods = PodWatch(world.api)
    scope = {"fieldSelector": f"metadata.namespace={NAMESPACE}"}
    vmis = Mirror(api=world.api, resource=VIRTUAL_MACHINE_INSTANCES, selector=scope)
    records = Mirror(api=world.api, resource=REPORTS, selector=scope) if world.is_kubevirts else vmis
    paths = PathWatch(records)
    running = [asyncio.create_task(mirror.run()) for mirror in {pods.mirror, vmis, records}]
    try:
        async with watching(world.api, vmis, namespace=NAMESPACE) as migrations:
            yield pods, migrations, paths
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _judge_migrations(world: World, sights: tuple[Sight, ...]) -> None:
    outcome, found = world.outcome, replay(sights)
    outcome.migrations = counted(found.phases.values(), by=lambda phase: phase or "not accepted")
    outcome.at_once = {
        "cluster": found.cluster,
        "from a node": max(found.outbound.values(), default=0),
        "to a node": max(found.inbound.values(), default=0),
    }
    if world.is_kubevirts:
        outcome.migrations = counted(makers(sights, found).values(), by=str)
        outcome.violations += doubled(found)
    else:
        outcome.violations += exceeded(found)


@contextlib.asynccontextmanager
async def _world(*, directory: Path, admin: Path, outcome: Outcome, say: Say) -> AsyncIterator[World]:
    """Connections, a wire that can be cut, and two replicas of the operator behind it."""
    configuration = await load_configuration(admin)
    async with (
        Api(configuration=configuration, connections=40, user_agent=USER_AGENT) as api,
        Proxy(server=configuration.host) as proxy,
    ):
        await make_namespace(api, name=NAMESPACE)
        account = await asyncio.to_thread(
            operator_process.service_account_kubeconfig, admin=admin, path=directory / "operator.kubeconfig"
        )
        point_at(account, server=proxy.url)
        is_kubevirts = outcome.shape.scenario is Scenario.COMPANION
        supervisor = Supervisor(directory=directory, kubeconfig=account, say=say)
        controller = virt_controller(directory=directory, admin=admin, proxy=proxy, say=say) if is_kubevirts else None
        async with supervisor.running(), controller.running() if controller else contextlib.nullcontext():
            for replica in supervisor.replicas:
                await supervisor.attach(replica, seconds=_READY_SECONDS)
            yield World(
                directory=directory,
                api=api,
                proxy=proxy,
                supervisor=supervisor,
                users=(CompanionUsers if is_kubevirts else Users)(
                    api, vm_names(outcome.shape.vms), nodes=outcome.shape.node_names
                ),
                audit=AuditLog(directory / "audit.log"),
                outcome=outcome,
                say=say,
                virt_controller=controller,
            )


async def _start_all(world: World) -> None:
    """Every VM runs before anything goes wrong."""
    await world.users.prepare()
    if left := await _until_as_declared(world, seconds=_START_SECONDS):
        raise TimeoutError("\n".join(["the VMs did not start:", *left]))
    world.say(f"{len(world.users.declared)} VMs run")


async def _plug_on_each_node(world: World) -> None:
    """One NIC on each node arrives before the script goes on: a NIC that is slower than its users comes by no path."""
    homes = list(world.users.declared)[: world.outcome.shape.nodes]
    plugs = [Operation(deed=Deed.PLUG, pause_seconds=0.0, vm=name, nic=FIRST_NIC) for name in homes]
    await asyncio.gather(*map(world.users.carry_out, plugs))
    if left := await _until_as_declared(world, seconds=_CONVERGE_SECONDS):
        raise TimeoutError("\n".join(["the first NICs did not arrive:", *left]))
    world.say(f"{len(plugs)} VMs have a NIC, half of them with a broken controller on their node")


async def _carry_out(world: World, script: tuple[Step, ...]) -> None:
    """Every step at its moment, whether those before it are through or not."""
    tasks: list[asyncio.Task[None]] = []
    operations = 0
    for step in script:
        await asyncio.sleep(step.pause_seconds)
        match step:
            case Operation():
                tasks.append(asyncio.create_task(world.users.carry_out(step)))
                operations += 1
                if operations % 25 == 0:
                    world.say(f"{operations} operations, {sum(world.outcome.faults.values())} faults")
            case Fault():
                faults = world.outcome.faults
                faults[step.misfortune] = faults.get(step.misfortune, 0) + 1
                tasks.append(asyncio.create_task(_go_wrong(world, step)))
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, BaseException):
            world.outcome.violations.append(f"the soak itself: {type(result).__name__}: {result}")


async def _go_wrong(world: World, fault: Fault) -> None:
    misfortune = fault.misfortune
    match misfortune:
        case Misfortune.BREAK_CONTROLLER | Misfortune.MEND_CONTROLLER:
            await world.users.set_controller(fault.node, fault.how or None)
        case Misfortune.KILL_LEADER | Misfortune.KILL_STANDBY:
            pid = await leader_pid(world.api)
            leads = misfortune is Misfortune.KILL_LEADER
            name = await world.supervisor.kill(leader_pid=pid, wanted_leader=leads)
            world.say(f"{misfortune}: replica {name or 'none'}")
        case Misfortune.KILL_VIRT_CONTROLLER:
            assert world.virt_controller is not None
            async with asyncio.timeout(_READY_SECONDS):
                while not await world.virt_controller.kill(leader_pid=None, wanted_leader=False):  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_SECONDS)
        case Misfortune.CUT:
            world.outcome.connections_cut += world.proxy.cut()
        case Misfortune.STALL:
            await world.proxy.stall(seconds=_STALL_SECONDS)
        case Misfortune.APISERVER_KILL | Misfortune.APISERVER_STOP:
            grace = _APISERVER_GRACE_SECONDS if misfortune is Misfortune.APISERVER_STOP else 0.0
            world.say(f"{misfortune}, start it again")
            await asyncio.to_thread(
                controlplane.restart,
                directory=world.directory,
                down_seconds=_DOWN_SECONDS,
                grace_seconds=grace,
            )
            world.say("kube-apiserver serves again")


async def _converge(world: World) -> bool:
    """Wait until everything is as declared; tell what is not when it takes too long."""
    began = time.monotonic()
    if found := await _until_as_declared(world, seconds=_CONVERGE_SECONDS):
        world.outcome.violations += [f"after {_CONVERGE_SECONDS:.0f} s: {text}" for text in found]
        objects = asdict(await look(world.api, with_reports=world.is_kubevirts))
        (world.directory / "logs" / "objects.json").write_text(json.dumps(objects, indent=1))
        return False
    world.outcome.converged_seconds = round(time.monotonic() - began, 1)
    world.say(f"everything is as declared {world.outcome.converged_seconds} s after the last operation")
    return True


async def _delete_all(world: World) -> None:
    """Every VM goes, and what nicplug has made for it."""
    names = [name for name, wanted in world.users.declared.items() if wanted.exists]
    deletions = [Operation(deed=Deed.DELETE, pause_seconds=0.0, vm=name) for name in names]
    await asyncio.gather(*map(world.users.delete, deletions))
    left = await _until_none(world, left_behind, seconds=_CONVERGE_SECONDS)
    world.outcome.violations += [f"after all VMs were deleted: {text}" for text in left]


async def _until_as_declared(world: World, *, seconds: float) -> list[str]:
    """What still does not hold when the time is up; nothing as soon as all is well."""
    return await _until_none(world, world.violations, seconds=seconds)


async def _until_none(world: World, judge: Callable[[Found], list[str]], *, seconds: float) -> list[str]:
    deadline = time.monotonic() + seconds
    found = ["the API server did not answer"]
    while found and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
        with contextlib.suppress(ApiError, aiohttp.ClientError, TimeoutError):
            found = judge(await look(world.api, with_reports=world.is_kubevirts))
    return found


async def _rest(world: World) -> None:
    """Nobody asks for anything: nothing is written, and nothing changes."""
    outcome, seconds = world.outcome, world.outcome.shape.rest_seconds
    try:
        await settled(world.audit, seconds=_SETTLE_SECONDS, quiet_seconds=_QUIET_SECONDS)
    except TimeoutError as error:
        outcome.violations.append(str(error))
        return
    since = world.audit.mark()
    await asyncio.sleep(seconds)
    written = without_lease(world.audit.writes(since=since, user=OPERATOR))
    outcome.rest_writes = counted(written, by=_kind)
    outcome.violations += [f"at rest the operator wrote: {_kind(one)} {one.namespace}/{one.name}" for one in written]
    found = await look(world.api, with_reports=world.is_kubevirts)
    outcome.violations += [f"after {seconds:.0f} s of rest: {text}" for text in world.violations(found)]
    outcome.explained = explained(found, world.users.declared) if world.is_kubevirts else []


async def _take_stock(world: World) -> None:
    """Figures, and what the operator's own processes have to say."""
    outcome = world.outcome
    outcome.done = dict(world.users.done.most_common())
    outcome.not_possible = world.users.not_possible
    written = without_lease(world.audit.writes(user=OPERATOR))
    outcome.writes = counted(written, by=lambda write: f"{write.verb} {write.resource}")
    outcome.rejected = counted([write for write in written if write.is_rejected], by=_kind)
    for replica in world.supervisor.replicas:
        outcome.starts += replica.starts
        outcome.ends += replica.ends
        process = await world.supervisor.attach(replica, seconds=_READY_SECONDS)
        outcome.rss_mib[replica.name] = round(psutil.Process(process.process.pid).memory_info().rss / 2**20, 1)
        outcome.events_dropped += await asyncio.to_thread(process.metric, "nicplug_dropped_events_total")
    if world.virt_controller is not None:
        foreign = counted(foreign_writes(written), by=lambda write: f"{_kind(write)} {write.name}")
        outcome.violations += [
            f"nicplug wrote to what is not its own: {one}, {times} x" for one, times in foreign.items()
        ]
        outcome.violations += tracebacks(world.virt_controller)
        outcome.virt_controller_starts = sum(one.starts for one in world.virt_controller.replicas)
    outcome.warnings = world.supervisor.warnings()
    outcome.violations += [f"a bug in the log of {text}" for text in world.supervisor.complaints()]


def _kind(write: Write) -> str:
    return f"{write.verb} {write.resource} {write.code}"


async def look(api: Api, *, with_reports: bool = False) -> Found:
    """What is there now."""
    scope = {"fieldSelector": f"metadata.namespace={NAMESPACE}"}
    resources = (VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCES, PODS, REVISIONS, MIGRATIONS)
    vms, vmis, pods, revisions, jobs = [tuple((await api.list(one, params=scope))["items"]) for one in resources]
    reports = tuple((await api.list(REPORTS, params=scope))["items"]) if with_reports else ()
    return Found(vms=vms, vmis=vmis, pods=pods, revisions=revisions, migrations=jobs, reports=reports)
