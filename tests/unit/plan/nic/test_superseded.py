"""A NIC that was corrected while its pod was being asked for it: the guest gets what the spec asks for by then."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from tests.build import (
    CONTROLLER,
    NOW,
    POD_INTERFACES,
    VM_UID,
    Json,
    absent,
    element,
    failed,
    known_attachments,
    later,
    migration_state,
    nad,
    nic,
    operation,
    pod,
    primary,
    primary_row,
    render,
    row,
    vm,
    vm_view,
    vmi,
    vmi_view,
)

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.frozen_json import thaw
from nicplug.model.hotplug_policy import HotplugPolicy, MigrationPolicy
from nicplug.plan.actions import CheckNics, PatchInterfaces, PatchNetworksAnnotation, PatchStatus
from nicplug.plan.outcome import Plan
from nicplug.plan.vm.plan_vm import plan_vm
from nicplug.plan.vmi.plan_vmi import plan_vmi

OLD, NEW = "02:00:00:00:00:01", "02:00:00:00:00:02"
NOT_DEPLOYED = DynamicController(state=ControllerState.NOT_DEPLOYED)
ASKED = element("blue", mac=OLD)


def asked(*, ago: float = 0.1, generation: int = 1) -> Json:
    """The pod was asked for NIC blue so many seconds ago, for a spec of that generation."""
    return operation("blue", since=later(-ago), lastAttemptTime=later(-ago), observedGeneration=generation, attempts=1)


def plan(
    *,
    networks: Sequence[Json] = (ASKED,),
    listed: Sequence[Json] = (),
    records: Sequence[Json] = (),
    mac: str = NEW,
    attachment: str | None = None,
    rows: Sequence[Json] = (),
    phase: str = "Running",
    annotations: dict[str, str] | None = None,
    moved: datetime | None = None,
    **view: Any,
) -> Plan:
    """A VMI whose NIC blue was corrected: its spec is of generation 2.

    Args:
        moved: when a migration to its present pod ended; None: it has never moved.
    """
    state = (
        migration_state(source=pod(), target=pod(), completed=True, endTimestamp=f"{moved:%FT%TZ}") if moved else None
    )
    raw = vmi(
        primary(),
        nic("blue", mac=mac, attachment=attachment),
        rows=[primary_row(), *rows],
        operations=records,
        generation=2,
        phase=phase,
        annotations=annotations,
        moving=state,
    )
    status = json.dumps([{"name": "cluster", "interface": "eth0", "default": True}, *listed])
    facts = {"controller": CONTROLLER, "report_pending_since": later(-60), "spec_seen_at": later(-0.05), **view}
    known = facts.pop("attachments", None)
    made = vmi_view(raw, pod(networks=networks, status_text=status), **facts)
    return plan_vmi(made if known is None else replace(made, attachments=known), now=NOW)


def entry(*, network: str = "blue-net", mac: str = OLD) -> Json:
    return {"name": f"default/{network}", "interface": POD_INTERFACES["blue"], "mac": mac}


def annotation(planned: Plan) -> str | None:
    """The text that is to be written."""
    return next((item.wanted for item in planned.actions if isinstance(item, PatchNetworksAnnotation)), None)


def status_patch(planned: Plan) -> PatchStatus | None:
    return next((item for item in planned.actions if isinstance(item, PatchStatus)), None)


def is_given(planned: Plan) -> bool:
    """The node agent is told to plug it."""
    patch = status_patch(planned)
    rows = (thaw(patch.wanted).get("interfaces") or []) if patch is not None else []
    return any(item["name"] == "blue" and "multus-status" in item.get("infoSource", "") for item in rows)


class TestUnderWay:
    """The controller compares network and interface name alone: a rewritten element would never be acted on."""

    def test_an_element_was_rewritten_while_the_controller_attached_the_old_one(self) -> None:
        planned = plan(records=[asked()])
        assert annotation(planned) is None
        assert planned.again_at is not None
        assert planned.again_at <= later(8)

    def test_before_the_attempt_was_recorded(self) -> None:
        planned = plan(records=[])
        assert annotation(planned) is None
        patch = status_patch(planned)
        assert patch is not None
        assert thaw(patch.wanted)["interfaceOperations"][0]["attempts"] == 1

    @pytest.mark.parametrize(
        ("records", "view"),
        [
            ([asked(ago=8)], {}),
            ([asked()], {"failures": [failed("blue", at=NOW)]}),
            ([asked(ago=8)], {"controller": NOT_DEPLOYED}),
            ([], {"controller": NOT_DEPLOYED}),
        ],
        ids=["silent for long", "has failed", "is not there", "is not there, and never was"],
    )
    def test_the_controller_is_not_at_it(self, records: list[Json], view: Any) -> None:
        assert annotation(plan(records=records, **view)) == render([element("blue", mac=NEW)])

    def test_an_element_was_rewritten_while_a_controller_that_had_just_come_attached_the_old_one(self) -> None:
        """Its pod is seen here a moment after it has begun to work."""
        assert annotation(plan(records=[asked()], controller=NOT_DEPLOYED)) is None

    def test_a_failure_of_an_earlier_attempt_tells_nothing(self) -> None:
        assert annotation(plan(records=[asked(ago=1)], failures=[failed("blue", at=later(-2))])) is None


class TestAttached:
    """What the pod has is not what the spec asks for by now."""

    @pytest.mark.parametrize("members", [{"mac": NEW}, {"mac": OLD, "attachment": "other"}], ids=["MAC", "network"])
    def test_a_guest_was_given_what_its_pod_had_been_asked_for_before(self, members: Any) -> None:
        planned = plan(listed=[entry()], records=[asked()], **members)
        assert annotation(planned) == ""
        assert any(isinstance(item, CheckNics) for item in planned.actions)
        assert not is_given(planned)

    def test_nothing_is_taken_out_before_the_attempt_was_recorded(self) -> None:
        """The next operator would not know that the interface is on its way out."""
        planned = plan(listed=[entry()], records=[])
        assert annotation(planned) is None
        assert not is_given(planned)

    def test_it_is_not_asked_for_again_while_the_status_lists_it(self) -> None:
        planned = plan(networks=[], listed=[entry()], records=[asked()])
        assert annotation(planned) is None
        assert not is_given(planned)

    def test_nor_given_to_a_guest_whose_owner_has_just_taken_it_back(self) -> None:
        """Its entries have left the template, and the VMI is about to say so: given now, it would have to go again."""
        leaving = operation("blue", operation="Unplug", attempts=1, since=later(-1), path="Dynamic", phase="InPod")
        for records in ([], [asked()], [leaving]):
            planned = plan(networks=[], listed=[entry()], records=records, vm=vm(primary(), absent("blue")))
            assert not is_given(planned)
            assert annotation(planned) is None

    def test_a_record_of_an_earlier_removal_holds_nothing_back(self) -> None:
        """It was held back in one pass, whose record then said Plug, and given in the next."""
        earlier = operation("blue", operation="Unplug", attempts=1, since=later(-1), path="Dynamic", phase="Pending")
        assert is_given(plan(networks=[], listed=[entry()], records=[earlier]))

    def test_a_removal_that_is_not_carried_out_is_asked_for_once_more(self) -> None:
        planned = plan(networks=[], listed=[entry()], records=[asked(ago=30)])
        assert annotation(planned) == "[ ]"

    def test_each_pass_asked_once_more_until_the_report_was_due(self) -> None:
        """The attempt before was not recorded with its time: what counts it must not wait for company."""
        before = operation("blue", since=later(-30), attempts=1)
        changed = known_attachments([nad("blue-net")], changed_at=later(-1))
        planned = plan(networks=[], listed=[entry()], records=[before], report_pending_since=None, attachments=changed)
        assert annotation(planned) == "[ ]"
        patch = status_patch(planned)
        assert patch is not None
        assert thaw(patch.wanted)["interfaceOperations"][0]["attempts"] == 2

    def test_while_its_removal_failed_the_record_went_to_and_fro_between_pending_and_failed(self) -> None:
        """No attempt was recorded of this spec: each report of its failure began its time anew, and put retries off."""
        before = operation("blue", phase="Failed", since=later(-1), attempts=1, waitingSince=later(-100))
        planned = plan(
            networks=[], listed=[entry()], records=[before], policy=HotplugPolicy(migration=MigrationPolicy.NEVER)
        )
        patch = status_patch(planned)
        assert patch is not None
        reported = thaw(patch.wanted)["interfaceOperations"][0]
        assert (reported["phase"], reported["reason"]) == ("Failed", "DynamicTimeout")
        assert reported["waitingSince"] == before["waitingSince"]

    def test_then_it_is_asked_for_again(self) -> None:
        planned = plan(networks=[], records=[asked()])
        assert annotation(planned) == render([element("blue", mac=NEW)])

    def test_it_is_given_when_the_pod_was_asked_for_what_the_spec_asks_for(self) -> None:
        planned = plan(networks=[element("blue", mac=NEW)], listed=[entry(mac=NEW)], records=[asked(generation=2)])
        assert is_given(planned)

    def test_a_plugin_that_chooses_its_own_address_is_believed(self) -> None:
        """Plugins without the capability `mac` ignore what they are asked for."""
        planned = plan(
            networks=[element("blue", mac=NEW)], listed=[entry(mac="0a:00:00:00:00:09")], records=[asked(generation=2)]
        )
        assert is_given(planned)


class TestMoved:
    """The target pod was made before the NIC was corrected; the source pod was asked for it as it is now."""

    def test_a_guest_was_given_what_its_target_pod_had_been_made_with(self) -> None:
        """The record of the ask was believed to be about the present pod: the element was somebody else's."""
        planned = plan(listed=[entry()], records=[asked(generation=2, ago=3)], moved=later(-1))
        assert annotation(planned) == ""
        assert not is_given(planned)

    def test_the_end_of_a_migration_has_whole_seconds(self) -> None:
        planned = plan(listed=[entry()], records=[asked(generation=2, ago=3)], moved=later(-2.9))
        assert annotation(planned) == ""

    def test_then_it_is_asked_for_again(self) -> None:
        planned = plan(networks=[], records=[asked(generation=2, ago=3)], moved=later(-1))
        assert json.loads(annotation(planned) or "[]") == [element("blue", mac=NEW)]

    def test_somebody_changes_what_nicplug_has_asked_the_present_pod_for(self) -> None:
        planned = plan(listed=[entry()], records=[asked(generation=2, ago=3)], moved=later(-10))
        assert annotation(planned) is None


class TestLeftAlone:
    """Elements that differ for other reasons."""

    def test_an_address_that_somebody_added_where_the_spec_names_none(self) -> None:
        assert is_given(plan(mac="", listed=[entry()], records=[asked()]))

    def test_somebody_changes_what_nicplug_has_just_asked_for(self) -> None:
        planned = plan(listed=[entry()], records=[asked(generation=2)])
        assert annotation(planned) is None

    @pytest.mark.parametrize("sources", [("multus-status",), ("domain", "multus-status")])
    def test_a_guest_that_was_given_it_keeps_it(self, sources: tuple[str, ...]) -> None:
        planned = plan(listed=[entry()], records=[asked()], rows=[row("blue", *sources)])
        assert annotation(planned) is None

    def test_a_guest_that_starts(self) -> None:
        assert is_given(plan(listed=[entry()], records=[], phase="Scheduled"))


class TestGuards:
    """Correction and go-ahead are writes of one object: of two that cross, one fails."""

    def test_the_element_of_an_interface_that_the_pod_had_was_replaced(self) -> None:
        """The operator had not heard that the pod had it: it took the interface for lost."""
        planned = plan(records=[asked(ago=8)])
        patch = next(item for item in planned.actions if isinstance(item, PatchNetworksAnnotation))
        status = {"op": "test", "path": "/metadata/annotations/k8s.v1.cni.cncf.io~1network-status"}
        assert any(status.items() <= dict(item).items() for item in patch.json_patch())
        assert any(isinstance(item, CheckNics) for item in planned.actions)

    def test_the_go_ahead_fails_when_the_spec_has_changed_since(self) -> None:
        planned = plan(networks=[element("blue", mac=NEW)], listed=[entry(mac=NEW)], records=[asked(generation=2)])
        patch = status_patch(planned)
        assert patch is not None
        assert {"op": "test", "path": "/metadata/generation", "value": 2} in patch.json_patch()

    def test_a_report_does_not_care(self) -> None:
        patch = status_patch(plan(records=[]))
        assert patch is not None
        assert all(item["path"] != "/metadata/generation" for item in patch.json_patch())

    def test_the_correction_fails_when_the_guest_has_been_given_the_nic_since(self) -> None:
        rows = [primary_row()]
        raw = vmi(primary(), nic("blue", mac=OLD), rows=rows, owner_uid=VM_UID)
        planned = plan_vm(vm_view(vm(primary(), nic("blue", mac=NEW)), vmi=raw), now=NOW)
        (patch,) = [item for item in planned.actions if isinstance(item, PatchInterfaces)]
        assert {"op": "test", "path": "/status/interfaces", "value": rows} in patch.json_patch()

    def test_a_new_nic_does_not_depend_on_what_the_guest_reports(self) -> None:
        raw = vmi(primary(), nic("blue", mac=OLD), rows=[primary_row()], owner_uid=VM_UID)
        planned = plan_vm(vm_view(vm(primary(), nic("blue", mac=OLD), nic("red")), vmi=raw), now=NOW)
        (patch,) = [item for item in planned.actions if isinstance(item, PatchInterfaces)]
        assert all(item["path"] != "/status/interfaces" for item in patch.json_patch())


def test_an_interface_that_the_pod_has_lost_was_asked_for_and_taken_back_in_turns() -> None:
    """Its go-ahead goes in this pass, so nobody has the NIC, and as its entries were deleted it goes with them."""
    planned = plan(
        networks=[element("red")],
        listed=[{"name": "default/red-net", "interface": POD_INTERFACES["red"]}],
        rows=[row("blue", "multus-status")],
        vm=vm(primary()),
        annotations={"nicplug.io/template-interfaces": '["blue", "red"]'},
    )
    patch = status_patch(planned)
    assert patch is not None
    records = {item["name"]: item for item in thaw(patch.wanted)["interfaceOperations"]}
    assert records["blue"]["operation"] == "Unplug"
