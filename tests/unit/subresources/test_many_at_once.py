"""What several requests for one VM cost, and what is answered from the API server's memory."""

import asyncio
from typing import Any, cast

import pytest
from tests.build import (
    VM_UID,
    Json,
    nic,
    primary,
    primary_row,
    vm,
    vmi,
)
from tests.unit.subresources.handling import (
    ADD_TO_VM,
    ADD_TO_VMI,
    FREE_SLOTS,
    VMIS,
    VMS,
    Interrupted,
    World,
    add,
    row,
    running,
    template_of,
    told,
)

from nicplug.apiserver.calls import Accepted
from nicplug.kube.api import ServerApi
from nicplug.kube.errors import Rejected
from nicplug.model.keys import ObjectKey
from nicplug.subresources.handlers import Subresources
from nicplug.subresources.knowledge import Knowledge
from nicplug.subresources.objects import Objects
from nicplug.subresources.requester import Requesters
from nicplug.subresources.together import MOST


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
