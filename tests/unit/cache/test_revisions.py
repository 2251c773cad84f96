"""Whose revision is whose, and which one a VMI was started from."""

from typing import Any

import pytest
from tests.build import NAME, NAMESPACE, NOW, VM_UID, Json, a_vm, a_vmi, nic, revision, vm, vmi

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.model.keys import VmKey
from nicplug.model.revision import name_of_start_revision

OWN: dict[str, Any] = {"owner_uid": VM_UID}
OF_1 = revision(vm(generation=1))
OF_2 = revision(vm(nic("blue"), generation=2))


def _caches(*revisions: Json) -> Caches:
    caches = Caches(clock=lambda: NOW)
    for raw in revisions:
        caches.observe(CachedKind.REVISION, raw)
    return caches


def _started(annotation: str | None = None, *, reported: str = "", **members: Any) -> Json:
    annotations = {"kubevirt.io/vm-generation": annotation} if annotation is not None else None
    raw = vmi(annotations=annotations, **members)
    raw["status"] |= {"virtualMachineRevisionName": reported} if reported else {}
    return raw


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (_started("2", **OWN), f"revision-start-vm-{VM_UID}-2"),
        (_started("9", reported=f"revision-start-vm-{VM_UID}-2", **OWN), f"revision-start-vm-{VM_UID}-2"),
        (_started(**OWN), ""),
        (_started("two", **OWN), ""),
        (_started("-2", **OWN), ""),
        (_started("9" * 5000, **OWN), ""),
        (_started("\u0663", **OWN), ""),
        (_started("2"), ""),
    ],
    ids=[
        "by its annotation",
        "by its status, when the annotation has moved on",
        "no annotation",
        "text for a generation",
        "a negative generation",
        "a very long generation",
        "digits of another script",
        "a bare VMI",
    ],
)
def test_the_revision_that_a_vmi_was_started_from(raw: Json, wanted: str) -> None:
    assert name_of_start_revision(a_vmi(raw)) == wanted


@pytest.mark.parametrize(
    ("found", "is_known"),
    [
        ([OF_1, OF_2], True),
        ([OF_1], False),
        ([revision(vm(generation=2), owner_uid="somebody else")], False),
        ([revision(vm(generation=2), ownerReferences=[])], False),
    ],
    ids=["it exists", "only another generation's", "of that name, somebody else's", "of that name, nobody's"],
)
def test_only_a_revision_of_the_vms_own_counts(found: list[Json], is_known: bool) -> None:
    known = _caches(*found).revisions.start_of(a_vmi(_started("2", **OWN)))
    assert (known is not None) == is_known


def test_the_template_of_then_compares_with_that_of_now() -> None:
    caches = _caches(OF_2)
    known = caches.revisions.start_of(a_vmi(_started("2", **OWN)))
    assert known is not None
    assert known.template == a_vm(vm(nic("blue"), generation=5)).template
    assert known.template != a_vm(vm(nic("red"), generation=5)).template


def test_an_event_has_its_vm_looked_at() -> None:
    caches = _caches()
    assert caches.observe(CachedKind.REVISION, OF_1) == [VmKey(NAMESPACE, NAME)]
    assert caches.forget(CachedKind.REVISION, OF_1) == [VmKey(NAMESPACE, NAME)]
    assert caches.revisions.of(a_vm(vm())) == ()


def test_one_that_changed_hands_is_no_longer_the_vms() -> None:
    caches = _caches(revision(vm(), version=1), revision(vm(), version=2, owner_uid="somebody else"))
    assert caches.revisions.of(a_vm(vm())) == ()
