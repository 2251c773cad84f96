"""Those who ask for NICs, and a watch that tells when each is in its guest."""

import asyncio
from collections.abc import Callable, Iterable

from tests.chaos.accounts import Hotplug
from tests.chaos.shape import IN_PLACE, Shape, Wish
from tests.soak import bodies
from tests.soak.script import Deed, Operation, network_of
from tests.soak.users import NAMESPACE, VIRTUAL_MACHINES, Declared, Users

from nicplug_sandbox.node.api import VIRTUAL_MACHINE_INSTANCES, Api, Json
from nicplug_sandbox.node.mirror import Mirror

_HOSTNAME = "kubernetes.io/hostname"
_POLL_SECONDS = 0.1
_READY, _RUNNING = "Ready", "Running"


class Load:
    """Every NIC that is asked for in a run, and where it is.

    Attributes:
        hotplugs: by VM and NIC, in the order of asking.
        vmis: of the namespace, as the watch has them.
        clock: seconds since the run began.
    """

    def __init__(self, *, api: Api, shape: Shape, clock: Callable[[], float]) -> None:
        self.hotplugs: dict[tuple[str, str], Hotplug] = {}
        self.users = Users(api, list(shape.vm_names()), nodes=shape.node_names)
        self.vmis = Mirror(
            api=api,
            resource=VIRTUAL_MACHINE_INSTANCES,
            selector={"fieldSelector": f"metadata.namespace={NAMESPACE}"},
        )
        self.clock = clock
        self._api, self._shape = api, shape
        self._running: set[str] = set()
        self.vmis.listen(self._look)

    async def start_vms(self, *, seconds: float) -> None:
        """Networks and VMs; every VM runs when this returns.

        Raises:
            TimeoutError: they do not run in time.
        """
        for number in range(IN_PLACE):
            await self.users.create_network(network_of(f"nic{number}"))
        names = self._shape.vm_names()
        await asyncio.gather(*(self._create(name) for name in names))
        async with asyncio.timeout(seconds):
            while len(self._running) < len(names):  # noqa: ASYNC110
                await asyncio.sleep(_POLL_SECONDS)

    async def _create(self, name: str) -> None:
        body = vm_body(name, nodes=self._shape.nodes_of(name))
        await self._api.create(VIRTUAL_MACHINES, body, namespace=NAMESPACE)
        self.users.declared[name] = Declared()

    async def ask(self, drill: str, wishes: Iterable[Wish], *, seconds: float) -> None:
        """Ask for each at its moment, and again until the API server has taken it.

        Args:
            seconds: for which the drill lasts.
        """
        await asyncio.gather(*(self._ask(drill, wish, after=wish.moment * seconds) for wish in wishes))

    async def _ask(self, drill: str, wish: Wish, *, after: float) -> None:
        hotplug = Hotplug(drill=drill, vm=wish.vm, nic=wish.nic)
        self.hotplugs[wish.vm, wish.nic] = hotplug
        await asyncio.sleep(after)
        await self.users.carry_out(Operation(deed=Deed.PLUG, pause_seconds=0.0, vm=wish.vm, nic=wish.nic))
        hotplug.asked = self.clock()

    def of(self, drill: str) -> list[Hotplug]:
        """Those of one drill."""
        return [one for one in self.hotplugs.values() if one.drill == drill]

    async def arrived(self, drill: str, *, seconds: float) -> bool:
        """Wait until every NIC of the drill is in its guest; False when that takes longer."""
        until = self.clock() + seconds
        while any(one.ready is None for one in self.of(drill)):
            if self.clock() > until:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True

    def _look(self, _old: Json | None, vmi: Json | None) -> None:
        if vmi is None:
            return
        name, status = vmi["metadata"]["name"], vmi.get("status") or {}
        if status.get("phase") == _RUNNING:
            self._running.add(name)
        for record in status.get("interfaceOperations") or []:
            hotplug = self.hotplugs.get((name, record["name"]))
            if hotplug is not None and hotplug.ready is None and record["phase"] == _READY:
                hotplug.ready, hotplug.path = self.clock(), record["path"]


def vm_body(name: str, *, nodes: tuple[str, ...]) -> Json:
    """A small VM that may run on some nodes only."""
    body = bodies.vm_body(name, home=nodes[0])
    terms = [{"matchExpressions": [{"key": _HOSTNAME, "operator": "In", "values": list(nodes)}]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    body["spec"]["template"]["spec"]["affinity"] = {"nodeAffinity": required}
    return body
