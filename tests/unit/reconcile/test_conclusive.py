"""Which reports need no second pass."""

import asyncio
import contextlib
from typing import Any

import pytest
from tests.build import NAME, NAMESPACE, NOW, Json, migration, primary, vm, vmi

from nicplug.cache.caches import CachedKind, Caches
from nicplug.model.frozen_json import freeze
from nicplug.model.keys import MigrationKey, VmiKey, VmKey, WorkKey
from nicplug.plan.actions import Action, Kind, PatchAnnotations, PatchStatus
from nicplug.reconcile.conclusive import find_report
from nicplug.reconcile.intake import Intake
from nicplug.reconcile.queue import WorkQueue

VM, VMI, MIGRATION = VmKey(NAMESPACE, NAME), VmiKey(NAMESPACE, NAME), MigrationKey(NAMESPACE, "m")
WAITING = [{"type": "InterfacesReady", "status": "False", "reason": "Waiting"}]
READY = [{"type": "InterfacesReady", "status": "True", "reason": "AllInterfacesReady"}]
ROWS = [{"name": "default", "infoSource": "domain"}]


def instance(*, status: Json | None = None, **changes: Any) -> Json:
    raw = vmi(primary(), rows=ROWS, conditions=WAITING, **changes)
    return {**raw, "status": {**raw["status"], **(status or {})}}


def machine(**changes: Any) -> Json:
    status = {"ready": True, "conditions": WAITING, **changes.pop("status", {})}
    return vm(primary(), **{"status": status, **changes})


def report(kind: Kind, **wanted: Any) -> PatchStatus:
    key: VmKey | VmiKey = VM if kind is Kind.VM else VMI
    return PatchStatus(kind=kind, key=key, uid="u", seen=freeze({}), wanted=freeze(wanted))


def concludes(
    action: Action, *, by: WorkKey, answer: tuple[CachedKind, Json], also: tuple[CachedKind, Json] | None = None
) -> bool:
    """Whether the pass that sent the action needs no other one after the answer."""
    caches = Caches(clock=lambda: NOW)
    caches.observe(CachedKind.VM, machine(version=1))
    caches.observe(CachedKind.VMI, instance(version=1))
    if also is not None:
        caches.observe(*also)
    found = find_report(action, by=by, caches=caches)
    caches.observe(*answer)
    return found is not None and found.is_conclusive(caches)


@pytest.mark.parametrize(
    ("expected", "answer"),
    [
        (True, instance(version=2, status={"conditions": READY})),
        (False, instance(version=2, status={"conditions": READY, "interfaces": [*ROWS, {"name": "blue"}]})),
        (False, instance(version=2, status={"conditions": READY, "guestOSInfo": {"id": "fedora"}})),
        (False, instance(version=2, status={"conditions": READY}, generation=2)),
        (False, instance(version=2, status={"conditions": READY}, labels={"moved": "yes"})),
        (False, instance(version=2, status={"conditions": READY}, deleting=True)),
    ],
    ids=["nothing else", "a row", "the guest's", "the spec", "a label", "its deletion"],
)
def test_what_else_changed_with_the_report(expected: bool, answer: Json) -> None:
    action = report(Kind.VMI, conditions=READY)
    assert concludes(action, by=VMI, answer=(CachedKind.VMI, answer)) is expected


def test_a_nic_that_is_not_ready_may_lead_to_a_next_step() -> None:
    action = report(Kind.VMI, interfaceOperations=[{"name": "blue"}])
    answer = instance(version=2, status={"interfaceOperations": [{"name": "blue"}]})
    assert not concludes(action, by=VMI, answer=(CachedKind.VMI, answer))


def test_a_member_that_the_report_removes_is_gone() -> None:
    action = report(Kind.VMI, conditions=READY, interfaces=None)
    answer = vmi(primary(), conditions=READY, version=2)
    assert concludes(action, by=VMI, answer=(CachedKind.VMI, answer))


def test_a_guest_that_moves_is_looked_at_again() -> None:
    action = report(Kind.VMI, conditions=READY)
    answer = instance(version=2, status={"conditions": READY})
    moves = (CachedKind.MIGRATION, migration(name="m", phase="Running"))
    assert not concludes(action, by=VMI, answer=(CachedKind.VMI, answer), also=moves)


@pytest.mark.parametrize(
    ("expected", "wanted"),
    [(True, {}), (False, {"ready": False}), (False, {"interfaceRequests": None})],
    ids=["a copy", "readiness", "a request that ends"],
)
def test_a_vm_that_only_repeats_what_its_instance_says(expected: bool, wanted: Json) -> None:
    action = report(Kind.VM, conditions=READY, **wanted)
    answer = machine(version=2, status={"conditions": READY} | {key: value for key, value in wanted.items() if value})
    assert concludes(action, by=VM, answer=(CachedKind.VM, answer)) is expected


@pytest.mark.parametrize(
    ("action", "by"),
    [
        (report(Kind.VMI, conditions=READY), MIGRATION),
        (report(Kind.VMI, conditions=READY), VM),
        (PatchAnnotations(kind=Kind.VMI, key=VMI, uid="u", seen=freeze({}), wanted=freeze({"a": "b"})), VMI),
    ],
    ids=["by a migration", "by its VM", "no report"],
)
def test_only_the_reports_of_an_objects_own_pass(action: Action, by: WorkKey) -> None:
    answer = instance(version=2, status={"conditions": READY})
    assert not concludes(action, by=by, answer=(CachedKind.VMI, answer))


@pytest.mark.looptime
@pytest.mark.parametrize(("is_conclusive", "due"), [(True, {VM}), (False, {VM, VMI})])
async def test_the_neighbours_look_all_the_same(is_conclusive: bool, due: set[WorkKey]) -> None:
    queue: WorkQueue[WorkKey] = WorkQueue()
    Intake(caches=Caches(clock=lambda: NOW), queue=queue).answered([VMI, VM], by=VMI, is_conclusive=is_conclusive)
    keys = set()
    with contextlib.suppress(TimeoutError):
        while True:
            keys.add(await asyncio.wait_for(queue.get(), timeout=60))
    assert keys == due
