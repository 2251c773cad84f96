"""What KubeVirt's admission refuses of interfaces and networks together, as the planners look at what is stored."""

from dataclasses import dataclass
from typing import Any

import pytest
from tests.build import (
    NOW,
    Json,
    Nic,
    a_config,
    a_vmi,
    kubevirt,
    later,
    nic,
    operation,
    pod,
    primary,
    row,
    vm,
    vmi,
    vmi_view,
)
from tests.unit.plan.outcome import status_of

from nicplug.plan.nic.spec_checks import find_violations
from nicplug.plan.reasons import Reason
from nicplug.plan.vmi.plan_vmi import plan_vmi

CLAIMS_GATE = "NetworkDevicesWithDRA"
NO_CLAIMS = f"vmi.spec.networks contains DRA networks but {CLAIMS_GATE} feature gate is not enabled"
FORBIDDEN = kubevirt(permitBridgeInterfaceOnPodNetwork=False)
ON_POD = "more than one interface is connected to a pod network in spec.interfaces"
BRIDGE = "Bridge on pod network configuration is not enabled under kubevirt-config"
MASQUERADE = "Masquerade interface only implemented with pod network"


def as_default(name: str) -> Nic:
    interface, network = nic(name)
    return interface, {**network, "multus": {**network["multus"], "default": True}}


def claimed(name: str) -> Nic:
    return nic(name, binding="sriov")[0], {"name": name, "resourceClaim": {"claimName": "a", "requestName": name}}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A spec, and each NIC that is in the way with what is said of it."""

    title: str
    nics: tuple[Nic, ...]
    refused: tuple[tuple[str, str], ...] = ()
    config: dict[str, Any] | None = None
    held: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.title


CASES = [
    Case(title="the pod network and a Multus network", nics=(primary(), nic("blue"))),
    Case(
        title="two pod networks: the first one stays",
        nics=(primary(), primary("second")),
        refused=(("second", f"spec.interfaces: {ON_POD}"),),
    ),
    Case(
        title="two pod networks: the one that the guest has stays",
        nics=(primary(), primary("second")),
        held=("second",),
        refused=(("default", f"spec.interfaces: {ON_POD}"),),
    ),
    Case(
        title="two default networks",
        nics=(as_default("one"), as_default("two")),
        refused=(("two", "spec.networks: Multus CNI should only have one default network"),),
    ),
    Case(
        title="a default network beside the pod network",
        nics=(primary(), as_default("one")),
        refused=(("one", "spec.networks: Pod network cannot be defined when Multus default network is defined"),),
    ),
    Case(
        title="masquerade on a Multus network",
        nics=(primary(), nic("blue", binding="masquerade")),
        refused=(("blue", f"spec.domain.devices.interfaces[1].name: {MASQUERADE}"),),
    ),
    Case(
        title="a bridge on the pod network that the KubeVirt CR forbids",
        nics=(nic("blue"), primary(binding="bridge")),
        config=FORBIDDEN,
        refused=(("default", f"spec.domain.devices.interfaces[1].name: {BRIDGE}"),),
    ),
    Case(
        title="masquerade on the pod network, and a bridge on a Multus network, where it forbids that",
        nics=(nic("blue"), primary()),
        config=FORBIDDEN,
    ),
    Case(title="a bridge on the pod network that it permits", nics=(primary(binding="bridge"),), config=kubevirt()),
    Case(title="a bridge on the pod network without a KubeVirt CR", nics=(primary(binding="bridge"),)),
    Case(
        title="resource claims without their feature gate",
        nics=(primary(), claimed("card"), claimed("other")),
        config=kubevirt(),
        refused=tuple((name, f"spec.networks: {NO_CLAIMS}") for name in ("card", "other")),
    ),
    Case(
        title="resource claims beside a Multus network",
        nics=(nic("blue"), claimed("card")),
        config=kubevirt(CLAIMS_GATE),
        refused=(
            ("card", "spec.networks: mixing Multus and DRA resourceClaim networks in the same VMI is not supported"),
        ),
    ),
    Case(title="resource claims with their gate", nics=(primary(), claimed("card")), config=kubevirt(CLAIMS_GATE)),
    Case(title="resource claims without a KubeVirt CR", nics=(primary(), claimed("card"))),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_admission_refuses_as_a_whole(case: Case) -> None:
    of = a_vmi(vmi(*case.nics))
    config = a_config(case.config) if case.config is not None else None
    found = list(find_violations(of.interfaces, of.networks, config=config, held=case.held))
    assert [(item.nic, item.at("spec")) for item in found] == list(case.refused)
    assert [item for item in found if not item.remedy] == []


def records(raw: Json, **view: Any) -> dict[str, Json]:
    """The records of a running VMI, by NIC."""
    found = plan_vmi(vmi_view(raw, pod(), report_pending_since=later(-9), **view), now=NOW)
    return {item["name"]: item for item in status_of(found).get("interfaceOperations") or []}


def test_a_nic_that_the_guest_never_had_was_said_to_be_in_it() -> None:
    reported = records(vmi(primary(binding="bridge"), rows=[]), config=FORBIDDEN)
    assert Reason.NOT_ADMITTED not in {item["reason"] for item in reported.values()}


@pytest.mark.parametrize(("type_", "path", "migration"), [("Plug", "Migration", "m1"), ("Unplug", "None", None)])
def test_how_a_nic_came_that_is_no_longer_admitted_was_forgotten(type_: str, path: str, migration: str | None) -> None:
    came = operation("second", type_=type_, path="Migration", phase="Ready", reason="Attached", migration="m1")
    rows = [row(name, "domain") for name in ("default", "second")]
    record = records(vmi(primary(), primary("second"), rows=rows, operations=[came]))["second"]
    assert (record["phase"], record["reason"]) == ("Ready", Reason.NOT_ADMITTED)
    assert (record["operation"], record["path"], record.get("migration")) == ("Plug", path, migration)


def test_of_two_pod_networks_the_one_that_the_guest_has_was_in_the_way() -> None:
    reported = records(vmi(primary(), primary("second"), rows=[row("second", "domain")]))
    assert "second" not in reported


def test_of_two_violations_of_a_nic_the_last_one_was_reported() -> None:
    """In the order of KubeVirt's admission, which the condition of a VM that does not start has too."""
    bridge = primary("second", binding="bridge")
    record = records(vmi(primary(), bridge, rows=[row("default", "domain")]), config=FORBIDDEN)["second"]
    assert record["message"].startswith(f"spec.interfaces: {ON_POD}")


def test_a_bridge_was_advised_for_a_second_pod_network_that_the_template_has_no_more() -> None:
    record = records(vmi(primary(), primary("second"), rows=[row("default", "domain")]), vm=vm(primary()))["second"]
    assert (record["reason"], record["remedy"]) == (Reason.BINDING_NEEDS_RESTART, "Restart the VM")
