"""Why a NIC is not there: who waits for whom, and what happened."""

from typing import Any

import pytest
from tests.build import MIGRATION_UID, NOW, a_migration, a_vmi, later, migration, nic, operation, primary, vmi

from nicplug.insight.nics import describe
from nicplug.insight.outcome import NicForecast, Otherwise, Outcome
from nicplug.insight.remedies import documented, remedies
from nicplug.insight.story import Story, compose_story
from nicplug.insight.waiting import _BY_MOVER, MOVERS, waits_for
from nicplug.model.metadata import objects
from nicplug.model.operations import parse_operations
from nicplug.plan.reasons import Reason

WAITING = operation("blue", phase="Pending", path="Dynamic", reason="WaitingForPodInterface", message="waiting")


def test_every_reason_has_exactly_one_mover_and_a_remedy() -> None:
    named = [reason for reasons in _BY_MOVER.values() for reason in reasons]
    assert sorted(named) == sorted(Reason)
    assert set(MOVERS) == set(remedies()) == {str(item) for item in Reason}


@pytest.mark.parametrize("section", ["## Attached\n\nThe guest has it.\n", "## Attached\n\n"])
def test_a_reason_without_a_meaning_or_a_remedy_is_refused(section: str) -> None:
    with pytest.raises(ValueError, match="Attached: needs a meaning, a blank line, and what to do"):
        documented(f"# Where a NIC is\n\n{section}")


def test_the_mover_is_named_with_its_node() -> None:
    told = waits_for("WaitingForPodInterface", node="node01", pod="p")
    assert told == "the dynamic networks controller on node node01"
    assert waits_for("Attached", node="node01", pod="p") == ""
    assert waits_for("SomethingNew", node="", pod="") == ""


def story(*, record=WAITING, migrations=(), events=(), forecast=None, again=None) -> Story:  # type: ignore[no-untyped-def]
    raw = vmi(primary(), nic("blue"), operations=[record])
    parsed = a_vmi(raw)
    described = describe(namespace="default", name="vmi-fedora", vm=None, vmi=parsed, now=NOW)
    records = parse_operations(objects(raw["status"]["interfaceOperations"]))
    return compose_story(
        nic=next(item for item in described.nics if item.name == "blue"),
        record=records["blue"],
        vmi=parsed,
        pod="virt-launcher-a",
        migrations=migrations,
        events=events,
        forecast=forecast,
        next_reconcile_at=again,
        now=NOW,
    )


def test_who_waits_for_whom_and_what_to_do() -> None:
    told = story()
    assert told.waits_for == "the dynamic networks controller on node node01"
    assert "does the controller run on that node?" in told.todo
    assert [moment.source for moment in told.moments][:1] == ["record"]


def test_what_to_do_is_the_record_s_own_remedy_and_without_one_that_of_the_reason() -> None:
    """A record that an earlier version wrote has none."""
    blocked: dict[str, Any] = {"phase": "Blocked", "path": "None", "reason": "NetworkMissing", "message": "no network"}
    told = story(record=operation("blue", **blocked, remedy='Add network "blue"'))
    assert told.todo == 'Add network "blue"'
    assert told.nic.to_json()["remedy"] == 'Add network "blue"'
    old = story(record=operation("blue", **blocked))
    assert old.todo == remedies()["NetworkMissing"].remedy
    assert old.nic.to_json()["remedy"] is None


def test_the_next_attempt_comes_first_and_a_past_one_not_at_all() -> None:
    (found,) = story(record=operation("blue", nextAttemptTime=later(8))).next
    assert (found.at, found.what) == (later(8), "it is tried again")
    assert story(record=operation("blue", nextAttemptTime=later(-1))).next == ()


def test_a_migration_in_the_queue_says_who_is_in_front() -> None:
    condition = {"type": "Progressing", "status": "True", "reason": "WaitingForSlot", "message": "2nd in the queue"}
    waiting = a_migration(migration("Pending", status={"conditions": [condition]}))
    told = story(migrations=[waiting])
    assert told.waits_for == "migration migration-job: 2nd in the queue"


def test_what_comes_next_and_when() -> None:
    from datetime import timedelta

    then = Otherwise(after=timedelta(seconds=10), outcome=Outcome.BY_MIGRATION, reason="DynamicTimeout", message="m")
    foreseen = NicForecast(
        name="blue",
        operation="Plug",
        network="n",
        binding="bridge",
        outcome=Outcome.IN_PLACE,
        path="Dynamic",
        phase="Pending",
        reason="WaitingForPodInterface",
        message="m",
        otherwise=then,
    )
    (found,) = story(forecast=foreseen).next
    assert found.at == later(10)
    assert found.what == "if nobody has answered: nicplug migrates the VM for it (DynamicTimeout)"


def event(message: str, *, name: str = "vmi-fedora", uid: str = "u", at: str = NOW.isoformat()) -> dict[str, object]:
    about = {"kind": "VirtualMachineInstance", "name": name, "uid": uid}
    return {"involvedObject": about, "message": message, "reason": "R", "lastTimestamp": at, "metadata": {}}


def test_events_of_other_nics_are_left_out_and_doubles_told_once() -> None:
    events = [
        event('NIC "red": something'),
        event('NIC "blue": it fails'),
        event('NIC "blue": it fails', name="vm-a"),
        event("failed adding interface pod16477688c0e to network"),
    ]
    told = [moment.what for moment in story(events=events).moments if moment.source.startswith("event")]
    assert told == ['R: NIC "blue": it fails', "R: failed adding interface pod16477688c0e to network"]


def test_effects_were_told_before_their_causes_within_a_second() -> None:
    """Of a migration only the second is known; of records and events the microsecond."""
    record = operation(
        "blue",
        phase="Ready",
        reason="Attached",
        message="there",
        migration="migration-job",
        startTime="2026-01-02T03:04:01.300000Z",
        lastTransitionTime="2026-01-02T03:04:02.900000Z",
    )
    phases = [("Succeeded", 2), ("Pending", 1), ("Scheduled", 1), ("Scheduling", 1), ("Running", 2), ("TargetReady", 2)]
    rows = [{"phase": phase, "phaseTransitionTimestamp": f"2026-01-02T03:04:0{at}Z"} for phase, at in phases]
    moving = migration(
        "Succeeded", status={"phaseTransitionTimestamps": rows}, creationTimestamp="2026-01-02T03:04:01Z"
    )
    events = [
        {**event('NIC "blue": moving', at="2026-01-02T03:04:01.400000Z"), "reason": "InterfaceMigrating"},
        {
            **event("handed over", uid=MIGRATION_UID, at="2026-01-02T03:04:02.100000Z"),
            "reason": "SuccessfulHandOver",
        },
    ]
    told = [moment.what for moment in story(record=record, migrations=[a_migration(moving)], events=events).moments]
    assert told == [
        "Plug was asked for",
        'InterfaceMigrating: NIC "blue": moving',
        "created",
        "Pending",
        "Scheduling",
        "Scheduled",
        "SuccessfulHandOver: handed over",
        "TargetReady",
        "Running",
        "Succeeded",
        "Ready (Attached)",
    ]


def test_times_with_a_fraction_stay_in_order() -> None:
    events = [
        {**event('NIC "blue": late', at="2026-01-02T03:04:05.900000Z"), "reason": "SuccessfulCreate"},
        {**event('NIC "blue": early', at="2026-01-02T03:04:05.100000Z"), "reason": "InterfacePlugged"},
    ]
    told = [item.what for item in story(events=events).moments if item.source.startswith("event")]
    assert told == ['InterfacePlugged: NIC "blue": early', 'SuccessfulCreate: NIC "blue": late']


def test_a_ready_nic_waits_for_nobody() -> None:
    done = operation("blue", phase="Ready", path="Dynamic", reason="Attached", message="there")
    told = story(record=done)
    assert (told.waits_for, told.todo, told.next) == ("", "", ())


def test_the_end_of_a_migration_stood_before_its_phases() -> None:
    """Of phases only the second is known."""
    phases = ("PreparingTarget", "Running", "Succeeded")
    rows = [{"phase": phase, "phaseTransitionTimestamp": "2026-01-02T03:04:05Z"} for phase in phases]
    moved = migration("Succeeded", status={"phaseTransitionTimestamps": rows}, creationTimestamp="2026-01-02T03:04:04Z")
    ended = event("reported", uid=MIGRATION_UID, at="2026-01-02T03:04:05.100000Z")
    record = operation("blue", migration="migration-job", since=later(-2))
    found = story(record=record, migrations=[a_migration(moved)], events=[{**ended, "reason": "SuccessfulMigration"}])
    told = [item.what for item in found.moments if item.source != "record"]
    assert told == ["created", *phases, "SuccessfulMigration: reported"]


def test_an_earlier_nic_of_the_same_name_was_in_the_story() -> None:
    events = [
        {**event('NIC "blue": gone', at="2026-01-02T03:00:10Z"), "reason": "InterfaceUnplugged"},
        {**event('NIC "blue": there', at="2026-01-02T03:01:00Z"), "reason": "InterfacePlugged"},
        event('NIC "blue": waiting'),
    ]
    old = migration("Failed", creationTimestamp="2026-01-02T03:00:05Z")
    plug = story(record=operation("blue", migration="migration-job"), migrations=[a_migration(old)], events=events)
    assert [item.what for item in plug.moments if item.source != "record"] == ['R: NIC "blue": waiting']
    unplug = story(record=operation("blue", type_="Unplug"), events=events)
    kept = ['InterfaceUnplugged: NIC "blue": gone', 'InterfacePlugged: NIC "blue": there', 'R: NIC "blue": waiting']
    assert [item.what for item in unplug.moments if item.source != "record"] == kept


def test_a_pod_was_said_to_be_asked_where_no_controller_runs() -> None:
    for record, is_told in (
        (operation("blue", lastAttemptTime=NOW), True),
        (operation("blue", path="Migration", lastAttemptTime=NOW, waitingSince=NOW), True),
        (operation("blue", path="Migration", reason="NoDynamicController", lastAttemptTime=NOW), False),
    ):
        told = [item.what for item in story(record=record).moments]
        assert ("the pod was asked, attempt 1" in told) is is_told


def test_one_sentence_was_printed_three_times_and_cut_in_a_word() -> None:
    sentence = "the migration failed: the sandbox of pod virt-launcher-vm-fedora-9258a cannot be made " * 6
    record = operation("blue", phase="Blocked", reason="MigrationFailed", message=sentence)
    events = [event(f'NIC "blue": {sentence}'), event(f'NIC "blue" {"sandbox " * 200}')]
    told = story(record=record, events=events)
    assert told.nic.message == sentence
    said = [item.what for item in told.moments]
    assert said[:3] == [
        "Plug was asked for",
        "Blocked (MigrationFailed)",
        'R: NIC "blue", with the message of its record',
    ]
    assert said[3].endswith(" sandbox ...")
    assert len(said[3]) < 420


def test_while_it_is_migrated_the_story_is_that_of_the_migration() -> None:
    """The reason says why it is migrated: that the pod is asked again is over."""
    failed = operation("blue", phase="Migrating", path="Migration", reason="AttachFailed", message="failed 2 times")
    told = story(record=failed)
    assert (told.meaning, told.todo) == (remedies()["Migrating"].meaning, remedies()["Migrating"].remedy)
    assert "Failed after" not in remedies()["AttachFailed"].remedy
    assert "unplug" not in remedies()["NetworkAttachmentDefinitionMissing"].remedy


def test_a_nic_that_nobody_has_seen_waits_for_the_operator() -> None:
    parsed = a_vmi(vmi(primary(), nic("blue")))
    described = describe(namespace="default", name="vmi-fedora", vm=None, vmi=parsed, now=NOW)
    told = compose_story(
        nic=described.nics[1],
        record=None,
        vmi=parsed,
        pod="p",
        migrations=(),
        events=(),
        forecast=None,
        next_reconcile_at=None,
        now=NOW,
    )
    assert told.waits_for == "nicplug"
