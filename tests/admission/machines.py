"""Rules about whole objects: run strategies, migrations, what a policy refuses."""

from tests.admission.ports import tcp
from tests.admission.row import TOGETHER, Json, Kind, Row, claimed, machine, on_pod, secondary

INSTANCES, MIGRATIONS = "nicplug-instances", "nicplug-migrations"
CONFIGURATION, LABELS = "nicplug-kubevirt-configuration", "nicplug-instance-labels"
RESTRICTED = "update of VMI object is restricted"
SELECTOR = "kubevirt.io/vmi-name"
NODE, JOB = "kubevirt.io/nodeName", "kubevirt.io/migrationJobUID"
RESERVED = "modification of the following reserved kubevirt.io/ labels on a VMI object is prohibited"
DECENTRALIZED = "DecentralizedLiveMigration feature gate is not enabled in kubevirt resource"
TEMPLATE: Json = {"spec": machine(secondary())}
RUNS: Json = {"phase": "Running", "nodeName": "node01"}

VIRTUAL_MACHINES = (
    Row(
        name="run-strategy",
        rule="`runStrategy` is Always, Halted, Manual, Once, RerunOnFailure or WaitAsReceiver",
        text="Invalid RunStrategy (Sometimes)",
        path="spec.runStrategy",
        kinds=(Kind.VM,),
        accepted={"runStrategy": "Once", "template": TEMPLATE},
        refused={"runStrategy": "Sometimes", "template": TEMPLATE},
    ),
    Row(
        name="no-run-strategy",
        rule="there is a `runStrategy`, or `running`",
        text="RunStrategy must be specified",
        path="spec.runStrategy",
        kinds=(Kind.VM,),
        accepted={"running": False, "template": TEMPLATE},
        refused={"template": TEMPLATE},
    ),
    Row(
        name="run-strategy-removed",
        rule="a `runStrategy` is not taken away",
        text="RunStrategy must be specified",
        path="spec.runStrategy",
        kinds=(Kind.VM,),
        before={"runStrategy": "Always", "template": TEMPLATE},
        accepted={"runStrategy": "Halted", "template": TEMPLATE},
        refused={"template": TEMPLATE},
    ),
    Row(
        name="running-and-run-strategy",
        rule="`runStrategy` or `running`",
        text=(
            "Running and RunStrategy are mutually exclusive. Note that Running is deprecated, please use RunStrategy "
            "instead"
        ),
        path="spec.running",
        kinds=(Kind.VM,),
        accepted={"runStrategy": "Manual", "template": TEMPLATE},
        refused={"running": True, "runStrategy": "Always", "template": TEMPLATE},
    ),
)

MIGRATING = (
    Row(
        name="no-instance",
        rule="a migration names its instance",
        text="vmiName is missing",
        path="spec.vmiName",
        kinds=(Kind.VMIM,),
        accepted={"vmiName": "vm", "priority": "user-triggered"},
        refused={},
    ),
    Row(
        name="another-instance",
        rule="the spec of a migration stays as it is",
        text="update of Migration object's spec is restricted",
        path="spec",
        kinds=(Kind.VMIM,),
        before={"vmiName": "vm"},
        accepted={"vmiName": "vm"},
        refused={"vmiName": "other"},
    ),
    Row(
        name="selector-removed",
        rule="a migration under way keeps its label `kubevirt.io/vmi-name`",
        text="selector label can't be removed from an in-flight migration",
        policy=MIGRATIONS,
        kinds=(Kind.VMIM,),
        before={"vmiName": "vm"},
        accepted={"vmiName": "vm"},
        refused={"vmiName": "vm"},
        labels=({SELECTOR: "vm"}, {SELECTOR: "vm", "a": "b"}, {"a": "b"}),
    ),
    Row(
        name="selector-changed",
        rule="the label of a migration under way keeps its value",
        text="selector label can't be modified on an in-flight migration",
        policy=MIGRATIONS,
        kinds=(Kind.VMIM,),
        before={"vmiName": "vm"},
        accepted={"vmiName": "vm"},
        refused={"vmiName": "vm"},
        labels=({SELECTOR: "vm"}, {SELECTOR: "vm", "a": "b"}, {SELECTOR: "other"}),
    ),
)

POLICIES = (
    Row(
        name="boot-order-nics",
        rule="two interfaces have not the same `bootOrder`",
        text="Boot order for {F}.domain.devices.interfaces[1].bootOrder already set for a different device.",
        path="{F}.domain.devices.interfaces[1].bootOrder",
        policy=TOGETHER,
        accepted=machine(secondary(bootOrder=1), secondary("green", bootOrder=2)),
        refused=machine(secondary(bootOrder=1), secondary("green", bootOrder=1)),
    ),
    Row(
        name="boot-order-disk",
        rule="an interface has not the `bootOrder` of a disk",
        text="Boot order for {F}.domain.devices.interfaces[0].bootOrder already set for a different device.",
        path="{F}.domain.devices.interfaces[0].bootOrder",
        policy=TOGETHER,
        accepted=machine(secondary(bootOrder=2), disks=[{"name": "root", "bootOrder": 1}]),
        refused=machine(secondary(bootOrder=1), disks=[{"name": "root", "bootOrder": 1}]),
    ),
    Row(
        name="bridge-on-pod",
        rule="a bridge on the pod network, only as `permitBridgeInterfaceOnPodNetwork` of the KubeVirt object says",
        text="Bridge on pod network configuration is not enabled under kubevirt-config",
        path="{F}.domain.devices.interfaces[0].name",
        policy=CONFIGURATION,
        accepted=machine(on_pod(), secondary()),
        refused=machine(on_pod(bindings="bridge")),
    ),
    Row(
        name="default-bridge",
        rule=(
            "a machine without interfaces and networks gets one on the pod network; no bridge, unless "
            "`permitBridgeInterfaceOnPodNetwork` allows it"
        ),
        text="bridge interface is not enabled in kubevirt-config",
        path="{F}.domain.devices.interfaces",
        policy=CONFIGURATION,
        accepted=machine(autoattachPodInterface=False),
        refused=machine(),
    ),
    Row(
        name="passt-gate",
        rule="passtBinding, unless `disabledFeatureGates` lists PasstBinding",
        text="PasstBinding feature gate is not enabled",
        path="{F}.domain.devices.interfaces[0].name",
        policy=CONFIGURATION,
        accepted=machine(on_pod()),
        refused=machine(on_pod(bindings="passtBinding")),
    ),
    Row(
        name="ranges-gate",
        rule="ranges of ports, only if `featureGates` lists PortRangesSpec",
        text="portRanges is specified on interface but the PortRangesSpec feature gate is not enabled",
        path="{F}.domain.devices.interfaces[0].name",
        policy=CONFIGURATION,
        accepted=machine(on_pod(ports=[{"port": 80}])),
        refused=machine(on_pod(portRanges=[tcp(80, 90)])),
    ),
    Row(
        name="empty-ranges-gate",
        rule="also no empty list of ranges without that gate",
        text="portRanges is specified on interface but the PortRangesSpec feature gate is not enabled",
        path="{F}.domain.devices.interfaces[0].name",
        policy=CONFIGURATION,
        accepted=machine(on_pod(ports=[])),
        refused=machine(on_pod(portRanges=[])),
    ),
    Row(
        name="claim-gate",
        rule="networks of a resource claim, only if `featureGates` lists NetworkDevicesWithDRA",
        text="vmi.spec.networks contains DRA networks but NetworkDevicesWithDRA feature gate is not enabled",
        path="{F}.networks",
        policy=CONFIGURATION,
        accepted=machine(secondary(bindings="sriov")),
        refused=machine(claimed(claimName="a", requestName="b"), resourceClaims=[{"name": "a"}]),
    ),
    Row(
        name="receiver-gate",
        rule="the run strategy WaitAsReceiver, only if `featureGates` lists DecentralizedLiveMigration",
        text=(
            "Invalid RunStrategy (WaitAsReceiver), DecentralizedLiveMigration feature gate is not enabled in kubevirt "
            "resource"
        ),
        path="spec.runStrategy",
        policy=CONFIGURATION,
        kinds=(Kind.VM,),
        accepted={"runStrategy": "Always", "template": TEMPLATE},
        refused={"runStrategy": "WaitAsReceiver", "template": TEMPLATE},
    ),
    Row(
        name="receive-gate",
        rule="a migration from another cluster or namespace, only with that gate",
        text=DECENTRALIZED,
        policy=CONFIGURATION,
        kinds=(Kind.VMIM,),
        accepted={"vmiName": "vm"},
        refused={"vmiName": "vm", "receive": {"migrationID": "a"}},
    ),
    Row(
        name="send-gate",
        rule="a migration to another cluster or namespace, only with that gate",
        text=DECENTRALIZED,
        policy=CONFIGURATION,
        kinds=(Kind.VMIM,),
        accepted={"vmiName": "vm"},
        refused={"vmiName": "vm", "sendTo": {"migrationID": "a", "connectURL": "192.0.2.1:9185"}},
    ),
    Row(
        name="memory",
        rule="of the spec of an instance that runs, users change interfaces and networks only",
        text=RESTRICTED,
        policy=INSTANCES,
        kinds=(Kind.VMI,),
        before=machine(secondary()),
        status=RUNS,
        accepted=machine(secondary(state="down"), secondary("green")),
        refused=machine(secondary(), memory={"guest": "2Gi"}),
    ),
    Row(
        name="node-selector",
        rule="where an instance may run is for its VirtualMachine to say",
        text=RESTRICTED,
        policy=INSTANCES,
        kinds=(Kind.VMI,),
        before=machine(secondary()),
        status=RUNS,
        accepted=machine(secondary()),
        refused=machine(secondary(), nodeSelector={"zone": "a"}),
    ),
    Row(
        name="label-changed",
        rule="users change no reserved label of an instance",
        text=RESERVED,
        policy=LABELS,
        kinds=(Kind.VMI,),
        before=machine(secondary()),
        status=RUNS,
        accepted=machine(secondary()),
        refused=machine(secondary()),
        labels=({NODE: "node01"}, {NODE: "node01", "a": "b"}, {NODE: "node02"}),
        is_tenants=True,
    ),
    Row(
        name="label-added",
        rule="users add no reserved label to an instance",
        text=RESERVED,
        policy=LABELS,
        kinds=(Kind.VMI,),
        before=machine(secondary()),
        status=RUNS,
        accepted=machine(secondary()),
        refused=machine(secondary()),
        labels=({NODE: "node01"}, {NODE: "node01", "kubevirt.io/l": "v"}, {NODE: "node01", JOB: "uid"}),
        is_tenants=True,
    ),
)
