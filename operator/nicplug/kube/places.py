"""Places in objects that nicplug reads, and the maximum size of each (docs/adr/0018).

One tree for all kinds: a pod and a VM may have different members at the same path, so the kind is not needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nicplug.elided import MANY_MEMBERS

_KIB = 1024
# For entries of lists with hundreds of them.
_FEW_MARKS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An object that nicplug reads.

    Attributes:
        members: members that are places themselves.
        names: other members that nicplug reads; they stay visible by name whatever else the object has.
        texts: those of `names` that nicplug reads in full, with their maximum size in bytes; a longer one counts as
            missing.
        whole: total size in bytes up to which all other members are kept.
        limit: size in bytes up to which a single member is kept if their total exceeds `whole`.
        most_marks: number of members up to which their shared mark is made of a mark each; more are digested as one
            text.
        budget: maximum size in bytes of the result, without places that have their own budget; beyond it, the place is
            read in tight mode.
        may_be_wide: text that is not ASCII does not cause tight mode.
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
    def has_own_budget(self) -> bool:
        """True if the place does not count towards the budget of the place around it."""
        return self.budget > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    """An entry of a long list of interfaces or networks.

    Attributes:
        limits: size in bytes up to which each member that nicplug reads is kept.
        scalars: those of them whose valid values never exceed the limit: if one does, nothing of the entry is read.
        whole: size in bytes up to which the entire entry is kept.
        most: maximum size in bytes of the result; beyond it, only the name is read.
        most_marks: number of members up to which their shared mark is made of a mark each; more are digested as one
            text.
    """

    limits: Mapping[str, int]
    scalars: frozenset[str]
    most: int
    whole: int = 384
    most_marks: int = _FEW_MARKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """A list of objects that nicplug reads.

    Attributes:
        crowded: replaces `entry` if the list is larger than `whole`.
        whole: size in bytes up to which entries are read as `entry`.
        tight: total size in bytes of the entries kept in tight mode.
        has_own_budget: the list does not count towards the budget of the place around it.
    """

    entry: Place
    crowded: Place | Nic
    whole: int = 64 * _KIB
    tight: int = 32 * _KIB
    has_own_budget: bool = False


_LONGEST_TEXT = 64 * _KIB
# Kubernetes' limit for all annotations of an object; a launcher pod with 255 NICs of long names reaches it.
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
# Kubernetes limits the annotations of an object, but not those of a template.
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
    has_own_budget=True,
)
# A reference consists of at most two names and a slash.
_NETWORKS = Entries(
    entry=Place(names=_names("name pod multus resourceClaim")),
    crowded=Nic(
        limits={"name": 130, "multus": 400, "pod": _OBJECT_IN_NIC, "resourceClaim": _OBJECT_IN_NIC},
        scalars=frozenset({"name"}),
        most=512,
        whole=512,
    ),
    has_own_budget=True,
)
_TERMS = Entries(entry=Place(), crowded=Place(whole=512, limit=384, most_marks=_FEW_MARKS))
# Written by controllers and node agents, including nicplug, which must find what it has written.
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
# A migration adds terms to those that its target pod inherits.
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
    # A plugin's error in another script would hide all records of 255 NICs, and their operations would start again.
    may_be_wide=True,
)
_ROOT_NAMES = _names("apiVersion kind revision involvedObject regarding reason message note type eventTime")
OBJECT = Place(
    members={"metadata": _METADATA, "spec": _SPEC, "status": _STATUS, "data": Place(members={"spec": _SPEC})},
    names=_ROOT_NAMES,
)
"""The root of every object."""

SHAPELESS = Place(members={"metadata": _METADATA, "status": _STATUS}, names=_ROOT_NAMES)
"""The root of a large object without a valid spec: nothing in the spec could be read."""
