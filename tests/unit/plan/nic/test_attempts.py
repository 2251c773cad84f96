"""What does not come about is asked for again: when, for whom, and what must not travel together."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from tests.build import (
    NOW,
    Json,
    Nic,
    absent,
    element,
    failed,
    known_attachments,
    later,
    nad,
    nic,
    operation,
    pod,
    primary,
    primary_row,
    render,
    row,
    vmi,
    vmi_view,
)

from nicplug.model.attachments import KnownAttachments
from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.frozen_json import thaw
from nicplug.model.networks_annotation import parse_annotation
from nicplug.plan.actions import PatchInterfaces, PatchNetworksAnnotation, PatchStatus
from nicplug.plan.outcome import Plan
from nicplug.plan.vmi.plan_vmi import plan_vmi


def plan(
    *nics: Nic,
    networks: Any,
    attached: Sequence[str] = (),
    records: Sequence[Json] = (),
    rows: Sequence[Json] = (),
    now: datetime = NOW,
    known: KnownAttachments | None = None,
    generation: int = 1,
    **view: Any,
) -> Plan:
    """A running VMI with these NICs, whose pod is asked for `networks`; reports are due."""
    raw = vmi(primary(), *nics, rows=[primary_row(), *rows], operations=records, generation=generation)
    made = vmi_view(raw, pod(networks=networks, attached=attached), report_pending_since=later(-3600), **view)
    if known is not None:
        made = replace(made, attachments=known)
    return plan_vmi(made, now=now)


def text(planned: Plan) -> str | None:
    """The annotation that is to be written."""
    patches = [action for action in planned.actions if isinstance(action, PatchNetworksAnnotation)]
    return patches[0].wanted if patches else None


def names(planned: Plan) -> list[str] | None:
    """The networks in it."""
    wanted = text(planned)
    return None if wanted is None else [item["name"].removesuffix("-net") for item in parse_annotation(wanted)]


def record(planned: Plan, name: str = "blue") -> Json:
    """The record that is to be written."""
    patches = [action for action in planned.actions if isinstance(action, PatchStatus)]
    return next(item for item in thaw(patches[0].wanted)["interfaceOperations"] if item["name"] == name)


def tried(
    name: str = "blue", *, count: int = 1, at: float = 0, generation: int = 1, error: str = "", **more: Any
) -> Json:
    """A record with so many attempts, the last one then."""
    members = {"attempts": count, "lastAttemptTime": later(at), "observedGeneration": generation, **more}
    return operation(name, **(members | ({"lastError": error} if error else {})))


class TestWhen:
    """The moments are counted from the record; nothing of it is in memory."""

    @pytest.mark.parametrize(
        ("count", "error", "pause"),
        [
            (1, "", 8), (2, "", 8), (3, "", 30), (4, "", 120), (5, "", 600), (90, "", 600),
            (1, "no", 2), (2, "no", 8), (3, "no", 30), (4, "no", 120), (5, "no", 600), (90, "no", 600),
        ],
    )  # fmt: skip
    def test_ever_less_often(self, count: int, error: str, pause: float) -> None:
        old = tried(count=count, error=error)
        early = plan(nic("blue"), networks=[element("blue")], records=[old], now=later(pause - 0.1))
        assert text(early) is None
        assert early.again_at == later(pause)
        due = plan(nic("blue"), networks=[element("blue")], records=[old], now=later(pause))
        assert text(due) == f"[ {render([element('blue')])[1:]}"
        assert record(due)["attempts"] == count + 1
        assert record(due)["startTime"] == old["startTime"]

    def test_the_text_changes_back_and_forth_and_the_elements_do_not(self) -> None:
        once = text(plan(nic("blue"), networks=[element("blue")], records=[tried()], now=later(9)))
        assert once is not None
        twice = text(plan(nic("blue"), networks=once, records=[tried(count=2)], now=later(9)))
        assert twice == render([element("blue")])
        assert json.loads(once) == json.loads(twice)
        assert text(plan(nic("blue"), networks=once, records=[tried(count=2)], now=later(1))) is None

    def test_an_attempt_is_written_down_in_the_pass_that_makes_it(self) -> None:
        """The next one is counted from the record: while that waits for company, every pass would ask once more."""
        raw = vmi(primary(), nic("blue"), rows=[primary_row()], operations=[tried(phase="Pending")])
        planned = plan_vmi(vmi_view(raw, pod(networks=[element("blue")])), now=later(9))
        assert text(planned) is not None
        assert record(planned)["attempts"] == 2

    def test_what_is_attached_is_never_touched(self) -> None:
        """A changed text for a link that is there can end it (docs/node-simulator.md)."""
        planned = plan(
            nic("blue"),
            networks=[element("blue")],
            attached=("blue",),
            rows=(row("blue", "multus-status"),),
            records=[tried(count=3)],
            now=later(9999),
        )
        assert text(planned) is None

    def test_a_broken_network_status_asks_for_nothing_and_takes_nothing(self) -> None:
        launcher = pod(networks=[element("red", mac="02:00:00:00:00:01")], status_text="{")
        rows = [primary_row(), row("red", "domain", "multus-status")]
        view = vmi_view(vmi(primary(), nic("red"), rows=rows), launcher)
        assert text(plan_vmi(view, now=NOW)) is None

    @pytest.mark.parametrize("state", [ControllerState.NOT_DEPLOYED, ControllerState.NOT_ON_NODE])
    @pytest.mark.parametrize("error", ["", "no"])
    def test_where_nobody_hears_it_the_pod_is_asked_once(self, state: ControllerState, error: str) -> None:
        """Of 40 VMs that waited for their migrations every one was asked again after 8 s, and said so three times."""
        asked = [element("blue")]
        nobody = DynamicController(state=state)
        first = plan(nic("blue"), networks=[], controller=nobody)
        assert text(first) == render(asked)
        later_on = plan(nic("blue"), networks=asked, records=[tried(error=error)], now=later(9999), controller=nobody)
        assert text(later_on) is None
        assert record(later_on)["attempts"] == 1
        back = plan(nic("blue"), networks=asked, records=[tried(error=error)], now=later(9999))
        assert text(back) is not None, "there is one again, and it is time"

    def test_clocks_that_differ_do_not_stop_it(self) -> None:
        """A record from the future counts as of now."""
        planned = plan(nic("blue"), networks=[element("blue")], records=[tried(at=60)], now=NOW)
        assert planned.again_at == later(8)


class TestAnew:
    """What has changed since the last attempt is a reason to try at once."""

    def test_the_network_was_corrected(self) -> None:
        known = known_attachments([nad("blue-net")], changed_at=later(100))
        planned = plan(
            nic("blue"), networks=[element("blue")], records=[tried(count=7, error="no")], known=known, now=later(101)
        )
        assert text(planned) is not None
        assert record(planned)["attempts"] == 1
        assert "lastError" not in record(planned)

    def test_the_network_was_corrected_before_the_last_attempt(self) -> None:
        known = known_attachments([nad("blue-net")], changed_at=later(-100))
        assert text(plan(nic("blue"), networks=[element("blue")], records=[tried(count=7)], known=known)) is None

    def test_the_spec_was_corrected(self) -> None:
        planned = plan(
            nic("blue", mac="02:00:00:00:00:07"),
            networks=[element("blue")],
            records=[tried(count=7)],
            generation=2,
            failures=[failed("blue", at=later(0.1))],
        )
        assert text(planned) == render([element("blue", mac="02:00:00:00:00:07")])
        assert record(planned)["attempts"] == 1

    def test_the_network_was_created(self) -> None:
        waits = operation("blue", phase="Blocked", reason="NetworkAttachmentDefinitionMissing", path="None", attempts=0)
        planned = plan(nic("blue"), networks=None, records=[waits], nads=[nad("blue-net")])
        assert names(planned) == ["blue"]
        assert record(planned)["attempts"] == 1


class TestNetworks:
    """A network that cannot be attached is not asked for."""

    def test_a_missing_one_does_not_hold_up_the_others(self) -> None:
        assert names(plan(nic("red"), nic("blue"), networks=None, nads=[nad("blue-net")])) == ["blue"]

    def test_one_that_went_away_before_it_was_attached_is_taken_back(self) -> None:
        assert names(plan(nic("blue"), networks=[element("blue")], nads=[])) == []

    def test_one_that_went_away_after_that_stays(self) -> None:
        planned = plan(
            nic("blue"),
            networks=[element("blue")],
            attached=("blue",),
            rows=(row("blue", "domain", "multus-status"),),
            nads=[],
        )
        assert text(planned) is None

    def test_what_is_not_known_is_asked_for(self) -> None:
        assert names(plan(nic("blue"), networks=None, nads=None)) == ["blue"]


class TestTurns:
    """The controller stops at the first that fails, and Multus takes back what the same pass had added."""

    BOTH = (element("red"), element("blue"))

    def test_healthy_ones_travel_together(self) -> None:
        assert names(plan(nic("red"), nic("blue"), networks=None)) == ["red", "blue"]

    def test_one_that_fails_makes_room_for_the_others(self) -> None:
        planned = plan(nic("red"), nic("blue"), networks=self.BOTH, failures=[failed("red")])
        assert names(planned) == ["blue"]
        assert record(planned, "red")["reason"] == "AttachFailed"
        assert record(planned, "red")["lastError"] == failed("red").message

    def test_it_comes_back_when_they_have_arrived(self) -> None:
        planned = plan(
            nic("red"),
            nic("blue"),
            networks=[element("blue")],
            attached=("blue",),
            rows=(row("blue", "domain", "multus-status"),),
            records=[tried("red", error="no")],
            now=later(2),
        )
        assert names(planned) == ["red", "blue"]
        assert record(planned, "red")["attempts"] == 2

    def test_two_that_fail_take_turns_each_alone(self) -> None:
        records = [tried("red", error="no", at=0), tried("blue", error="no", at=-10)]
        assert text(plan(nic("red"), nic("blue"), networks=[element("red")], records=records, now=later(1))) is None
        planned = plan(nic("red"), nic("blue"), networks=[element("red")], records=records, now=later(2))
        assert names(planned) == ["blue"]
        assert record(planned, "blue")["attempts"] == 2

    def test_one_that_fails_does_not_hold_up_a_removal(self) -> None:
        """The controller removes nothing before every addition has succeeded."""
        planned = plan(
            nic("red"),
            absent("blue"),
            networks=self.BOTH,
            attached=("blue",),
            rows=(row("blue", "multus-status"),),
            records=[tried("red", error="no"), operation("blue", type_="Unplug", phase="InGuest")],
            now=later(1),
        )
        assert names(planned) == []

    def test_whoever_takes_elements_out_is_not_fought_at_full_speed(self) -> None:
        """A pod that lacks the element again was changed by somebody, after the record was written."""
        early = plan(nic("blue"), networks="", records=[tried()], now=later(1))
        assert text(early) is None
        assert early.again_at == later(2)
        assert names(plan(nic("blue"), networks="", records=[tried()], now=later(2))) == ["blue"]

    def test_old_failures_are_about_something_else(self) -> None:
        planned = plan(nic("blue"), networks=[element("blue")], failures=[failed("blue", at=later(-60))])
        assert record(planned)["reason"] == "WaitingForPodInterface"


class TestDetaching:
    """A removal that does not come about is asked for again too."""

    GONE = (row("blue", "multus-status"),)

    def _plan(self, **more: Any) -> Plan:
        old = tried(type_="Unplug", phase="InPod", reason="WaitingForPodRelease", count=1)
        return plan(absent("blue"), attached=("blue",), rows=self.GONE, records=[old], **more)

    def test_an_empty_annotation_changes_into_another_empty_one(self) -> None:
        assert text(self._plan(networks="", now=later(7))) is None
        assert text(self._plan(networks="", now=later(8))) == "[]"
        assert text(self._plan(networks="[]", now=later(8))) == "[ ]"
        assert text(self._plan(networks="[ ]", now=later(8))) == "[]"

    def test_a_reported_failure_is_quoted_and_asked_again_sooner(self) -> None:
        planned = self._plan(networks="", now=later(2), failures=[failed("blue", removing=True, at=later(1))])
        assert text(planned) == "[]"
        assert "failed removing" in record(planned)["lastError"]

    def test_one_whose_network_is_gone_waits_for_it(self) -> None:
        assert text(self._plan(networks="", now=later(9999), nads=[])) is None
        known = known_attachments([nad("blue-net")], changed_at=later(50))
        assert text(self._plan(networks="", now=later(51), known=known)) == "[]"


def test_the_quotation_goes_when_the_nic_is_there() -> None:
    planned = plan(
        nic("blue"),
        networks=[element("blue")],
        attached=("blue",),
        rows=(row("blue", "domain", "multus-status"),),
        records=[tried(error="no", count=3)],
    )
    assert record(planned)["phase"] == "Ready"
    assert "lastError" not in record(planned)


@pytest.mark.parametrize("has_row", [True, False], ids=["row", "no row"])
def test_a_nic_that_never_attached_and_is_taken_back_leaves_no_element(has_row: bool) -> None:
    rows = (row("blue"),) if has_row else ()
    records = [tried(count=3, error="no")]
    assert names(plan(absent("blue"), networks=[element("blue")], rows=rows, records=records)) == []
    assert names(plan(networks=[element("blue")], rows=rows)) == []


def test_a_change_of_the_vmi_in_the_moment_of_an_attempt_does_not_ask_again_and_again() -> None:
    """The record tells of the next attempt by its generation alone; unwritten, every pass would make one more."""
    raw = vmi(primary(), nic("blue"), rows=[primary_row()], operations=[tried(count=1, at=0)], generation=2)
    planned = plan_vmi(vmi_view(raw, pod(networks=[element("blue")])), now=NOW)
    assert text(planned) is not None
    assert record(planned)["observedGeneration"] == 2


def test_attempts_go_on_where_another_process_left_them() -> None:
    first = plan(nic("blue"), networks=[element("blue")], records=[tried(count=2)], now=later(10))
    for seconds, is_asked in ((11, False), (39.9, False), (40, True)):
        second = plan(nic("blue"), networks=text(first), records=[record(first)], now=later(seconds))
        assert (text(second) is not None) is is_asked


def test_a_nic_that_the_pod_still_has_is_not_forgotten_because_no_row_says_so() -> None:
    """Its entry is what its pod interface is detached by."""
    entry_goes = [isinstance(action, PatchInterfaces) for action in plan(absent("blue"), networks="").actions]
    assert any(entry_goes)
    for links in ({"networks": "", "attached": ("blue",)}, {"networks": [element("blue")], "attached": ("blue",)}):
        planned = plan(absent("blue"), **links)
        assert not any(isinstance(action, PatchInterfaces) for action in planned.actions)
