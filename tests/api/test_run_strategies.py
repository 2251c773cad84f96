"""Run strategies and requests against the running operator: what it sends, and in which order."""

from typing import Any

from tests.api import objects
from tests.api.objects import Json
from tests.api.world import VM, VMI, World

START: Json = {"action": "Start"}
PATIENT = 5.0


def _vm(strategy: str) -> Json:
    body = objects.vm("a")
    body["spec"]["runStrategy"] = strategy
    return body


def _ask(world: World, *requests: Any) -> None:
    """What the subresources write."""

    def change(body: Json) -> None:
        status = body.setdefault("status", {})
        status["stateChangeRequests"] = [*(status.get("stateChangeRequests") or []), *requests]

    world.server.modify(VM, "a", change, status=True)


def _stop(world: World) -> Json:
    return {"action": "Stop", "uid": _uid(world)}


def _uid(world: World) -> str:
    found = world.server.get(VMI, "a")
    return str(found["metadata"]["uid"]) if found else ""


def _status(world: World) -> Json:
    status: Json = world.get(VM, "a").get("status", {})
    return status


async def _up(world: World) -> None:
    await world.until(lambda: world.has_pod("a"))
    world.run_pod("a")
    await world.until(lambda: world.phase("a") == "Scheduled")
    world.run_guest("a")
    await world.until(lambda: _status(world).get("printableStatus") == "Running")


def _end_guest(world: World, phase: str) -> None:
    def change(body: Json) -> None:
        body["status"]["phase"] = phase
        times = body["status"].setdefault("phaseTransitionTimestamps", [])
        times.append({"phase": "Running", "phaseTransitionTimestamp": "2026-01-01T00:00:00Z"})

    world.server.modify(VMI, "a", change, status=True)


async def test_manual_starts_restarts_and_stops_on_request(world: World) -> None:
    await world.operator()
    world.server.create(VM, _vm("Manual"))
    await world.until(lambda: _status(world).get("printableStatus") == "Stopped")
    assert world.server.items(VMI) == []
    _ask(world, START)
    await _up(world)
    first = _uid(world)
    assert not _status(world).get("stateChangeRequests")
    _ask(world, _stop(world), START)
    await world.until(lambda: _uid(world) not in ("", first))
    await _up(world)
    _ask(world, _stop(world))
    await world.until(lambda: _status(world).get("printableStatus") == "Stopped")
    await world.until(lambda: not _status(world).get("stateChangeRequests"))
    assert world.server.items(VMI) == []


async def test_a_restart_of_a_vm_that_always_runs_is_one_deletion_and_one_start(world: World) -> None:
    await world.operator(report_delay_seconds=PATIENT)
    name = await world.running(objects.vm("a"))
    first = _uid(world)
    await world.quiet()
    _ask(world, _stop(world), START)
    await world.until(lambda: _uid(world) not in ("", first))
    await _up(world)
    await world.until(lambda: not _status(world).get("stateChangeRequests"))
    lines = [line for line in world.written() if line.split()[1] in (VMI, "controllerrevisions")]
    assert lines.count(f"delete {VMI} {name} 200") == 1
    assert lines.count(f"create {VMI} {name} 201") == 1
    assert not [line for line in lines if "controllerrevisions" in line], "the revision of this generation is there"


async def test_a_halted_vm_that_is_asked_to_start_runs_from_then_on(world: World) -> None:
    await world.operator()
    world.server.create(VM, _vm("Halted"))
    await world.until(lambda: _status(world).get("printableStatus") == "Stopped")
    _ask(world, {**START, "data": {"paused": "true"}})
    await world.until(lambda: world.has_pod("a"))
    assert world.get(VM, "a")["spec"]["runStrategy"] == "Always"
    assert world.get(VMI, "a")["spec"]["startStrategy"] == "Paused"


async def test_once_is_once_even_when_its_vmi_is_deleted(world: World) -> None:
    await world.operator()
    world.server.create(VM, _vm("Once"))
    await world.until(lambda: world.has_pod("a"))
    world.server.delete(VMI, "a")
    await world.until(lambda: world.server.get(VMI, "a") is None)
    await world.until(lambda: _status(world).get("printableStatus") == "Stopped")
    await world.at_rest()
    assert world.server.items(VMI) == []


async def test_rerun_on_failure_writes_the_start_down_before_the_failed_vmi_goes(world: World) -> None:
    operator = await world.operator()
    world.server.create(VM, _vm("RerunOnFailure"))
    await _up(world)
    first = _uid(world)
    await world.quiet()
    deleted = world.server.fail(status=500, verb="delete", resource=VMI, times=1000)
    _end_guest(world, "Failed")
    await world.until(lambda: deleted.times < 1000)
    assert [request["action"] for request in _status(world)["stateChangeRequests"]] == ["Start"]
    await world.stop(operator)
    world.server.heal()
    await world.operator()
    await world.until(lambda: _uid(world) not in ("", first))
    await _up(world)
    await world.until(lambda: not _status(world).get("stateChangeRequests"))


async def test_rerun_on_failure_leaves_a_guest_that_ended_well(world: World) -> None:
    await world.operator()
    world.server.create(VM, _vm("RerunOnFailure"))
    await _up(world)
    _end_guest(world, "Succeeded")
    await world.until(lambda: _status(world).get("printableStatus") == "Stopped")
    await world.at_rest()
    assert world.server.items(VMI) == []


async def test_another_run_strategy_does_not_leave_the_vmi_behind(world: World) -> None:
    await world.operator(report_delay_seconds=0.05)
    name = await world.running(objects.vm("a"))
    await world.quiet()
    world.server.modify(VM, name, lambda body: body["spec"].update(runStrategy="RerunOnFailure"))
    await world.until(lambda: _status(world).get("observedGeneration") == 2)
    assert _status(world)["desiredGeneration"] == 2
    revision = world.get(VMI, name)["status"]["virtualMachineRevisionName"]
    assert revision.endswith("-1"), "it outlives the bump"
    assert world.written() == [f"patch {VMI} {name} 200", f"patch {VM}/status {name} 200"]


async def test_requests_that_are_none_are_dropped_and_stop_nothing(world: World) -> None:
    await world.operator()
    name = await world.running(objects.vm("a"))
    first = _uid(world)
    _ask(world, {"action": "Stop"}, {"action": "Dance"}, {}, {"action": "Stop", "uid": "another"})
    await world.until(lambda: not _status(world).get("stateChangeRequests"))
    assert (_uid(world), _status(world)["printableStatus"]) == (first, "Running"), name
