"""NICs that come by migration: one at a time, and to a hundred VMs at once, on nodes without dynamic controller.

The scenarios are those of the dynamic path; what differs is the cluster. Migrations are observed by watches of the
bench's own, as any user could.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.perf import concurrency
from tests.perf.concurrency import Concurrency, Sight, replay
from tests.perf.scenarios import Phase, Shape, burst, idle_hotplugs, starts
from tests.perf.world import NAMESPACE, Cluster, Say, World, cluster, connected

from nicplug_sandbox.node.api import MERGE_PATCH, NODES, PODS, Api, Json, Resource
from nicplug_sandbox.node.mirror import Mirror
from nicplug_sandbox.node.settings import PREFIX

MIGRATIONS = Resource(prefix="/apis/kubevirt.io/v1", plural="virtualmachineinstancemigrations")
CONTROLLER = f"{PREFIX}dynamic-networks-controller"
CONTROLLER_PODS = "name=dynamic-networks-controller"
Scenario = Callable[[World, Shape], Awaitable[Phase]]
_AWAY_SECONDS = 60.0
_POLL_SECONDS = 0.1
# KubeVirt's, and of inbound migrations nicplug's: examples/kubevirt.yaml sets none.
LIMIT_PER_CLUSTER, LIMIT_OUTBOUND, LIMIT_INBOUND = 5, 2, 2
# The node simulator's own length of a copy.
COPY_SECONDS = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationShape:
    """How much of everything; figures of different shapes are not compared."""

    vms: int = 100
    single: int = 30
    copy_seconds: float = COPY_SECONDS
    nodes: int = 3
    pause_seconds: float = 0.2
    clients: int = 32

    def as_shape(self) -> Shape:
        """The same for the scenarios that do not care how a NIC comes."""
        return Shape(
            vms=self.vms,
            idle_hotplugs=self.single,
            pause_seconds=self.pause_seconds,
            clients=self.clients,
            nodes=self.nodes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One scenario: what was asked for and what it cost, and the migrations that it led to."""

    phase: Phase
    migrations: Concurrency
    sights: tuple[Sight, ...] = field(repr=False)

    @classmethod
    def of(cls, phase: Phase, sights: tuple[Sight, ...]) -> "Moved":
        """A scenario, with the migrations that were seen meanwhile."""
        return cls(phase=phase, migrations=replay(sights), sights=sights)


class MigrationWatch:
    """Notes every version of migrations and of their target pods, and every move of a VMI."""

    def __init__(self, *, api: Api, vmis: Mirror, namespace: str) -> None:
        scope = {"fieldSelector": f"metadata.namespace={namespace}"}
        self.mirrors = (
            Mirror(api=api, resource=MIGRATIONS, selector=scope),
            Mirror(api=api, resource=PODS, selector={**scope, "labelSelector": concurrency.JOB_LABEL}),
        )
        self._sights: list[Sight] = []
        self._last: dict[str, Sight] = {}
        migrations, pods = self.mirrors
        migrations.listen(self._on_migration)
        pods.listen(self._on_pod)
        vmis.listen(self._on_vmi)

    def take(self) -> tuple[Sight, ...]:
        """What was seen since the last time, and where the VMIs were then."""
        taken = tuple(self._sights)
        self._sights = [sight for sight in self._last.values() if isinstance(sight, concurrency.VmiSight)]
        return taken

    def _on_migration(self, old: Json | None, new: Json | None) -> None:
        if body := new or old:
            sight = concurrency.see_migration(body, at=_now(), is_gone=new is None)
            self._note(f"migration/{sight.uid}", sight)

    def _on_pod(self, old: Json | None, new: Json | None) -> None:
        if body := new or old:
            sight = concurrency.see_target(body, at=_now(), is_gone=new is None)
            if sight is not None:
                self._note(f"pod/{sight.uid}", sight)

    def _on_vmi(self, old: Json | None, new: Json | None) -> None:
        if body := new or old:
            sight = concurrency.see_vmi(body, at=_now(), is_gone=new is None)
            self._note(f"vmi/{sight.vmi}", sight)

    def _note(self, key: str, sight: Sight) -> None:
        """Only what differs from the version before: most versions are about something else."""
        last = self._last.get(key)
        if last is None or replace(last, version=0, at=0.0) != replace(sight, version=0, at=0.0):
            self._last[key] = sight
            self._sights.append(sight)


def _now() -> float:
    return asyncio.get_running_loop().time()


@contextlib.asynccontextmanager
async def watching(api: Api, vmis: Mirror, *, namespace: str = NAMESPACE) -> AsyncIterator[MigrationWatch]:
    """A watch that is up to date, while the block runs."""
    watch = MigrationWatch(api=api, vmis=vmis, namespace=namespace)
    tasks = [asyncio.create_task(mirror.run()) for mirror in watch.mirrors]
    try:
        await asyncio.gather(*(mirror.synced.wait() for mirror in watch.mirrors))
        yield watch
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def set_controller(api: Api, *, node: str, fault: str | None) -> None:
    """Take the dynamic networks controller from a node, break it, or mend it (None)."""
    body = {"metadata": {"annotations": {CONTROLLER: fault}}}
    await api.patch(NODES, body, name=node, content_type=MERGE_PATCH)


async def without_controllers(api: Api) -> None:
    """No node has a dynamic networks controller when this returns.

    Raises:
        TimeoutError: their pods did not leave.
    """
    for node in (await api.list(NODES, params={}))["items"]:
        await set_controller(api, node=node["metadata"]["name"], fault="absent")
    async with asyncio.timeout(_AWAY_SECONDS):
        while (await api.list(PODS, params={"labelSelector": CONTROLLER_PODS}))["items"]:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)


def run(
    *, directory: Path, shape: MigrationShape, say: Say, variables: Mapping[str, str] | None = None
) -> dict[str, Moved]:
    """Start everything, measure, end everything.

    Raises:
        SandboxError: something did not start.
        TimeoutError: a scenario did not come to its end.
    """
    with cluster(directory=directory, nodes=shape.nodes, variables=variables, say=say) as found:
        return asyncio.run(measure(found, shape, say=say))


async def measure(found: Cluster, shape: MigrationShape, *, say: Say) -> dict[str, Moved]:
    """Start the VMs, then one migration at a time, then all VMs at once."""
    async with connected(found) as world, watching(world.api, world.vmis) as watch:
        await without_controllers(world.api)
        # With all VMs on one node, the limit of that node would be all that is measured.
        await starts(world, shape.as_shape(), is_spread=True)
        watch.take()
        return {
            "single": await _observed("single", idle_hotplugs, world, watch, shape, say),
            "crowd": await _observed("crowd", burst, world, watch, shape, say),
        }


async def _observed(
    name: str, scenario: Scenario, world: World, watch: MigrationWatch, shape: MigrationShape, say: Say
) -> Moved:
    phase = await scenario(world, shape.as_shape())
    sights = watch.take()
    say(f"migrations, {name}: {phase.operations} NICs, {phase.seconds:.1f} s")
    return Moved.of(phase, sights)
