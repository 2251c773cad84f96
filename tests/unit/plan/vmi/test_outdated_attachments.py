"""A network attachment definition that is changed under the NICs that were attached by it: shown, and nothing done."""

import json
from typing import Any

import pytest
from tests.build import (
    CONTROLLER,
    NOW,
    POD_UID,
    Json,
    a_vmi,
    element,
    known_attachments,
    later,
    nad,
    nic,
    operation,
    pod,
    primary,
    primary_row,
    row,
    vmi,
    vmi_view,
)

from nicplug.model.attachments import Attached, attached_at_birth, parse_attached
from nicplug.model.conditions import find_condition
from nicplug.model.frozen_json import thaw
from nicplug.model.nad_policy import AttachmentAccess
from nicplug.model.operations import parse_operations
from nicplug.plan.actions import Create, PatchStatus
from nicplug.plan.outcome import Plan
from nicplug.plan.views import PlanSettings
from nicplug.plan.vmi.launcher_pod import create_launcher_pod
from nicplug.plan.vmi.plan_vmi import plan_vmi

BEFORE = nad("blue-net")
CHANGED = nad("blue-net", config='{"type": "macvlan"}')
RECREATED = {**BEFORE, "metadata": {**BEFORE["metadata"], "uid": "another"}}
(KNOWN,) = known_attachments([BEFORE]).definitions.values()
PLUGGED = row("blue", "domain", "multus-status")
OWN_ONLY = AttachmentAccess(shared=frozenset(), rule="nadPolicy SameNamespace (the default)")


def born(**annotations: str) -> Json:
    """A pod that was made with the NIC."""
    body = create_launcher_pod(
        vmi=a_vmi(vmi(primary(), nic("blue"))), settings=PlanSettings(), attachments=known_attachments([BEFORE])
    ).body
    attached = thaw(body)["metadata"]["annotations"]["nicplug.io/network-attachments"]
    launcher = pod(networks=[element("blue")], attached=["blue"])
    launcher["metadata"]["annotations"] |= {"nicplug.io/network-attachments": attached, **annotations}
    return launcher


def plan(*nads: Json, launcher: Json | None = None, operations: Any = (), **view: Any) -> Plan:
    raw = vmi(primary(), nic("blue"), rows=[primary_row(), PLUGGED], operations=list(operations))
    view = {"report_pending_since": later(-9), "controller": CONTROLLER, **view}
    return plan_vmi(vmi_view(raw, launcher or born(), nads=list(nads), **view), now=NOW)


def written(found: Plan) -> Json:
    (status,) = [action for action in found.actions if isinstance(action, PatchStatus)]
    return {item["path"]: item.get("value") for item in status.json_patch() or () if item["op"] != "test"}


def condition(found: Plan) -> Json:
    rows = written(found)["/status/conditions"]
    return dict(find_condition(rows, "OutdatedNetworkAttachments") or {})


@pytest.mark.parametrize(
    ("now", "says"),
    [
        pytest.param(CHANGED, "was changed since pod", id="changed"),
        pytest.param(RECREATED, "was deleted and created again since pod", id="recreated"),
    ],
)
def test_a_definition_that_is_not_what_it_was_is_shown_and_announced_once(now: Json, says: str) -> None:
    found = plan(now)
    reported = condition(found)
    assert (reported["status"], reported["reason"]) == ("True", "NetworkAttachmentDefinitionChanged")
    assert reported["message"].startswith(f'NIC "blue": network attachment definition default/blue-net {says}')
    assert [event.message for event in found.announcements] == [reported["message"]]


@pytest.mark.parametrize(
    ("edit", "now", "is_news"),
    [
        pytest.param({"message": "x"}, CHANGED, False, id="reworded"),
        pytest.param({"reason": "NetworkNotAllowed"}, CHANGED, True, id="another reason"),
        pytest.param({"interfaces": [{"name": "red"}]}, CHANGED, True, id="another NIC"),
        pytest.param({}, RECREATED, True, id="another definition"),
    ],
)
def test_whether_it_is_news_is_not_read_from_the_message(edit: Json, now: Json, *, is_news: bool) -> None:
    reported = {**condition(plan(CHANGED)), **edit}
    reported = {name: value for name, value in reported.items() if value is not None}
    raw = vmi(primary(), nic("blue"), rows=[primary_row(), PLUGGED], conditions=[reported])
    view = vmi_view(raw, born(), nads=[now], report_pending_since=later(-9), controller=CONTROLLER)
    assert bool(plan_vmi(view, now=NOW).announcements) is is_news


@pytest.mark.parametrize(
    "nads",
    [
        pytest.param([BEFORE], id="as it was"),
        pytest.param([], id="deleted: the NIC goes on"),
        pytest.param([nad("blue-net", version=99)], id="touched only"),
    ],
)
def test_else_nothing_is_said(nads: list[Json]) -> None:
    assert condition(plan(*nads)) == {}


def test_interfaces_ready_stays_true() -> None:
    ready = find_condition(written(plan(CHANGED))["/status/conditions"], "InterfacesReady")
    assert ready is not None
    assert ready["status"] == "True"


def test_what_was_plugged_into_the_pod_is_compared_with_its_record() -> None:
    then = Attached(uid=KNOWN.uid, config_hash=KNOWN.digest, pod=POD_UID).to_row()
    ready = operation("blue", phase="Ready", reason="Attached", attachment=then)
    unborn = pod(networks=[element("blue")], attached=["blue"])
    assert condition(plan(CHANGED, launcher=unborn, operations=[ready]))["status"] == "True"
    assert condition(plan(BEFORE, launcher=unborn, operations=[ready])) == {}


@pytest.mark.parametrize("type_", ["ChangeNetwork", "Unplug"])
def test_a_change_of_mind_about_a_nic_hid_what_became_of_its_definition(type_: str) -> None:
    """Another network and back, or its entries deleted and written again: the record of how it came was lost."""
    then = Attached(uid=KNOWN.uid, config_hash=KNOWN.digest, pod=POD_UID).to_row()
    unborn = pod(networks=[element("blue")], attached=["blue"])
    other = operation("blue", type_=type_, path="None", phase="Blocked", reason="EntryDeleted", attachment=then)
    found = plan(BEFORE, launcher=unborn, operations=[other])
    (row,) = written(found)["/status/interfaceOperations"]
    assert (row["operation"], row["path"], row["phase"], row["attachment"]) == ("Plug", "Dynamic", "Ready", then)
    assert (found.announcements, found.measures) == ((), ()), "it has not come a second time"
    assert condition(plan(CHANGED, launcher=unborn, operations=[row]))["status"] == "True"


def test_what_was_attached_to_an_earlier_pod_is_no_record_of_this_one() -> None:
    then = Attached(uid=KNOWN.uid, config_hash=KNOWN.digest, pod="the pod before").to_row()
    other = operation("blue", type_="ChangeNetwork", path="None", phase="Blocked", reason="x", attachment=then)
    assert written(plan(BEFORE, operations=[other]))["/status/interfaceOperations"] == []


def test_after_a_migration_the_pod_knows_better_than_the_record_of_an_earlier_one() -> None:
    then = Attached(uid="long gone", config_hash="0", pod="the pod before").to_row()
    ready = operation("blue", phase="Ready", reason="Attached", attachment=then)
    assert condition(plan(BEFORE, operations=[ready])) == {}


def test_a_network_that_the_spec_has_changed_since_is_no_drift() -> None:
    launcher = born()
    launcher["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"] = json.dumps(
        [element("blue", attachment="old-net")]
    )
    assert condition(plan(CHANGED, launcher=launcher)) == {}


def test_of_a_pod_that_does_not_say_nothing_is_concluded() -> None:
    assert condition(plan(CHANGED, launcher=pod(networks=[element("blue")], attached=["blue"]))) == {}


def test_a_network_that_the_guest_has_and_may_not_use_any_more_is_shown_whether_it_exists_or_not() -> None:
    raw = vmi(primary(), nic("blue", attachment="victim/secret"), rows=[primary_row(), PLUGGED])
    launcher = pod(networks=[element("blue", namespace="victim", attachment="secret")], attached=["blue"])
    plans = [
        plan_vmi(vmi_view(raw, launcher, nads=nads, access=OWN_ONLY, report_pending_since=later(-9)), now=NOW)
        for nads in ([], [nad("secret", namespace="victim")])
    ]
    assert plans[0] == plans[1]
    reported = condition(plans[0])
    assert reported["reason"] == "NetworkNotAllowed"
    assert reported["message"].startswith(
        'NIC "blue" is in the guest and stays there, but no new pod gets it: namespace'
    )


def test_it_goes_with_what_it_tells_of() -> None:
    raw = vmi(primary(), nic("blue"), rows=[primary_row(), PLUGGED])
    raw["status"]["conditions"] = written(plan(CHANGED))["/status/conditions"]
    after = plan_vmi(vmi_view(raw, born(), nads=[BEFORE], report_pending_since=later(-9)), now=NOW)
    assert condition(after) == {}
    again = plan_vmi(vmi_view(raw, born(), nads=[CHANGED], controller=CONTROLLER), now=NOW)
    assert (again.actions, again.announcements) == ((), ())


class TestKept:
    """What is kept of a definition, and when."""

    def record(self, found: Plan) -> Any:
        return parse_operations(written(found)["/status/interfaceOperations"])["blue"].attached

    def plug(self, *nads: Json, rows: list[Json] | None = None, operations: Any = (), attached: Any = ()) -> Plan:
        raw = vmi(primary(), nic("blue"), rows=[primary_row(), *(rows or [])], operations=list(operations))
        launcher = pod(networks=[element("blue")], attached=attached)
        view = vmi_view(raw, launcher, nads=list(nads), controller=CONTROLLER, report_pending_since=later(-9))
        return plan_vmi(view, now=NOW)

    def test_a_nic_s_record_keeps_what_it_is_attached_by(self) -> None:
        assert self.record(self.plug(BEFORE)) == Attached(uid=KNOWN.uid, config_hash=KNOWN.digest, pod=POD_UID)

    def test_also_where_its_first_record_comes_with_the_go_ahead(self) -> None:
        assert self.record(self.plug(BEFORE, attached=["blue"])) is not None

    def test_what_the_pod_has_keeps_it_when_the_definition_changes(self) -> None:
        then = Attached(uid=KNOWN.uid, config_hash=KNOWN.digest, pod=POD_UID)
        old = operation("blue", phase="InPod", reason="WaitingForGuest", attachment=then.to_row())
        found = self.plug(CHANGED, rows=[PLUGGED], operations=[old], attached=["blue"])
        assert self.record(found) == then

    def test_a_record_of_before_stays_as_it_is(self) -> None:
        """After an upgrade no VM is written to for it."""
        ready = operation(
            "blue",
            phase="Ready",
            reason="Attached",
            message="network blue-net is in the guest through pod virt-launcher-vmi-fedora-abcde",
        )
        found = self.plug(BEFORE, rows=[PLUGGED], operations=[ready], attached=["blue"])
        assert "attachment" not in json.dumps(
            [action.json_patch() for action in found.actions if isinstance(action, PatchStatus)]
        )

    def test_a_new_pod_says_by_which_definitions_it_was_made(self) -> None:
        raw = vmi(primary(), nic("blue"), nic("red"), phase="")
        (create,) = plan_vmi(vmi_view(raw, nads=[BEFORE]), now=later(9)).actions
        assert isinstance(create, Create)
        annotation = thaw(create.body)["metadata"]["annotations"]["nicplug.io/network-attachments"]
        assert attached_at_birth(annotation) == {"blue": Attached(uid=KNOWN.uid, config_hash=KNOWN.digest)}

    def test_a_vmi_s_annotation_does_not_speak_for_its_pod(self) -> None:
        raw = vmi(primary(), phase="", annotations={"nicplug.io/network-attachments": '{"blue":"x/y"}'})
        (create,) = plan_vmi(vmi_view(raw, nads=[]), now=later(9)).actions
        assert isinstance(create, Create)
        assert "nicplug.io/network-attachments" not in thaw(create.body)["metadata"]["annotations"]


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"blue": 7}', '{"blue": "x"}', '{"blue": "/y"}', "[" * 100_000])
def test_an_annotation_that_cannot_be_read_says_nothing(text: str) -> None:
    assert attached_at_birth(text) == {}


@pytest.mark.parametrize("value", [None, "x", [], {"uid": "x"}, {"uid": 7, "configHash": "y"}])
def test_a_record_that_does_not_say_says_nothing(value: Any) -> None:
    assert parse_attached(value) is None
