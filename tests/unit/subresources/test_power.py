"""What is read and written for start, stop, restart and migrate."""

import asyncio
from typing import Any

import pytest
from tests.build import (
    VM_UID,
    migration,
    vm,
    vmi,
)
from tests.unit.subresources.handling import (
    MIGRATIONS,
    VMIS,
    VMS,
    World,
    told,
)

from nicplug.apiserver.calls import Accepted
from nicplug.model.keys import ObjectKey
from nicplug.subresources.objects import Objects


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
