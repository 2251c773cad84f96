"""From watch lines to keys."""

import asyncio
import contextlib

import pytest
from structlog.testing import capture_logs
from tests.build import NAME, NAMESPACE, NOW, nic, pod, primary, vm, vmi

from nicplug.cache import caches
from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.model.keys import AttachmentKey, VmiKey, VmKey, WorkKey
from nicplug.reconcile.intake import Intake
from nicplug.reconcile.queue import WorkQueue

pytestmark = pytest.mark.looptime
VM, VMI = VmKey(NAMESPACE, NAME), VmiKey(NAMESPACE, NAME)


@pytest.fixture
async def intake() -> Intake:
    queue: WorkQueue[WorkKey] = WorkQueue()
    return Intake(caches=Caches(clock=lambda: NOW), queue=queue)


async def _all_work(intake: Intake) -> list[WorkKey]:
    """Every key that is handed out from now on, in order, however long it is held back."""
    keys: list[WorkKey] = []
    with contextlib.suppress(TimeoutError):
        while True:
            keys.append(await asyncio.wait_for(intake.queue.get(), timeout=60))
            intake.queue.done(keys[-1])
    return keys


async def test_a_change_makes_the_object_and_its_neighbour_look(intake: Intake) -> None:
    intake.hear(CachedKind.VM, {"type": "ADDED", "object": vm()})
    assert await _all_work(intake) == [VM, VMI]


async def test_a_list_waits_behind_what_happens_now(intake: Intake) -> None:
    """After a broken watch the changes that happen now do not wait behind everything that exists."""
    intake.expect_no_more_lists()
    intake.hear_listed("VirtualMachine", vm())
    intake.hear(CachedKind.POD, {"type": "ADDED", "object": pod(owner_name="other")})
    keys = await _all_work(intake)
    assert keys[0] == VmiKey(NAMESPACE, "other")
    assert set(keys) == {VM, VMI, VmiKey(NAMESPACE, "other")}


@pytest.mark.parametrize(("sharing", "live_is_first"), [(64, False), (65, True)])
async def test_a_nad_that_very_many_vms_share_keeps_nobody_waiting(
    intake: Intake, sharing: int, live_is_first: bool
) -> None:
    for number in range(sharing):
        raw = vmi(primary(), nic("blue"), name=f"vmi-{number}", uid=f"u-{number}")
        intake.hear(CachedKind.VMI, {"type": "ADDED", "object": raw})
    await _all_work(intake)
    intake.attachments_changed([AttachmentKey(NAMESPACE, "blue-net")])
    intake.hear(CachedKind.POD, {"type": "ADDED", "object": pod(owner_name="other")})
    keys = await _all_work(intake)
    assert len(keys) == sharing + 1
    assert (keys[0] == VmiKey(NAMESPACE, "other")) is live_is_first


async def test_a_deletion_makes_its_neighbours_look(intake: Intake) -> None:
    intake.hear(CachedKind.POD, {"type": "ADDED", "object": pod()})
    assert await intake.queue.get() == VMI
    intake.queue.done(VMI)
    intake.hear(CachedKind.POD, {"type": "DELETED", "object": pod()})
    assert await intake.queue.get() == VMI
    assert len(intake.caches.launchers.store) == 0


async def test_a_line_that_changes_nothing_is_no_work(intake: Intake) -> None:
    intake.hear(CachedKind.VMI, {"type": "ADDED", "object": vmi(version=1)})
    assert set(await _all_work(intake)) == {VM, VMI}
    intake.hear(CachedKind.VMI, {"type": "MODIFIED", "object": vmi(version=2)})
    assert await _all_work(intake) == []


async def test_a_list_after_the_start_means_that_a_watch_was_broken(intake: Intake) -> None:
    intake.hear_listed("VirtualMachine", vm())
    assert not intake.relisted.is_set()
    intake.expect_no_more_lists()
    intake.hear(CachedKind.VM, {"type": "MODIFIED", "object": vm(version=11)})
    assert not intake.relisted.is_set()
    intake.hear_listed("VirtualMachine", vm(version=11))
    assert intake.relisted.is_set()


@pytest.mark.parametrize(("reported", "comes_first"), [(None, False), (1, True), (2, False)])
async def test_what_was_asked_for_while_no_operator_ran_comes_first(
    intake: Intake, reported: int | None, comes_first: bool
) -> None:
    """Somebody has been waiting for it; of an object without a report nobody knows."""
    conditions = [{"type": "InterfacesReady", "status": "True", "observedGeneration": reported}] if reported else []
    intake.hear_listed("VirtualMachine", vm(name="b", uid="b"))
    intake.hear_listed("VirtualMachine", vm(generation=2, status={"conditions": conditions}))
    intake.enqueue_all()
    assert ((await _all_work(intake))[0] == VM) is comes_first


async def test_a_new_leader_looks_at_everything_behind_what_happens_now(intake: Intake) -> None:
    intake.caches.observe(CachedKind.VM, vm())
    intake.caches.observe(CachedKind.VMI, vmi(name="b", uid="b"))
    intake.enqueue_all()
    intake.enqueue([VMI])
    keys = await _all_work(intake)
    assert keys[0] == VMI
    assert set(keys) == {VM, VMI, VmiKey(NAMESPACE, "b")}


async def test_an_object_that_cannot_be_parsed_is_reported_and_known_and_blocks_no_other(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caches would never have been complete: one tenant's object kept everybody from being served."""
    bugs: list[int] = []
    intake.on_bug = lambda: bugs.append(1)
    intake.hear(CachedKind.VMI, {"type": "ADDED", "object": vmi(version=1)})
    monkeypatch.setattr(caches, "parse_vmi", lambda _: 1 / 0)
    with capture_logs() as lines:
        intake.hear(CachedKind.VMI, {"type": "MODIFIED", "object": vmi(version=2)})
        intake.hear(CachedKind.VMI, {"type": "MODIFIED", "object": vmi(version=2)})
    assert [line["object"] for line in lines] == [f"{NAMESPACE}/{NAME}"]
    assert bugs == [1]
    uid = vmi()["metadata"]["uid"]
    assert intake.caches.vmis.version_of(uid) == 2
    assert intake.caches.vmis.get(VMI) is not None
    monkeypatch.undo()
    intake.hear(CachedKind.VMI, {"type": "MODIFIED", "object": vmi(version=3)})
    assert intake.caches.vmis.version_of(uid) == 3
