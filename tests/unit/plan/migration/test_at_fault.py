"""Which NIC a migration has failed of, where the failure names it."""

import json
from typing import Any

import pytest
from tests.build import (
    Json,
    element,
    later,
    migration,
    migration_view,
    nad,
    nic,
    pod,
    primary,
    target_pod,
    vmi,
    waiting,
)
from tests.unit.plan.migration.outcome import status

from nicplug.plan.migration.plan_migration import plan_migration

CREATED = "2026-01-02T03:04:05Z"
BOTH = ["blue", "red"]


def at_fault(target: Json, *, made_for: list[str] | None = None, **view: Any) -> list[str] | None:
    """What its status says when its target pod, which was to bring two NICs, is given up; None for nothing."""
    causes = dict.fromkeys(BOTH if made_for is None else made_for, "1/a")
    annotations = {"kubevirt.io/workloadUpdateMigration": "", "nicplug.io/interfaces": json.dumps(causes)}
    of = vmi(primary(), nic("green"), nic("blue"), nic("red"))
    view = {"nads": [nad("blue-net", config='{"name": "br-blue"}'), nad("red-net"), nad("green-net")], **view}
    raw = migration("Scheduling", annotations=annotations)
    after = status(plan_migration(migration_view(raw, of, pod(), target, **view), now=later(10**4)))
    assert after["phase"] == "Failed"
    found: list[str] | None = after.get("interfacesAtFault")
    others = set(found or ()) - causes.keys()
    assert set(after.get("causesAtFault", {})) == others
    return found


def starting(**members: Any) -> Json:
    """A target pod that does not run."""
    networks = [element(name) for name in BOTH]
    return target_pod(
        phase="Pending", ready=False, creationTimestamp=CREATED, networks=networks, attached=[], **members
    )


def failing(network: str) -> str:
    return f"error adding container to network {network}: no such bridge"


@pytest.mark.parametrize(
    ("words", "view", "names"),
    [
        pytest.param(failing('"br-blue"'), {}, ["blue"], id="by the name in its configuration"),
        pytest.param(failing('"red-net"'), {}, ["red"], id="by its own, as its configuration has none"),
        pytest.param(
            failing('"blue-net"'), {}, None, id="a definition of that name whose networks are called otherwise"
        ),
        pytest.param(failing('"br-blue"'), {"nads": None}, None, id="definitions cannot be read"),
        pytest.param(failing("default/red-net"), {}, ["red"], id="with its namespace"),
        pytest.param(failing("other/red-net"), {}, None, id="a namesake in another namespace"),
        pytest.param(
            "cannot find a network-attachment-definition (red-net) in namespace (default): no",
            {"nads": None},
            ["red"],
            id="it was deleted meanwhile",
        ),
        pytest.param(failing('"red-net"'), {"made_for": ["blue"]}, ["red"], id="of a NIC that it was not for"),
        pytest.param(failing('"green-net"'), {}, ["green"], id="of a NIC that is in the guest"),
        pytest.param("i/o timeout", {}, None, id="nobody"),
    ],
)
def test_a_network_that_the_kubelet_names(words: str, view: dict[str, Any], names: list[str] | None) -> None:
    assert at_fault(starting(), cannot_start=words, **view) == names


def test_two_nics_on_one_network_are_both_named() -> None:
    same = [nad("blue-net", config='{"name": "br"}'), nad("red-net", config='{"name": "br"}')]
    assert at_fault(starting(), cannot_start=failing('"br"'), nads=same) == BOTH


def test_an_interface_that_multus_does_not_report() -> None:
    networks = [element(name) for name in BOTH]
    ready = target_pod(creationTimestamp=CREATED, networks=networks, attached=["blue"])
    assert at_fault(ready) == ["red"]


def test_of_two_nics_on_one_network_also_the_one_that_the_guest_has_is_named() -> None:
    same = [nad("green-net", config='{"name": "br"}'), nad("red-net", config='{"name": "br"}'), nad("blue-net")]
    assert at_fault(starting(), cannot_start=failing('"br"'), nads=same) == ["green", "red"]


@pytest.mark.parametrize(
    ("attached", "named"),
    [
        pytest.param(["blue", "red"], ["green"], id="of the guest's own"),
        pytest.param([], ["blue", "red"], id="all: nothing against what the guest has"),
    ],
)
def test_an_interface_of_the_guest_that_multus_does_not_report(attached: list[str], named: list[str]) -> None:
    networks = [element(name) for name in ("green", *BOTH)]
    assert at_fault(target_pod(creationTimestamp=CREATED, networks=networks, attached=attached)) == named


def test_a_pod_that_does_not_run_is_no_evidence_against_what_multus_has_still_to_report() -> None:
    assert at_fault(starting()) is None


def test_an_image_is_no_nics_fault() -> None:
    pulling = starting(status=waiting("ErrImagePull"))
    assert at_fault(pulling, cannot_start=failing('"red-net"')) is None
