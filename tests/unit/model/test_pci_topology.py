"""How many PCI slots for NICs a guest has: KubeVirt's formulas, as far as a VMI tells what goes into them."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from nicplug.model.networks import parse_interface
from nicplug.model.pci import ON_ROOT_COMPLEX_ANNOTATION, SLOT_COUNT_ANNOTATION, parse_topology, takes_slot

LARGE, SMALL = {"memory": {"guest": "4Gi"}}, {"memory": {"guest": "2Gi"}}
VIRTIO = {"name": "root", "disk": {"bus": "virtio"}}
SCSI = {"name": "seed", "disk": {"bus": "scsi"}}


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    born: int = 1
    at_least: int
    at_most: int
    domain: dict[str, Any] = field(default_factory=lambda: SMALL)
    annotations: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


CASES = [
    Case(name="no NIC: no slot is kept for NICs, three are kept free", born=0, at_least=3, at_most=8),
    Case(name="one NIC", at_least=4, at_most=8),
    Case(name="two NICs", born=2, at_least=5, at_most=8),
    Case(name="four NICs: three are free all the same", born=4, at_least=7, at_most=8),
    Case(name="nine NICs", born=9, at_least=12, at_most=12),
    Case(name="30 NICs: there are 31 buses", born=30, at_least=31, at_most=31),
    Case(name="more than 2 GiB", domain=LARGE, at_least=7, at_most=16),
    Case(name="more than 2 GiB, no NIC", born=0, domain=LARGE, at_least=6, at_most=16),
    Case(
        name="memory that is requested",
        domain={"resources": {"requests": {"memory": "4Gi"}}},
        at_least=7,
        at_most=16,
    ),
    Case(name="memory that is limited", domain={"resources": {"limits": {"memory": "4Gi"}}}, at_least=7, at_most=16),
    Case(name="memory that nobody knows: little is certain, much is possible", domain={}, at_least=4, at_most=16),
    Case(name="memory that is no quantity", domain={"memory": {"guest": "lots"}}, at_least=4, at_most=16),
    Case(
        name="virtio disks take slots, others do not",
        domain={**SMALL, "devices": {"disks": [VIRTIO, VIRTIO, SCSI, {"name": "cd", "cdrom": {"bus": "sata"}}, "?"]}},
        at_least=4,
        at_most=6,
    ),
    Case(name="slots that were counted once", annotations={SLOT_COUNT_ANNOTATION: "11"}, at_least=11, at_most=11),
    Case(name="fewer slots than NICs", born=5, annotations={SLOT_COUNT_ANNOTATION: "3"}, at_least=8, at_most=8),
    Case(name="a count that is none", annotations={SLOT_COUNT_ANNOTATION: "many"}, at_least=4, at_most=8),
    Case(name="a count without measure", annotations={SLOT_COUNT_ANNOTATION: "9" * 999}, at_least=4, at_most=8),
    Case(
        name="devices on the root complex: nothing is certain to be pluggable",
        annotations={ON_ROOT_COMPLEX_ANNOTATION: "true"},
        at_least=1,
        at_most=8,
    ),
    Case(
        name="a machine of that kind", domain={**SMALL, "machine": {"type": "pc-q35-rhel9.4.0"}}, at_least=4, at_most=8
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_slots(case: Case) -> None:
    topology = parse_topology({"domain": case.domain}, case.annotations)
    assert topology is not None
    certain = topology.at_least(case.born)
    assert (certain, topology.at_most(certain)) == (case.at_least, case.at_most)


@pytest.mark.parametrize(
    "spec",
    [
        {"architecture": "s390x"},
        {"architecture": "ppc64le"},
        {"domain": {"machine": {"type": "pc-i440fx-6.0"}}},
        {"domain": {"machine": {"type": "microvm"}}},
    ],
    ids=str,
)
def test_where_nics_take_no_such_slots_nothing_is_counted(spec: dict[str, Any]) -> None:
    assert parse_topology(spec, {}) is None


@pytest.mark.parametrize("spec", [{}, {"domain": None}, {"domain": {"devices": {"disks": "?"}, "memory": 7}}], ids=str)
def test_whatever_is_written_something_is_counted(spec: dict[str, Any]) -> None:
    topology = parse_topology(spec, {SLOT_COUNT_ANNOTATION: None})
    assert topology is not None
    assert topology.at_least(1) == 4


@pytest.mark.parametrize(
    ("model", "expected"), [("virtio", True), ("e1000e", True), ("igb", True), ("e1000", False), ("rtl8139", False)]
)
def test_models_of_the_old_bus_take_no_slot(model: str, expected: bool) -> None:
    assert takes_slot(parse_interface({"name": "a", "bridge": {}, "model": model})) is expected
    assert takes_slot(parse_interface({"name": "model", "bridge": {}}))
