"""A network of a NIC that the guest has, and that no target pod can be given, keeps other NICs waiting; no more."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.build import (
    NOW,
    Json,
    Nic,
    a_migration,
    absent,
    element,
    later,
    migration,
    migration_view,
    nad,
    nic,
    pod,
    primary,
    primary_row,
    row,
    target_pod,
    vmi,
    vmi_view,
)
from tests.unit.plan.migration.outcome import status as status_of_migration
from tests.unit.plan.outcome import status_of

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.frozen_json import thaw
from nicplug.model.hotplug_policy import HotplugPolicy, OnFailure
from nicplug.model.times import format_micro_time, format_time
from nicplug.plan.actions import Create, PatchInterfaces
from nicplug.plan.migration.plan_migration import plan_migration
from nicplug.plan.nic.path.blame import changes_of
from nicplug.plan.nic.path.migration_history import backoff_until
from nicplug.plan.outcome import Plan
from nicplug.plan.reasons import Reason
from nicplug.plan.vmi.plan_vmi import plan_vmi

NO_CONTROLLER = DynamicController(state=ControllerState.NOT_DEPLOYED)
MIGRATABLE = {"type": "LiveMigratable", "status": "True"}
GREEN = nic("green")
WANTED = ("blue", "red", "foo")
NO_BRIDGE = 'error adding container to network "green-net": no such bridge'


@dataclass
class Story:
    """A VMI that has NIC green and wants others by migration; each migration is planned until it has failed.

    Attributes:
        lacks: the NICs that the guest has not got.
        words: what the kubelet says of each target pod.
        migrations: those that there are.
        records: of the VMI's NICs, as they were last written.
    """

    lacks: tuple[Nic, ...] = tuple(map(nic, WANTED))
    guest: tuple[Nic, ...] = (GREEN,)
    words: str = NO_BRIDGE
    nads: list[Json] = field(default_factory=lambda: [nad(f"{name}-net") for name in ("green", *WANTED)])
    view: Json = field(default_factory=dict)
    migrations: list[Json] = field(default_factory=list)
    records: list[Json] = field(default_factory=list)
    number: int = 0

    @property
    def raw(self) -> Json:
        rows = [primary_row(), *(row(item["name"], "domain", "multus-status") for item, _ in self.guest)]
        nics = (*self.guest, *self.lacks)
        return vmi(primary(), *nics, rows=rows, operations=self.records, conditions=[MIGRATABLE])

    def plan(self, seconds: float = 0) -> Plan:
        """For the VMI; what it says of the NICs is written."""
        names = [item["name"] for item, _ in self.guest]
        asked = pod(networks=[element(name) for name in names], attached=names)
        facts: Json = {"controller": NO_CONTROLLER, "nads": self.nads, "report_pending_since": later(-60), **self.view}
        seen = vmi_view(self.raw, asked, migrations=self.migrations, spec_seen_at=later(-60), **facts)
        found = plan_vmi(seen, now=later(seconds))
        self.records = status_of(found).get("interfaceOperations", self.records)
        return found

    def made(self, seconds: float = 0) -> Json | None:
        """The migration that is made then, waiting."""
        creates = [item for item in self.plan(seconds).actions if isinstance(item, Create)]
        if not creates:
            return None
        self.number += 1
        known: Json = {"creationTimestamp": format_time(later(seconds)), "uid": f"m{self.number}"}
        members = {name: thaw(creates[0].body)["metadata"][name] for name in ("name", "annotations", "ownerReferences")}
        accepted = [{"phase": "Pending", "phaseTransitionTimestamp": known["creationTimestamp"]}]
        return migration("Scheduling", status={"phaseTransitionTimestamps": accepted}, **members, **known)

    def fail(self, seconds: float = 0) -> datetime:
        """A migration is made, gets a target pod that cannot start, and is given up; when."""
        raw = self.made(seconds)
        assert raw is not None
        made_at, uid = raw["metadata"]["creationTimestamp"], raw["metadata"]["uid"]
        networks = [element(item["name"]) for item, _ in (*self.guest, *self.lacks)]
        members: Json = {"networks": networks, "attached": [], "creationTimestamp": made_at, "migration_uid": uid}
        target = target_pod(phase="Pending", ready=False, **members)
        view = migration_view(raw, self.raw, pod(), target, nads=self.nads, cannot_start=self.words)
        failed_at = later(seconds + 301)
        raw["status"] = status_of_migration(plan_migration(view, now=failed_at))
        assert raw["status"]["phase"] == "Failed"
        self.migrations.append(raw)
        return failed_at

    def is_held_off(self, raw: Json) -> bool:
        """A migration that waits has a back-off, though it may be over."""
        waiting = {**raw, "status": {"phase": "Pending"}}
        view = migration_view(waiting, self.raw, pod(), others=self.migrations, nads=self.nads)
        return (
            backoff_until(view.migration, migrations=view.migrations, vmi=view.vmi, known=view.attachments) is not None
        )

    def reported(self) -> dict[str, Json]:
        return {record["name"]: record for record in self.records}


def seconds_to(moment: datetime | None) -> float:
    assert moment is not None
    return (moment - NOW).total_seconds()


def riders(raw: Json | None) -> set[str]:
    return set(changes_of(a_migration(raw))) if raw is not None else set()


def test_nobody_is_given_up_for_the_network_of_another_nic() -> None:
    story = Story()
    failed_at = story.fail()
    assert story.migrations[0]["status"]["interfacesAtFault"] == ["green"]
    found = story.plan(302)
    assert not [item for item in found.actions if isinstance(item, Create)]
    reported = story.reported()
    assert {name: (record["phase"], record["reason"]) for name, record in reported.items()} == dict.fromkeys(
        WANTED, ("Blocked", Reason.MIGRATION_FAILED)
    )
    assert not any("migrationFailures" in record for record in reported.values())
    again = failed_at.replace(microsecond=0) + timedelta(minutes=15)
    for words in (
        'failed not of this NIC, but of NIC "green" on network default/green-net, which comes with every target pod',
        NO_BRIDGE,
        "tried again when that NIC or its network changes",
    ):
        assert words in reported["blue"]["message"]
    assert reported["blue"]["nextAttemptTime"] == format_micro_time(again)
    assert found.again_at == again


def test_none_is_taken_back_for_it() -> None:
    story = Story(view={"policy": HotplugPolicy(on_failure=OnFailure.ROLLBACK)})
    story.fail()
    assert not [item for item in story.plan(302).actions if isinstance(item, PatchInterfaces)]
    assert {record["phase"] for record in story.reported().values()} == {"Blocked"}


def test_it_is_tried_ever_less_often_and_five_times_in_all() -> None:
    story, at = Story(), 0.0
    pauses: list[int] = []
    while len(pauses) < 4:
        ended = seconds_to(story.fail(at))
        at = seconds_to(story.plan(ended + 1).again_at)
        pauses.append(round((at - ended) / 60))
        assert story.made(at - 1) is None
    assert pauses == [15, 30, 60, 120]
    story.fail(at)
    assert story.plan(at + 10**6).again_at is None
    assert story.made(at + 10**6) is None
    record = story.reported()["blue"]
    assert "if you have repaired a node, migrate the VM yourself" in record["remedy"]
    assert "nextAttemptTime" not in record


MENDED = [
    pytest.param({"nads": [nad("green-net", config='{"mended": 1}'), *map(nad, ("blue-net", "red-net", "foo-net"))]},
                 id="its network was corrected"),
    pytest.param({"guest": (nic("green", attachment="blue-net"),)}, id="it is to be on another network"),
    pytest.param({"guest": (absent("green"),)}, id="it is to go"),
    pytest.param({"guest": ()}, id="it has gone"),
    pytest.param({"migrations": []}, id="somebody has deleted the migration"),
]  # fmt: skip


@pytest.mark.parametrize("changes", MENDED)
def test_what_failed_has_changed_so_it_is_tried_at_once(changes: dict[str, Any]) -> None:
    story = Story()
    story.fail()
    assert story.made(302) is None
    for name, value in changes.items():
        setattr(story, name, value)
    again = story.made(303)
    assert riders(again) >= set(WANTED)
    assert again is not None
    assert not story.is_held_off(again)


def test_one_that_is_made_all_the_same_keeps_to_the_back_off() -> None:
    story = Story()
    story.fail()
    again = story.made(302 + 15 * 60)
    assert again is not None
    assert story.is_held_off(again)


def test_a_migration_that_somebody_made_and_that_succeeded_refutes_it() -> None:
    story = Story()
    story.fail()
    story.migrations.append(migration("Succeeded", uid="by-hand", creationTimestamp=format_time(later(400))))
    assert riders(story.made(500)) == set(WANTED)
    story.migrations = story.migrations[::-1]
    assert story.made(500) is None, "one before it says nothing"


def test_a_nic_that_is_asked_for_later_waits_like_the_others() -> None:
    story = Story(lacks=(nic("blue"),))
    story.fail()
    story.lacks = tuple(map(nic, WANTED))
    assert story.made(302) is None
    assert {record["phase"] for record in story.reported().values()} == {"Blocked"}


def test_of_two_nics_on_a_broken_network_the_new_one_is_given_up_and_others_wait_for_the_guests() -> None:
    bridge = '{"name": "green-net"}'
    story = Story(nads=[nad("green-net"), nad("red-net", config=bridge), nad("blue-net"), nad("foo-net")])
    story.fail()
    assert story.migrations[0]["status"]["interfacesAtFault"] == ["green", "red"]
    assert story.made(302) is None
    assert {name: record["phase"] for name, record in story.reported().items()} == {
        "blue": "Blocked",
        "red": "Failed",
        "foo": "Blocked",
    }


def test_a_nic_that_the_guest_has_not_got_fails_by_it_and_the_others_go_without_it() -> None:
    """It was asked for just before the target pod was made: the migration does not say that it is for it, too."""
    story = Story(words=NO_BRIDGE.replace("green", "red"), lacks=(nic("blue"),))
    raw = story.made()
    assert raw is not None
    story.lacks = (nic("blue"), nic("red"))
    target = target_pod(
        migration_uid="m1", phase="Pending", ready=False, creationTimestamp=raw["metadata"]["creationTimestamp"]
    )
    view = migration_view(raw, story.raw, pod(), target, nads=story.nads, cannot_start=story.words)
    raw["status"] = status_of_migration(plan_migration(view, now=later(301)))
    assert (raw["status"]["interfacesAtFault"], set(raw["status"]["causesAtFault"])) == (["red"], {"red"})
    story.migrations.append(raw)
    assert story.made(302) is None
    assert (story.reported()["red"]["phase"], story.reported()["red"]["path"]) == ("Failed", "Migration")
    assert riders(story.made(303)) == {"blue"}


@pytest.mark.parametrize("causes", [None, "x", {"green": 1}, {}], ids=str)
def test_a_blame_that_somebody_has_edited_is_none(causes: Any) -> None:
    """Else nobody would be counted, and migrations were made for ever."""
    story = Story(lacks=(nic("blue"),))
    story.fail()
    story.migrations[0]["status"]["causesAtFault"] = causes
    assert story.made(302) is None
    assert story.reported()["blue"]["phase"] == "Failed"
