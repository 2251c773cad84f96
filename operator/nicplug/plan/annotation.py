"""What the networks annotation of a live launcher pod shall hold.

Source: KubeVirt 1.9 `GenerateFromActivePod`, with three differences (docs/differences.md):
elements of others stay, an element leaves only after the guest has let the NIC go, and a
removal never travels with an addition (DNC#157: the added NIC's network-status gets lost).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nicplug.model.interface_names import is_hashed_name, pod_interface_names
from nicplug.model.interface_status import DOMAIN, has_source
from nicplug.model.metadata import text
from nicplug.model.networks import HOTPLUGGABLE_BINDINGS, Binding, Interface, Network, secondary_names
from nicplug.model.networks_annotation import (
    Element,
    UnreadableAnnotation,
    element_of,
    parse_annotation,
    render_annotation,
)
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.validation import refuse

Rows = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationDecision:
    """The new text, or None to leave the annotation alone.

    Attributes:
        attachments: the NICs that the annotation asks for, after the patch, each with its `<namespace>/<name>`.
        first_waiting: the NIC that the controller attaches next; while it fails, those behind it wait too.
        unreadable: why the present text cannot be read, else "".
        again_at: when a removal that waits for an addition stops waiting.
    """

    text: str | None = None
    attachments: Mapping[str, str] = field(default_factory=dict)
    first_waiting: str = ""
    unreadable: str = ""
    again_at: datetime | None = None


def interface_names(vmi: VirtualMachineInstance, pod: LauncherPod | None) -> dict[str, str]:
    """Pod interface name of each secondary network, by the scheme that the pod uses."""
    ordinal = pod is not None and pod.network_status.is_ordinal
    return pod_interface_names(secondary_networks=secondary_names(vmi.networks), ordinal=ordinal)


def decide_annotation(
    *,
    vmi: VirtualMachineInstance,
    pod: LauncherPod,
    rows: Rows,
    additions_due: datetime,
    now: datetime,
) -> AnnotationDecision:
    """Compare what the spec asks for with what the pod is asked for.

    Args:
        rows: `status.interfaces` by name, as the node agent last reported.
        additions_due: when removals stop waiting for additions that have not arrived.
    """
    try:
        present = parse_annotation(pod.networks_annotation)
    except UnreadableAnnotation as error:
        return AnnotationDecision(unreadable=str(error))
    names = interface_names(vmi, pod)
    own = {str(item.get("interface")): item for item in present if _is_own(item, names)}
    wanted = _wanted_elements(vmi=vmi, names=names, own=own, rows=rows)
    wanted += _still_in_guest(own=own, names=names, rows=rows)
    kept = _without_hasty_removals(own=own, wanted=wanted, pod=pod, overdue=now >= additions_due)
    foreign = [item for item in present if not _is_own(item, names)]
    by_interface = {interface: name for name, interface in names.items()}
    asked = {name: item for item in kept if (name := by_interface.get(str(item["interface"])))}
    waiting = (name for name, item in asked.items() if not pod.network_status.has(str(item["interface"])))
    return AnnotationDecision(
        text=None if _same_elements(present, [*kept, *foreign]) else render_annotation([*kept, *foreign]),
        attachments={name: _attachment(item, namespace=vmi.key.namespace) for name, item in asked.items()},
        first_waiting=next(waiting, ""),
        again_at=additions_due if len(kept) > len(wanted) else None,
    )


def _attachment(element: Element, *, namespace: str) -> str:
    return f"{element.get('namespace') or namespace}/{element.get('name')}"


def _is_own(element: Element, names: Mapping[str, str]) -> bool:
    """Hashed names are a name space of nicplug's own; anything else belongs to whoever wrote it."""
    interface = str(element.get("interface") or "")
    return is_hashed_name(interface) or interface in names.values()


def _wanted_elements(
    *, vmi: VirtualMachineInstance, names: Mapping[str, str], own: Mapping[str, Element], rows: Rows
) -> list[Element]:
    networks = {network.name: network for network in vmi.networks}
    elements = []
    for interface in vmi.interfaces:
        network = networks.get(interface.name)
        if network is None or not network.is_secondary:
            continue
        pod_interface = names[interface.name]
        if existing := own.get(pod_interface):
            # Never rewritten: a changed MAC or definition would make the controller detach and attach anew.
            if not interface.is_absent or has_source(rows.get(interface.name), DOMAIN):
                elements.append(existing)
        elif _may_be_added(interface=interface, network=network):
            elements.append(
                element_of(
                    interface=interface,
                    network=network,
                    pod_interface=pod_interface,
                    namespace=vmi.key.namespace,
                )
            )
    return elements


def _still_in_guest(*, own: Mapping[str, Element], names: Mapping[str, str], rows: Rows) -> list[Element]:
    """Elements whose NIC somebody took out of the spec without asking the guest first: it keeps its link."""
    held = {text(row.get("podInterfaceName")) for row in rows.values() if has_source(row, DOMAIN)}
    return [item for interface, item in own.items() if interface in held and interface not in names.values()]


def _may_be_added(*, interface: Interface, network: Network) -> bool:
    """SR-IOV never enters the annotation of a live pod: its device is allocated when a pod is made."""
    return (
        not interface.is_absent
        and interface.binding in HOTPLUGGABLE_BINDINGS
        and interface.binding is not Binding.SRIOV
        and refuse(interface, network) is None
    )


def _without_hasty_removals(
    *, own: Mapping[str, Element], wanted: Sequence[Element], pod: LauncherPod, overdue: bool
) -> list[Element]:
    """`wanted`, plus attached elements whose removal must wait until every addition has arrived.

    An element that never attached may go at any time: the controller has nothing to detach.
    """
    arrived = all(pod.network_status.has(str(item["interface"])) for item in wanted)
    if arrived or overdue:
        return list(wanted)
    staying = {str(item["interface"]) for item in wanted}
    waiting = [
        item for interface, item in own.items() if interface not in staying and pod.network_status.has(interface)
    ]
    return [*wanted, *waiting]


def _same_elements(one: Sequence[Element], other: Sequence[Element]) -> bool:
    """Equal as sets: order carries no meaning for the controller, and a rewrite would cost a patch."""

    def key(element: Element) -> str:
        return repr(sorted(element.items(), key=lambda item: item[0]))

    return sorted(map(key, one)) == sorted(map(key, other))
