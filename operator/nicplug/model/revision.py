"""A ControllerRevision: a VM's template at its start.

Source: KubeVirt 1.9 `vm.go` (`createVMRevision`): name, owner and content are KubeVirt's, the label is nicplug's own,
so that the watch never delivers the revisions of DaemonSets and StatefulSets.
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

_MAXIMUM_GENERATION_DIGITS = 18  # more digits than an int64 has would be refused, or worse


@dataclass(frozen=True, slots=True, kw_only=True)
class VmRevision:
    """One revision; only `owner` shows which VM it belongs to.

    Attributes:
        deleting: True if it is being deleted, and a finalizer holds it.
        vm_generation: generation of the VM that it was taken from.
        template: the VM's whole `spec.template` at that time.
    """

    key: RevisionKey
    uid: str
    resource_version: int = field(compare=False)
    owner: ControllerReference | None
    deleting: bool
    vm_generation: int
    template: FrozenJson

    def read_template(self) -> Mapping[str, Any]:
        """Return the template, read-only."""
        return read_object(self.template)


def parse_revision(raw: Mapping[str, Any]) -> VmRevision:
    """Parse a ControllerRevision from the API."""
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
    """Return the name of a VM's revision at that generation."""
    return f"revision-start-vm-{vm_uid}-{generation}"


def parse_generation(value: str) -> int | None:
    """Return the generation in the text of an annotation, which may be anything; None if it is not a generation."""
    is_number = value.isascii() and value.isdecimal() and len(value) <= _MAXIMUM_GENERATION_DIGITS
    return int(value) if is_number else None


def name_of_start_revision(vmi: VirtualMachineInstance) -> str:
    """Return the revision that the VMI was started from; "" for a bare VMI.

    The status has precedence once it is written: the annotation changes when a later generation of the VM has the same
    template.
    """
    if name := vmi.status.start_revision:
        return name
    owner, generation = vmi.owner, parse_generation(vmi.started_from_generation)
    if owner is None or (owner.api_version, owner.kind) != (KUBEVIRT_API_VERSION, VM_KIND) or generation is None:
        return ""
    return revision_name(vm_uid=owner.uid, generation=generation)
