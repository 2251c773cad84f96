"""Which failed migrations count against another one for the same NIC."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from tests.build import CREATED, NAME, NOW, VMI_UID, a_migration, later, migration

from nicplug.model.conditions import Condition, merge_condition
from nicplug.model.frozen_json import freeze
from nicplug.model.migration import Migration
from nicplug.model.operations import MigrationFailures
from nicplug.model.times import format_time, parse_time
from nicplug.plan.nic.path.blame import format_changes
from nicplug.plan.nic.path.migration_history import failed_migrations, is_given_up, select_for_next_migration

CHANGE, OTHER_NETWORK, UNKNOWN_NETWORK = "0123456789/abcdefabcd", "0123456789/0000000000", "0123456789/"


def ended(
    reason: str = "TargetPodLost",
    *,
    phase: str = "Failed",
    changes: dict[str, str] | None = None,
    owner: str = VMI_UID,
    name: str = "kubevirt-workload-update-0123456789",
    message: str = "it broke",
    created: str = CREATED,
    **members: Any,
) -> Migration:
    """One of nicplug's own for NIC blue, that failed."""
    annotations = {
        "kubevirt.io/workloadUpdateMigration": "",
        "nicplug.io/interfaces": format_changes({"blue": CHANGE} if changes is None else changes),
    }
    condition = Condition(type="Progressing", status="False", reason=reason, message=message)
    references = [{"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": NAME, "uid": owner}]
    return a_migration(
        migration(
            phase,
            name=name,
            status={"conditions": merge_condition([], condition, now=NOW)},
            annotations=members.pop("annotations", annotations),
            ownerReferences=[{**item, "controller": True} for item in references],
            creationTimestamp=created,
            **members,
        )
    )


def count(
    *migrations: Migration,
    since: datetime | None = None,
    remembered: MigrationFailures | None = None,
    change: str = CHANGE,
) -> MigrationFailures:
    return failed_migrations(
        migrations, vmi_uid=VMI_UID, name="blue", change=change, since=since, remembered=remembered
    )


@pytest.mark.parametrize(
    "item",
    [
        pytest.param(ended(phase="Succeeded"), id="it succeeded"),
        pytest.param(ended(phase="Running"), id="it has not ended"),
        pytest.param(ended(deleting=True), id="it was taken back"),
        pytest.param(ended("MigrationCanceled"), id="it was canceled"),
        pytest.param(ended("MigrationInFlight"), id="another one was first"),
        pytest.param(ended("NoSlotInTime"), id="its turn did not come"),
        pytest.param(ended("NoCandidateNode"), id="no node could take the VM: told by the candidates"),
        pytest.param(ended(owner="another"), id="of an earlier VMI of that name"),
        pytest.param(ended(name="by-hand"), id="a user's"),
        pytest.param(ended(annotations={"nicplug.io/interfaces": format_changes({"blue": CHANGE})}), id="not marked"),
        pytest.param(ended(changes={"red": CHANGE}), id="for another NIC"),
        pytest.param(ended(changes={"blue": OTHER_NETWORK}), id="for another network"),
        pytest.param(ended(changes={}), id="for nobody knows what"),
    ],
)
def test_what_does_not_count(item: Migration) -> None:
    assert count(item) == MigrationFailures()


def test_target_pods_that_are_put_on_the_source_node_are_not_made_without_end() -> None:
    """A scheduler that does not heed the anti-affinity: nodes without the label kubernetes.io/hostname are enough."""
    item = ended("NoCandidateNode", uid="1")
    rows = [{"phase": "Scheduling", "phaseTransitionTimestamp": "2026-01-02T03:04:00Z"}]
    with_pod = replace(item, status_text=freeze({**item.status.members, "phaseTransitionTimestamps": rows}))
    assert count(with_pod).count == 1


def test_each_failure_counts_and_the_last_one_is_quoted() -> None:
    found = count(ended(message="first", uid="1"), ended(message="last", uid="2"), ended("MigrationCanceled", uid="3"))
    assert found == MigrationFailures(change=CHANGE, migrations=("1", "2"), reason="TargetPodLost", message="last")


@pytest.mark.parametrize(
    ("reasons", "is_over"),
    [
        pytest.param(["TargetPodNotReady"], True, id="the target pod did not come up"),
        pytest.param(["TargetPodNotReady", "TargetPodLost"], False, id="the last one counts"),
        pytest.param(["TargetPodUnschedulable"], False, id="room may come"),
        pytest.param(["TargetPodLate"], False, id="an image registry or a node may come back"),
        pytest.param(["RejectedByResourceQuota"], False, id="a quota may be raised"),
        pytest.param([""], False, id="nobody said why"),
    ],
)
def test_what_time_does_not_mend(reasons: list[str], is_over: bool) -> None:
    found = count(*(ended(reason, uid=str(index)) for index, reason in enumerate(reasons)))
    assert is_given_up(found) is is_over


def test_five_failures_are_enough() -> None:
    found = [count(*(ended(uid=str(index)) for index in range(number))) for number in range(7)]
    assert [is_given_up(item) for item in found] == [False] * 5 + [True] * 2


BOTH = {"blue": CHANGE, "red": CHANGE}


@pytest.mark.parametrize(
    ("reasons", "retry_alone", "is_over"),
    [
        pytest.param(["TargetPodNotReady with another"], True, False, id="nobody can tell for which NIC"),
        pytest.param(["TargetPodLate with another"], False, False, id="no NIC's fault"),
        pytest.param(["MigrationNotSupported with another"], False, True, id="the VM's own"),
        pytest.param(["TargetPodNotReady with another", "TargetPodNotReady"], False, True, id="then by itself"),
        pytest.param(
            ["TargetPodNotReady with another", "TargetPodLost"], True, False, id="then by itself, which says nothing"
        ),
    ],
)
def test_which_failures_are_evidence_against_a_nic(reasons: list[str], retry_alone: bool, is_over: bool) -> None:
    items = [item.partition(" with ") for item in reasons]
    migrations = [
        ended(reason, uid=str(index), changes=BOTH if other else None) for index, (reason, _, other) in enumerate(items)
    ]
    found = count(*migrations)
    assert (found.count, found.retry_alone, is_given_up(found)) == (len(reasons), retry_alone, is_over)
    # The same by and by, from the record.
    remembered = MigrationFailures()
    for number in range(len(migrations)):
        remembered = count(*migrations[: number + 1], remembered=remembered)
    assert remembered == found
    assert count(remembered=remembered) == found


def with_fault(item: Migration, *names: Any) -> Migration:
    return replace(item, status_text=freeze({**item.status.members, "interfacesAtFault": list(names)}))


@pytest.mark.parametrize(
    ("names", "counted", "retry_alone"),
    [
        pytest.param(["blue"], 1, False, id="this one"),
        pytest.param(["red"], 0, False, id="another one"),
        pytest.param(["blue", "red"], 1, True, id="two on one network"),
        pytest.param([], 1, True, id="nobody knows"),
        pytest.param([1, None], 1, True, id="somebody has edited it"),
    ],
)
def test_a_failure_that_names_a_nic_is_evidence_against_that_one_alone(
    names: list[Any], counted: int, retry_alone: bool
) -> None:
    found = count(with_fault(ended("TargetPodNotReady", changes=BOTH), *names))
    assert (found.count, found.retry_alone) == (counted, retry_alone)


APART = MigrationFailures(change=CHANGE, migrations=("1",), retry_alone=True)
OFTEN = replace(APART, migrations=("1", "2"))


@pytest.mark.parametrize(
    ("wanting", "riding"),
    [
        pytest.param({}, set(), id="nobody"),
        pytest.param({"a": MigrationFailures(), "b": MigrationFailures()}, {"a", "b"}, id="all together"),
        pytest.param({"a": APART, "b": MigrationFailures(), "c": MigrationFailures()}, {"b", "c"}, id="others first"),
        pytest.param({"b": APART, "a": APART}, {"b"}, id="one by one, in their order"),
        pytest.param({"a": OFTEN, "b": APART}, {"b"}, id="first which has failed least"),
    ],
)
def test_who_rides_next(wanting: dict[str, MigrationFailures], riding: set[str]) -> None:
    assert select_for_next_migration(wanting) == riding


REMEMBERED = MigrationFailures(change=CHANGE, migrations=("1", "2"), reason="TargetPodNotReady", message="it broke")


def test_a_migration_that_was_deleted_still_counts() -> None:
    """Only the newest five are kept, and anybody may delete the others."""
    assert count(remembered=REMEMBERED) == REMEMBERED
    assert count(ended(uid="2"), remembered=REMEMBERED) == REMEMBERED
    found = count(ended(uid="2"), ended(uid="3", message="again"), remembered=REMEMBERED)
    assert (found.migrations, found.reason, found.message) == (("1", "2", "3"), "TargetPodLost", "again")


def test_what_was_remembered_of_another_change_does_not_count() -> None:
    corrected = OTHER_NETWORK
    assert count(remembered=REMEMBERED, change=corrected) == MigrationFailures()
    assert count(ended(uid="2"), remembered=REMEMBERED, change=corrected).count == 0


def test_a_definition_that_becomes_known_is_remembered() -> None:
    """Else no correction of it would ever be noticed."""
    unknown = MigrationFailures(change=UNKNOWN_NETWORK, migrations=("1",), reason="TargetPodNotReady")
    assert count(remembered=unknown).change == CHANGE
    assert count(remembered=REMEMBERED, change=UNKNOWN_NETWORK).change == CHANGE


def test_what_is_remembered_is_bounded() -> None:
    found = count(*(ended(uid=str(number)) for number in range(99)))
    assert 5 <= found.count < 20


@pytest.mark.parametrize(
    ("seconds", "counted"),
    [
        pytest.param(-600, 1, id="made after the NIC was asked for"),
        pytest.param(60, 1, id="made before it by a clock that is a minute off"),
        pytest.param(600, 0, id="for an earlier NIC of that name"),
    ],
)
def test_a_nic_that_was_taken_away_and_comes_back_is_tried_again(seconds: float, counted: int) -> None:
    created = parse_time(CREATED)
    assert created is not None
    asked_at = created + (later(seconds) - NOW)
    assert count(ended(created=format_time(created)), since=asked_at).count == counted


def test_a_long_error_is_cut() -> None:
    assert len(count(ended(message="x" * 9999)).message) < 300
