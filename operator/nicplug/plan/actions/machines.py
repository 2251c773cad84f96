"""Effects on the specs and the metadata of VMs and VMIs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from nicplug.model.frozen_json import FrozenJson, thaw
from nicplug.model.keys import VmiKey, VmKey
from nicplug.model.names import (
    NODE_NAME_LABEL,
    ROLLED_BACK_ANNOTATION,
    TEMPLATE_INTERFACES_ANNOTATION,
    VM_GENERATION_ANNOTATION,
)
from nicplug.plan.actions.json_patch import JsonPatch, add, annotate, escape_pointer, guard, replace_members, test
from nicplug.plan.actions.objects import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginChange:
    """The list of the NICs that came from the template, as it stands on the VMI and as it shall be.

    Attributes:
        seen: the annotation's text; None when there is none.
    """

    seen: str | None
    wanted: str
    has_annotations: bool

    def operations(self) -> JsonPatch:
        """Its part of a patch."""
        return annotate(
            TEMPLATE_INTERFACES_ANNOTATION, self.wanted, seen=self.seen, has_annotations=self.has_annotations
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackNote:
    """The list of the NICs that were taken back, as it stands on the VMI and as it shall be.

    Attributes:
        seen: the annotation's text; None when there is none.
    """

    seen: str | None
    wanted: str | None
    has_annotations: bool

    def operations(self, *, after_others: bool) -> JsonPatch:
        """Its part of a patch, which may have made the map of annotations before."""
        has_annotations = self.has_annotations or after_others
        return annotate(ROLLED_BACK_ANNOTATION, self.wanted, seen=self.seen, has_annotations=has_annotations)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchOrigin:
    """Adopt NICs that were on the VMI before they were in the template; the VMI's lists stay."""

    key: VmiKey
    uid: str
    origin: OriginChange

    kind = Kind.VMI
    subresource = None

    def json_patch(self) -> JsonPatch:
        """The guarded patch."""
        return [test("/metadata/uid", self.uid), *self.origin.operations()]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchVmGeneration:
    """Say on the VMI that it is what this generation of its VM asks for.

    Attributes:
        seen: the annotation, or None when the VMI has none.
    """

    key: VmiKey
    uid: str
    seen: str | None
    wanted: int
    has_annotations: bool = True

    kind = Kind.VMI
    subresource = None

    def json_patch(self) -> JsonPatch:
        """The guarded patch."""
        change = annotate(
            VM_GENERATION_ANNOTATION, str(self.wanted), seen=self.seen, has_annotations=self.has_annotations
        )
        return [test("/metadata/uid", self.uid), *change]


@dataclass(frozen=True, slots=True, kw_only=True)
class _TurnVm:
    """Have a VM run or not, if it is as it was seen, in the field that its owner uses.

    Attributes:
        run_strategy: `spec.runStrategy` as seen; None when the VM has `running`, or neither.
        running: `spec.running` as seen.
    """

    key: VmKey
    uid: str
    run_strategy: str | None
    running: bool | None

    kind = Kind.VM
    subresource = None
    wanted_strategy: ClassVar[str]
    wanted_running: ClassVar[bool]

    def json_patch(self) -> JsonPatch:
        """`test` of both fields, `add` of the one."""
        by_strategy = add("/spec/runStrategy", self.wanted_strategy)
        wanted = by_strategy if self.run_strategy is not None else add("/spec/running", self.wanted_running)
        return [
            test("/metadata/uid", self.uid),
            test("/spec/runStrategy", self.run_strategy),
            test("/spec/running", self.running),
            wanted,
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnVmOn(_TurnVm):
    """Have a halted VM run always, if it still is halted."""

    wanted_strategy = "Always"
    wanted_running = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnVmOff(_TurnVm):
    """Have a VM halted that is to run, if it still is to."""

    wanted_strategy = "Halted"
    wanted_running = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchGracePeriod:
    """Give a guest another time to shut down, if it still has the one that was seen.

    Attributes:
        seen: `spec.terminationGracePeriodSeconds`; None when there is none.
    """

    key: VmiKey
    uid: str
    seen: int | None
    wanted: int

    kind = Kind.VMI
    subresource = None

    def json_patch(self) -> JsonPatch:
        """`test` of the old value."""
        path = "/spec/terminationGracePeriodSeconds"
        return [test("/metadata/uid", self.uid), test(path, self.seen), add(path, self.wanted)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchInterfaces:
    """Replace networks and interfaces of a VMI spec, or of a VM template, if both are what we saw.

    Source: KubeVirt `pkg/network/controllers/vm.go`, same operations in the same order after the uid.

    Attributes:
        version: resourceVersion of the object in which the lists were seen; part of no comparison of plans.
        origin: travels with the lists that it tells about, so that no crash can part them.
        rolled_back: what was taken out of the lists because it could not be brought about; likewise.
        requests: `status.interfaceRequests` of the VM as seen, some of which it carries out, or before all of which it
            comes: none is carried out once more by somebody who has not heard of its end, and none is overtaken. None
            where it has nothing to do with them.
        rows: `status.interfaces` of the VMI as seen, where a NIC may change only as long as no guest has been given it.
            None where that does not matter.
    """

    kind: Kind
    key: VmKey | VmiKey
    uid: str
    version: int = field(compare=False)
    seen_networks: FrozenJson
    seen_interfaces: FrozenJson
    networks: FrozenJson
    interfaces: FrozenJson
    origin: OriginChange | None = None
    rolled_back: RollbackNote | None = None
    requests: FrozenJson | None = None
    rows: FrozenJson | None = None

    subresource = None

    def json_patch(self) -> JsonPatch:
        """`test` and `add` of both lists."""
        root = "/spec/template/spec" if self.kind is Kind.VM else "/spec"
        networks, interfaces = f"{root}/networks", f"{root}/domain/devices/interfaces"
        beside = {"/status/interfaceRequests": self.requests, "/status/interfaces": self.rows}
        return [
            test("/metadata/uid", self.uid),
            *(guard(path, thaw(seen), version=self.version) for path, seen in beside.items() if seen is not None),
            guard(networks, thaw(self.seen_networks), version=self.version),
            add(networks, thaw(self.networks)),
            guard(interfaces, thaw(self.seen_interfaces), version=self.version),
            add(interfaces, thaw(self.interfaces)),
            *(self.origin.operations() if self.origin is not None else ()),
            *(self.rolled_back.operations(after_others=self.origin is not None) if self.rolled_back else ()),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchPlacement:
    """Replace members of a VMI spec that say where its next pod may run, each if it is still what we saw.

    Attributes:
        seen: the members that change, as they were; null for a missing one.
        wanted: the same members as they shall be; null removes one.
        version: resourceVersion of the object in which it was seen; part of no comparison of plans.
    """

    key: VmiKey
    uid: str
    version: int = field(compare=False)
    seen: FrozenJson
    wanted: FrozenJson

    kind = Kind.VMI
    subresource = None

    def json_patch(self) -> JsonPatch:
        """One patch for all members."""
        seen, wanted = thaw(self.seen), thaw(self.wanted)
        members = replace_members("/spec", seen=seen, wanted=wanted, version=self.version)
        return [test("/metadata/uid", self.uid), *members]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelNode:
    """Write the node's name on the VMI, by which node agents select the VMIs they run."""

    key: VmiKey
    uid: str
    seen: str
    node: str
    has_labels: bool

    kind = Kind.VMI
    subresource = None

    def json_patch(self) -> JsonPatch:
        """The label, creating the label map when there is none."""
        operations = [test("/metadata/uid", self.uid)]
        if not self.has_labels:
            return [
                *operations,
                test("/metadata/labels", None),
                add("/metadata/labels", {NODE_NAME_LABEL: self.node}),
            ]
        path = f"/metadata/labels/{escape_pointer(NODE_NAME_LABEL)}"
        return [*operations, test(path, self.seen or None), add(path, self.node)]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerReference:
    """The object that controls another one."""

    api_version: str
    kind: str
    name: str
    uid: str

    def to_row(self) -> dict[str, Any]:
        """As it stands in `metadata.ownerReferences`."""
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptVmi:
    """Give a VMI that nobody controls its VM for a controller; other owners that it has stay.

    Attributes:
        version: resourceVersion of the VMI in which nobody controlled it.
        finalizer: that the VMI lacks, and that a VMI of a VM has; "" when it has it.
    """

    key: VmiKey
    uid: str
    version: int = field(compare=False)
    owner: OwnerReference
    has_owners: bool = False
    finalizer: str = ""
    has_finalizers: bool = True

    kind = Kind.VMI
    subresource = None

    def json_patch(self) -> JsonPatch:
        """`test` of the resourceVersion: the first to adopt it wins."""
        operations = [
            test("/metadata/uid", self.uid),
            test("/metadata/resourceVersion", str(self.version)),
            _append("/metadata/ownerReferences", self.owner.to_row(), has_list=self.has_owners),
        ]
        if self.finalizer:
            operations.append(_append("/metadata/finalizers", self.finalizer, has_list=self.has_finalizers))
        return operations


def _append(path: str, value: Any, *, has_list: bool) -> Mapping[str, Any]:
    return add(f"{path}/-", value) if has_list else add(path, [value])
