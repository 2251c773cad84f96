"""The nodes that a VM could migrate to, and with numbers why the others cannot take it.

Checks only what a pod can never get around. The scheduler decides about CPU, memory, free devices and the rest when the
target pod is created.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nicplug.model.attachments import KnownAttachments
from nicplug.model.frozen_json import read_object
from nicplug.model.metadata import mapping, objects
from nicplug.model.networks import Network
from nicplug.model.node import Node, fits_affinity, is_cordoned_for, missing_labels, repelling_taints
from nicplug.model.vmi import VirtualMachineInstance

# A message is for people: it has the most frequent flaws, then "..."
_FLAWS_LISTED = 6
_MOST_LISTED = 10
# Limit for a placement that is compared with every node; a longer one is left to the scheduler.
_LONGEST_COMPARED = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The nodes that a VM could migrate to.

    Attributes:
        is_known: True if nodes can be read; otherwise a target pod is created, and the scheduler decides.
        nodes: names of those that fit.
        total: how many nodes there are.
        message: the count, and why the others do not fit: "0 of 3 nodes can take the VM: node01 runs it, 2 are
            cordoned".
        devices_nowhere: requested devices that no node offers, not even the source.
        source_fits: True if the current node would take the VM again after a restart.
    """

    is_known: bool = False
    nodes: frozenset[str] = frozenset()
    total: int = 0
    message: str = ""
    devices_nowhere: tuple[str, ...] = ()
    source_fits: bool = True

    @property
    def restarts_nowhere(self) -> bool:
        """True if no node would take the VM after a restart: a cordon or a taint does not affect a running pod."""
        return self.is_impossible and not self.source_fits

    @property
    def is_impossible(self) -> bool:
        """True if no node can take the VM."""
        return self.is_known and not self.nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeNeeds:
    """What a target pod requires of its node.

    Attributes:
        affinity: the whole `spec.affinity` of the VMI.
        devices: resource names from the networks of the VM.
    """

    node_selector: Mapping[str, Any] = field(default_factory=dict)
    affinity: Mapping[str, Any] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, Any]] = ()
    devices: frozenset[str] = frozenset()


class _Flaw(NamedTuple):
    """Why a node cannot take the VM, worded for one node and for several."""

    of_one: str
    of_several: str


def node_needs(
    vmi: VirtualMachineInstance,
    *,
    attachments: KnownAttachments,
    added_node_selector: Mapping[str, Any] | None = None,
    left_out: frozenset[str] = frozenset(),
) -> NodeNeeds:
    """Return what the VM's next pod requires of its node.

    Args:
        attachments: the network attachment definitions that the VMI refers to; unknown ones require no device.
        added_node_selector: that of the migration; the VM's own selector takes precedence.
        left_out: NICs that the pod is created without.
    """
    placement = _comparable_placement(vmi)
    going = {interface.name for interface in vmi.interfaces if interface.is_absent} | left_out
    networks = (network for network in vmi.networks if network.name not in going)
    return NodeNeeds(
        node_selector={**(added_node_selector or {}), **mapping(placement.get("nodeSelector"))},
        affinity=mapping(placement.get("affinity")),
        tolerations=objects(placement.get("tolerations")),
        devices=frozenset(devices_of(networks, attachments, namespace=vmi.key.namespace)),
    )


def devices_of(networks: Iterable[Network], attachments: KnownAttachments, *, namespace: str) -> Iterator[str]:
    """Yield the devices that the definitions of secondary networks require."""
    for network in networks:
        definition = attachments.definition_of(network, namespace=namespace) if network.is_secondary else None
        if definition is not None and definition.device:
            yield definition.device


def _comparable_placement(vmi: VirtualMachineInstance) -> Mapping[str, Any]:
    """Return what places the pod; empty if that is too long to be compared with every node."""
    return read_object(vmi.placement) if len(vmi.placement) <= _LONGEST_COMPARED else {}


def refuse_devices(
    nodes: Sequence[Node] | None,
    *,
    vmi: VirtualMachineInstance,
    lacking: Sequence[str],
    attachments: KnownAttachments,
    added_node_selector: Mapping[str, Any] | None = None,
) -> dict[str, Candidates]:
    """Return the NICs whose device is missing on every node that could take the VM with the NICs before them.

    They must not keep the VM from migrating with the others.

    Args:
        lacking: NICs that the guest does not have yet, first come first served.
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
        network = [networks[name]] if name in networks else []
        wanted = asked.union(devices_of(network, attachments, namespace=vmi.key.namespace))
        if wanted == asked:
            continue
        candidates = groups.candidates(wanted)
        if candidates.is_impossible:
            refused[name] = candidates
        else:
            asked = wanted
    return refused


def find_candidates(nodes: Sequence[Node] | None, *, source: str, needs: NodeNeeds) -> Candidates:
    """Return the nodes other than the source that fit.

    Args:
        nodes: all nodes; None, or an empty list, if they cannot be read: a running VM has a node.
        source: the current node of the VM.
    """
    return _NodeGroups(nodes, source=source, needs=needs).candidates(needs.devices) if nodes else Candidates()


class _NodeGroups:
    """The nodes grouped by what matters: hundreds of NICs may each require a device of their own."""

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
        """Return the candidates for a pod that also requires these devices."""
        fitting: list[str] = []
        counts: Counter[_Flaw] = Counter()
        for (flaw, offered), names in self._names.items():
            if (found := flaw or _lacks_devices(devices - offered)) is None:
                fitting += names
            else:
                counts[found] += len(names)
        parts = [f"{self._source} runs it"] if self._source else []
        parts += [_counted(flaw, count) for flaw, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
        if len(parts) > _FLAWS_LISTED:
            parts = [*parts[:_FLAWS_LISTED], "..."]
        taken = f"{len(fitting)} of {self._total} {'node' if self._total == 1 else 'nodes'} can take the VM"
        return Candidates(
            is_known=True,
            nodes=frozenset(fitting),
            total=self._total,
            message=f"{taken}: {', '.join(parts)}" if parts else taken,
            devices_nowhere=tuple(sorted(devices - self._offered)),
            source_fits=self._source_devices is not None and devices <= self._source_devices,
        )


def _flaw(node: Node, needs: NodeNeeds) -> _Flaw | None:
    """Return the flaw to fix first; devices come last."""
    if node.deleting:
        return _Flaw("is being deleted", "are being deleted")
    if is_cordoned_for(needs.tolerations, node):
        return _Flaw("is cordoned", "are cordoned")
    if not node.is_ready:
        return _Flaw("is not ready", "are not ready")
    if labels := missing_labels(needs.node_selector, node):
        return _lacks(f"label {_listed(labels)}")
    if not fits_affinity(needs.affinity, node):
        return _Flaw("does not match the node affinity", "do not match the node affinity")
    if taints := repelling_taints(needs.tolerations, node):
        return _Flaw(*(f"{verb} taint {', '.join(map(str, taints))}" for verb in ("has", "have")))
    return None


def _lacks_devices(devices: frozenset[str]) -> _Flaw | None:
    return _lacks(f"device {_listed(sorted(devices))}") if devices else None


def _listed(names: Sequence[str]) -> str:
    shown = names if len(names) <= _MOST_LISTED else (*names[:_MOST_LISTED], "...")
    return ", ".join(shown)


def _lacks(what: str) -> _Flaw:
    return _Flaw(f"lacks {what}", f"lack {what}")


def _counted(flaw: _Flaw, count: int) -> str:
    return f"{count} {flaw.of_one if count == 1 else flaw.of_several}"
