"""The places in objects that nicplug looks into, and how much may stand at each (docs/adr/0018).

One tree for all kinds: what a pod and a VM have at the same path is told apart by the members, not by the kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

_KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An object that nicplug looks into.

    Attributes:
        members: those that are places themselves.
        names: other members that nicplug reads, which stay visible by name whatever else there is.
        texts: those of them that it reads as a whole; larger ones are taken for missing.
        whole: bytes up to which all other members stay as they are.
        limit: bytes up to which one of them stays as it is where together they are too large.
    """

    members: "Mapping[str, Place | Entries]" = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    whole: int = 32 * _KIB
    limit: int = 4 * _KIB

    def limit_of(self, name: str) -> int:
        """Bytes up to which a member stays as it is."""
        return _LONGEST_TEXT if name in self.texts else self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """A list of such objects.

    Attributes:
        crowded: stands in for `entry` where the list is larger than `whole`.
    """

    entry: Place
    crowded: Place
    whole: int = 64 * _KIB


_LONGEST_TEXT = 64 * _KIB

# tests/unit/kube/test_elision.py compares these with the names that the rest of the code uses.
LABELS = frozenset(
    {
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
_TEXTS = frozenset(
    {
        "k8s.v1.cni.cncf.io/network-status",
        "k8s.v1.cni.cncf.io/networks",
        "nicplug.io/interfaces",
        "nicplug.io/network-attachments",
        "nicplug.io/rolled-back-interfaces",
        "nicplug.io/template-interfaces",
    }
)
ANNOTATIONS = _TEXTS | {
    "istio.io/reroute-virtual-interfaces",
    "k8s.v1.cni.cncf.io/resourceName",
    "kubectl.kubernetes.io/default-container",
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


_METADATA = Place(
    members={"labels": Place(names=LABELS), "annotations": Place(names=ANNOTATIONS, texts=_TEXTS)},
    names=_names(
        "name namespace uid resourceVersion generation creationTimestamp deletionTimestamp "
        "deletionGracePeriodSeconds finalizers ownerReferences"
    ),
)
_BINDINGS = "bridge masquerade sriov passtBinding binding slirp macvtap passt"
_ENTRY = _names(
    f"name state macAddress model pciAddress bootOrder {_BINDINGS} pod multus resourceClaim image ready type"
)
_SPEC_LIST = Entries(entry=Place(names=_ENTRY), crowded=Place(names=_ENTRY, whole=512, limit=384))
_TERMS = Entries(entry=Place(), crowded=Place(whole=512, limit=384))
# Written by controllers and node agents, nicplug among them, which must find what it has written.
_STATUS_LIST = Entries(entry=Place(), crowded=Place())
_AMOUNTS = Place(names=_names("cpu memory ephemeral-storage"))
_DOMAIN = Place(
    members={
        "cpu": Place(names=_names("cores sockets threads maxSockets model dedicatedCpuPlacement features")),
        "memory": Place(names=_names("guest maxGuest hugepages")),
        "resources": Place(members={"requests": _AMOUNTS, "limits": _AMOUNTS}, names=_names("overcommitGuestOverhead")),
        "firmware": Place(names=_names("uuid serial bootloader")),
        "devices": Place(
            members={"interfaces": _SPEC_LIST},
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
    "networks": _SPEC_LIST,
    "affinity": _AFFINITY,
    "nodeSelector": Place(),
    "containers": Entries(entry=Place(names=_ENTRY), crowded=Place(names=_ENTRY)),
}
_SPEC_NAMES = _names(
    "running runStrategy instancetype preference dataVolumeTemplates updateVolumesStrategy "
    "tolerations topologySpreadConstraints schedulerName priorityClassName dnsPolicy dnsConfig "
    "subdomain hostname terminationGracePeriodSeconds evictionStrategy startStrategy volumes accessCredentials "
    "livenessProbe readinessProbe architecture vmiName addedNodeSelector priority sendTo receive "
    "nodeName restartPolicy readinessGates config"
)
_TEMPLATE = Place(members={"metadata": _METADATA, "spec": Place(members=_INSTANCE, names=_SPEC_NAMES)})
_SPEC = Place(members={**_INSTANCE, "template": _TEMPLATE}, names=_SPEC_NAMES)
_STATUS = Place(
    members={
        "conditions": _STATUS_LIST,
        "interfaces": _STATUS_LIST,
        "interfaceOperations": _STATUS_LIST,
        "stateChangeRequests": _STATUS_LIST,
        "containerStatuses": _STATUS_LIST,
        "migrationState": Place(),
    },
    names=_names(
        "phase nodeName created ready printableStatus observedGeneration desiredGeneration activePods "
        "virtualMachineRevisionName migrationTransport migrationMethod qosClass phaseTransitionTimestamps pciBudget "
        "launcherContainerImageVersion evacuationNodeName startFailure runStrategy"
    ),
)
OBJECT = Place(
    members={"metadata": _METADATA, "spec": _SPEC, "status": _STATUS, "data": Place(members={"spec": _SPEC})},
    names=_names("apiVersion kind revision involvedObject regarding reason message note type eventTime"),
)
"""The root of every object."""
