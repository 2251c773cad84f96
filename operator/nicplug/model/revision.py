"""A ControllerRevision: what a VM looked like when it was started.

Source: KubeVirt 1.9 `vm.go` (`createVMRevision`): name, owner and content are KubeVirt's, the label is nicplug's own,
so that the revisions of DaemonSets and StatefulSets never reach the watch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nicplug.model import metadata as meta
from nicplug.model.frozen_json import FrozenJson, freeze, read_object, shared
from nicplug.model.keys import RevisionKey
from nicplug.model.metadata import ControllerReference, mapping, text
from nicplug.model.names import KUBEVIRT_API_VERSION, VM_KIND
from nicplug.model.vmi import VirtualMachineInstance

_MAXIMUM_GENERATION_DIGITS = 18  # more than an int64 has would be refused, or worse


@dataclass(frozen=True, slots=True, kw_only=True)
class VmRevision:
    """One revision; whose it is, is told by `owner` alone.

    Attributes:
        deleting: it is on its way out, and something else holds it.
        vm_generation: generation of the VM that it was taken from.
        template: the VM's whole `spec.template` of then.
    """

    key: RevisionKey
    uid: str
    resource_version: int = field(compare=False)
    owner: ControllerReference | None
    deleting: bool
    vm_generation: int
    template: FrozenJson

    def read_template(self) -> Mapping[str, Any]:
        """The template, to be read only."""
        return read_object(self.template)


def parse_revision(raw: Mapping[str, Any]) -> VmRevision:
    """Project a ControllerRevision of the API."""
    metadata = mapping(raw.get("metadata"))
    generation = raw.get("revision")
    return VmRevision(
        key=RevisionKey(text(metadata.get("namespace")), text(metadata.get("name"))),
        uid=text(metadata.get("uid")),
        resource_version=meta.resource_version(metadata),
        owner=meta.controller_reference(metadata),
        deleting=meta.is_deleting(metadata),
        vm_generation=generation if isinstance(generation, int) else 0,
        template=shared(freeze(mapping(mapping(mapping(raw.get("data")).get("spec")).get("template")))),
    )


def revision_name(*, vm_uid: str, generation: int | str) -> str:
    """The name of the revision of a VM at that generation."""
    return f"revision-start-vm-{vm_uid}-{generation}"


def parse_generation(value: str) -> int | None:
    """The generation in the text of an annotation, in which anything may stand; None when it is none."""
    is_number = value.isascii() and value.isdecimal() and len(value) <= _MAXIMUM_GENERATION_DIGITS
    return int(value) if is_number else None


def name_of_start_revision(vmi: VirtualMachineInstance) -> str:
    """The revision that the VMI was started from; "" for a bare VMI.

    The status tells, once it is written: the annotation moves on when a later generation of the VM has the same
    template.
    """
    if told := text(vmi.read_status().get("virtualMachineRevisionName")):
        return told
    owner, generation = vmi.owner, parse_generation(vmi.started_from_generation)
    if owner is None or (owner.api_version, owner.kind) != (KUBEVIRT_API_VERSION, VM_KIND) or generation is None:
        return ""
    return revision_name(vm_uid=owner.uid, generation=generation)
