"""One process that serves the subresources, with what it knows and the objects."""

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from tests.build import (
    NAME,
    Json,
    a_config,
    known_attachments,
    kubevirt,
    nad,
    primary,
    vm,
)
from tests.fakes.direct import DirectApi, DirectWorld

from nicplug.apiserver.calls import UPDATE, Answer, Call, Caller, Subresource
from nicplug.apiserver.statuses import Status
from nicplug.kube.api import ServerApi
from nicplug.kube.errors import ApiError, Gone
from nicplug.model.attachments import KnownAttachments
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.model.networks import Network
from nicplug.subresources.handlers import Subresources
from nicplug.subresources.knowledge import Knowledge
from nicplug.subresources.objects import Objects
from nicplug.subresources.requester import Requesters
from nicplug.subresources.turns import OneAtATime

VMS, VMIS, MIGRATIONS = "virtualmachines", "virtualmachineinstances", "virtualmachineinstancemigrations"
ALICE = Caller(name="alice")
# A guest that was started with one NIC has at most eight PCI slots for NICs.
FREE_SLOTS = 7
CONFLICT = f'Operation cannot be fulfilled on virtualmachine.kubevirt.io "{NAME}": '


@dataclass(slots=True)
class Known:
    """What a process knows that has read everything."""

    config: KubevirtConfig | None = field(default_factory=lambda: a_config(kubevirt()))
    problem: str = ""
    asked: list[set[str]] = field(default_factory=list)

    def known(self, networks: Iterable[Network], *, namespace: str) -> KnownAttachments:
        self.asked.append({network.attachment for network in networks if network.attachment})
        return known_attachments([nad("lan", namespace=namespace)])


class Interrupted(DirectApi):
    """Lets somebody else write just before each write of ours, or refuses it."""

    before: Callable[[], None] = staticmethod(lambda: None)
    refuses: ApiError | None = None
    looks_at: Callable[[Any], None] = staticmethod(lambda _: None)
    unreadable: dict[str, ApiError] = {}  # noqa: RUF012  each test sets its own
    drops: str = ""

    def __init__(self, world: DirectWorld) -> None:
        super().__init__(world)
        self._memory = DirectApi(world)
        self.remembered: dict[str, Json | None] = {}

    @property
    def cached_reads(self) -> list[str]:
        """What has been read from the API server's memory."""
        return [plural for _, plural in self._memory.calls]

    async def get_cached(self, resource: Any, **options: Any) -> Json:
        """As `remembered` has it; None is nothing there, and what it has not is as it is now."""
        if (error := self.unreadable.get(resource.plural)) is not None:
            raise error
        try:
            found = await self._memory.get(resource, **options)
        except Gone:
            found = None
        if (found := self.remembered.get(resource.plural, found)) is None:
            raise Gone("not found", status=404)
        return found

    async def get(self, resource: Any, **options: Any) -> Json:
        if (error := self.unreadable.get(resource.plural)) is not None:
            raise error
        return await super().get(resource, **options)

    async def patch(self, *args: Any, **options: Any) -> Json:
        self.before()
        self.looks_at(args[1])
        if self.refuses is not None:
            raise self.refuses
        answer = await super().patch(*args, **options)
        status = {name: value for name, value in (answer.get("status") or {}).items() if name != self.drops}
        return {**answer, "status": status} if self.drops else answer


class World:
    """One process that serves, and the objects."""

    def __init__(self) -> None:
        self.objects = DirectWorld()
        self.api = Interrupted(self.objects)
        self.known = Known()
        self.turns = OneAtATime()
        server = cast(ServerApi, self.api)
        served = Subresources(Objects(server), cast(Knowledge, self.known), self.turns, Requesters(server))
        self.handlers = served.handlers()

    @property
    def has_read_nothing(self) -> bool:
        """Neither what is so now nor what the API server remembers."""
        return not self.api.calls and not self.api.cached_reads

    def put(self, *bodies: Json) -> None:
        plurals = {"VirtualMachine": VMS, "VirtualMachineInstance": VMIS}
        for body in bodies:
            kind = self.objects.kinds[plurals.get(body["kind"], MIGRATIONS)]
            self.objects.store.commit(kind, ("default", body["metadata"]["name"]), body)

    def get(self, plural: str = VMS) -> Json:
        found = self.objects.object(plural, NAME, namespace="default")
        assert found is not None
        return found

    def write_status(self, **members: Any) -> None:
        """As the VM controller does."""
        stored = self.get()
        stored["status"] = {**(stored.get("status") or {}), **members}
        self.objects.store.commit(self.objects.kinds[VMS], ("default", NAME), stored)

    async def until(self, check: Callable[[], bool]) -> None:
        for _ in range(100_000):
            if check():
                return
            await asyncio.sleep(0)
        raise AssertionError("it did not come to that")

    async def ask(self, path: str, body: Any = b"{}", *, name: str = NAME, caller: Caller = ALICE) -> Answer:
        resource, _, verb = path.partition("/")
        subresource = Subresource(resource=resource, name=verb)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        call = Call(
            verb=UPDATE,
            version="v1",
            subresource=subresource,
            namespace="default",
            name=name,
            caller=caller,
            body=content,
        )
        return await self.handlers[subresource](call)


def add(name: str = "blue", network: str = "lan") -> Json:
    return {"networkAttachmentDefinitionName": network, "name": name}


def row(name: str = "blue", network: str = "lan") -> Json:
    return {"addInterfaceOptions": add(name, network)}


def told(answer: Answer) -> tuple[int, str]:
    assert isinstance(answer, Status)
    return answer.code, answer.message


ADD_TO_VM, REMOVE_FROM_VM = f"{VMS}/addinterface", f"{VMS}/removeinterface"
ADD_TO_VMI, REMOVE_FROM_VMI = f"{VMIS}/addinterface", f"{VMIS}/removeinterface"
# The first checks are the same for both: KubeVirt 1.0.0-rc.0 has one handler for each of them.
FOUR = (ADD_TO_VM, REMOVE_FROM_VM, ADD_TO_VMI, REMOVE_FROM_VMI)
MISSING = {
    "addinterface": "AddInterfaceOptions requires `networkAttachmentDefinitionName` to be set",
    "removeinterface": "RemoveInterfaceOptions requires `name` to be set",
}


def running() -> Json:
    """A VM that has started."""
    return vm(primary(), status={"created": True})


def template_of(world: World) -> list[str]:
    """The networks of the VM's template."""
    return [item["name"] for item in world.get()["spec"]["template"]["spec"]["networks"]]
