"""What KubeVirt's admission refuses of interfaces and networks together, as the planners look at what is stored."""

from dataclasses import dataclass
from typing import Any

import pytest
from tests.build import Nic, a_config, a_vmi, kubevirt, nic, primary, vmi

from nicplug.plan.nic.admitted import find_violations

CLAIMS_GATE = "NetworkDevicesWithDRA"
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
        config=kubevirt(permitBridgeInterfaceOnPodNetwork=False),
        refused=(("default", f"spec.domain.devices.interfaces[1].name: {BRIDGE}"),),
    ),
    Case(
        title="masquerade on the pod network, and a bridge on a Multus network, where it forbids that",
        nics=(nic("blue"), primary()),
        config=kubevirt(permitBridgeInterfaceOnPodNetwork=False),
    ),
    Case(title="a bridge on the pod network that it permits", nics=(primary(binding="bridge"),), config=kubevirt()),
    Case(title="a bridge on the pod network without a KubeVirt CR", nics=(primary(binding="bridge"),)),
    Case(
        title="resource claims without their feature gate",
        nics=(primary(), claimed("card"), claimed("other")),
        config=kubevirt(),
        refused=tuple(
            (name, f"spec.networks: {CLAIMS_GATE} feature gate is not enabled in kubevirt-config")
            for name in ("card", "other")
        ),
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
