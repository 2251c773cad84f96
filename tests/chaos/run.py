"""One run: VMs on nodes of both kinds, two replicas behind a gateway, one drill after the other."""

import asyncio
import contextlib
import random
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp
from tests.chaos.accounts import Account, account, copies_of, doubled_writes
from tests.chaos.drills import DRILLS, Drill, DrillFailed, Stage
from tests.chaos.gateway import ADDRESS, Gateway
from tests.chaos.load import Load
from tests.chaos.report import Outcome
from tests.chaos.shape import Shape, Wish, deal
from tests.chaos.tokens import sign_token
from tests.perf.audit import OPERATOR, AuditLog
from tests.perf.concurrency import Concurrency, replay
from tests.perf.migrations import MigrationWatch, set_controller, watching
from tests.perf.world import SERVICE_ACCOUNTS, Say, make_namespace
from tests.soak.expectations import Found, live_pods, violations
from tests.soak.moves import exceeded
from tests.soak.run import look
from tests.soak.script import network_of
from tests.soak.supervisor import Replica, Supervisor, leader_pid
from tests.soak.users import NAMESPACE

from nicplug_sandbox import controlplane, lifecycle, nicplug_process, operator_process
from nicplug_sandbox.apply import apply_manifests
from nicplug_sandbox.certificates import write_private
from nicplug_sandbox.guests import read_guests
from nicplug_sandbox.node.api import Api, ApiError, Json, load_configuration
from nicplug_sandbox.operator_process import ROOT
from nicplug_sandbox.processes import RecordedProcess

USER_AGENT = "nicplug-chaos"
_LAUNCHER = Path(__file__).parent / "replica.py"
_READY_SECONDS = 60.0
_START_SECONDS = 240.0
# What an operator waits at most before it tries something again, twice.
_PATIENCE_SECONDS = 120.0
_TOKEN_SECONDS = 24 * 3600.0
_SAMPLE_SECONDS = 1.0
_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a run holds in its hands."""

    api: Api
    stage: Stage
    load: Load
    outcome: Outcome
    clock: Callable[[], float]


def chaos(*, directory: Path, shape: Shape, drills: Sequence[str], seed: int, say: Say) -> Outcome:
    """Run some drills; everything that was started is ended when it returns.

    Raises:
        DrillFailed: a drill did not do what it is about.
        SandboxError: something did not start.
        TimeoutError: the VMs did not start.
    """
    wishes = deal(shape, list(DRILLS), seed=seed)
    with _sandbox(directory=directory, shape=shape, say=say) as admin:
        outcome = Outcome(seed=seed, shape=shape, titles={name: drill.title for name, drill in DRILLS.items()})
        asyncio.run(_chaos(directory, admin=admin, outcome=outcome, wishes={name: wishes[name] for name in drills},
                           say=say))  # fmt: skip
        return outcome


@contextlib.contextmanager
def _sandbox(*, directory: Path, shape: Shape, say: Say) -> Iterator[Path]:
    """Control plane, nodes, and the operator's rights; the kubeconfig of an admin."""
    with contextlib.ExitStack() as stack:
        stack.callback(controlplane.stop, directory=directory)
        status = lifecycle.up(directory=directory, nodes=len(shape.node_names), existing=None, progress=say)
        assert status.kubeconfig is not None
        operator_process.install_operator(kubeconfig=status.kubeconfig)
        apply_manifests(kubeconfig=status.kubeconfig, paths=[ROOT / "examples" / "kubevirt.yaml"])
        yield status.kubeconfig


async def _chaos(
    directory: Path, *, admin: Path, outcome: Outcome, wishes: Mapping[str, Sequence[Wish]], say: Say
) -> None:
    began = time.monotonic()
    async with _world(directory, admin=admin, outcome=outcome, began=began, say=say) as world:
        await world.load.start_vms(seconds=_START_SECONDS)
        say(f"{outcome.shape.vms} VMs run, half of them on nodes without a dynamic networks controller")
        async with watching(world.api, world.load.vmis, namespace=NAMESPACE) as migrations:
            windows = {name: await _drill(world, DRILLS[name], wishes[name]) for name in wishes}
            found = await _until_as_declared(world)
            await _judge(world, found, windows, migrations)
    outcome.seconds = round(time.monotonic() - began, 1)


@contextlib.asynccontextmanager
async def _world(directory: Path, *, admin: Path, outcome: Outcome, began: float, say: Say) -> AsyncIterator[World]:
    """Connections, a gateway, two replicas of the operator behind it, and a watch of the VMIs."""
    configuration = await load_configuration(admin)
    authority = ssl.create_default_context(cafile=str(configuration.ssl_ca_cert))
    gateway = Gateway(server=configuration.host, authority=authority, randomness=random.Random(outcome.seed))
    async with Api(configuration=configuration, connections=40, user_agent=USER_AGENT) as api, gateway:
        await make_namespace(api, name=NAMESPACE)
        for node in outcome.shape.nodes_without:
            await set_controller(api, node=node, fault="absent")
        write_token = await _mount_account(api, directory, gateway)
        supervisor = Supervisor(
            directory=directory, kubeconfig=admin, say=say, spawn=partial(_spawn, port=gateway.port)
        )
        load = Load(api=api, shape=outcome.shape, clock=lambda: time.monotonic() - began)
        stage = Stage(
            directory=directory,
            account=directory / "account",
            gateway=gateway,
            supervisor=supervisor,
            scale=outcome.shape.scale,
            say=say,
            leader=partial(_leader, api, supervisor),
            write_token=write_token,
        )
        world = World(api=api, stage=stage, load=load, outcome=outcome, clock=load.clock)
        async with supervisor.running():
            await _all_ready(supervisor)
            async with _in_background(load.vmis.run(), _sample(world)):
                await load.vmis.synced.wait()
                yield world


@contextlib.asynccontextmanager
async def _in_background(*work: Awaitable[None]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _mount_account(api: Api, directory: Path, gateway: Gateway) -> Callable[[float], None]:
    """Write what kubelet mounts into the pods; what is returned writes another token."""
    account = directory / "account"
    account.mkdir(exist_ok=True, mode=0o700)
    (account / "ca.crt").write_bytes(gateway.authority)
    found = await api.get(SERVICE_ACCOUNTS, name=operator_process.SERVICE_ACCOUNT, namespace=operator_process.NAMESPACE)

    def write_token(seconds: float) -> None:
        token = sign_token(
            key=directory / "pki" / "service-account.key",
            namespace=operator_process.NAMESPACE,
            name=operator_process.SERVICE_ACCOUNT,
            uid=found["metadata"]["uid"],
            seconds=seconds,
        )
        temporary = account / ".token"
        write_private(temporary, token.encode())
        temporary.replace(account / "token")

    write_token(_TOKEN_SECONDS)
    return write_token


def _spawn(*, directory: Path, kubeconfig: Path, name: str, port: int) -> RecordedProcess:
    """As a pod runs it: no kubeconfig, but a mounted account and the address of the API server."""
    command = [sys.executable, "-P", str(_LAUNCHER), str(directory / "account"), "nicplug"]
    return nicplug_process.spawn(
        directory=directory,
        name=name,
        argv=[*command, "run", "--metrics-port=0", "--log-format=json"],
        variables={
            "NICPLUG_METRICS_ADDRESS": ADDRESS,
            "KUBERNETES_SERVICE_HOST": ADDRESS,
            "KUBERNETES_SERVICE_PORT": str(port),
        },
    )


async def _leader(api: Api, supervisor: Supervisor) -> Replica | None:
    pid = await leader_pid(api)
    return next((one for one in supervisor.replicas if one.process is not None and one.process.pid == pid), None)


async def _all_ready(supervisor: Supervisor) -> None:
    for replica in supervisor.replicas:
        await supervisor.attach(replica, seconds=_READY_SECONDS)


async def _sample(world: World) -> None:
    """What the gateway has refused or cut, over time."""
    while True:
        gateway = world.stage.gateway
        world.outcome.refusals.append((world.clock(), float(gateway.refused.total() + gateway.cut)))
        await asyncio.sleep(_SAMPLE_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """One drill as it went."""

    began: float
    ended: float
    evidence: str


async def _drill(world: World, drill: Drill, wishes: Sequence[Wish]) -> _Window:
    """Begin with two replicas in order; end when every NIC has come, or has been waited for long enough."""
    world.stage.say(f"{drill.name}: {drill.title}; {len(wishes)} NICs")
    await _all_ready(world.stage.supervisor)
    await world.stage.leading()
    began = world.clock()
    asking = asyncio.create_task(world.load.ask(drill.name, wishes, seconds=drill.seconds * world.stage.scale))
    try:
        evidence = await drill.run(world.stage)
    finally:
        if sys.exc_info()[0] is not None:
            asking.cancel()
        results = await asyncio.gather(asking, return_exceptions=True)
    if isinstance(results[0], Exception):
        raise DrillFailed(f"{drill.name}: a NIC could not be asked for: {results[0]!r}")
    await world.load.arrived(drill.name, seconds=_PATIENCE_SECONDS)
    come = [one for one in world.load.of(drill.name) if one.ready is not None]
    wait = max((one.wait for one in come), default=0.0)
    world.stage.say(f"{drill.name}: {len(come)} of {len(wishes)} have come, the slowest after {wait:.1f} s; {evidence}")
    return _Window(began=began, ended=world.clock(), evidence=evidence)


async def _until_as_declared(world: World) -> Found:
    """Wait until every object is as its owner has declared it; note what is not when that takes too long."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        await asyncio.sleep(_POLL_SECONDS)
        with contextlib.suppress(ApiError, aiohttp.ClientError, TimeoutError):
            found = await look(world.api)
            told = violations(found, world.load.users.declared)
            if not told or time.monotonic() > deadline:
                world.outcome.violations += told
                return found


async def _judge(world: World, found: Found, windows: Mapping[str, _Window], migrations: MigrationWatch) -> None:
    outcome, load = world.outcome, world.load
    copies = await _copies(world, found)
    for name, window in windows.items():
        outcome.accounts.append(_account(load, name, window, copies))
    outcome.hotplugs = list(load.hotplugs.values())
    moved = replay(migrations.take())
    outcome.violations += [*exceeded(moved), *_more_moves_than_nics(moved, world)]
    log = AuditLog(world.stage.directory / "audit.log")
    written = [one for one in log.writes(user=OPERATOR) if one.namespace == NAMESPACE]
    asked = {vm: sum(one.vm == vm for one in outcome.hotplugs) for vm in outcome.shape.vm_names()}
    outcome.violations += doubled_writes(written, asked=asked, vm_of_pod=_vm_of_pod(found.pods))
    for replica in world.stage.supervisor.replicas:
        outcome.starts += replica.starts
        outcome.ends += replica.ends
    outcome.violations += [f"a bug in the log of {text}" for text in world.stage.supervisor.complaints()]


def _account(load: Load, name: str, window: _Window, copies: Mapping[tuple[str, str], int]) -> Account:
    return account(name, load.of(name), copies=copies, evidence=window.evidence, window=(window.began, window.ended))


async def _copies(world: World, found: Found) -> dict[tuple[str, str], int]:
    """How often each NIC is there, by what its guest, its instance and its pod say."""
    guests = await asyncio.to_thread(read_guests, world.stage.directory)
    vmis = {vmi["metadata"]["name"]: vmi for vmi in found.vmis}
    pods = live_pods(found.pods)
    counted = {}
    for vm, nic in world.load.hotplugs:
        vmi = vmis.get(vm)
        live = pods.get(vmi["metadata"]["uid"], []) if vmi else []
        if vmi is not None and len(live) == 1:
            guest = guests.get(f"{NAMESPACE}/{vm}", {})
            counted[vm, nic] = copies_of(nic, network=network_of(nic), guest=guest, vmi=vmi, pod=live[0])
    return counted


def _more_moves_than_nics(moved: Concurrency, world: World) -> Iterator[str]:
    nics = sum(one.asked is not None and one.path != "Dynamic" for one in world.load.hotplugs.values())
    if moved.succeeded > nics:
        yield f"{moved.succeeded} migrations for {nics} NICs"


def _vm_of_pod(pods: Sequence[Json]) -> dict[str, str]:
    """By their owner, the VMI, which has the name of its VM."""
    owners = ((pod["metadata"]["name"], pod["metadata"].get("ownerReferences") or []) for pod in pods)
    return {name: str(refs[0]["name"]) for name, refs in owners if refs}
