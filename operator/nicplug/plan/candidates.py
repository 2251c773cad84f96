"""The nodes that a VM could move to, and with numbers why the others cannot take it.

Only what a pod can never get around: CPU, memory, free devices and the rest are the scheduler's business, which is
asked by the target pod.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nicplug.model.attachments import KnownAttachments, attachment_keys
from nicplug.model.frozen_json import read_object
from nicplug.model.metadata import mapping, objects
from nicplug.model.node import Node, fits_affinity, is_cordoned_for, missing_labels, repelling_taints
from nicplug.model.vmi import VirtualMachineInstance

# A message is for a person: the commonest flaws, then "..."
_FLAWS_TOLD = 6
_MOST_LISTED = 10
# Of a placement that is compared with every node: the scheduler is asked whether a longer one fits.
_LONGEST_COMPARED = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The nodes that a VM could move to.

    Attributes:
        is_known: nodes can be read; otherwise the scheduler is asked by a target pod.
        nodes: names of those that fit.
        total: how many nodes there are.
        message: the count, and why the others do not: "0 of 3 nodes can take the VM: node01 runs it, 2 are cordoned".
        devices_nowhere: what is asked for and no node offers, not the one that the VM is on either.
        source_fits: the node that the VM is on would take it again after a restart.
    """

    is_known: bool = False
    nodes: frozenset[str] = frozenset()
    total: int = 0
    message: str = ""
    devices_nowhere: tuple[str, ...] = ()
    source_fits: bool = True

    @property
    def restarts_nowhere(self) -> bool:
        """After a restart the VM would wait for a node: a cordon and a taint do not concern a pod that runs already."""
        return self.is_impossible and not self.source_fits

    @property
    def is_impossible(self) -> bool:
        """No node can take the VM."""
        return self.is_known and not self.nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeNeeds:
    """What a pod needs of its node.

    Attributes:
        affinity: `spec.affinity` of the VMI, whole.
        devices: resource names that the networks of the VM name.
    """

    node_selector: Mapping[str, Any] = field(default_factory=dict)
    affinity: Mapping[str, Any] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, Any]] = ()
    devices: frozenset[str] = frozenset()


class _Flaw(NamedTuple):
    """Why a node cannot take the VM, said of one and of several."""

    of_one: str
    of_several: str


def node_needs(
    vmi: VirtualMachineInstance,
    *,
    attachments: KnownAttachments,
    added_node_selector: Mapping[str, Any] | None = None,
    left_out: frozenset[str] = frozenset(),
) -> NodeNeeds:
    """Return what the VM's next pod needs of its node.

    Args:
        attachments: the network attachment definitions that the VMI refers to; unknown ones ask for no device.
        added_node_selector: of the migration; the VM's own selector wins.
        left_out: NICs that the pod is made without.
    """
    placement = _comparable_placement(vmi)
    going = {interface.name for interface in vmi.interfaces if interface.is_absent} | left_out
    networks = [network for network in vmi.networks if network.name not in going]
    found = (attachments.definitions.get(key) for key in attachment_keys(networks, namespace=vmi.key.namespace))
    return NodeNeeds(
        node_selector={**(added_node_selector or {}), **mapping(placement.get("nodeSelector"))},
        affinity=mapping(placement.get("affinity")),
        tolerations=objects(placement.get("tolerations")),
        devices=frozenset(item.device for item in found if item is not None and item.device),
    )


def _comparable_placement(vmi: VirtualMachineInstance) -> Mapping[str, Any]:
    """What places the pod; nothing if that is too long to be compared with every node."""
    return read_object(vmi.placement) if len(vmi.placement) <= _LONGEST_COMPARED else {}


def refuse_devices(
    nodes: Sequence[Node] | None,
    *,
    vmi: VirtualMachineInstance,
    lacking: Sequence[str],
    attachments: KnownAttachments,
    added_node_selector: Mapping[str, Any] | None = None,
) -> dict[str, Candidates]:
    """The NICs whose device no node has that could take the VM with the NICs before them.

    They must not keep the VM from moving with the others.

    Args:
        lacking: NICs that the guest has still to get, first come first served.
    """
    needs = node_needs(
        vmi, attachments=attachments, added_node_selector=added_node_selector, left_out=frozenset(lacking)
    )
    networks = {network.name: network for network in vmi.networks}
    refused: dict[str, Candidates] = {}
    if not nodes:
        return refused
    groups = _NodeGroups(nodes, source=vmi.node_name, needs=needs)
    asked = needs.devices
    for name in lacking:
        keys = attachment_keys([networks[name]] if name in networks else [], namespace=vmi.key.namespace)
        found = (attachments.definitions.get(key) for key in keys)
        wanted = asked | {item.device for item in found if item is not None and item.device}
        if wanted == asked:
            continue
        candidates = groups.candidates(wanted)
        if candidates.is_impossible:
            refused[name] = candidates
        else:
            asked = wanted
    return refused


def find_candidates(nodes: Sequence[Node] | None, *, source: str, needs: NodeNeeds) -> Candidates:
    """The nodes other than the source that may be asked.

    Args:
        nodes: all there are; None, or none at all, when they cannot be read: whoever runs a VM has nodes.
        source: the node that the VM is on.
    """
    return _NodeGroups(nodes, source=source, needs=needs).candidates(needs.devices) if nodes else Candidates()


class _NodeGroups:
    """The nodes that differ in nothing that matters: hundreds of NICs may each ask for a device of their own."""

    def __init__(self, nodes: Sequence[Node], *, source: str, needs: NodeNeeds) -> None:
        self._total = len(nodes)
        self._source = source if any(node.name == source for node in nodes) else ""
        self._offered = frozenset[str]().union(*(node.devices for node in nodes))
        self._names: dict[tuple[_Flaw | None, frozenset[str]], list[str]] = {}
        self._source_devices: frozenset[str] | None = None
        for node in nodes:
            if node.name == source:
                self._source_devices = node.devices if _flaw(node, needs) is None else None
            else:
                self._names.setdefault((_flaw(node, needs), node.devices), []).append(node.name)

    def candidates(self, devices: frozenset[str]) -> Candidates:
        """Those for a pod that also asks for these devices."""
        fitting: list[str] = []
        counts: Counter[_Flaw] = Counter()
        for (flaw, offered), names in self._names.items():
            if (found := flaw or _lacks_devices(devices - offered)) is None:
                fitting += names
            else:
                counts[found] += len(names)
        told = [f"{self._source} runs it"] if self._source else []
        told += [_counted(flaw, count) for flaw, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
        if len(told) > _FLAWS_TOLD:
            told = [*told[:_FLAWS_TOLD], "..."]
        taken = f"{len(fitting)} of {self._total} {'node' if self._total == 1 else 'nodes'} can take the VM"
        return Candidates(
            is_known=True,
            nodes=frozenset(fitting),
            total=self._total,
            message=f"{taken}: {', '.join(told)}" if told else taken,
            devices_nowhere=tuple(sorted(devices - self._offered)),
            source_fits=self._source_devices is not None and devices <= self._source_devices,
        )


def _flaw(node: Node, needs: NodeNeeds) -> _Flaw | None:
    """The first that a person would fix first; devices come after everything else."""
    if node.deleting:
        return _Flaw("is being deleted", "are being deleted")
    if is_cordoned_for(needs.tolerations, node):
        return _Flaw("is cordoned", "are cordoned")
    if not node.is_ready:
        return _Flaw("is not ready", "are not ready")
    if labels := missing_labels(needs.node_selector, node):
        return _with("lack", f"label {_listed(labels)}")
    if not fits_affinity(needs.affinity, node):
        return _Flaw("does not match the node affinity", "do not match the node affinity")
    if taints := repelling_taints(needs.tolerations, node):
        return _Flaw(*(f"{verb} taint {', '.join(map(str, taints))}" for verb in ("has", "have")))
    return None


def _lacks_devices(devices: frozenset[str]) -> _Flaw | None:
    return _with("lack", f"device {_listed(sorted(devices))}") if devices else None


def _listed(names: Sequence[str]) -> str:
    shown = names if len(names) <= _MOST_LISTED else (*names[:_MOST_LISTED], "...")
    return ", ".join(shown)


def _with(verb: str, rest: str) -> _Flaw:
    return _Flaw(f"{verb}s {rest}", f"{verb} {rest}")


def _counted(flaw: _Flaw, count: int) -> str:
    return f"{count} {flaw.of_one if count == 1 else flaw.of_several}"
