"""What is known about one VM, for questions about it; `insight.reading` fills it. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.kube.api import Json
from nicplug.model.keys import AttachmentKey, VmiKey, VmKey
from nicplug.model.metadata import generation, mapping, text
from nicplug.model.mode import Mode
from nicplug.model.networks import Network, parse_networks
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The VM in question: its name and namespace.

    Attributes:
        kubevirt_namespace: namespace of the KubeVirt CR.
        operator_namespace: namespace of the operator's Lease and of the slots of migrations.
        allowed_version: the operator's setting `allow_kubevirt_version`, in case its Lease cannot be read.
    """

    namespace: str
    name: str
    kubevirt_namespace: str = "kubevirt"
    operator_namespace: str = "nicplug-system"
    allowed_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Evidence that could not be read, and that a decision lacks.

    Attributes:
        kind: kind of the objects, in the plural.
        remedy: what to do about it, and what it means until then.
        is_denied: True if the caller has no permission to read it; others may have.
        namespace: namespace of the objects; "" if only one is possible, or none.
    """

    kind: str
    why: str
    remedy: str
    is_denied: bool = False
    namespace: str = ""

    @property
    def what(self) -> str:
        """A description for people."""
        return f"{self.kind} in namespace {self.namespace}" if self.namespace else self.kind


@dataclass(slots=True, kw_only=True)
class Evidence:
    """What is known about one VM.

    Attributes:
        caches: filled for this question only.
        vm: as the API server has it; None if it does not exist.
        vmi: as the API server has it; None if it does not exist.
        clock: that of the caches.
        asked: the definitions that were looked up; any other appears not to exist. None if all are known.
        mode: in companion mode, `vmi` and the caches have the records of the VMI's report.
        allowed_version: the newer minor version of KubeVirt beside which the operator may act; "" for none.
    """

    target: Target
    caches: Caches
    clock: Callable[[], datetime]
    mode: Mode = Mode.STANDALONE
    allowed_version: str = ""
    vm: Json | None = None
    vmi: Json | None = None
    unknown: list[Unknown] = field(default_factory=list)
    asked: frozenset[AttachmentKey] | None = frozenset()

    @property
    def parsed_vm(self) -> VirtualMachine | None:
        """The VM; None if there is none."""
        return self.caches.vms.get(VmKey(self.target.namespace, self.target.name))

    @property
    def parsed_vmi(self) -> VirtualMachineInstance | None:
        """The VMI; None if there is none."""
        return self.caches.vmis.get(VmiKey(self.target.namespace, self.target.name))

    def put(self, kind: CachedKind, raw: Mapping[str, Any]) -> None:
        """Store an object as it would be, newer than the known version.

        A changed spec gets a new generation, as from the API server; a dry run has counted it already.
        """
        metadata = dict(mapping(raw.get("metadata")))
        if (version := self._version_of(kind, raw)) > 0:
            metadata["resourceVersion"] = str(version + 1)
        known = {CachedKind.VM: self.vm, CachedKind.VMI: self.vmi}.get(kind)
        if known is not None and known.get("spec") != raw.get("spec"):
            counted = generation(mapping(known.get("metadata")))
            metadata["generation"] = max(generation(metadata), counted + 1)
        changed = {**raw, "metadata": metadata}
        self.caches.observe(kind, changed)
        if kind is CachedKind.VM:
            self.vm = changed
        elif kind is CachedKind.VMI:
            self.vmi = changed

    def _version_of(self, kind: CachedKind, raw: Mapping[str, Any]) -> int:
        return int(self.caches.store_of(kind).version_of(text(mapping(raw.get("metadata")).get("uid"))))


def networks_in(raw: Mapping[str, Any]) -> tuple[Network, ...]:
    """Return the networks of a VM's template, or of a VMI."""
    spec = mapping(raw.get("spec"))
    template = mapping(mapping(spec.get("template")).get("spec"))
    return parse_networks(template or spec)
