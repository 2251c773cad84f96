"""A bug in a planner, an unknown error, somebody who undoes what we do: told, counted, slowed down, survived."""

import asyncio
import threading
from typing import Any

import pytest
from tests.api import objects
from tests.api.objects import NETWORKS, Json
from tests.api.operator_thread import eventually
from tests.api.world import POD, VM, VMI, World
from tests.manifests import pod_interface

from nicplug.app import App
from nicplug.plan.vmi.plan_vmi import plan_vmi
from nicplug.reconcile import reconciler


async def test_a_planner_that_raises_is_counted_and_the_other_objects_are_served(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    is_mended = threading.Event()

    def fails_for_bad(view: Any, **options: Any) -> Any:
        if view.vmi.key.name == "bad" and not is_mended.is_set():
            raise ZeroDivisionError("a bug")
        return plan_vmi(view, **options)

    monkeypatch.setattr(reconciler, "plan_vmi", fails_for_bad)
    # One worker: it would be missed.
    operator = await world.operator(workers=1)
    world.server.create(VMI, objects.vmi("bad"))
    await eventually(lambda: operator.sample("nicplug_bugs_total") == 1)
    await world.running(objects.vmi("good"))
    assert operator.sample("nicplug_reconcile_total", kind="vmi", outcome="Bug") >= 1  # type: ignore[operator]
    assert "ZeroDivisionError" in capsys.readouterr().out
    is_mended.set()
    await world.until(lambda: world.has_pod("bad"))


async def test_an_object_that_no_user_could_have_meant_is_no_bug(world: World) -> None:
    operator = await world.operator()
    body = objects.vmi("a")
    body["spec"]["domain"]["devices"]["interfaces"] = [{"name": "x" * 80, "bridge": {}}, {"name": "main", "bridge": {}}]
    body["spec"]["networks"] = [{"name": "x" * 80}, {"name": "main", "multus": {"networkName": "//"}}]
    world.server.create(VMI, body)
    await world.until(lambda: world.has_pod("a"))
    await world.running(objects.vmi("good"))
    assert operator.sample("nicplug_bugs_total") == 0


async def test_somebody_who_undoes_every_write_is_not_fought_at_full_speed(world: World) -> None:
    await world.operator()
    name = await world.running(objects.vmi("a"))
    world.plug(VMI, name, "blue")
    pod = world.pod_of(name)["metadata"]["name"]

    def undo(body: Json) -> None:
        body["metadata"]["annotations"].pop(NETWORKS, None)

    async def adversary() -> None:
        while True:
            await world.until(lambda: objects.requested(world.pod_of(name)))
            world.server.modify(POD, pod, undo)

    opponent = asyncio.create_task(adversary())
    await asyncio.sleep(1.5)
    opponent.cancel()
    fought = len(world.server.writes(POD))
    assert fought <= 10, f"{fought} writes in 1.5 s"
    # Whoever it was has given up: the NIC gets there.
    await world.until(lambda: objects.requested(world.pod_of(name)) == [pod_interface("blue")])


async def test_a_part_that_fails_ends_the_operator_with_an_error(world: World) -> None:
    """A process without its workers is better started anew, and its exit code must say so."""

    is_at_work = threading.Event()

    async def fail(*, count: int) -> None:
        await asyncio.to_thread(is_at_work.wait, 20)
        raise OSError(f"{count} workers are too many")

    def break_workers(app: App) -> None:
        class Broken:
            run = staticmethod(fail)

        app._workers = Broken()  # type: ignore[assignment]

    operator = await world.operator(prepare=break_workers)
    is_at_work.set()
    await eventually(lambda: operator.has_ended)
    assert operator.error is not None
    assert "workers are too many" in str(operator.error)


async def test_a_vm_is_not_lost_when_its_name_is_reused_at_once(world: World) -> None:
    await world.operator()
    await world.running(objects.vm("a"))
    old = world.get(VM, "a")["metadata"]["uid"]
    world.server.modify(VM, "a", lambda body: body["metadata"].update(finalizers=[]))
    world.server.delete(VM, "a")
    world.server.create(VM, objects.vm("a"))
    await world.until(lambda: _owner_of(world, "a") not in ("", old))
    await world.until(lambda: world.has_pod("a"))


def _owner_of(world: World, name: str) -> str:
    vmi = world.server.get(VMI, name)
    return vmi["metadata"]["ownerReferences"][0]["uid"] if vmi else ""
