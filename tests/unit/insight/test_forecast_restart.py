"""A plan for a VM that is about to be restarted, or that a restart takes something from."""

import copy
from typing import Any

import pytest
from tests.build import NOW, VM_UID, VMI_UID, Json, kubevirt, nad, nic, operation, primary, revision, row, vm, vmi

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.insight.evidence import Evidence, Target
from nicplug.insight.forecast import forecast
from nicplug.insight.forecast_json import forecast_json
from nicplug.insight.outcome import Outcome, VmForecast
from nicplug.insight.planning import foresee_question
from nicplug.insight.question import Addition, PlanQuestion, WholeSpec

RESTART = {"stateChangeRequests": [{"action": "Stop", "uid": VMI_UID}, {"action": "Start"}]}
RED = nic("red", attachment="lan")


def evidence(*nics: Any, template: Json, operations: Any = (), **hotplug: Any) -> Evidence:
    """A VM that runs with these NICs in its guest."""
    caches = Caches(clock=lambda: NOW)
    caches.observe(CachedKind.KUBEVIRT, kubevirt(hotplug=hotplug))
    caches.attachments.replace([caches.attachments.project(nad(name)) for name in ("lan", "other")])
    target = Target(namespace="default", name="vmi-fedora")
    found = Evidence(target=target, caches=caches, clock=lambda: NOW, asked=None)
    rows = [row(item["name"], "domain", *([] if "pod" in network else ["multus-status"])) for item, network in nics]
    running = vmi(*nics, rows=rows, owner_uid=VM_UID, operations=operations)
    running["status"]["virtualMachineRevisionName"] = revision(template)["metadata"]["name"]
    found.put(CachedKind.VM, template)
    found.put(CachedKind.VMI, running)
    caches.observe(CachedKind.REVISION, revision(template))
    return found


def plan(found: Evidence, *additions: str) -> VmForecast:
    pairs = tuple(Addition(name=name, network=network) for name, _, network in (i.partition("=") for i in additions))
    return foresee_question(found, PlanQuestion(additions=pairs, persist=True), forbidden={}, now=NOW)


def test_a_plan_while_a_restart_is_pending_promised_to_plug_into_the_guest_that_ends() -> None:
    template = vm(primary(), RED, status=RESTART)
    told = plan(evidence(primary(), RED, template=template), "blue=other").by_name
    assert (told["blue"].outcome, told["blue"].is_affected) == (Outcome.AT_START, True)
    assert told["blue"].message == "the guest is about to stop; the next one starts with this NIC"
    assert (told["red"].outcome, told["red"].is_affected) == (Outcome.AT_START, False)


def test_a_request_beside_a_pending_restart_comes_with_the_next_guest() -> None:
    asked = {"interfaceRequests": [{"addInterfaceOptions": {"name": "w", "networkAttachmentDefinitionName": "lan"}}]}
    template = vm(primary(), RED, status=RESTART | asked)
    for told in (
        forecast(evidence(primary(), RED, template=template), changed=None, now=NOW),
        plan(evidence(primary(), RED, template=template), "blue=other"),
    ):
        assert told.by_name["w"].outcome is Outcome.AT_START
        assert told.arrives


def test_what_leaves_the_template_while_a_restart_is_pending_leaves_with_it() -> None:
    found = evidence(primary(), RED, template=vm(primary(), RED, status=RESTART))
    told = forecast(found, changed=vm(primary(), status=RESTART), now=NOW)
    red = told.by_name["red"]
    assert (red.operation, red.outcome, red.message) == (
        "Unplug",
        Outcome.AT_START,
        "removed from the template; the VM starts without it",
    )


def test_a_nic_that_comes_by_itself_was_said_to_need_a_restart_for_another_one() -> None:
    """A template without NICs is given the pod network, and one that a manifest gives a single other NIC is not."""
    spec = vm(nic("n1", attachment="lan"))["spec"]["template"]["spec"]
    lists = WholeSpec(interfaces=tuple(spec["domain"]["devices"]["interfaces"]), networks=tuple(spec["networks"]))
    question = PlanQuestion(persist=True, spec=lists)
    told = foresee_question(evidence(primary(), template=vm()), question, forbidden={}, now=NOW)
    assert told.by_name["n1"].outcome is Outcome.IN_PLACE
    default = told.by_name["default"]
    assert (default.operation, default.outcome, default.is_side_effect) == ("Unplug", Outcome.NEEDS_RESTART, True)
    assert default.message.startswith("the next restart removes it from the guest")
    assert default.remedy == "To keep it, add it and its network (pod: {}) to the template"
    assert told.arrives


def test_a_request_for_a_nic_keeps_the_one_that_the_template_does_not_list() -> None:
    told = plan(evidence(primary(), template=vm()), "n1=lan")
    assert [(item.name, item.outcome) for item in told.nics] == [("n1", Outcome.IN_PLACE)]


BLOCKED = operation("red", phase="Blocked", path="None", reason="NetworkAttachmentDefinitionMissing")
MISSING = nic("red", attachment="nowhere")


@pytest.mark.parametrize("how", ["--add", "-f"])
def test_a_plan_for_a_nic_that_is_blocked_already_said_that_it_arrives(how: str) -> None:
    found = evidence(primary(), template=vm(primary(), MISSING))
    running = vmi(primary(), MISSING, rows=[row("default", "domain")], operations=[BLOCKED], owner_uid=VM_UID)
    found.put(CachedKind.VMI, running)
    question = PlanQuestion(additions=(Addition(name="red", network="nowhere"),), persist=True)
    if how == "-f":
        spec = vm(primary(), MISSING)["spec"]["template"]["spec"]
        lists = WholeSpec(interfaces=tuple(spec["domain"]["devices"]["interfaces"]), networks=tuple(spec["networks"]))
        question = PlanQuestion(persist=True, spec=lists)
    told = foresee_question(found, question, forbidden={}, now=NOW)
    assert (told.by_name["red"].outcome, told.arrives) == (Outcome.STUCK, False)


def test_a_nic_that_is_blocked_already_keeps_no_other_one_from_arriving() -> None:
    found = evidence(primary(), template=vm(primary(), MISSING))
    running = vmi(primary(), MISSING, rows=[row("default", "domain")], operations=[BLOCKED], owner_uid=VM_UID)
    found.put(CachedKind.VMI, running)
    assert plan(found, "blue=lan").arrives


def test_a_plan_called_the_policy_the_default_that_the_admin_had_set() -> None:
    found = evidence(primary(), template=vm(primary()), nadPolicy="SameNamespace", sharedNamespaces=["nets", "default"])
    told = forecast_json(forecast(found, changed=None, now=NOW), unknown=[])
    path = "spec.configuration.network.hotplug"
    rows = {row["name"]: (row["value"], row["origin"]) for row in told["policy"]}
    assert rows["nadPolicy"] == ("SameNamespace", f"{path}.nadPolicy of KubeVirt CR kubevirt/kubevirt")
    assert rows["sharedNamespaces"] == (
        "nets, default",
        f"{path}.sharedNamespaces of KubeVirt CR kubevirt/kubevirt",
    )
    assert rows["requireNadAccess"] == ("false", "the default")


def test_a_stop_without_a_start_is_no_reason_to_touch_the_guest_either() -> None:
    template = copy.deepcopy(vm(primary(), RED, run_strategy="Halted"))
    told = plan(evidence(primary(), RED, template=template), "blue=other")
    assert told.by_name["blue"].outcome is Outcome.AT_START
