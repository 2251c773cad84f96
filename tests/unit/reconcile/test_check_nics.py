"""The look at a VMI before its pod loses an element: a large one is read, since a patch of it is dear."""

from collections.abc import Callable

import pytest
from tests.build import Json, nic, primary, primary_row, vmi_spec
from tests.sim.cluster import VMIS
from tests.unit.reconcile.bench import NAME, VMI, Bench

from nicplug.elided import STORED_BYTES
from nicplug.kube.errors import ApiError, Gone, Stale
from nicplug.plan.actions import CheckNics, check_nics

LARGE = 1_300_000


def _world(*, stored_bytes: int, status: Json | None) -> tuple[Bench, CheckNics]:
    bench = Bench()
    bench.cluster.create(VMIS, {"metadata": {"name": NAME}, "spec": vmi_spec([primary(), nic("blue")])}, by="user")
    body = (bench.cluster.get(VMIS, NAME) or {}) | {STORED_BYTES: stored_bytes}
    bench.cluster.replace(VMIS, NAME, body, by="user")
    if status is not None:
        bench.cluster.replace(VMIS, NAME, body | {"status": status}, by="node", subresource="status")
    bench.hear()
    record = bench.caches.vmis.get(VMI)
    assert record is not None
    return bench, check_nics(record)


STATUSES: list[Json | None] = [None, {"phase": "Running"}, {"phase": "Running", "interfaces": [primary_row()]}]


@pytest.mark.parametrize("status", STATUSES, ids=["no status", "no rows", "rows"])
async def test_what_has_not_changed_is_read_where_it_is_large_and_patched_where_not(status: Json | None) -> None:
    for stored_bytes, writes in ((LARGE, []), (0, [("patch", VMIS)])):
        bench, check = _world(stored_bytes=stored_bytes, status=status)
        await bench.reconciler.executor.execute(check, by=VMI)
        assert bench.api.writes == writes


def _asks_for_another(bench: Bench) -> None:
    body = bench.cluster.get(VMIS, NAME)
    assert body is not None
    body["spec"] = vmi_spec([primary(), nic("blue"), nic("red")])
    bench.cluster.replace(VMIS, NAME, body, by="user")


def _guest_has_another(bench: Bench) -> None:
    body = bench.cluster.get(VMIS, NAME)
    assert body is not None
    body["status"] = {"phase": "Running", "interfaces": [primary_row(), {"name": "blue", "infoSource": "domain"}]}
    bench.cluster.replace(VMIS, NAME, body, by="node", subresource="status")


def _is_another(bench: Bench) -> None:
    body = bench.cluster.get(VMIS, NAME)
    assert body is not None
    bench.cluster.delete(VMIS, NAME, by="user")
    made = bench.cluster.create(VMIS, {"metadata": {"name": NAME}, "spec": body["spec"]}, by="user")
    bench.cluster.replace(VMIS, NAME, made | {"status": body["status"]}, by="node", subresource="status")


@pytest.mark.parametrize("change", [_asks_for_another, _guest_has_another, _is_another], ids=lambda one: one.__name__)
async def test_what_has_changed_since_is_stale_and_heard_of_at_once(change: Callable[[Bench], None]) -> None:
    bench, check = _world(stored_bytes=LARGE, status={"phase": "Running", "interfaces": [primary_row()]})
    before = bench.caches.vmis.get(VMI)
    change(bench)
    with pytest.raises(Stale):
        await bench.reconciler.executor.execute(check, by=VMI)
    assert bench.caches.vmis.get(VMI) != before
    assert bench.dirty


@pytest.mark.parametrize("stored_bytes", [LARGE, 0])
async def test_a_first_status_without_rows_makes_it_stale_read_or_patched(stored_bytes: int) -> None:
    bench, check = _world(stored_bytes=stored_bytes, status=None)
    body = bench.cluster.get(VMIS, NAME)
    assert body is not None
    bench.cluster.replace(VMIS, NAME, body | {"status": {"phase": "Running"}}, by="node", subresource="status")
    with pytest.raises(ApiError):
        await bench.reconciler.executor.execute(check, by=VMI)


async def test_another_report_does_not_matter() -> None:
    bench, check = _world(stored_bytes=LARGE, status={"phase": "Running", "interfaces": [primary_row()]})
    body = bench.cluster.get(VMIS, NAME)
    assert body is not None
    body["status"]["guestOSInfo"] = {"name": "Fedora"}
    bench.cluster.replace(VMIS, NAME, body, by="node", subresource="status")
    await bench.reconciler.executor.execute(check, by=VMI)


async def test_one_that_is_gone_is_forgotten() -> None:
    bench, check = _world(stored_bytes=LARGE, status={"phase": "Running"})
    bench.cluster.delete(VMIS, NAME, by="user")
    with pytest.raises(Gone):
        await bench.reconciler.executor.execute(check, by=VMI)
    assert bench.caches.vmis.get(VMI) is None
