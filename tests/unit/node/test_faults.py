"""Faults are read from annotations of the Node object."""

import logging

import pytest
from tests.unit.node import build

from nicplug_sandbox.node.faults import (
    DEFAULT_HOW,
    HEALTHY,
    HOW_BROKEN,
    Fault,
    RoleName,
    fault_for,
    fault_of,
    parse_fault,
)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", HEALTHY),
        ("present", HEALTHY),
        ("absent", Fault(absent=True)),
        ("broken", Fault(broken="plug")),
        ("broken=unplug", Fault(broken="unplug")),
        ("slow=2s", Fault(slow_seconds=2)),
        ("slow=0.5s", Fault(slow_seconds=0.5)),
        ("slow=250ms", Fault(slow_seconds=0.25)),
        ("slow=1s, broken", Fault(slow_seconds=1, broken="plug")),
        ("broken=crash", None),
        ("slow=fast", None),
        ("slow", None),
        ("absnet", None),
    ],
)
def test_parse(text: str, fault: Fault | None) -> None:
    assert parse_fault(text, role=RoleName.VIRT_HANDLER) == fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("doubled", Fault(again_seconds=1)),
        ("doubled=5s", Fault(again_seconds=5)),
        ("doubled=often", None),
        ("slow=1s,doubled,broken=crash", Fault(slow_seconds=1, again_seconds=1, broken="crash")),
    ],
)
def test_parse_what_only_the_ends_of_a_migration_know(text: str, fault: Fault | None) -> None:
    assert parse_fault(text, role=RoleName.MIGRATION_TARGET) == fault


def test_a_vmi_may_have_faults_of_its_own() -> None:
    node, plain = build.node(virt_handler="slow=1s"), build.vmi()
    broken = build.vmi(annotations={"sandbox.nicplug.io/virt-handler": "broken=unplug"})
    assert fault_for(broken, node=node, role=RoleName.VIRT_HANDLER) == Fault(broken="unplug")
    assert fault_for(plain, node=node, role=RoleName.VIRT_HANDLER) == Fault(slow_seconds=1)
    assert fault_for(broken, node=None, role=RoleName.VIRT_HANDLER).absent


def test_every_role_has_a_default_way_to_break() -> None:
    assert set(DEFAULT_HOW) == set(HOW_BROKEN) == set(RoleName)
    assert all(how in HOW_BROKEN[role] for role, how in DEFAULT_HOW.items())


def test_of_a_node_reads_the_annotation_of_that_role_only() -> None:
    node = build.node(kubelet="slow=1s", dynamic_networks_controller="absent")
    assert fault_of(node, RoleName.KUBELET) == Fault(slow_seconds=1)
    assert fault_of(node, RoleName.DYNAMIC_NETWORKS) == Fault(absent=True)
    assert fault_of(node, RoleName.MULTUS) == HEALTHY


def test_a_node_that_is_gone_has_no_roles() -> None:
    assert fault_of(None, RoleName.KUBELET).absent


def test_a_typing_error_has_no_effect_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert fault_of(build.node(multus="brokn"), RoleName.MULTUS) == HEALTHY
    assert 'sandbox.nicplug.io/multus" is "brokn"' in caplog.text
    assert "broken=add|crash|delete|unready" in caplog.text
