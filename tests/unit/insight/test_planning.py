"""What is said of several changes at once, and of changes beside requests that wait."""

from typing import Any

import pytest
from tests.build import NOW, VM_UID, kubevirt, nad, nic, operation, primary, row, vm, vmi

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.insight.evidence import Evidence, Target
from nicplug.insight.outcome import Outcome, VmForecast
from nicplug.insight.planning import NothingToChange, foresee_question, weigh
from nicplug.insight.question import Addition, PlanQuestion

Json = dict[str, Any]


def evidence(*nics: Any, slots: int | None = None, **status: Any) -> Evidence:
    """A running VM with these NICs beside the primary one, all of them in its guest."""
    found_rows = [row("default", "domain"), *(row(item["name"], "domain", "multus-status") for item, _ in nics)]
    running = vmi(primary(), *nics, rows=found_rows, owner_uid=VM_UID)
    running["status"]["machine"] = {"type": "q35"}
    if slots is not None:
        running["status"]["pciBudget"] = {"total": slots}
        running["status"]["interfaceOperations"] = [
            operation(item["name"], phase="Ready", reason="Attached") for item, _ in nics
        ]
    caches = Caches(clock=lambda: NOW)
    caches.observe(CachedKind.KUBEVIRT, kubevirt())
    caches.attachments.replace([caches.attachments.project(nad(name)) for name in ("lan", "other")])
    target = Target(namespace="default", name="vmi-fedora")
    found = Evidence(target=target, caches=caches, clock=lambda: NOW, asked=None)
    found.put(CachedKind.VM, vm(primary(), *nics, status=status))
    found.put(CachedKind.VMI, running)
    return found


def question(*, add: str = "", remove: str = "", persist: bool = False) -> PlanQuestion:
    pairs = [item.split("=") for item in add.split()]
    additions = tuple(Addition(name=name, network=network) for name, network in pairs)
    return PlanQuestion(additions=additions, removals=tuple(remove.split()), persist=persist)


def plan(found: Evidence, asked: PlanQuestion) -> VmForecast:
    return foresee_question(found, asked, forbidden={}, now=NOW)


def accepted(found: Evidence, asked: PlanQuestion) -> tuple[list[str], list[str]]:
    weighed = weigh(found, asked)
    return [request.name for request in weighed.accepted], list(weighed.refusals)


NIC = nic("red", attachment="lan")


@pytest.mark.parametrize("persist", [False, True])
@pytest.mark.parametrize(
    ("add", "remove", "expected", "refusal"),
    [
        ("e=lan e=other", "", ["e"], "default/lan"),
        ("e=lan e=lan", "", ["e", "e"], ""),
        ("e=a/b/c", "", [], '"a/b/c" is not a name'),
    ],
    ids=["another network", "the same twice", "no reference"],
)
def test_the_second_change_was_dropped_unmentioned(
    add: str, remove: str, expected: list[str], refusal: str, persist: bool
) -> None:
    names, refusals = accepted(evidence(NIC), question(add=add, remove=remove, persist=persist))
    assert names == expected
    assert len(refusals) == bool(refusal)
    if refusal and not persist:
        assert refusal in refusals[0]


def test_unplug_and_plug_of_one_name_was_planned_as_an_unplug() -> None:
    asked = question(remove="red", add="red=lan", persist=True)
    names, [refusal] = accepted(evidence(NIC), asked)
    assert (names, "existing remove request" in refusal) == (["red"], True)
    assert not plan(evidence(NIC), asked).arrives


def test_more_nics_than_the_guest_can_have_were_promised_for_a_restart() -> None:
    nics = [nic(name, attachment="lan") for name in ("a", "b", "c", "d")]
    names = [f"n{number}=lan" for number in range(5)]
    found = evidence(*nics, slots=5)
    fitting, refusals = accepted(found, question(add=" ".join(names)))
    assert len(fitting) + len(refusals) == 5
    assert fitting
    assert refusals
    assert all("no free PCI slot" in refusal for refusal in refusals)


def test_removing_what_does_not_exist_was_planned() -> None:
    with pytest.raises(NothingToChange, match='has no NIC "nothere"') as caught:
        weigh(evidence(NIC), question(remove="nothere"))
    assert caught.value.remedy == "It has: default, red."


def test_removing_what_is_only_requested_is_refused_as_the_api_does() -> None:
    request = {"addInterfaceOptions": {"name": "w1", "networkAttachmentDefinitionName": "lan"}}
    names, [refusal] = accepted(evidence(NIC, interfaceRequests=[request]), question(remove="w1", persist=True))
    assert (names, "there is an existing add request" in refusal) == ([], True)


def test_a_refused_change_showed_waiting_nics_as_its_own() -> None:
    request = {"addInterfaceOptions": {"name": "w1", "networkAttachmentDefinitionName": "lan"}}
    found = evidence(NIC, interfaceRequests=[request])
    told = plan(found, question(add="red=other", persist=True))
    assert told.refusals
    assert [(item.name, item.is_affected) for item in told.nics] == [("w1", False)]


def test_a_request_that_waits_counted_as_the_doing_of_the_change_and_was_told_first() -> None:
    request = {"addInterfaceOptions": {"name": "w1", "networkAttachmentDefinitionName": "lan"}}
    found = evidence(NIC, interfaceRequests=[request])
    told = plan(found, question(add="k=other", persist=True))
    assert [(item.name, item.is_affected) for item in told.nics] == [("k", True), ("w1", False)]


def test_a_nic_that_is_asked_for_again_was_told_among_the_others() -> None:
    waiting = [{"addInterfaceOptions": {"name": name, "networkAttachmentDefinitionName": "lan"}} for name in ("w", "x")]
    told = plan(evidence(NIC, interfaceRequests=waiting), question(add="k=other x=lan", persist=True))
    assert [(item.name, item.is_affected) for item in told.nics] == [("k", True), ("x", True), ("w", False)]


def test_a_nic_beyond_the_certain_slots_was_promised_without_a_word() -> None:
    nics = [nic(name, attachment="lan") for name in ("a", "b", "c", "d")]
    told = plan(evidence(*nics, slots=5), question(add="e=lan"))
    [e] = told.nics
    assert "only 5 PCI slots for NICs are certain, and this NIC needs one more" in e.message
    [free] = plan(evidence(*nics, slots=6), question(add="e=lan")).nics
    assert "certain" not in free.message


def test_an_unplug_left_the_slots_as_they_were() -> None:
    nics = [nic(name, attachment="lan") for name in ("a", "b")]
    told = plan(evidence(*nics, slots=8), question(remove="a", persist=True))
    [a] = told.nics
    assert a.outcome in (Outcome.IN_PLACE, Outcome.BY_MIGRATION)
    assert told.slots_before is not None
    assert told.slots_after is not None
    assert (told.slots_before.used, told.slots_after.used) == (3, 2)
    assert told.slots_after.free == told.slots_before.free + 1


@pytest.mark.parametrize("persist", [False, True])
def test_the_removal_of_an_sriov_nic_that_never_attached_was_planned_as_a_state_that_admission_refuses(
    persist: bool,
) -> None:
    fast = nic("fast", binding="sriov", attachment="lan")
    found = evidence(NIC)
    if persist:
        found.put(CachedKind.VM, vm(primary(), NIC, fast))
    there = [row("default", "domain"), row("red", "domain", "multus-status")]
    found.put(CachedKind.VMI, vmi(primary(), NIC, fast, rows=there, owner_uid=VM_UID if persist else None))
    change = weigh(found, question(remove="fast", persist=persist)).change()
    assert change is not None
    values = [operation["value"] for operation in change[0] if operation["op"] == "add"]
    assert [[item["name"] for item in value] for value in values] == [["default", "red"]] * 2
    assert plan(found, question(remove="fast", persist=persist)).arrives


def test_a_recorded_removal_that_fails_takes_nothing_out_of_the_plan() -> None:
    """The VM controller ends it with the condition Failure: the guest has the NIC, and cannot let it go."""
    fast = nic("fast", binding="sriov", attachment="lan")
    found = evidence(NIC)
    rows = [row(name, "domain", "multus-status") for name in ("default", "red", "fast")]
    found.put(CachedKind.VMI, vmi(primary(), NIC, fast, rows=rows, owner_uid=VM_UID))
    recorded = {"interfaceRequests": [{"removeInterfaceOptions": {"name": "fast"}}]}
    found.put(CachedKind.VM, vm(primary(), NIC, fast, status=recorded))
    change = weigh(found, question(add="blue=lan", persist=True)).change()
    assert change is not None
    names = [item["name"] for item in change[1]["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"]]
    assert names == ["default", "red", "fast", "blue"]
