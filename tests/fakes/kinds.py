"""The kinds that the fake serves, and in what they differ from each other."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Cause = Mapping[str, str]
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind and its habits.

    Attributes:
        table: what tests call the kind where another group has the same plural.
        has_status: has the status subresource.
        is_custom: a custom resource: its status subresource keeps the metadata, lists name the type of items.
        has_generation: `metadata.generation` counts changes outside metadata (and status).
        creates_on_update: a PUT to a name that does not exist creates it.
        field_labels: field selectors beside metadata.name and metadata.namespace.
        validate: gives the causes why an object is not valid.
        prune: removes from an object what its schema does not know.
    """

    group: str
    version: str
    plural: str
    kind: str
    table: str = ""
    namespaced: bool = True
    has_status: bool = True
    is_custom: bool = True
    has_generation: bool = True
    creates_on_update: bool = False
    short_names: tuple[str, ...] = ()
    field_labels: tuple[str, ...] = ()
    validate: Callable[[Json], Iterable[Cause]] = field(default=lambda _: (), repr=False)
    prune: Callable[[Json], None] = field(default=lambda _: None, repr=False)

    @property
    def key(self) -> str:
        """What tests call the kind: its plural, unless another kind has that."""
        return self.table or self.plural

    @property
    def needs_version(self) -> bool:
        """A PUT must say which resourceVersion it replaces."""
        return self.is_custom or self.plural == "leases"

    @property
    def api_version(self) -> str:
        """`v1` or `group/version`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As messages of the API name the resource: `pods`, `virtualmachines.kubevirt.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def group_kind(self) -> str:
        """As messages of validation name the kind: `Pod`, `VirtualMachine.kubevirt.io`."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def prefix(self) -> str:
        """Start of its URL paths."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


def _core(plural: str, kind: str, **habits: Any) -> Kind:
    return Kind(**{"group": "", "version": "v1", "plural": plural, "kind": kind, "is_custom": False, **habits})


def _kubevirt(plural: str, kind: str, *short_names: str) -> Kind:
    return Kind(group="kubevirt.io", version="v1", plural=plural, kind=kind, short_names=short_names)


KINDS: tuple[Kind, ...] = (
    _core("namespaces", "Namespace", namespaced=False, has_generation=False, short_names=("ns",)),
    _core("nodes", "Node", namespaced=False, has_generation=False, short_names=("no",)),
    _core(
        "pods",
        "Pod",
        short_names=("po",),
        field_labels=("spec.nodeName", "status.phase", "status.podIP", "spec.serviceAccountName"),
    ),
    _core("configmaps", "ConfigMap", has_status=False, has_generation=False, short_names=("cm",)),
    _core("daemonsets", "DaemonSet", group="apps", short_names=("ds",)),
    _core("controllerrevisions", "ControllerRevision", group="apps", has_status=False, has_generation=False),
    _core(
        "leases",
        "Lease",
        group="coordination.k8s.io",
        has_status=False,
        has_generation=False,
        creates_on_update=True,
    ),
    _core(
        "events",
        "Event",
        group="events.k8s.io",
        has_status=False,
        has_generation=False,
        creates_on_update=True,
        short_names=("ev",),
        field_labels=("reason", "type", "regarding.name", "regarding.uid"),
    ),
    # One storage in the real one; here each group has its own, since nobody reads what the other wrote.
    _core(
        "events",
        "Event",
        table="core/events",
        has_status=False,
        has_generation=False,
        creates_on_update=True,
        field_labels=("reason", "type", "involvedObject.kind", "involvedObject.name", "involvedObject.uid"),
    ),
    _core(
        "customresourcedefinitions",
        "CustomResourceDefinition",
        group="apiextensions.k8s.io",
        namespaced=False,
        short_names=("crd",),
    ),
    Kind(
        group="k8s.cni.cncf.io",
        version="v1",
        plural="network-attachment-definitions",
        kind="NetworkAttachmentDefinition",
        has_status=False,
        short_names=("net-attach-def",),
    ),
    _kubevirt("virtualmachines", "VirtualMachine", "vm", "vms"),
    _kubevirt("virtualmachineinstances", "VirtualMachineInstance", "vmi", "vmis"),
    _kubevirt("virtualmachineinstancemigrations", "VirtualMachineInstanceMigration", "vmim", "vmims"),
    _kubevirt("kubevirts", "KubeVirt", "kv", "kvs"),
    Kind(
        group="nicplug.io",
        version="v1alpha1",
        plural="hotplugpolicies",
        kind="HotplugPolicy",
        namespaced=False,
        has_status=False,
        short_names=("nicpol",),
    ),
)
