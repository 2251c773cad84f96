"""A NIC whose migration cannot begin: the plan says so, and the story names who has to act."""

from typing import Any

import pytest
from tests.build import (
    NOW,
    Json,
    a_migration,
    a_vmi,
    element,
    kubevirt,
    migration,
    nic,
    operation,
    pod,
    primary,
    row,
    vmi,
)

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.insight.evidence import Evidence, Target
from nicplug.insight.forecast import forecast
from nicplug.insight.nics import describe
from nicplug.insight.outcome import NicForecast, Outcome
from nicplug.insight.outdated import outdated_of
from nicplug.insight.story import Story, compose_story
from nicplug.model.metadata import objects
from nicplug.model.operations import parse_operations

MIGRATABLE = {"type": "LiveMigratable", "status": "True"}
FORBIDDEN = nic("red", attachment="green/red-net")
LAUNCHER = pod(networks=[element("red", namespace="green")], attached=["red"])
HINDERED = (
    'NIC "red" is in the guest, and the target pod cannot have it: namespace default may not use network attachment '
    "definitions of namespace green"
)
REMEDY = (
    "Ask the cluster admin to allow that network, or unplug the NIC that the message names: the VM is then migrated "
    "automatically"
)


def guest(*more: Any, **members: Any) -> Json:
    rows = [row("default", "domain"), row("red", "domain", "multus-status")]
    return vmi(primary(), FORBIDDEN, *more, rows=rows, conditions=[MIGRATABLE], **members)


def evidence(running: Json, *migrations: Json, policy: str = "SameNamespace") -> Evidence:
    """A guest with a NIC on a network of another namespace; no NIC is plugged in place."""
    caches = Caches(clock=lambda: NOW)
    caches.observe(CachedKind.KUBEVIRT, kubevirt(hotplug={"nadPolicy": policy, "dynamicPath": "Never"}))
    target = Target(namespace="default", name="vmi-fedora")
    found = Evidence(target=target, caches=caches, clock=lambda: NOW, asked=None)
    found.put(CachedKind.VMI, running)
    caches.observe(CachedKind.POD, LAUNCHER)
    for item in migrations:
        caches.observe(CachedKind.MIGRATION, item)
    return found


def blue_of(found: Evidence, *, changed: Json | None) -> NicForecast:
    return forecast(found, changed=changed, now=NOW).by_name["blue"]


def test_a_migration_that_a_forbidden_network_would_hold_up_was_said_to_bring_the_nic() -> None:
    found = evidence(guest())
    told = forecast(found, changed=guest(nic("blue")), now=NOW)
    blue = told.by_name["blue"]
    assert (blue.outcome, blue.path, blue.phase, blue.reason) == (
        Outcome.STUCK,
        "Migration",
        "Migrating",
        "DynamicPathNever",
    )
    assert HINDERED in blue.message
    assert blue.remedy == REMEDY
    assert (told.arrives, bool(told.migration)) == (False, True)
    assert not found.caches.migrations_of(a_vmi(guest()).key)


def test_a_migration_that_may_have_all_networks_brings_the_nic() -> None:
    told = forecast(evidence(guest(), policy="Any"), changed=guest(nic("blue")), now=NOW)
    assert (told.by_name["blue"].outcome, told.arrives) == (Outcome.BY_MIGRATION, True)


def stuck(**condition: str) -> Json:
    row = {"type": "Progressing", "status": "False", "reason": "NetworkNotAllowed", "message": f"{HINDERED}; given up"}
    return migration("Pending", status={"conditions": [{**row, **condition}]})


def test_a_nic_that_waits_for_a_stuck_migration_needs_action() -> None:
    blue = blue_of(evidence(guest(nic("blue")), stuck()), changed=None)
    assert (blue.outcome, blue.phase, blue.remedy) == (Outcome.STUCK, "Migrating", REMEDY)
    assert blue.message.count(HINDERED) == 1


def test_a_migration_that_has_not_said_yet_what_it_waits_for_is_asked_by_its_own_checks() -> None:
    blue = blue_of(evidence(guest(nic("blue")), migration("Pending")), changed=None)
    assert (blue.outcome, blue.remedy) == (Outcome.STUCK, REMEDY)


def story(name: str, job: Json) -> Story:
    waiting = f"dynamicPath is Never, migrating the VM by migration-job ({HINDERED}; given up)"
    record = operation("blue", phase="Migrating", path="Migration", reason="DynamicPathNever", message=waiting)
    raw = guest(nic("blue"), operations=[record | {"remedy": REMEDY, "migration": "migration-job"}])
    parsed, found = a_vmi(raw), evidence(raw, job)
    described = describe(namespace="default", name="vmi-fedora", vm=None, vmi=parsed, now=NOW)
    return compose_story(
        nic=next(item for item in described.nics if item.name == name),
        record=parse_operations(objects(raw["status"]["interfaceOperations"])).get(name),
        vmi=parsed,
        pod="virt-launcher-a",
        migrations=[a_migration(job)],
        events=(),
        forecast=None,
        next_reconcile_at=None,
        outdated=outdated_of(found, now=NOW).get(name),
        now=NOW,
    )


def test_a_stuck_migration_was_explained_as_one_that_goes_on() -> None:
    told = story("blue", stuck())
    assert told.meaning.startswith("The cluster's policy does not let the VM use networks of that namespace")
    assert told.todo == REMEDY
    assert [item.what for item in told.next] == ["the migration goes on when that is done"]


def test_a_nic_whose_network_no_new_pod_may_have_was_plainly_ready() -> None:
    told = story("red", stuck())
    assert told.nic.is_ready
    assert told.outdated.startswith('NIC "red" is in the guest and stays there, but no new pod gets it: ')
    assert told.todo == "Use one of these, or ask the cluster admin"


@pytest.mark.parametrize("status", ["True", "False"])
def test_a_migration_that_goes_on_is_explained_as_such(status: str) -> None:
    told = story("blue", stuck(status=status, reason="CreatingTargetPod"))
    assert told.meaning
    assert "policy" not in told.meaning
