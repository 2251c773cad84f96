"""The places in objects that nicplug looks into, and how much may stand at each (docs/adr/0018).

One tree for all kinds: members, not the kind, distinguish what a pod and a VM have at the same path.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nicplug.elided import MANY_MEMBERS

_KIB = 1024
# Of each of hundreds of entries.
_FEW_MARKS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An object that nicplug looks into.

    Attributes:
        members: those that are places themselves.
        names: other members that nicplug reads, which stay visible by name whatever else there is.
        texts: those of them that it reads as a whole, and how long they may be; a longer one is taken for missing.
        whole: bytes up to which all other members stay as they are.
        limit: bytes up to which one of them stays as it is where together they are too large.
        most_marks: members up to which those elided together have a mark made of theirs; more are taken as one text.
        budget: bytes that may be left of all of it, without what has a budget of its own; else it is read tightly.
        may_be_wide: it is not read tightly for characters that are not ASCII.
    """

    members: "Mapping[str, Place | Entries]" = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    texts: Mapping[str, int] = field(default_factory=dict)
    whole: int = 32 * _KIB
    limit: int = 4 * _KIB
    most_marks: int = MANY_MEMBERS
    budget: int = 0
    may_be_wide: bool = False

    @property
    def is_apart(self) -> bool:
        """It does not count to the budget of what it is in."""
        return self.budget > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    """An entry of a long list of interfaces or networks.

    Attributes:
        limits: bytes up to which the members that nicplug reads stay as they are.
        scalars: those of them of which no valid value is longer: with one that is, nothing of the entry is read.
        whole: bytes up to which all of it stays as it is.
        most: bytes that it may have in any case; else nothing but its name is read.
        most_marks: members up to which those elided together have a mark made of theirs; more are taken as one text.
    """

    limits: Mapping[str, int]
    scalars: frozenset[str]
    most: int
    whole: int = 384
    most_marks: int = _FEW_MARKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """A list of such objects.

    Attributes:
        crowded: stands in for `entry` where the list is larger than `whole`.
        tight: bytes of entries that stay where it is read tightly.
        is_apart: it does not count to the budget of what it is in.
    """

    entry: Place
    crowded: Place | Nic
    whole: int = 64 * _KIB
    tight: int = 32 * _KIB
    is_apart: bool = False


_LONGEST_TEXT = 64 * _KIB
# As long as all annotations of an object may be, in Kubernetes: those of a launcher pod with 255 NICs of long names.
_LONGEST_ANNOTATION = 256 * _KIB
_BUDGET = 64 * _KIB

# tests/unit/kube/test_elision.py compares these with the names that the rest of the code uses.
LABELS = frozenset(
    {
        "app.kubernetes.io/managed-by",
        "kubevirt.io",
        "kubevirt.io/created-by",
        "kubevirt.io/migrationJobUID",
        "kubevirt.io/migrationTargetNodeName",
        "kubevirt.io/nodeName",
        "kubevirt.io/outdatedLauncherImage",
        "kubevirt.io/vmi-name",
        "nicplug.io/virtual-machine-uid",
        "vm.kubevirt.io/name",
        "vmi.kubevirt.io/id",
    }
)
_TEXTS: Mapping[str, int] = {
    "k8s.v1.cni.cncf.io/network-status": _LONGEST_ANNOTATION,
    "k8s.v1.cni.cncf.io/networks": _LONGEST_ANNOTATION,
    "nicplug.io/interfaces": _LONGEST_TEXT,
    "nicplug.io/network-attachments": _LONGEST_ANNOTATION,
    "nicplug.io/rolled-back-interfaces": _LONGEST_TEXT,
    "nicplug.io/template-interfaces": _LONGEST_TEXT,
}
ANNOTATIONS = frozenset(_TEXTS) | {
    "istio.io/reroute-virtual-interfaces",
    "k8s.v1.cni.cncf.io/resourceName",
    "kubectl.kubernetes.io/default-container",
    "kubevirt.io/allow-pod-bridge-network-live-migration",
    "kubevirt.io/domain",
    "kubevirt.io/evacuationMigration",
    "kubevirt.io/func-test-ignore-migration-backoff",
    "kubevirt.io/migration-target-ready-timestamp",
    "kubevirt.io/migrationJobName",
    "kubevirt.io/migrationPendingPodTimeoutSeconds",
    "kubevirt.io/migrationTransportUnix",
    "kubevirt.io/migrationUnschedulablePodTimeoutSeconds",
    "kubevirt.io/pci-interface-slot-count",
    "kubevirt.io/placePCIDevicesOnRootComplex",
    "kubevirt.io/vm-generation",
    "kubevirt.io/workloadUpdateMigration",
    "nicplug.io/dynamic-path",
    "nicplug.io/dynamic-timeout",
    "nicplug.io/made-by",
    "nicplug.io/migration",
    "nicplug.io/on-failure",
    "nicplug.io/pod-spec",
    "nicplug.io/removal-policy",
    "traffic.sidecar.istio.io/kubevirtInterfaces",
    "v1.multus-cni.io/default-network",
}


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_METADATA_NAMES = _names(
    "name namespace uid resourceVersion generation creationTimestamp deletionTimestamp "
    "deletionGracePeriodSeconds finalizers ownerReferences"
)
# Kubernetes itself bounds annotations of an object, but not those of a template.
_METADATA = Place(
    members={
        "labels": Place(names=LABELS),
        "annotations": Place(names=ANNOTATIONS, texts=_TEXTS, budget=2 * _LONGEST_ANNOTATION),
    },
    names=_METADATA_NAMES,
    budget=2 * _BUDGET,
)
_TEMPLATE_METADATA = Place(
    members={"labels": Place(names=LABELS), "annotations": Place(names=ANNOTATIONS)},
    names=_METADATA_NAMES,
    budget=_BUDGET,
)
_BINDINGS = "bridge masquerade sriov passtBinding binding slirp macvtap passt"
_ENTRY = _names(f"name state macAddress model pciAddress bootOrder {_BINDINGS} image ready type")
_OBJECT_IN_NIC = 100
_SCALARS = {"name": 130, "state": 16, "macAddress": 32, "model": 32, "pciAddress": 32, "bootOrder": 16, "acpiIndex": 16}
_INTERFACES = Entries(
    entry=Place(names=_ENTRY),
    crowded=Nic(
        limits={**_SCALARS, **dict.fromkeys(_BINDINGS.split(), _OBJECT_IN_NIC)},
        scalars=frozenset(_SCALARS),
        most=384,
    ),
    is_apart=True,
)
# A reference is as long as two names and a slash.
_NETWORKS = Entries(
    entry=Place(names=_names("name pod multus resourceClaim")),
    crowded=Nic(
        limits={"name": 130, "multus": 400, "pod": _OBJECT_IN_NIC, "resourceClaim": _OBJECT_IN_NIC},
        scalars=frozenset({"name"}),
        most=512,
        whole=512,
    ),
    is_apart=True,
)
_TERMS = Entries(entry=Place(), crowded=Place(whole=512, limit=384, most_marks=_FEW_MARKS))
# Written by controllers and node agents, nicplug among them, which must find what it has written.
_STATUS_LIST = Entries(
    entry=Place(),
    crowded=Place(
        names=_names(
            "type status reason message lastTransitionTime observedGeneration name operation path phase attempts "
            "startTime waitingSince lastAttemptTime lastError suspect migration migrationFailures attachment "
            "infoSource linkState podInterfaceName interfaceName mac action uid"
        ),
        whole=2 * _KIB,
        limit=_KIB,
        most_marks=_FEW_MARKS,
    ),
    whole=256 * _KIB,
)
_RECORDS = replace(_STATUS_LIST, tight=256 * _KIB)
_AMOUNTS = Place(names=_names("cpu memory ephemeral-storage"))
_DOMAIN = Place(
    members={
        "cpu": Place(names=_names("cores sockets threads maxSockets model dedicatedCpuPlacement features")),
        "memory": Place(names=_names("guest maxGuest hugepages")),
        "resources": Place(members={"requests": _AMOUNTS, "limits": _AMOUNTS}, names=_names("overcommitGuestOverhead")),
        "firmware": Place(names=_names("uuid serial bootloader")),
        "devices": Place(
            members={"interfaces": _INTERFACES},
            names=_names(
                "disks hostDevices gpus inputs watchdog rng tpm downwardMetrics blockMultiQueue filesystems sound "
                "networkInterfaceMultiqueue autoattachPodInterface autoattachGraphicsDevice autoattachSerialConsole "
                "autoattachMemBalloon autoattachInputDevice autoattachVSOCK useVirtioTransitional video"
            ),
        ),
    },
    names=_names("machine features clock chassis ioThreadsPolicy launchSecurity"),
)
# A migration adds to what its target pod inherits.
_AFFINITY = Place(
    members={
        "nodeAffinity": Place(),
        "podAffinity": Place(),
        "podAntiAffinity": Place(members={"requiredDuringSchedulingIgnoredDuringExecution": _TERMS}),
    }
)
_INSTANCE: Mapping[str, Place | Entries] = {
    "domain": _DOMAIN,
    "networks": _NETWORKS,
    "affinity": _AFFINITY,
    "nodeSelector": Place(),
    "containers": Entries(entry=Place(names=_ENTRY), crowded=Place(names=_ENTRY, most_marks=_FEW_MARKS)),
}
_SPEC_NAMES = _names(
    "running runStrategy instancetype preference dataVolumeTemplates updateVolumesStrategy "
    "tolerations topologySpreadConstraints schedulerName priorityClassName dnsPolicy dnsConfig "
    "subdomain hostname terminationGracePeriodSeconds evictionStrategy startStrategy volumes accessCredentials "
    "livenessProbe readinessProbe architecture vmiName addedNodeSelector priority sendTo receive "
    "nodeName restartPolicy readinessGates config minAvailable maxUnavailable selector unhealthyPodEvictionPolicy"
)
_TEMPLATE = Place(
    members={
        "metadata": _TEMPLATE_METADATA,
        "spec": Place(members=_INSTANCE, names=_SPEC_NAMES, budget=_BUDGET),
    },
    budget=_BUDGET,
)
_SPEC = Place(members={**_INSTANCE, "template": _TEMPLATE}, names=_SPEC_NAMES, budget=_BUDGET)
_STATUS = Place(
    members={
        "conditions": _STATUS_LIST,
        "interfaces": _STATUS_LIST,
        "interfaceOperations": _RECORDS,
        "interfaceRequests": _STATUS_LIST,
        "stateChangeRequests": _STATUS_LIST,
        "containerStatuses": _STATUS_LIST,
        "migrationState": Place(),
    },
    names=_names(
        "phase nodeName created ready printableStatus observedGeneration desiredGeneration activePods "
        "virtualMachineRevisionName migrationTransport migrationMethod qosClass phaseTransitionTimestamps pciBudget "
        "interfaceSummary "
        "launcherContainerImageVersion evacuationNodeName startFailure runStrategy"
    ),
    budget=5 * _BUDGET,
    # A quoted word of a plugin would take all records of 255 NICs out of sight, and they would be begun anew.
    may_be_wide=True,
)
_ROOT_NAMES = _names("apiVersion kind revision involvedObject regarding reason message note type eventTime")
OBJECT = Place(
    members={"metadata": _METADATA, "spec": _SPEC, "status": _STATUS, "data": Place(members={"spec": _SPEC})},
    names=_ROOT_NAMES,
)
"""The root of every object."""

SHAPELESS = Place(members={"metadata": _METADATA, "status": _STATUS}, names=_ROOT_NAMES)
"""The root of a large object whose spec is none: nothing in it could be read."""
