"""What each subresource reads and writes, and what it answers when others write at the same time."""

import asyncio
import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from tests.build import (
    NAME,
    VM_UID,
    Json,
    a_config,
    absent,
    known_attachments,
    kubevirt,
    migration,
    nad,
    nic,
    primary,
    primary_row,
    vm,
    vmi,
)
from tests.fakes.direct import DirectApi, DirectWorld

from nicplug.apiserver.calls import UPDATE, Accepted, Answer, Call, Caller, Subresource
from nicplug.apiserver.statuses import Status
from nicplug.kube.api import ServerApi
from nicplug.kube.errors import ApiError, Denied, Gone, Rejected, Unavailable
from nicplug.model.attachments import KnownAttachments
from nicplug.model.keys import ObjectKey
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.model.networks import Network
from nicplug.subresources.attempts import ATTEMPTS
from nicplug.subresources.handlers import Subresources
from nicplug.subresources.knowledge import Knowledge
from nicplug.subresources.objects import Objects
from nicplug.subresources.requester import Requesters
from nicplug.subresources.together import MOST
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


@pytest.fixture
def world() -> World:
    return World()


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


def test_what_is_served(world: World) -> None:
    both = ("addinterface", "removeinterface")
    vms = {f"{VMS}/{name}" for name in (*both, "start", "stop", "restart", "migrate")}
    assert {str(item) for item in world.handlers} == vms | {f"{VMIS}/{name}" for name in both}


class TestInterfaces:
    async def test_a_request_is_recorded(self, world: World) -> None:
        world.put(vm(primary()))
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        assert world.get()["status"] == {"interfaceRequests": [row()]}
        assert world.api.cached_reads == [VMS, VMIS]
        assert world.api.calls == [("patch", VMS)]

    async def test_one_that_is_pending_costs_one_read(self, world: World) -> None:
        world.put(vm(primary(), status={"interfaceRequests": [row()]}))
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        assert (world.api.cached_reads, world.api.calls) == ([VMS, VMIS], [("get", VMS)])
        world.api.calls.clear()
        for _ in range(2):
            assert await world.ask(ADD_TO_VM, add()) == Accepted()
        assert world.api.calls == [("get", VMS)] * 2, "the first repetition has told that more may follow"

    async def test_what_follows_a_repetition_and_is_none_has_its_vmi_read(self, world: World) -> None:
        world.put(vm(primary(), status={"interfaceRequests": [row()]}), vmi(primary(), nic("red"), owner_uid=VM_UID))
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        world.api.calls.clear()
        answer = await world.ask(ADD_TO_VM, add("red", network="other"))
        assert told(answer)[0] == 409
        assert world.api.calls == [("get", VMS), ("get", VMIS)]
        world.api.calls.clear()
        assert await world.ask(ADD_TO_VM, add("green")) == Accepted()
        assert world.api.calls == [("patch", VMS)]

    async def test_what_is_known_covers_what_is_asked_for_now_and_before(self, world: World) -> None:
        """A network that is not known to exist takes no slot: it would never be refused for want of one."""
        found = vmi(primary(), nic("red"), owner_uid=VM_UID)
        world.put(vm(primary(), status={"interfaceRequests": [row("green", "green-net")]}), found)
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        assert world.known.asked == [{"lan", "green-net", "red-net"}]

    async def test_a_vm_that_is_missing_says_so_whatever_its_instance_says(self, world: World) -> None:
        """Both are read at the same time."""
        world.api.unreadable = {VMIS: Unavailable("no answer")}
        assert told(await world.ask(ADD_TO_VM, add()))[0] == 404
        world.put(vm(primary()))
        code, message = told(await world.ask(ADD_TO_VM, add()))
        assert (code, "no answer" in message) == (500, True)

    @pytest.mark.parametrize(("verb", "body"), [("addinterface", add("red")), ("removeinterface", {"name": "blue"})])
    async def test_without_persist_a_stopped_vm_is_404_and_stays_as_it_is(
        self, world: World, verb: str, body: Json
    ) -> None:
        """Such a request is for the instance, which there is none of."""
        world.put(vm(primary(), nic("blue"), run_strategy="Halted"))
        before = world.get()
        code, message = told(await world.ask(f"{VMIS}/{verb}", body))
        assert (code, message) == (404, f'virtualmachineinstance.kubevirt.io "{NAME}" not found')
        assert world.get() == before
        assert not any(call[0] == "patch" for call in world.api.calls)

    async def test_an_instance_of_no_vm_needs_none(self, world: World) -> None:
        world.put(vmi(primary()))
        world.api.unreadable = {VMS: Unavailable("no answer")}
        assert await world.ask(ADD_TO_VMI, add()) == Accepted()

    async def test_a_crd_that_drops_the_list_loses_no_request_in_silence(self, world: World) -> None:
        """KubeVirt's own of 1.1 and newer."""
        world.put(vm(primary()))
        world.api.drops = "interfaceRequests"
        code, message = told(await world.ask(ADD_TO_VM, add()))
        assert code != 202
        assert "kubectl apply -f crds/" in message

    async def test_of_several_that_wait_together_only_repetitions_are_answered_at_once(self, world: World) -> None:
        world.put(vm(primary(), status={"interfaceRequests": [row()]}))
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        answers = await asyncio.gather(*(world.ask(ADD_TO_VM, add(name)) for name in ("blue", "red", "blue", "green")))
        assert answers == [Accepted()] * 4
        assert world.get()["status"]["interfaceRequests"] == [row(), row("red"), row("green")]

    async def test_an_instance_is_changed_itself(self, world: World) -> None:
        world.put(vmi(primary()))
        assert await world.ask(ADD_TO_VMI, add()) == Accepted()
        spec = world.get(VMIS)["spec"]
        assert spec["networks"][-1] == {"name": "blue", "multus": {"networkName": "lan"}}
        assert spec["domain"]["devices"]["interfaces"][-1] == {"name": "blue", "bridge": {}}
        assert world.api.cached_reads == [VMS, VMIS]
        assert world.api.calls == [("patch", VMIS)]

    async def test_the_vm_of_an_instance_is_read(self, world: World) -> None:
        world.put(vm(primary(), nic("blue", attachment="other")), vmi(primary(), owner_uid=VM_UID))
        answer = await world.ask(ADD_TO_VMI, add())
        assert told(answer)[0] == 409
        assert world.api.calls == [("get", VMS), ("get", VMIS)]

    @pytest.mark.parametrize("path", FOUR)
    async def test_the_gate_comes_before_the_body_and_before_any_read(self, world: World, path: str) -> None:
        world.known.config = None
        text = 'Unable to Add Interface because the "HotplugNICs" feature gate is not enabled.'
        assert told(await world.ask(path, b"{")) == (400, text)
        assert world.has_read_nothing

    async def test_before_anything_is_known_nothing_is_decided(self, world: World) -> None:
        world.known.problem = "not read yet"
        answer = await world.ask(ADD_TO_VM, add())
        assert isinstance(answer, Status)
        assert (answer.code, answer.retry_after_seconds) == (503, 1)
        assert not world.api.calls

    @pytest.mark.parametrize("body", [b"", b"  \n", b"null", b"{}"])
    @pytest.mark.parametrize("path", FOUR)
    async def test_an_empty_body_holds_no_options(self, world: World, path: str, body: bytes) -> None:
        """KubeVirt's "no request body, unable to decode options" is never sent: Go's server hands on an empty one."""
        assert told(await world.ask(path, body)) == (400, MISSING[path.partition("/")[2]])
        assert world.has_read_nothing

    @pytest.mark.parametrize("path", [ADD_TO_VM, ADD_TO_VMI])
    async def test_the_network_is_asked_for_before_the_name(self, world: World, path: str) -> None:
        for body in ({}, {"name": "blue"}):
            assert told(await world.ask(path, body)) == (400, MISSING["addinterface"])
        unnamed = {"networkAttachmentDefinitionName": "lan"}
        assert told(await world.ask(path, unnamed)) == (400, "AddInterfaceOptions requires `name` to be set")
        assert world.has_read_nothing

    @pytest.mark.parametrize("path", FOUR)
    async def test_the_body_comes_before_the_object(self, world: World, path: str) -> None:
        kind = "virtualmachine" if path.startswith(f"{VMS}/") else "virtualmachineinstance"
        assert told(await world.ask(path, add())) == (404, f'{kind}.kubevirt.io "{NAME}" not found')
        assert not world.has_read_nothing

    async def test_yaml(self, world: World) -> None:
        world.put(vm(primary()))
        body = b"networkAttachmentDefinitionName: lan\nname: blue\n"
        assert await world.ask(ADD_TO_VM, body) == Accepted()
        assert world.get()["status"]["interfaceRequests"] == [row()]

    @pytest.mark.parametrize("path", FOUR)
    async def test_what_is_neither_json_nor_yaml(self, world: World, path: str) -> None:
        code, message = told(await world.ask(path, b"{"))
        assert code == 400
        assert message.startswith("cannot unmarshal Request body to struct, error: ")
        assert world.has_read_nothing

    @pytest.mark.parametrize("network", ["a/b/c", "lan\n", "", "/lan"])
    async def test_a_reference_that_is_none(self, world: World, network: str) -> None:
        world.put(vm(primary()))
        answer = await world.ask(ADD_TO_VM, add(network=network))
        assert isinstance(answer, Status)
        assert answer.code in (400, 422)
        assert ("patch", VMS) not in world.api.calls


class TestDetails:
    """Of the Status, as the constructors of apimachinery fill them in."""

    async def test_not_found(self, world: World) -> None:
        answer = await world.ask(ADD_TO_VM, add())
        assert isinstance(answer, Status)
        assert answer.message == f'virtualmachine.kubevirt.io "{NAME}" not found'
        assert answer.details is not None
        assert answer.details.body() == {"name": NAME, "group": "kubevirt.io", "kind": "virtualmachine"}

    async def test_conflict(self, world: World) -> None:
        world.put(vmi(phase="Scheduling"))
        answer = await world.ask(ADD_TO_VMI, add())
        assert isinstance(answer, Status)
        assert (answer.code, answer.reason) == (409, "Conflict")
        assert answer.message.endswith("VMI is not running")
        assert answer.details is not None
        assert answer.details.body()["kind"] == "virtualmachineinstance"

    async def test_a_conflict_says_in_a_word_what_commands_can_tell(self, world: World) -> None:
        world.put(vmi(primary(), absent("blue"), owner_uid=None))
        answer = await world.ask(ADD_TO_VMI, add())
        assert isinstance(answer, Status)
        assert answer.details is not None
        assert answer.details.body()["causes"] == [{"reason": "NicIsBeingUnplugged"}]

    async def test_invalid_names_the_kind(self, world: World) -> None:
        world.put(vm(primary()))
        answer = await world.ask(ADD_TO_VM, add("not a name"))
        assert isinstance(answer, Status)
        assert answer.code == 422
        assert answer.details is not None
        assert answer.details.kind == "VirtualMachine"
        assert answer.details.causes[0].message in answer.message

    async def test_bad_request_has_none(self, world: World) -> None:
        answer = await world.ask(ADD_TO_VM, {})
        assert isinstance(answer, Status)
        assert answer.details is None


def running() -> Json:
    """A VM that has started."""
    return vm(primary(), status={"created": True})


def template_of(world: World) -> list[str]:
    """The networks of the VM's template."""
    return [item["name"] for item in world.get()["spec"]["template"]["spec"]["networks"]]


class TestManyAtOnce:
    async def test_200_requests_for_one_vm_are_each_carried_out_once(self, world: World) -> None:
        world.put(vm(primary()))
        names = [f"nic{number}" for number in range(200)]
        answers = await asyncio.gather(*(world.ask(ADD_TO_VM, add(name)) for name in names))
        assert answers == [Accepted()] * 200
        assert world.get()["status"]["interfaceRequests"] == [row(name) for name in names]
        assert world.api.calls.count(("patch", VMS)) <= 2 + 200 // MOST, "those that wait are written together"
        assert len(world.turns) == 0

    async def test_of_two_that_conflict_the_first_counts(self, world: World) -> None:
        world.put(vm(primary()))
        first, second, third = await asyncio.gather(
            *(world.ask(ADD_TO_VM, add(name, network)) for name, network in [("a", "x"), ("blue", "x"), ("blue", "y")])
        )
        assert (first, second) == (Accepted(), Accepted())
        assert told(third)[0] == 409
        assert world.get()["status"]["interfaceRequests"] == [row("a", "x"), row("blue", "x")]

    async def test_one_that_the_api_server_refuses_takes_no_other_with_it(self, world: World) -> None:
        """A schema or a policy is against one of those that were written together."""
        world.put(vm(primary()))

        def refuse(operations: Any) -> None:
            if "red" in str(operations):
                raise Rejected("no red one", status=422, reason="Invalid")

        world.api.looks_at = refuse
        names = ["first", "blue", "red", "green"]
        answers = await asyncio.gather(*(world.ask(ADD_TO_VM, add(name)) for name in names))
        assert [told(item) for item in answers if item != Accepted()] == [(422, "no red one")]
        rows = world.get()["status"]["interfaceRequests"]
        assert [item["addInterfaceOptions"]["name"] for item in rows] == ["first", "blue", "green"]

    async def test_one_that_is_given_up_leaves_the_others_to_be_answered(self, world: World) -> None:
        world.put(vm(primary()))
        world.api.latency_seconds = 0.01
        asking = [asyncio.create_task(world.ask(ADD_TO_VM, add(f"nic{number}"))) for number in range(6)]
        await world.until(lambda: ("patch", VMS) in world.api.calls)
        # The first has been written; the second takes the others along, and does not come to its end.
        await world.until(lambda: ("get", VMS) in world.api.calls)
        asking[1].cancel()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert [item for item in answers if item != Accepted()] == [answers[1]]
        assert isinstance(answers[1], asyncio.CancelledError)
        assert len(world.turns) == 0

    async def test_200_times_the_same_request_is_one_row(self, world: World) -> None:
        world.put(vm(primary()))
        answers = await asyncio.gather(*(world.ask(ADD_TO_VM, add()) for _ in range(200)))
        assert answers == [Accepted()] * 200
        assert world.get()["status"]["interfaceRequests"] == [row()]

    async def test_200_requests_for_one_running_vm_are_recorded_as_far_as_the_slots_go(self, world: World) -> None:
        world.put(running(), vmi(primary(), rows=[primary_row()], owner_uid=VM_UID))
        names = [f"nic{number}" for number in range(200)]
        answers = await asyncio.gather(*(world.ask(ADD_TO_VM, add(name)) for name in names))
        first, *others = [name for name, answer in zip(names, answers, strict=True) if answer == Accepted()]
        assert template_of(world) == ["default", first], "nobody waited before it"
        assert world.get()["status"]["interfaceRequests"] == [row(name) for name in others]
        assert 1 + len(others) == FREE_SLOTS
        refused = [told(answer) for answer in answers if answer != Accepted()]
        assert {code for code, _ in refused} == {409}
        assert all("PCI slot" in message for _, message in refused)
        assert world.api.calls.count(("patch", VMS)) <= 2, "those that wait are written together"
        assert [item["name"] for item in world.get(VMIS)["spec"]["networks"]] == ["default"]

    async def test_200_times_the_same_request_for_a_running_vm_is_one_nic(self, world: World) -> None:
        world.put(running(), vmi(primary(), rows=[primary_row()], owner_uid=VM_UID))
        assert await asyncio.gather(*(world.ask(ADD_TO_VM, add()) for _ in range(200))) == [Accepted()] * 200
        assert template_of(world) == ["default", "blue"]
        assert "interfaceRequests" not in world.get().get("status", {})
        assert world.api.calls.count(("patch", VMS)) == 1

    async def test_200_requests_for_one_instance_are_carried_out_as_far_as_the_slots_go(self, world: World) -> None:
        world.put(vmi(primary(), rows=[primary_row()]))
        names = [f"nic{number}" for number in range(200)]
        answers = await asyncio.gather(*(world.ask(ADD_TO_VMI, add(name)) for name in names))
        taken = [name for name, answer in zip(names, answers, strict=True) if answer == Accepted()]
        spec = world.get(VMIS)["spec"]
        assert [item["name"] for item in spec["networks"]] == ["default", *taken]
        assert [item["name"] for item in spec["domain"]["devices"]["interfaces"]] == ["default", *taken]
        assert len(taken) == FREE_SLOTS
        refused = [told(answer) for answer in answers if answer != Accepted()]
        assert {code for code, _ in refused} == {409}
        assert all("PCI slot" in message for _, message in refused)
        assert world.api.calls.count(("patch", VMIS)) == len(taken), "one at a time, and none in vain"
        assert len(world.turns) == 0

    async def test_200_times_the_same_request_for_an_instance_changes_it_once(self, world: World) -> None:
        world.put(vmi(primary(), rows=[primary_row()]))
        assert await asyncio.gather(*(world.ask(ADD_TO_VMI, add()) for _ in range(200))) == [Accepted()] * 200
        assert [item["name"] for item in world.get(VMIS)["spec"]["networks"]] == ["default", "blue"]
        assert world.api.calls.count(("patch", VMIS)) == 1

    async def test_requests_for_other_vms_do_not_wait(self, world: World) -> None:
        async with world.turns.turn(ObjectKey("default", "another")):
            world.put(vm(primary()))
            assert await world.ask(ADD_TO_VM, add()) == Accepted()

    async def test_two_replicas(self, world: World) -> None:
        """Each has turns of its own, and both write into the same list."""
        world.put(vm(primary()))
        other = World()
        other.objects, other.api = world.objects, Interrupted(world.objects)
        server = cast(ServerApi, other.api)
        served = Subresources(Objects(server), cast(Knowledge, other.known), other.turns, Requesters(server))
        other.handlers = served.handlers()
        asking = [item.ask(ADD_TO_VM, add(f"nic{number}")) for number in range(3) for item in (world, other)]
        assert await asyncio.gather(*asking) == [Accepted()] * 6
        rows = world.get()["status"]["interfaceRequests"]
        assert sorted(item["addInterfaceOptions"]["name"] for item in rows) == ["nic0", "nic1", "nic2"]


class TestMemoryOfTheApiServer:
    """It may be a moment old: it decides about nothing but a guarded write."""

    @pytest.mark.parametrize("path", [ADD_TO_VM, ADD_TO_VMI])
    @pytest.mark.parametrize(
        "remembered",
        [
            {VMS: None, VMIS: None},
            {
                VMS: vm(primary(), nic("blue", attachment="other")),
                VMIS: vmi(primary(), nic("blue", attachment="other")),
            },
            {VMS: vm(primary(), nic("blue", attachment="lan")), VMIS: vmi(primary(), nic("blue", attachment="lan"))},
            {VMS: vm(primary(), status={"interfaceRequests": [row()]}), VMIS: vmi(primary(), phase="Scheduling")},
            {VMS: vm(primary(), status={"interfaceRequests": [row("red")]}), VMIS: vmi(primary(), nic("red"))},
            {VMS: vm(primary(), uid="former"), VMIS: vmi(primary(), uid="former")},
        ],
        ids=["not yet there", "another network", "there already", "pending, or not running", "other lists", "former"],
    )
    async def test_what_is_so_no_more_changes_no_answer(
        self, world: World, path: str, remembered: dict[str, Json | None]
    ) -> None:
        world.put(running(), vmi(primary(), owner_uid=VM_UID))
        world.api.remembered = remembered
        assert await world.ask(path, add()) == Accepted()
        assert "interfaceRequests" not in world.get().get("status", {})
        given = [item["name"] for item in world.get(VMIS)["spec"]["networks"]]
        both = (template_of(world), given)
        changed = ["default", "blue"]
        assert both == ((changed, ["default"]) if path == ADD_TO_VM else (["default"], changed))

    async def test_requests_that_wait_together_are_decided_on_what_is_so_now(self, world: World) -> None:
        world.put(vm(primary()))
        world.api.latency_seconds = 0.01
        asking = [asyncio.create_task(world.ask(ADD_TO_VM, add(f"nic{number}"))) for number in range(6)]
        assert await asyncio.gather(*asking) == [Accepted()] * 6
        assert world.api.cached_reads == [VMS, VMIS]
        assert world.api.calls.count(("patch", VMS)) == 2


class TestOthersWrite:
    async def test_a_change_in_between_is_decided_on_again(self, world: World) -> None:
        world.put(vm(primary()))
        changes = iter([[row("red")]])

        def change_once() -> None:
            for rows in itertools.islice(changes, 1):
                world.write_status(interfaceRequests=rows)

        world.api.before = change_once
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        assert world.get()["status"]["interfaceRequests"] == [row("red"), row()]

    async def test_a_removal_that_was_recorded_meanwhile_took_the_nic_out_of_the_template_again(
        self, world: World
    ) -> None:
        """It is carried out after what has been written; the addition is recorded behind it."""
        world.put(running(), vmi(primary(), rows=[primary_row()], owner_uid=VM_UID))
        removal = {"removeInterfaceOptions": {"name": "red"}}
        changes = iter([[removal]])

        def change_once() -> None:
            for rows in itertools.islice(changes, 1):
                world.write_status(interfaceRequests=rows)

        world.api.before = change_once
        assert await world.ask(ADD_TO_VM, add("red")) != Accepted(), "the pending removal of that name conflicts"
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        assert template_of(world) == ["default"]
        assert world.get()["status"]["interfaceRequests"] == [removal, row()]

    async def test_one_that_another_has_made_meanwhile_is_not_made_twice(self, world: World) -> None:
        world.put(vm(primary()))
        world.api.before = lambda: world.write_status(interfaceRequests=[row()])
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        assert world.get()["status"]["interfaceRequests"] == [row()]
        assert world.api.calls.count(("patch", VMS)) == 1

    async def test_one_that_conflicts_meanwhile_is_told_so(self, world: World) -> None:
        world.put(vm(primary()))
        world.api.before = lambda: world.write_status(interfaceRequests=[row("blue", "other")])
        assert told(await world.ask(ADD_TO_VM, add()))[0] == 409

    async def test_changes_without_end_end_in_a_conflict(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("nicplug.subresources.attempts._FIRST_PAUSE_SECONDS", 0)
        world.put(vm(primary()))
        count = iter(range(1000))
        world.api.before = lambda: world.write_status(interfaceRequests=[row(f"nic{next(count)}")])
        text = "the object has been modified; please apply your changes to the latest version and try again"
        assert told(await world.ask(ADD_TO_VM, add())) == (409, CONFLICT + text)
        assert world.api.calls.count(("patch", VMS)) == ATTEMPTS

    async def test_a_vm_that_is_deleted_meanwhile(self, world: World) -> None:
        world.put(vm(primary()))
        kind = world.objects.kinds[VMS]

        def delete() -> None:
            stored = world.objects.store.get(kind, ("default", NAME))
            if stored is not None:
                world.objects.store.commit(kind, ("default", NAME), stored.copy(), removed=True)

        world.api.before = delete
        assert told(await world.ask(ADD_TO_VM, add())) == (404, f'virtualmachine.kubevirt.io "{NAME}" not found')


class TestTheApiServerRefuses:
    async def test_a_read(self, world: World) -> None:
        world.api.is_up = False
        message = f"Internal error occurred: unable to retrieve vm [{NAME}]: no answer: the fake is down"
        assert told(await world.ask(ADD_TO_VM, add())) == (500, message)
        assert told(await world.ask(ADD_TO_VMI, add()))[1] == message.replace("vm [", "vmi [")

    @pytest.mark.parametrize(
        ("path", "error", "code", "message"),
        [
            (ADD_TO_VM, Rejected("too long", status=422, reason="Invalid"), 422, "too long"),
            (ADD_TO_VM, Denied("no", status=403, reason="Forbidden"), 500, "unable to patch vm status: no"),
            (ADD_TO_VM, Unavailable("no answer"), 500, "unable to patch vm status: no answer"),
            (ADD_TO_VMI, Rejected("too long", status=422, reason="Invalid"), 422, "too long"),
            (ADD_TO_VMI, Denied("no", status=403, reason="Forbidden"), 403, "no"),
            (ADD_TO_VMI, Unavailable("no answer"), 500, "unable to patch vmi: no answer"),
            (f"{VMS}/start", Denied("no", status=403, reason="Forbidden"), 500, "no"),
        ],
    )
    async def test_a_write(self, world: World, path: str, error: ApiError, code: int, message: str) -> None:
        """What is passed on keeps its reason, by which clients tell errors apart."""
        world.put(vm(primary(), run_strategy="Manual"))
        if path == ADD_TO_VMI:
            world.put(vmi(primary()))
        world.api.refuses = error
        prefix = "Internal error occurred: " if code == 500 else ""
        answer = await world.ask(path, add())
        assert told(answer) == (code, prefix + message)
        assert isinstance(answer, Status)
        assert answer.reason == ("InternalError" if code == 500 else error.reason)

    async def test_a_template_that_could_not_be_patched_was_called_a_status(self, world: World) -> None:
        world.put(running(), vmi(primary(), rows=[primary_row()], owner_uid=VM_UID))
        world.api.refuses = Denied("no", status=403, reason="Forbidden")
        assert told(await world.ask(ADD_TO_VM, add())) == (500, "Internal error occurred: unable to patch vm: no")
        world.api.refuses = None
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        assert template_of(world) == ["default", "blue"]

    async def test_a_write_whose_answer_is_lost_is_made_once(self, world: World) -> None:
        world.put(vm(primary()))
        world.api.loses_answers = True
        assert told(await world.ask(ADD_TO_VM, add()))[0] == 500
        world.api.loses_answers = False
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        assert world.get()["status"]["interfaceRequests"] == [row()]


class TestPower:
    async def test_stop_gives_less_time_first(self, world: World) -> None:
        found = vmi(owner_uid=VM_UID)
        world.put(vm(run_strategy="Always"), found)
        assert await world.ask(f"{VMS}/stop", {"gracePeriod": 0}) == Accepted()
        assert world.api.calls == [("get", VMS), ("get", VMIS), ("patch", VMIS), ("patch", VMS)]
        assert world.get()["spec"]["runStrategy"] == "Halted"
        assert world.get(VMIS)["spec"]["terminationGracePeriodSeconds"] == 0

    async def test_200_restarts_at_once_are_one(self, world: World) -> None:
        found = vmi(owner_uid=VM_UID)
        world.put(vm(run_strategy="Always"), found)
        answers = await asyncio.gather(*(world.ask(f"{VMS}/restart") for _ in range(200)))
        assert answers.count(Accepted()) == 1
        assert {told(item)[0] for item in answers if item != Accepted()} == {409}
        stop = {"action": "Stop", "uid": found["metadata"]["uid"]}
        assert world.get()["status"]["stateChangeRequests"] == [stop, {"action": "Start"}]

    async def test_start_paused(self, world: World) -> None:
        world.put(vm(run_strategy="Manual"))
        assert await world.ask(f"{VMS}/start", {"paused": True}) == Accepted()
        wanted = [{"action": "Start", "data": {"paused": "true"}}]
        assert world.get()["status"]["stateChangeRequests"] == wanted


class TestMigrate:
    async def test_200_at_once_are_one(self, world: World) -> None:
        world.put(vm(), vmi(owner_uid=VM_UID))
        answers = await asyncio.gather(*(world.ask(f"{VMS}/migrate") for _ in range(200)))
        assert answers.count(Accepted()) == 1
        assert {told(item)[0] for item in answers if item != Accepted()} == {409}
        assert len(world.objects.store.items(world.objects.kinds[MIGRATIONS])) == 1

    async def test_one_that_another_replica_has_made_meanwhile_is_in_flight(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both have seen none: the second meets the first by its name, and looks again."""
        world.put(vm(), vmi(owner_uid=VM_UID))
        assert await world.ask(f"{VMS}/migrate") == Accepted()
        listed, looks = Objects.migrations, iter([True])

        async def too_early(objects: Objects, key: ObjectKey) -> Any:
            return [] if next(looks, False) else await listed(objects, key)

        monkeypatch.setattr(Objects, "migrations", too_early)
        code, message = told(await world.ask(f"{VMS}/migrate"))
        assert code == 409
        assert "in-flight migration detected" in message
        assert world.api.calls.count(("create", MIGRATIONS)) == 2

    async def test_one_that_has_ended_does_not_count(self, world: World) -> None:
        world.put(vm(), vmi(owner_uid=VM_UID), migration("Succeeded"))
        assert await world.ask(f"{VMS}/migrate") == Accepted()


class TestRequester:
    """`requireNadAccess`: who asks must have the right to get the network."""

    @pytest.fixture
    def asked(self, world: World, monkeypatch: pytest.MonkeyPatch) -> list[Json]:
        """The reviews; `lan` may be read, and nothing else."""
        reviews: list[Json] = []
        create = world.api.create

        async def review(resource: Any, body: Json, **options: Any) -> Json:
            if resource.plural != "subjectaccessreviews":
                return await create(resource, body, **options)
            reviews.append(body["spec"])
            attributes = body["spec"]["resourceAttributes"]
            return {"status": {"allowed": attributes["name"] == "lan", "denied": attributes["namespace"] == "denied"}}

        monkeypatch.setattr(world.api, "create", review)
        world.known.config = a_config(kubevirt(hotplug={"requireNadAccess": True}))
        world.put(vm(primary()), vmi(primary(), owner_uid=VM_UID))
        return reviews

    async def test_one_that_may_be_read(self, world: World, asked: list[Json]) -> None:
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        [spec] = asked
        assert spec["user"] == "alice"
        assert spec["resourceAttributes"] == {
            "group": "k8s.cni.cncf.io",
            "version": "v1",
            "resource": "network-attachment-definitions",
            "verb": "get",
            "namespace": "default",
            "name": "lan",
        }

    @pytest.mark.parametrize("path", [ADD_TO_VM, ADD_TO_VMI])
    @pytest.mark.parametrize(
        ("caller", "member", "value"),
        [
            (Caller(name="alice", groups=("dev", "ops")), "groups", ["dev", "ops"]),
            (Caller(name="alice", uid="u-1"), "uid", "u-1"),
            (Caller(name="alice", extra=(("scopes", ("a", "b")),)), "extra", {"scopes": ["a", "b"]}),
        ],
        ids=["groups", "uid", "extra"],
    )
    async def test_a_right_that_comes_with_the_group_the_uid_or_the_extra_values_counts(
        self, world: World, asked: list[Json], path: str, caller: Caller, member: str, value: Any
    ) -> None:
        """And so does a refusal of an authorizer that looks at them."""
        assert await world.ask(path, add(), caller=caller) == Accepted()
        [spec] = asked
        assert spec[member] == value

    @pytest.mark.parametrize("network", ["other", "elsewhere/other", "denied/lan"])
    @pytest.mark.parametrize("path", [ADD_TO_VM, ADD_TO_VMI])
    async def test_one_that_may_not(self, world: World, asked: list[Json], path: str, network: str) -> None:
        code, message = told(await world.ask(path, add(network=network)))
        assert code == 403
        assert 'user "alice" may not get network attachment definition' in message
        assert world.api.calls == [], "nothing has been looked at"

    async def test_a_name_that_is_none_is_told_so(self, world: World, asked: list[Json]) -> None:
        assert told(await world.ask(ADD_TO_VM, add(network="a/b/c")))[0] == 422
        assert not asked

    async def test_a_removal_needs_no_such_right(self, world: World, asked: list[Json]) -> None:
        assert await world.ask(REMOVE_FROM_VM, {"name": "blue"}) == Accepted()
        assert not asked

    async def test_nobody_is_asked_where_nothing_is_demanded(self, world: World, asked: list[Json]) -> None:
        world.known.config = a_config(kubevirt())
        assert await world.ask(ADD_TO_VM, add(network="other")) == Accepted()
        assert not asked

    async def test_without_an_answer_nobody_may(
        self, world: World, asked: list[Json], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(*_: Any, **__: Any) -> Json:
            raise Denied("no", status=403)

        monkeypatch.setattr(world.api, "create", fail)
        assert told(await world.ask(ADD_TO_VM, add()))[0] == 500
        assert ("patch", VMS) not in world.api.calls


class TestLarge:
    """Members that are too large to be kept are written as they are (docs/adr/0018)."""

    async def test_a_long_list_of_requests_grows_by_one(self, world: World) -> None:
        rows = [row(f"nic{number}", "x" * 200) for number in range(600)]
        world.put(vm(primary(), status={"interfaceRequests": rows}))
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        assert world.get()["status"]["interfaceRequests"] == [*rows, row()]


def test_the_played_knowledge_has_what_the_real_one_has() -> None:
    assert {"config", "problem", "known"} <= set(dir(Knowledge))
    assert replace(Known(), problem="x").problem == "x"
