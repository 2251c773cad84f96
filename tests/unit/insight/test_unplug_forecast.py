"""The plan of an unplug goes on to the pass in which the NIC is out of its pod's networks annotation."""

from typing import Any

import pytest
from tests.build import NODE, NOW, absent, element, kubevirt, nad, nic, pod, primary, row, vmi

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.insight.evidence import Evidence, Target
from nicplug.insight.forecast import forecast
from nicplug.insight.outcome import NicForecast, Outcome

Json = dict[str, Any]
NICS = (primary(), nic("red"))
GUEST_HAS_IT = (row("default", "domain"), row("red", "domain", "multus-status"))
POD_HAS_IT = (row("default", "domain"),)


def evidence(*, rows: tuple[Json, ...], definitions: tuple[str, ...]) -> Evidence:
    """A VMI that belongs to no VM, with the NIC red in its pod."""
    caches = Caches(clock=lambda: NOW)
    caches.observe(CachedKind.KUBEVIRT, kubevirt())
    caches.attachments.replace([caches.attachments.project(nad(name)) for name in definitions])
    target = Target(namespace="default", name="vmi-fedora")
    found = Evidence(target=target, caches=caches, clock=lambda: NOW, asked=None)
    found.put(CachedKind.VMI, vmi(*NICS, rows=list(rows), node=NODE))
    caches.observe(CachedKind.POD, pod(networks=[element("red")], attached=["red"]))
    return found


def told_of_red(found: Evidence, *more: Any) -> NicForecast:
    assert found.vmi is not None
    changed = vmi(primary(), absent("red"), *more, rows=found.vmi["status"]["interfaces"], node=NODE)
    return forecast(found, changed=changed, now=NOW).by_name["red"]


@pytest.mark.parametrize("rows", [GUEST_HAS_IT, POD_HAS_IT], ids=["in the guest", "in the pod alone"])
def test_an_unplug_whose_definition_is_gone_was_said_to_be_in_place(rows: tuple[Json, ...]) -> None:
    red = told_of_red(evidence(rows=rows, definitions=()))
    assert (red.outcome, red.path, red.phase, red.reason) == (
        Outcome.STUCK,
        "Dynamic",
        "Blocked",
        "NetworkAttachmentDefinitionMissing",
    )
    turn = "once the guest has let the NIC go: " if rows is GUEST_HAS_IT else ""
    assert red.message.startswith(f"{turn}pod ")
    assert red.remedy
    assert red.otherwise is None


def test_an_unplug_that_waits_for_a_plug_is_seen_to_its_end() -> None:
    """The two never travel together, and the removal waits for the addition to arrive."""
    red = told_of_red(evidence(rows=GUEST_HAS_IT, definitions=("blue-net",)), nic("blue"))
    assert (red.outcome, red.reason) == (Outcome.STUCK, "NetworkAttachmentDefinitionMissing")


@pytest.mark.parametrize("rows", [GUEST_HAS_IT, POD_HAS_IT], ids=["in the guest", "in the pod alone"])
def test_an_unplug_whose_definition_is_there_is_in_place(rows: tuple[Json, ...]) -> None:
    red = told_of_red(evidence(rows=rows, definitions=("red-net",)))
    assert (red.outcome, red.path) == (Outcome.IN_PLACE, "Dynamic")
    assert red.reason == ("WaitingForGuestRelease" if rows is GUEST_HAS_IT else "WaitingForPodRelease")


def test_the_evidence_is_as_it_was_after_the_question() -> None:
    found = evidence(rows=GUEST_HAS_IT, definitions=())
    told_of_red(found)
    assert found.vmi is not None
    assert tuple(found.vmi["status"]["interfaces"]) == GUEST_HAS_IT
    assert "interfaceOperations" not in found.vmi["status"]
