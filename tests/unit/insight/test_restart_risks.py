"""What a restart may cost: told before the VM is down."""

from typing import Any

import pytest
from tests.build import NOW, a_vmi, nic, node, operation, primary, vmi

from nicplug.insight.restart_risks import restart_risks
from nicplug.model.node import Node, parse_node

FAILED = {"cause": "a/b", "migrations": ["u"], "reason": "TargetPodNotReady", "message": "no such bridge"}


def nodes(**cordoned: bool) -> tuple[Node, ...]:
    return tuple(parse_node(node(name, unschedulable=value)) for name, value in cordoned.items())


@pytest.mark.parametrize(
    ("known", "record", "told"),
    [
        (
            nodes(node01=True, node02=True),
            operation("blue"),
            ["0 of 2 nodes can take the VM: 2 are cordoned: it would be down until one can"],
        ),
        (nodes(node01=False, node02=True), operation("blue"), []),
        (None, operation("blue"), []),
        (
            None,
            operation("blue", phase="Failed", reason="MigrationFailed", migrationFailures=FAILED),
            ['the network of NIC "blue" failed at a target pod (no such bridge): it may not start with it'],
        ),
        (None, operation("blue", type_="Unplug", migrationFailures=FAILED), []),
        (None, operation("blue", migrationFailures={**FAILED, "reason": "TargetPodLate"}), []),
    ],
    ids=[
        "all cordoned",
        "its own node takes it",
        "no right to nodes",
        "failed at a target pod",
        "unplug",
        "no network",
    ],
)
def test_a_restart_took_the_vm_down_without_a_word(
    known: tuple[Node, ...] | None, record: dict[str, Any], told: list[str]
) -> None:
    running = a_vmi(vmi(primary(), nic("blue"), operations=[record]))
    assert list(restart_risks(running, nodes=known, now=NOW)) == told


def test_a_stopped_vm_has_nothing_to_lose() -> None:
    assert restart_risks(None, nodes=nodes(node01=True), now=NOW) == ()
