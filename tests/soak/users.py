"""Those who carry a script out on a real API server, and what they have declared by it.

Their requests go to the API server directly and are sent again until they are answered: a user with a shell
would do the same.
"""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus

import aiohttp
from tests.perf.migrations import set_controller
from tests.perf.world import make_network
from tests.soak import bodies
from tests.soak.script import FIRST_NIC, NICS, Deed, Operation, network_of

from nicplug_sandbox.node.api import (
    MERGE_PATCH,
    NETWORK_ATTACHMENT_DEFINITIONS,
    PODS,
    VIRTUAL_MACHINE_INSTANCES,
    Api,
    ApiError,
    Json,
    Resource,
)

NAMESPACE = "soak"
VIRTUAL_MACHINES = Resource(prefix="/apis/kubevirt.io/v1", plural="virtualmachines")
KUBEVIRTS = Resource(prefix="/apis/kubevirt.io/v1", plural="kubevirts")
_PATIENCE_SECONDS = 90.0
_INSTANCE_SECONDS = 20.0
_PAUSE_SECONDS = 0.2
_GATE = "HotplugNICs"


@dataclass(slots=True, kw_only=True)
class Declared:
    """What one VM shall be, by those who own it.

    Attributes:
        template: NICs by name, with their link state.
        instance: NICs that were plugged on an instance alone, by its uid: they end with it.
    """

    exists: bool = True
    runs: bool = True
    template: dict[str, str] = field(default_factory=dict)
    instance: dict[str, dict[str, str]] = field(default_factory=dict)


class NotPossible(Exception):
    """There was nothing to do it on, such as an instance that did not run in time."""


class Users:
    """Everybody who asks for something, one thing at a time per VM."""

    def __init__(self, api: Api, names: list[str], *, nodes: Sequence[str]) -> None:
        self.declared = {name: Declared() for name in names}
        self.done: Counter[str] = Counter()
        self.not_possible: list[str] = []
        self._api = api
        self._homes = dict(zip(names, itertools.cycle(nodes), strict=False))
        self._turns = {name: asyncio.Lock() for name in ["", *names]}

    async def prepare(self) -> None:
        """Networks, the policy by which an entry that is deleted from a template unplugs, and every VM."""
        policy = {"spec": {"configuration": {"network": {"hotplug": {"removalPolicy": "Declarative"}}}}}
        await self._patch_kubevirt(policy)
        await self.create_all()

    async def create_all(self) -> None:
        """Networks, and every VM on them."""
        for nic in (FIRST_NIC, *NICS):
            await self.create_network(network_of(nic))
        await asyncio.gather(*(self._create(name) for name in self.declared))

    def body(self, name: str, *nics: str) -> Json:
        """A VM that is to be created."""
        return bodies.vm_body(name, *nics, home=self._homes[name])

    def deeds(self) -> Mapping[Deed, Callable[[Operation], Awaitable[None]]]:
        """How each deed is done."""
        return {deed: partial(do, self) for deed, do in _DEEDS.items()}

    async def carry_out(self, operation: Operation) -> None:
        """Do it when what was asked for before on the same VM is done.

        Raises:
            ApiError: the API server refuses what no user should be refused.
        """
        async with self._turns[operation.vm]:
            try:
                await self.deeds()[operation.deed](operation)
                self.done[operation.deed] += 1
            except NotPossible as error:
                self.not_possible.append(f"{operation.deed} ({operation.vm}): {error}")

    # -- requests that are answered in the end ------------------------------------------------

    async def _until_answered(self, request: Callable[[], Awaitable[Json | None]]) -> Json | None:
        """Send it again while the API server is away; None when there is no such object."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                try:
                    return await request()
                except ApiError as error:
                    if error.is_gone:
                        return None
                    if error.status != HTTPStatus.TOO_MANY_REQUESTS and error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                        raise
                except (aiohttp.ClientError, TimeoutError):
                    pass
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _get(self, resource: Resource, name: str) -> Json | None:
        return await self._until_answered(lambda: self._api.get(resource, name=name, namespace=NAMESPACE))

    async def _edit(
        self,
        resource: Resource,
        name: str,
        change: Callable[[Json], None],
        *,
        uid: str = "",
        subresource: str | None = None,
    ) -> bool:
        """Read, edit, write, as `kubectl edit` does; False when it has gone or, with `uid`, is another."""
        path = resource.path(namespace=NAMESPACE, name=name, subresource=subresource)
        while True:
            found = await self._get(resource, name)
            if found is None or (uid and found["metadata"]["uid"] != uid):
                return False
            body = json.loads(json.dumps(found))
            change(body)
            try:
                return await self._until_answered(lambda: self._api.request("PUT", path, body=body)) is not None  # noqa: B023
            except ApiError as error:
                if not error.is_stale:
                    raise

    async def _delete(self, resource: Resource, name: str, *, uid: str, now: bool = False) -> None:
        options: Json = {"preconditions": {"uid": uid}}
        if now:
            options["gracePeriodSeconds"] = 0
        path = resource.path(namespace=NAMESPACE, name=name)
        try:
            await self._until_answered(lambda: self._api.request("DELETE", path, body=options))
        except ApiError as error:
            if not error.is_stale:  # another object by now: the first answer was lost
                raise

    # -- deeds ----------------------------------------------------------------------------------

    async def _create(self, name: str, *nics: str) -> None:
        """A name is free when the VM that had it has ended."""
        while True:
            try:
                await self._until_answered(
                    lambda: self._api.create(VIRTUAL_MACHINES, self.body(name, *nics), namespace=NAMESPACE)
                )
            except ApiError as error:
                if error.status != HTTPStatus.CONFLICT:
                    raise
                found = await self._get(VIRTUAL_MACHINES, name)
                if found is None or "deletionTimestamp" in found["metadata"]:
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
            self.declared[name] = Declared(template=dict.fromkeys(nics, "up"))
            return

    async def create(self, operation: Operation) -> None:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await self._create(operation.vm, *([operation.nic] if operation.nic else []))

    async def delete(self, operation: Operation) -> None:
        found = await self._get(VIRTUAL_MACHINES, operation.vm)
        if found is not None:
            await self._delete(VIRTUAL_MACHINES, operation.vm, uid=found["metadata"]["uid"])
        self.declared[operation.vm].exists = False

    async def plug(self, operation: Operation) -> None:
        await self._edit_template(operation, lambda spec: bodies.plug(spec, operation.nic))
        self.declared[operation.vm].template[operation.nic] = "up"

    async def unplug(self, operation: Operation) -> None:
        await self._edit_template(operation, lambda spec: bodies.edit(spec, operation.nic, state="absent"))
        declared = self.declared[operation.vm]
        declared.template.pop(operation.nic, None)
        for nics in declared.instance.values():
            nics.pop(operation.nic, None)

    async def drop(self, operation: Operation) -> None:
        await self._edit_template(operation, lambda spec: bodies.drop(spec, operation.nic))
        self.declared[operation.vm].template.pop(operation.nic, None)

    async def link(self, operation: Operation) -> None:
        await self._edit_template(operation, lambda spec: bodies.edit(spec, operation.nic, state=operation.value))
        self.declared[operation.vm].template[operation.nic] = operation.value

    async def edit_mac(self, operation: Operation) -> None:
        await self._edit_template(operation, lambda spec: bodies.edit(spec, operation.nic, macAddress=operation.value))

    async def edit_memory(self, operation: Operation) -> None:
        def change(spec: Json) -> None:
            spec["domain"]["resources"]["requests"]["memory"] = operation.value

        await self._edit_template(operation, change)

    async def edit_label(self, operation: Operation) -> None:
        def change(vm: Json) -> None:
            vm["spec"]["template"].setdefault("metadata", {}).setdefault("labels", {})["edition"] = operation.value

        await self._must_edit(operation.vm, change)

    async def restart(self, operation: Operation) -> None:
        """As the subresource `restart` asks for it."""
        vmi = await self._running_instance(operation.vm)
        await self._requests_done(operation.vm)
        requests = [{"action": "Stop", "uid": vmi["metadata"]["uid"]}, {"action": "Start"}]

        def change(vm: Json) -> None:
            vm.setdefault("status", {})["stateChangeRequests"] = requests

        await self._edit(VIRTUAL_MACHINES, operation.vm, change, subresource="status")

    async def halt(self, operation: Operation) -> None:
        """Not before a restart is through: KubeVirt starts a halted VM that was asked to start."""
        await self._requests_done(operation.vm)
        await self._must_edit(operation.vm, lambda vm: vm["spec"].update(runStrategy="Halted"))
        self.declared[operation.vm].runs = False

    async def start(self, operation: Operation) -> None:
        await self._must_edit(operation.vm, lambda vm: vm["spec"].update(runStrategy="Always"))
        self.declared[operation.vm].runs = True

    async def plug_instance(self, operation: Operation) -> None:
        """Only a NIC that neither side lists: one that is on its way out is refused, as `virtctl` refuses it."""
        vmi = await self._running_instance(operation.vm)
        vm = await self._get(VIRTUAL_MACHINES, operation.vm)
        specs = (vmi["spec"], *([vm["spec"]["template"]["spec"]] if vm else []))
        if any(bodies.find(spec, operation.nic) for spec in specs):
            raise NotPossible("the NIC is still there")
        uid = await self._edit_instance(operation, lambda spec: bodies.plug(spec, operation.nic))
        self.declared[operation.vm].instance.setdefault(uid, {})[operation.nic] = "up"

    async def unplug_instance(self, operation: Operation) -> None:
        uid = await self._edit_instance(operation, lambda spec: bodies.edit(spec, operation.nic, state="absent"))
        self.declared[operation.vm].instance.get(uid, {}).pop(operation.nic, None)

    async def link_instance(self, operation: Operation) -> None:
        uid = await self._edit_instance(operation, lambda spec: bodies.edit(spec, operation.nic, state=operation.value))
        nics = self.declared[operation.vm].instance.get(uid, {})
        if operation.nic in nics:
            nics[operation.nic] = operation.value

    async def delete_instance(self, operation: Operation) -> None:
        vmi = await self._running_instance(operation.vm)
        await self._delete(VIRTUAL_MACHINE_INSTANCES, operation.vm, uid=vmi["metadata"]["uid"])

    async def delete_pod(self, operation: Operation) -> None:
        vmi = await self._running_instance(operation.vm)
        page = await self._until_answered(
            lambda: self._api.list(PODS, params={"labelSelector": f"kubevirt.io/created-by={vmi['metadata']['uid']}"})
        )
        for pod in page["items"] if page else ():
            metadata = pod["metadata"]
            await self._delete(PODS, metadata["name"], uid=metadata["uid"], now=operation.value == "now")

    async def switch_gate(self, operation: Operation) -> None:
        gates = [_GATE] if operation.value == "on" else []
        await self._patch_kubevirt({"spec": {"configuration": {"developerConfiguration": {"featureGates": gates}}}})

    async def _patch_kubevirt(self, body: Json) -> None:
        await self._until_answered(
            lambda: self._api.patch(KUBEVIRTS, body, name="kubevirt", namespace="kubevirt", content_type=MERGE_PATCH)
        )

    async def switch_network(self, operation: Operation) -> None:
        name = network_of(operation.nic)
        if operation.value == "on":
            await self.create_network(name)
        elif found := await self._get(NETWORK_ATTACHMENT_DEFINITIONS, name):
            await self._delete(NETWORK_ATTACHMENT_DEFINITIONS, name, uid=found["metadata"]["uid"])

    async def set_controller(self, node: str, fault: str | None) -> None:
        """Break the dynamic networks controller of a node, or mend it (None)."""

        async def annotate() -> Json | None:
            await set_controller(self._api, node=node, fault=fault)
            return None

        await self._until_answered(annotate)

    async def create_network(self, name: str) -> None:
        """A bridge; one that is there already is as good."""
        try:
            await self._until_answered(lambda: self._create_network(name))
        except ApiError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise

    async def _create_network(self, name: str) -> None:
        await make_network(self._api, name=name, namespace=NAMESPACE)

    async def _must_edit(self, name: str, change: Callable[[Json], None]) -> None:
        if not await self._edit(VIRTUAL_MACHINES, name, change):
            raise AssertionError(f"{name} should exist")

    async def _edit_template(self, operation: Operation, change: Callable[[Json], None]) -> None:
        await self._must_edit(operation.vm, lambda vm: change(vm["spec"]["template"]["spec"]))

    async def _edit_instance(self, operation: Operation, change: Callable[[Json], None]) -> str:
        """The uid of the instance that was edited."""
        vmi = await self._running_instance(operation.vm)
        uid: str = vmi["metadata"]["uid"]
        if not await self._edit(VIRTUAL_MACHINE_INSTANCES, operation.vm, lambda body: change(body["spec"]), uid=uid):
            raise NotPossible("the instance has ended")
        return uid

    async def _requests_done(self, name: str) -> None:
        deadline = asyncio.get_running_loop().time() + _INSTANCE_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            found = await self._get(VIRTUAL_MACHINES, name)
            if found is None or not (found.get("status") or {}).get("stateChangeRequests"):
                return
            await asyncio.sleep(_PAUSE_SECONDS)
        raise NotPossible(f"an earlier request was not done within {_INSTANCE_SECONDS:.0f} s")

    async def _running_instance(self, name: str) -> Json:
        """Users look for an instance that runs before they do something to it."""
        deadline = asyncio.get_running_loop().time() + _INSTANCE_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            found = await self._get(VIRTUAL_MACHINE_INSTANCES, name)
            if found and "deletionTimestamp" not in found["metadata"] and _phase(found) == "Running":
                return found
            await asyncio.sleep(_PAUSE_SECONDS)
        raise NotPossible(f"no instance was running within {_INSTANCE_SECONDS:.0f} s")


def _phase(vmi: Json) -> str:
    return str((vmi.get("status") or {}).get("phase") or "")


_DEEDS: dict[Deed, Callable[[Users, Operation], Awaitable[None]]] = {
    Deed.PLUG: Users.plug,
    Deed.PLUG_INSTANCE: Users.plug_instance,
    Deed.UNPLUG: Users.unplug,
    Deed.DROP: Users.drop,
    Deed.UNPLUG_INSTANCE: Users.unplug_instance,
    Deed.LINK: Users.link,
    Deed.LINK_INSTANCE: Users.link_instance,
    Deed.RESTART: Users.restart,
    Deed.DELETE_INSTANCE: Users.delete_instance,
    Deed.HALT: Users.halt,
    Deed.START: Users.start,
    Deed.DELETE: Users.delete,
    Deed.CREATE: Users.create,
    Deed.LABEL: Users.edit_label,
    Deed.MEMORY: Users.edit_memory,
    Deed.MAC: Users.edit_mac,
    Deed.DELETE_POD: Users.delete_pod,
    Deed.GATE: Users.switch_gate,
    Deed.NETWORK: Users.switch_network,
}
