"""A VirtualMachine, reduced to what nicplug reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from nicplug.model import metadata as meta
from nicplug.model.conditions import Status
from nicplug.model.frozen_json import FrozenJson, freeze, parsed_once, read_object, shared
from nicplug.model.hotplug_policy import Overrides, parse_overrides
from nicplug.model.keys import VmKey
from nicplug.model.metadata import mapping, text
from nicplug.model.networks import Interface, Network, parse_interfaces, parse_networks
from nicplug.model.node import parse_placement


class RunStrategy(StrEnum):
    """What the VM controller does with the VMI.

    CONFLICTING: both `running` and `runStrategy` are set. UNKNOWN: no KubeVirt has it. Neither starts or stops a VMI.
    """

    ALWAYS = "Always"
    HALTED = "Halted"
    MANUAL = "Manual"
    RERUN_ON_FAILURE = "RerunOnFailure"
    ONCE = "Once"
    WAIT_AS_RECEIVER = "WaitAsReceiver"
    CONFLICTING = "(running and runStrategy)"
    UNKNOWN = "(unknown)"


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualMachine:
    """One VM.

    Attributes:
        template: the whole `spec.template`, from which the VMI is created.
        rest_of_spec: the spec without the template.
        interfaces: those of the template.
        networks: those of the template.
        overrides: the annotations of the VM that override the policy for hot-plug.
        status_text: the whole status as last seen; `null` if the object has none.
        placement: the members of the template's spec that determine where pods may run.
        stored_bytes: its size in the API if it is large; otherwise 0.
    """

    key: VmKey
    uid: str
    resource_version: int = field(compare=False)
    generation: int
    created: datetime | None
    deleting: bool
    finalizers: tuple[str, ...]
    run_strategy: RunStrategy
    template: FrozenJson
    rest_of_spec: FrozenJson
    interfaces: tuple[Interface, ...]
    networks: tuple[Network, ...]
    overrides: Overrides
    status_text: FrozenJson
    placement: FrozenJson
    stored_bytes: int = field(default=0, compare=False)

    def read_template(self) -> Mapping[str, Any]:
        """Return `spec.template`, read-only."""
        return read_object(self.template)

    def read_spec(self) -> Mapping[str, Any]:
        """Return the whole spec, read-only."""
        return {**self.read_rest_of_spec(), "template": self.read_template()}

    def read_rest_of_spec(self) -> Mapping[str, Any]:
        """Return the spec without the template, read-only."""
        return read_object(self.rest_of_spec)

    @property
    def status(self) -> Status:
        """The status, parsed; empty if there is none."""
        return _parse_status(self.status_text)


_parse_status = parsed_once(Status)


def parse_vm(raw: Mapping[str, Any], *, known: VirtualMachine | None = None) -> VirtualMachine:
    """Parse a VM from the API.

    Args:
        known: an earlier version, if any; its spec is reused if it is unchanged.
    """
    same = known if known is not None and _has_same_spec(raw, known) else None
    metadata, spec = mapping(raw.get("metadata")), mapping(raw.get("spec"))
    template = mapping(spec.get("template"))
    vmi_spec = mapping(template.get("spec"))
    status = raw.get("status") if isinstance(raw.get("status"), Mapping) else None
    return VirtualMachine(
        key=VmKey(text(metadata.get("namespace")), text(metadata.get("name"))),
        uid=text(metadata.get("uid")),
        resource_version=meta.resource_version(metadata),
        generation=meta.generation(metadata),
        created=meta.creation_time(metadata),
        deleting=meta.is_deleting(metadata),
        finalizers=meta.finalizers(metadata),
        run_strategy=_run_strategy(spec),
        template=same.template if same else shared(freeze(template)),
        rest_of_spec=same.rest_of_spec if same else freeze({name: spec[name] for name in spec.keys() - {"template"}}),
        interfaces=same.interfaces if same else parse_interfaces(vmi_spec),
        networks=same.networks if same else parse_networks(vmi_spec),
        overrides=parse_overrides(mapping(metadata.get("annotations"))),
        status_text=freeze(status),
        placement=same.placement if same else parse_placement(vmi_spec),
        stored_bytes=meta.stored_bytes(raw),
    )


def _has_same_spec(raw: Mapping[str, Any], known: VirtualMachine) -> bool:
    texts = (known.template, known.rest_of_spec)
    return meta.has_same_spec(raw, uid=known.uid, generation_=known.generation, bytes_=known.stored_bytes, texts=texts)


def _run_strategy(spec: Mapping[str, Any]) -> RunStrategy:
    """Apply KubeVirt's `VirtualMachine.RunStrategy()`: both set is an error, neither means Halted."""
    running, strategy = spec.get("running"), spec.get("runStrategy")
    if running is not None and strategy is not None:
        return RunStrategy.CONFLICTING
    if running is not None:
        return RunStrategy.ALWAYS if running is True else RunStrategy.HALTED
    return _STRATEGIES.get(text(strategy), RunStrategy.UNKNOWN) if strategy else RunStrategy.HALTED


_STRATEGIES = {
    str(strategy): strategy
    for strategy in RunStrategy
    if strategy not in (RunStrategy.CONFLICTING, RunStrategy.UNKNOWN)
}
