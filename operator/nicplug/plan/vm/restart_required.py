"""Which fields of a VM's template wait for a restart; none if the running VMI matches the template.

Pure. Source: KubeVirt 1.9 `pkg/network/vmliveupdate/restart.go` and `vm.go` (`syncRestartRequired`): the template is
compared with the one that the VMI was started from, and its NICs with those of the VMI. KubeVirt's false alarms are
left out (docs/differences.md): values that the platform set, another notation of the same value, and a NIC that was
added to the VMI only. The default pod network of a VM without NICs is no false alarm once the template has NICs of its
own: the next start does not add it. With rollout strategy Stage, NIC changes that are otherwise applied live count too.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from nicplug.elided import aligned, may_have_elided
from nicplug.model.conditions import RESTART_REQUIRED
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.model.metadata import mapping
from nicplug.model.networks import Interface, Network, parse_interfaces, parse_networks
from nicplug.model.node import PLACEMENT_MEMBERS
from nicplug.model.revision import VmRevision
from nicplug.model.same_meaning import aligned_entries, differing_members, interface_members, network_members
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.live_rules import link_of, may_be_withdrawn, may_change_link
from nicplug.plan.nic.rollback import rolled_back_from
from nicplug.plan.outcome import Announcement, Subject, normal

MESSAGE = "a non-live-updatable field was changed in the template spec"
"""KubeVirt's words; an event names the fields."""

# A platform sets these for NICs whose template leaves them open: MAC pools, preferences (kubevirt#15881, #18955).
_FILLED_IN = frozenset({"macAddress", "model"})
_MESSAGE_FIELDS = 5
_NETWORK_NAME = "multus.networkName"


class RestartChange(Enum):
    """What changed about a field; messages append the value to its name."""

    CHANGED = ""
    ADDED = " (added)"
    DELETED = " (deleted)"
    GIVEN_NO_MORE = " (pod network, not in the template)"
    """The default pod network that the guest got when the template had no NICs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartField:
    """A part of a template that waits for a restart; `str` names it in the words of the API.

    Attributes:
        nic: name of its NIC; "" for anything else in the template.
        of_network: True if it belongs to the NIC's network, False if to its interface.
        member: its path, within the entry for a NIC; "" for the whole entry.
    """

    nic: str = ""
    of_network: bool = False
    member: str = ""
    change: RestartChange = RestartChange.CHANGED

    def __str__(self) -> str:
        entry = f'{"network" if self.of_network else "interface"} "{self.nic}"' if self.nic else ""
        return " ".join(part for part in (entry, self.member) if part) + self.change.value


POD_NETWORK_ADDED = RestartField(member="pod network", change=RestartChange.ADDED)
"""The record of its NIC reports it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Devices:
    interfaces: Mapping[str, Interface]
    networks: Mapping[str, Network]

    @classmethod
    def of(cls, interfaces: Iterable[Interface], networks: Iterable[Network]) -> "_Devices":
        """Index both lists by name."""
        return cls(
            interfaces={item.name: item for item in interfaces},
            networks={item.name: item for item in networks},
        )


def fields_that_need_a_restart(
    *,
    vm: VirtualMachine,
    vmi: VirtualMachineInstance | None,
    revision: VmRevision | None,
    config: KubevirtConfig | None,
) -> tuple[RestartField, ...]:
    """Return the fields; empty if no restart is needed.

    Args:
        vmi: the VM's own; None if it has none, and then every start applies everything.
        revision: the VM's template at the start of that VMI; without it nothing is reported, as in KubeVirt.
    """
    if revision is None or vmi is None:
        return ()
    is_staged = config is not None and config.stages_changes
    staged = _staged_fields(vm=vm, vmi=vmi) if is_staged else ()
    if revision.template == vm.template:  # the usual case: nothing to read
        started_from = _Devices.of(vm.interfaces, vm.networks)
        fields = _nic_fields(vm=vm, vmi=vmi, started_from=started_from, is_staged=is_staged, is_changed=False)
        return tuple(dict.fromkeys((*fields, *staged)))
    now, then = mapping(vm.read_template().get("spec")), mapping(revision.read_template().get("spec"))
    ignored, uuid = _live_members(config), _given_uuid(now, vmi=vmi)
    compared = [_comparable(spec, ignored=ignored, ignored_uuid=uuid) for spec in (then, now)]
    is_elided = may_have_elided(revision.template) or may_have_elided(vm.template)
    differing = differing_members(*(aligned(*compared) if is_elided else compared))
    others = (RestartField(member=member) for member in differing)
    started_from = _Devices.of(parse_interfaces(then), parse_networks(then))
    fields = _nic_fields(vm=vm, vmi=vmi, started_from=started_from, is_staged=is_staged, is_changed=True)
    return tuple(dict.fromkeys((*others, *fields, *staged)))


def announce_restart(vm: VirtualMachine, fields: Sequence[RestartField]) -> tuple[Announcement, ...]:
    """Return the event that names the fields, if the condition of the VM is about to appear."""
    if not fields or vm.status.is_true(RESTART_REQUIRED):
        return ()
    more = f" and {len(fields) - _MESSAGE_FIELDS} more" if len(fields) > _MESSAGE_FIELDS else ""
    message = f"{MESSAGE}: {', '.join(map(str, fields[:_MESSAGE_FIELDS]))}{more}. Restart the VM to apply it"
    if any(field.change is RestartChange.DELETED and not field.of_network for field in fields):
        message += "; a NIC that can be unplugged goes without one when its entries are written back with state: absent"
    if any(field.change is RestartChange.GIVEN_NO_MORE for field in fields):
        message += (
            "; only a VM whose template has no NICs is given the pod network when it starts: to keep it, add that NIC "
            "to the template"
        )
    return (normal(Subject.VM, RESTART_REQUIRED, message),)


def _comparable(spec: Mapping[str, Any], *, ignored: Collection[str], ignored_uuid: Any) -> dict[str, Any]:
    """Return the spec without its NICs and without what the VMI has, or gets, in another way."""
    domain = mapping(spec.get("domain"))
    devices = {name: value for name, value in mapping(domain.get("devices")).items() if name != "interfaces"}
    compared = {**domain, "devices": devices}
    firmware = mapping(domain.get("firmware"))
    if ignored_uuid is not None and firmware.get("uuid") in (None, ignored_uuid):
        compared["firmware"] = {name: value for name, value in firmware.items() if name != "uuid"}
    rest = {name: value for name, value in spec.items() if name != "networks" and name not in ignored}
    return {**rest, "domain": compared}


def _live_members(config: KubevirtConfig | None) -> tuple[str, ...]:
    """Return what the VMI gets live besides NICs. Not CPU sockets or memory: nicplug plugs NICs only."""
    return PLACEMENT_MEMBERS if config is not None and not config.stages_changes else ()


def _given_uuid(spec: Mapping[str, Any], *, vmi: VirtualMachineInstance) -> Any:
    """Return the firmware UUID, if the guest has it: a VM is assigned that of its first guest, to keep it."""
    wanted = mapping(mapping(spec.get("domain")).get("firmware")).get("uuid")
    if wanted is None:
        return None
    running = mapping(mapping(vmi.read_spec().get("domain")).get("firmware")).get("uuid")
    return wanted if wanted == running else None


def _nic_fields(
    *, vm: VirtualMachine, vmi: VirtualMachineInstance, started_from: _Devices, is_staged: bool, is_changed: bool
) -> Iterator[RestartField]:
    """Yield what KubeVirt's `IsRestartRequired` reports, NIC by NIC; added NICs, order and `state` never count.

    Args:
        is_changed: True if the template differs from the one at the start. Otherwise no change is requested of the
            guest, whatever was changed in the VMI only.
    """
    interfaces = {item.name: item for item in vm.interfaces}
    networks = {item.name: item for item in vm.networks}
    from_template = vmi.template_interfaces
    if from_template is None:
        from_template = frozenset(started_from.interfaces)
    # These are withdrawn automatically if the guest never had them (`plan.nic.template_sync`); not with Stage.
    withdrawable = () if is_staged else vmi.template_interfaces or ()
    running = {item.name: item for item in vmi.networks}
    # The default at the start (`plan.vm.start`), which only a VM gets whose template has neither list.
    was_given = not started_from.interfaces and not started_from.networks
    is_given_no_more = was_given and bool(vm.interfaces or vm.networks)
    for mine in vmi.interfaces:
        if mine.is_absent:
            continue  # being removed
        wanted = interfaces.get(mine.name)
        if wanted is None:
            if is_given_no_more and (network := running.get(mine.name)) is not None and network.is_pod:
                yield RestartField(nic=mine.name, change=RestartChange.GIVEN_NO_MORE)
            elif mine.name in from_template and not (mine.name in withdrawable and may_be_withdrawn(mine, vmi=vmi)):
                yield RestartField(nic=mine.name, change=RestartChange.DELETED)
            continue
        then = started_from.interfaces.get(mine.name)
        for member in _interface_changes(mine=mine, wanted=wanted, then=then, is_changed=is_changed):
            yield RestartField(nic=mine.name, member=member)
        network = running.get(mine.name)
        if network is not None:
            # A network that was changed, applied and changed back is not what the guest has.
            before = None if is_changed else started_from.networks.get(mine.name)
            yield from _network_fields(mine=network, wanted=networks.get(mine.name), then=before, vmi=vmi)
    if _gains_pod_network(networks, running=running, then=started_from.networks):
        yield POD_NETWORK_ADDED


def _staged_fields(*, vm: VirtualMachine, vmi: VirtualMachineInstance) -> Iterator[RestartField]:
    """Yield what would be applied to the VMI if it did not wait for a restart, like the records of the NICs.

    Whoever changed it: the template may have been changed, applied, and changed back.
    """
    running = _Devices.of(vmi.interfaces, vmi.networks)
    offered, namespace = {item.name: item for item in vm.networks}, vmi.key.namespace
    rolled_back = rolled_back_from(vm=vm, vmi=vmi)
    for wanted in vm.interfaces:
        mine = running.interfaces.get(wanted.name)
        if wanted.name in rolled_back or (mine is not None and mine.is_absent):
            continue
        if mine is None:
            if not wanted.is_absent:
                yield RestartField(nic=wanted.name, change=RestartChange.ADDED)
            continue
        if wanted.is_absent or (may_change_link(mine) and link_of(mine) != link_of(wanted)):
            yield RestartField(nic=wanted.name, member="state")
        network, template = running.networks.get(wanted.name), offered.get(wanted.name)
        if network is None or template is None or not (network.is_secondary and template.is_secondary):
            continue
        if network.attachment_reference(namespace=namespace) != template.attachment_reference(namespace=namespace):
            yield RestartField(nic=wanted.name, of_network=True, member=_NETWORK_NAME)


def _interface_changes(
    *, mine: Interface, wanted: Interface, then: Interface | None, is_changed: bool
) -> Iterator[str]:
    """Yield members that the template has, or had at the start, and that differ in the VMI."""
    if wanted.raw == mine.raw or (not is_changed and then is not None and wanted.raw == then.raw):
        return
    running, asked = map(interface_members, aligned_entries(mine, wanted))
    before, still = map(interface_members, aligned_entries(then, wanted)) if then is not None else (None, asked)
    for member in sorted(running.keys() | asked.keys()):
        value = asked.get(member)
        if value == running.get(member):
            continue
        is_as_before = before is not None and still.get(member) == before.get(member)
        if is_as_before and (value is None or not is_changed):
            continue  # the template still leaves it open: the VMI's value has another source
        if before is None and value is None and member in _FILLED_IN:
            continue
        yield member


def _network_fields(
    *, mine: Network, wanted: Network | None, then: Network | None, vmi: VirtualMachineInstance
) -> Iterator[RestartField]:
    if wanted is None:
        yield RestartField(nic=mine.name, of_network=True, change=RestartChange.DELETED)
        return
    if wanted in (mine, then):
        return
    namespace = vmi.key.namespace
    running, asked = (network_members(item, namespace=namespace) for item in aligned_entries(mine, wanted))
    unlike_before = _unlike(then, wanted, namespace=namespace) if then is not None else None
    for member in differing_members(running, asked):
        if member == _NETWORK_NAME and mine.is_secondary and vmi.is_migratable:
            continue  # applied by a migration
        if unlike_before is not None and member not in unlike_before:
            continue
        yield RestartField(nic=mine.name, of_network=True, member=member)


def _unlike(then: Network, wanted: Network, *, namespace: str) -> tuple[str, ...]:
    before, asked = (network_members(item, namespace=namespace) for item in aligned_entries(then, wanted))
    return differing_members(before, asked)


def _gains_pod_network(
    networks: Mapping[str, Network], *, running: Mapping[str, Network], then: Mapping[str, Network]
) -> bool:
    def has_pod_network(items: Mapping[str, Network]) -> bool:
        return any(item.is_pod for item in items.values())

    return has_pod_network(networks) and not has_pod_network(running) and not has_pod_network(then)
