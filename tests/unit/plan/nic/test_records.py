"""The record of each NIC: which path, how far, why. Every reason that a person may read has a case here."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path as FilePath
from typing import Any

import pytest
from tests.build import (
    NODE,
    NOT_INSTALLED,
    NOW,
    POD_INTERFACES,
    POD_NAME,
    VM_UID,
    Json,
    Nic,
    a_vm,
    absent,
    element,
    failed,
    kubevirt,
    later,
    nad,
    network_status,
    nic,
    node,
    operation,
    pinned,
    pod,
    primary,
    primary_row,
    render,
    row,
    start_failure,
    vm,
    vm_view,
    vmi,
    vmi_view,
    waiting,
)
from tests.unit.plan.migration import failures, waits
from tests.unit.plan.outcome import completions, status_of

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.hotplug_policy import HotplugPolicy
from nicplug.model.nad_policy import AttachmentAccess
from nicplug.model.nic_annotations import entry_digest
from nicplug.model.node import parse_node
from nicplug.model.operations import OperationPath as Path
from nicplug.model.operations import OperationPhase as Phase
from nicplug.model.operations import with_remedy
from nicplug.model.times import format_micro_time
from nicplug.plan.nic.path.rules import IN_PLACE, OBSTACLES
from nicplug.plan.outcome import PathTaken, Plan
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal
from nicplug.plan.vm.plan_vm import plan_vm
from nicplug.plan.vmi.plan_vmi import plan_vmi


@dataclass(frozen=True, kw_only=True)
class Case:
    """A running VMI with a primary NIC and `nic`, its pod, and the record that has to come out; None: no record."""

    title: str
    nic: Nic
    operation: str = "Plug"
    path: Path = Path.DYNAMIC
    phase: Phase | None
    reason: Reason | None
    says: str = ""
    next_attempt: datetime | None = None
    row: Json | None = None
    record: Json | None = None
    conditions: tuple[Json, ...] = ()
    origin: tuple[str, ...] | None = None
    pod: Json = field(default_factory=pod)
    view: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.title


ASKED = pod(networks=[element("blue")])
HAS = pod(networks=[element("blue")], attached=["blue"])
PLUGGED = row("blue", "domain", "multus-status")
BLOCKED = Phase.BLOCKED
NAMELESS = '[{"name": "cluster", "interface": "eth0", "default": true}, {"name": "default/blue-net", "ips": []}]'
TRIED: dict[str, Any] = {"lastAttemptTime": later(-1), "observedGeneration": 1}
GONE_FROM_GUEST = row("blue", "multus-status")
DETACHING = pod(networks="", attached=["blue"])

UP = row("blue", "domain", "multus-status", linkState="up")
DOWN = row("blue", "domain", "multus-status", linkState="down")
MIGRATABLE = ({"type": "LiveMigratable", "status": "True"},)
DECLARATIVE: dict[str, Any] = {"config": kubevirt(hotplug={"removalPolicy": "Declarative"})}
GATE_OFF: dict[str, Any] = {"config": kubevirt("Other")}
OTHER_NETWORK = vm(primary(), nic("blue", attachment="ops/lan"))
LINK_DOWN = vm(primary(), nic("blue", state="down"))


OF_TEMPLATE = {"nicplug.io/template-interfaces": '["blue"]'}


def staged(**hotplug: str) -> dict[str, Any]:
    """A view of a cluster whose VMs' changes wait for a restart."""
    config = kubevirt(hotplug=hotplug)
    config["spec"]["configuration"]["vmRolloutStrategy"] = "Stage"
    return {"config": config}


CASES = (
    Case(
        title="new NIC, no such network: the pod is not asked",
        nic=nic("blue"),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.ATTACHMENT_DEFINITION_MISSING,
        says="network attachment definition default/blue-net does not exist. Create it",
        view={"nads": [nad("other")]},
    ),
    Case(
        title="new NIC, its network is in another namespace that has it",
        nic=nic("blue", attachment="ops/lan"),
        phase=Phase.PENDING,
        reason=Reason.WAITING_FOR_POD_INTERFACE,
        view={"nads": [nad("lan", namespace="ops")]},
    ),
    Case(
        title="new NIC, its network is in a namespace that the VM may not use",
        nic=nic("blue", attachment="ops/lan"),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.NETWORK_NOT_ALLOWED,
        says="namespace default may not use network attachment definitions of namespace ops, such as ops/lan",
        view={"nads": [nad("lan", namespace="ops")], "access": AttachmentAccess()},
    ),
    Case(
        title="new NIC, the network's configuration is not JSON",
        nic=nic("blue"),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.ATTACHMENT_DEFINITION_INVALID,
        says="not JSON",
        view={"nads": [nad("blue-net", config='{"type":')]},
    ),
    Case(
        title="new NIC, no Multus",
        nic=nic("blue"),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.MULTUS_NOT_INSTALLED,
        says="network-attachment-definitions.k8s.cni.cncf.io is missing",
        view={"attachments": NOT_INSTALLED},
    ),
    Case(
        title="asked, and the controller says that it failed: quoted, and tried again",
        nic=nic("blue"),
        pod=ASKED,
        phase=Phase.PENDING,
        reason=Reason.ATTACH_FAILED,
        says="virt-launcher-vmi-fedora-5ca3e: pod [default/virt-launcher-vmi-fedora-5ca3e]: failed adding interface",
        view={"failures": [failed("blue")]},
    ),
    Case(
        title="asked five times in vain, and it cannot be migrated",
        nic=nic("blue"),
        pod=ASKED,
        record=operation("blue", attempts=5, waitingSince=later(-11), **TRIED),
        phase=Phase.FAILED,
        reason=Reason.DYNAMIC_TIMEOUT,
        says="did not attach network default/blue-net",
        next_attempt=later(-1) + timedelta(minutes=10),
    ),
    Case(
        title="asked, and network-status is broken",
        nic=nic("blue"),
        pod=pod(networks=[element("blue")], status_text="{"),
        phase=Phase.PENDING,
        reason=Reason.NETWORK_STATUS_UNREADABLE,
        says="tells nothing (not JSON",
    ),
    Case(
        title="the pod has an interface of its name from elsewhere",
        nic=nic("blue", attachment="other"),
        pod=pod(attached=["blue"]),
        row=row("blue"),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.POD_INTERFACE_NAME_TAKEN,
        says="has an interface pod16477688c0e already, of network default/blue-net",
    ),
    Case(
        title="somebody else rewrites its element",
        nic=nic("blue"),
        pod=pod(networks=[element("blue", attachment="theirs")]),
        record=operation("blue", **TRIED),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.ANNOTATION_CONTESTED,
        says="asks pod virt-launcher-vmi-fedora-5ca3e for network default/theirs",
    ),
    Case(
        title="no room left in the annotation",
        nic=nic("blue"),
        pod=pod(networks=[{"name": "x" * 110_000, "namespace": "ops", "interface": "mon0"}]),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.ANNOTATION_TOO_LARGE,
        says="holds 100 KiB",
    ),
    Case(
        title="unplugged, and the controller says that it failed",
        nic=absent("blue"),
        row=GONE_FROM_GUEST,
        pod=DETACHING,
        record=operation("blue", type_="Unplug", phase="InPod", **TRIED),
        operation="Unplug",
        phase=Phase.IN_POD,
        reason=Reason.DETACH_FAILED,
        says="failed removing interface",
        view={"failures": [failed("blue", removing=True)]},
    ),
    Case(
        title="unplugged, and its network is gone",
        nic=absent("blue"),
        row=GONE_FROM_GUEST,
        pod=DETACHING,
        record=operation("blue", type_="Unplug", phase="InPod", **TRIED),
        operation="Unplug",
        phase=BLOCKED,
        reason=Reason.ATTACHMENT_DEFINITION_MISSING,
        says="keeps the interface that the guest has let go, as it cannot be detached",
        view={"nads": []},
    ),
    Case(
        title="attached, and its network is gone: nothing is touched, nothing is said",
        nic=nic("blue"),
        row=PLUGGED,
        pod=HAS,
        phase=None,
        reason=None,
        view={"nads": []},
    ),
    Case(
        title="new NIC, pod not ready",
        nic=nic("blue"),
        pod=pod(ready=False),
        phase=Phase.PENDING,
        reason=Reason.WAITING_FOR_LAUNCHER_POD,
    ),
    Case(
        title="new NIC, pod ready: it is asked in the same pass",
        nic=nic("blue"),
        phase=Phase.PENDING,
        reason=Reason.WAITING_FOR_POD_INTERFACE,
        says="node01",
    ),
    Case(
        title="asked for, not attached",
        nic=nic("blue", attachment="ops/lan"),
        pod=ASKED,
        phase=Phase.PENDING,
        reason=Reason.WAITING_FOR_POD_INTERFACE,
        says="ops/lan",
    ),
    Case(title="in the pod", nic=nic("blue"), pod=HAS, phase=Phase.IN_POD, reason=Reason.WAITING_FOR_GUEST),
    Case(
        title="in the guest",
        nic=nic("blue"),
        pod=HAS,
        row=PLUGGED,
        record=operation("blue"),
        phase=Phase.READY,
        reason=Reason.ATTACHED,
        says="blue-net",
    ),
    Case(title="in the guest from the start", nic=nic("blue"), pod=HAS, row=PLUGGED, phase=None, reason=None),
    Case(
        title="in the guest, and its pod has lost the interface",
        nic=nic("blue"),
        pod=pod(networks=""),
        row=PLUGGED,
        record=operation("blue", phase="Ready", reason="Attached"),
        phase=Phase.FAILED,
        reason=Reason.POD_INTERFACE_LOST,
        says="so nothing may pass. The pod is asked for it again",
    ),
    Case(
        title="in the guest from the start, and its pod has lost the interface",
        nic=nic("blue"),
        pod=ASKED,
        row=PLUGGED,
        phase=Phase.FAILED,
        reason=Reason.POD_INTERFACE_LOST,
    ),
    Case(
        title="in the guest, and the controller fails to give its pod the lost interface back",
        nic=nic("blue"),
        pod=ASKED,
        row=PLUGGED,
        record=operation("blue", phase="Failed", reason="PodInterfaceLost", **TRIED | {"attempts": 2}),
        phase=Phase.FAILED,
        reason=Reason.POD_INTERFACE_LOST,
        says="no such device. Correct what the controller says; nicplug retries",
        next_attempt=later(-1) + timedelta(seconds=8),
        view={"failures": [failed("blue", message="no such device")]},
    ),
    Case(
        title="in the guest, its pod has lost the interface, and its network is gone",
        nic=nic("blue"),
        pod=pod(networks=""),
        row=PLUGGED,
        phase=Phase.FAILED,
        reason=Reason.POD_INTERFACE_LOST,
        says="It cannot be asked for again: network attachment definition default/blue-net does not exist",
        view={"nads": [nad("other")]},
    ),
    Case(
        title="in the guest, and its pod has lost the interface while the gate is off: nobody is asked",
        nic=nic("blue"),
        pod=ASKED,
        row=PLUGGED,
        phase=Phase.FAILED,
        reason=Reason.POD_INTERFACE_LOST,
        says="so nothing may pass. Migrate or restart the VM",
        view=GATE_OFF,
    ),
    Case(
        title="in the guest, and its pod has the interface again that it had lost",
        nic=nic("blue"),
        pod=HAS,
        row=row("blue", "domain"),
        record=operation("blue", phase="Failed", reason="PodInterfaceLost", message=f"pod {POD_NAME} has lost it"),
        phase=Phase.READY,
        reason=Reason.POD_INTERFACE_RESTORED,
        says="lists the interface again that it had lost. If nothing passes, migrate the VM",
    ),
    Case(
        title="in the guest, of SR-IOV, and its pod has lost the device: it cannot be asked for",
        nic=nic("blue", binding="sriov"),
        pod=pod(networks=""),
        row=PLUGGED,
        phase=Phase.FAILED,
        reason=Reason.POD_INTERFACE_LOST,
        says="so nothing may pass. Migrate or restart the VM",
    ),
    Case(
        title="in the guest, its pod has lost the interface, and no controller is there to give it back",
        nic=nic("blue"),
        pod=pod(networks=""),
        row=PLUGGED,
        phase=Phase.FAILED,
        reason=Reason.POD_INTERFACE_LOST,
        says="so nothing may pass. Migrate or restart the VM",
        view={"controller": DynamicController(state=ControllerState.NOT_DEPLOYED)},
    ),
    Case(
        title="the same, and the controller failed before it left: no pod starts with such a network",
        nic=nic("blue"),
        pod=ASKED,
        row=row("blue", "domain"),
        record=operation("blue", phase="Failed", reason="PodInterfaceLost", lastError="no such device", **TRIED),
        phase=Phase.FAILED,
        reason=Reason.POD_INTERFACE_LOST,
        says="no such device. Correct first what the controller said, or no pod starts with it; then migrate",
        view={"controller": DynamicController(state=ControllerState.NOT_DEPLOYED)},
    ),
    Case(
        title="its pod has lost the interface, and its link is to change: a link is nothing without it",
        nic=nic("blue", state="down"),
        pod=ASKED,
        row=row("blue", "domain", linkState="up"),
        record=operation("blue", phase="Failed", reason="PodInterfaceLost"),
        phase=Phase.FAILED,
        reason=Reason.POD_INTERFACE_LOST,
    ),
    Case(
        title="its pod has lost the interface, and only the row tells",
        nic=nic("blue", state="down"),
        pod=ASKED,
        row=row("blue", "domain", linkState="down"),
        record=operation("blue", type_="SetLink", phase="Ready", reason="LinkSet"),
        phase=Phase.FAILED,
        reason=Reason.POD_INTERFACE_LOST,
    ),
    Case(
        title="born with a pod whose network-status has no name for its interface: it never listed it",
        nic=nic("blue"),
        pod=pod(networks=[element("blue")], status_text=NAMELESS),
        row=row("blue", "domain"),
        phase=None,
        reason=None,
    ),
    Case(
        title="in the guest, and nobody can read what its pod has: silence is no news",
        nic=nic("blue"),
        pod=pod(networks=[element("blue")], status_text="{"),
        row=PLUGGED,
        phase=None,
        reason=None,
    ),
    Case(
        title="in the guest, of a pod that is not ready: it may have been asked anew",
        nic=nic("blue"),
        pod=pod(networks=[element("blue")], ready=False),
        row=PLUGGED,
        phase=None,
        reason=None,
    ),
    Case(
        title="its pod has lost the interface, and another network is asked for: the migration for that mends it too",
        nic=nic("blue", attachment="ops/lan"),
        pod=ASKED,
        row=row("blue", "domain"),
        conditions=MIGRATABLE,
        operation="ChangeNetwork",
        path=Path.MIGRATION,
        phase=Phase.PENDING,
        reason=Reason.NETWORK_CHANGE_NEEDS_MIGRATION,
        view={"nads": [nad("lan", namespace="ops")]},
    ),
    Case(
        title="its link was set, and its pod has lost the interface",
        nic=nic("blue", state="down"),
        pod=ASKED,
        row=DOWN,
        record=operation("blue", type_="SetLink", phase="Ready", reason="LinkSet"),
        phase=Phase.FAILED,
        reason=Reason.POD_INTERFACE_LOST,
    ),
    Case(
        title="gate off",
        nic=nic("blue"),
        view={"config": kubevirt("Other")},
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.FEATURE_GATE_DISABLED,
        says="spec.configuration.developerConfiguration.featureGates",
    ),
    Case(
        title="gate listed and disabled",
        nic=nic("blue"),
        view={"config": kubevirt(disabled=["HotplugNICs"])},
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.FEATURE_GATE_DISABLED,
        says="disabledFeatureGates",
    ),
    Case(
        title="no KubeVirt CR",
        nic=nic("blue"),
        view={"config": None},
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.KUBEVIRT_CR_MISSING,
        says='there is no KubeVirt CR in namespace "kubevirt" (setting NICPLUG_KUBEVIRT_NAMESPACE of the operator). '
        'Create one there (kind KubeVirt), and add "HotplugNICs"',
    ),
    Case(
        title="SR-IOV",
        nic=nic("blue", binding="sriov"),
        conditions=MIGRATABLE,
        path=Path.MIGRATION,
        phase=Phase.PENDING,
        reason=Reason.BINDING_NEEDS_MIGRATION,
        says="migrating the VM",
    ),
    Case(
        title="SR-IOV, and it cannot be migrated",
        nic=nic("blue", binding="sriov"),
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.NOT_LIVE_MIGRATABLE,
        says="an SR-IOV device is given to a pod only when the pod is made, and the VM is not migrated",
    ),
    Case(
        title="masquerade on a Multus network, which was advised to restart",
        nic=nic("blue", binding="masquerade"),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.INVALID_INTERFACE,
        says="Masquerade interface only implemented with pod network. Use bridge, or the pod network",
    ),
    Case(
        title="a binding of earlier releases",
        nic=nic("blue", binding="macvtap"),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.BINDING_NEEDS_RESTART,
        says="an interface of binding macvtap cannot be plugged into a running VM. Use bridge",
    ),
    Case(
        title="a binding plugin, which was told as `binding binding`",
        nic=({"name": "blue", "binding": {"name": "foo"}}, nic("blue")[1]),
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.BINDING_NEEDS_RESTART,
        says='an interface of binding plugin "foo" cannot be plugged into a running VM. Restart the VM',
        view={"config": kubevirt(binding={"foo": {}})},
    ),
    Case(
        title="a binding plugin that is not registered: a restart would end in a VM that does not start",
        nic=({"name": "blue", "binding": {"name": "foo"}}, nic("blue")[1]),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.BINDING_NEEDS_RESTART,
        says="not registered in spec.configuration.network.binding of the KubeVirt CR. Use bridge, or have it",
    ),
    Case(
        title="two bindings, of which the first was plugged",
        nic=({"name": "blue", "bridge": {}, "masquerade": {}}, nic("blue")[1]),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.INVALID_INTERFACE,
        says="2 bindings (bridge, masquerade)",
    ),
    Case(
        title="no binding",
        nic=nic("blue", binding=""),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.BINDING_NEEDS_RESTART,
        says="an interface without a binding cannot be plugged into a running VM. Use bridge",
    ),
    Case(
        title="an interface that is only in the template, on the pod network",
        nic=nic("blue"),
        row=PLUGGED,
        pod=HAS,
        view={"vm": vm(primary(), nic("blue"), primary("extra", binding="bridge"))},
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.NOT_ADMITTED,
        says="spec.template.spec.interfaces: more than one interface is connected to a pod network",
    ),
    Case(
        title="a second pod network, which was advised to restart",
        nic=primary("blue"),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.NOT_ADMITTED,
        says=(
            "spec.interfaces: more than one interface is connected to a pod network in spec.interfaces. No VM starts "
            "with it. Remove its interface and network, or make it a secondary Multus network"
        ),
    ),
    Case(
        title="a second pod network that the template has no more",
        nic=primary("blue", binding="bridge"),
        view={"vm": vm(primary())},
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.NETWORK_NEEDS_RESTART,
        says="Restart the VM",
    ),
    Case(
        title="a Multus network in place of the pod network, beside it",
        nic=(nic("blue")[0], {"name": "blue", "multus": {"networkName": "blue-net", "default": True}}),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.NOT_ADMITTED,
        says="spec.networks: Pod network cannot be defined when Multus default network is defined",
    ),
    Case(
        title="a network that names nothing",
        nic=(nic("blue")[0], {"name": "blue"}),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.INVALID_ATTACHMENT_REFERENCE,
        says="multus.networkName",
    ),
    Case(
        title="a name that no pod may get",
        nic=nic("a.b"),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.INVALID_NAME,
    ),
    Case(title="an empty name", nic=nic(""), path=Path.NONE, phase=BLOCKED, reason=Reason.INVALID_NAME),
    Case(
        title="a multicast MAC address",
        nic=nic("blue", mac="01:00:5e:00:00:01"),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.INVALID_MAC_ADDRESS,
    ),
    Case(
        title="a reference that cannot resolve",
        nic=nic("blue", attachment="Blue Net"),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.INVALID_ATTACHMENT_REFERENCE,
    ),
    Case(
        title="an interface without its network",
        nic=({"name": "blue", "bridge": {}}, {"name": "default", "pod": {}}),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.NO_NETWORK,
    ),
    Case(
        title="the annotation cannot be read",
        nic=nic("blue"),
        pod=pod(networks="[{"),
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.ANNOTATION_UNREADABLE,
        says="k8s.v1.cni.cncf.io/networks",
    ),
    # The way out.
    Case(
        title="unplug, the guest holds it",
        nic=absent("blue"),
        pod=HAS,
        row=PLUGGED,
        operation="Unplug",
        phase=Phase.IN_GUEST,
        reason=Reason.WAITING_FOR_GUEST_RELEASE,
    ),
    Case(
        title="unplug, the pod holds it",
        nic=absent("blue"),
        pod=HAS,
        row=row("blue", "multus-status"),
        operation="Unplug",
        phase=Phase.IN_POD,
        reason=Reason.WAITING_FOR_POD_RELEASE,
    ),
    Case(
        title="unplug, the pod holds it by another network, so that no row shows it",
        nic=nic("blue", attachment="ops/lan", state="absent"),
        pod=pod(networks=[], attached=["blue"]),
        operation="Unplug",
        phase=Phase.IN_POD,
        reason=Reason.WAITING_FOR_POD_RELEASE,
    ),
    Case(title="unplug, gone", nic=absent("blue"), phase=None, reason=None),
    Case(
        title="unplug, the annotation cannot be read: the pod cannot be asked to let it go",
        nic=absent("blue"),
        pod=pod(networks="[{", attached=["blue"]),
        row=row("blue", "multus-status"),
        operation="Unplug",
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.ANNOTATION_UNREADABLE,
        says="k8s.v1.cni.cncf.io/networks",
    ),
    Case(
        title="unplug, gate off",
        nic=absent("blue"),
        pod=HAS,
        row=PLUGGED,
        view={"config": kubevirt("Other")},
        operation="Unplug",
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.FEATURE_GATE_DISABLED,
    ),
    Case(
        title="another network than the pod was asked for",
        nic=nic("blue", attachment="ops/lan"),
        pod=HAS,
        row=PLUGGED,
        operation="ChangeNetwork",
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.NETWORK_CHANGE_NEEDS_RESTART,
        says="has network default/blue-net, the spec asks for ops/lan",
    ),
    Case(
        title="another network, migratable: the VMI's spec has it",
        nic=nic("blue", attachment="ops/lan"),
        pod=HAS,
        row=PLUGGED,
        conditions=MIGRATABLE,
        operation="ChangeNetwork",
        path=Path.MIGRATION,
        phase=Phase.PENDING,
        reason=Reason.NETWORK_CHANGE_NEEDS_MIGRATION,
        says="has network default/blue-net, the spec asks for ops/lan; a NIC that the guest has gets to",
    ),
    Case(
        title="another network in the template, not migratable: it stays there",
        nic=nic("blue"),
        pod=HAS,
        row=PLUGGED,
        view={"vm": OTHER_NETWORK},
        operation="ChangeNetwork",
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.NETWORK_CHANGE_NEEDS_RESTART,
        says="has network default/blue-net, the spec asks for ops/lan",
    ),
    Case(
        title="another network in the template, migratable, gate off",
        nic=nic("blue"),
        pod=HAS,
        row=PLUGGED,
        conditions=MIGRATABLE,
        view={"vm": OTHER_NETWORK, **GATE_OFF},
        operation="ChangeNetwork",
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.FEATURE_GATE_DISABLED,
    ),
    Case(
        title="the network in other words",
        nic=nic("blue"),
        pod=HAS,
        row=PLUGGED,
        view={"vm": vm(primary(), nic("blue", attachment="default/blue-net"))},
        phase=None,
        reason=None,
    ),
    Case(
        title="link to go down",
        nic=nic("blue", state="down"),
        pod=HAS,
        row=UP,
        operation="SetLink",
        phase=Phase.PENDING,
        reason=Reason.WAITING_FOR_LINK,
        says="node01 to set the link down",
    ),
    Case(
        title="link to come up",
        nic=nic("blue"),
        pod=HAS,
        row=DOWN,
        operation="SetLink",
        phase=Phase.PENDING,
        reason=Reason.WAITING_FOR_LINK,
        says="set the link up",
    ),
    Case(
        title="link of a masquerade NIC",
        nic=nic("blue", binding="masquerade", state="down"),
        pod=HAS,
        row=UP,
        operation="SetLink",
        phase=Phase.PENDING,
        reason=Reason.WAITING_FOR_LINK,
    ),
    Case(
        title="link has become as it shall be",
        nic=nic("blue", state="down"),
        pod=HAS,
        row=DOWN,
        record=operation("blue", type_="SetLink", reason="WaitingForLink"),
        operation="SetLink",
        phase=Phase.READY,
        reason=Reason.LINK_SET,
        says="its link is down",
    ),
    Case(
        title="link as it shall be, at once", nic=nic("blue", state="down"), pod=HAS, row=DOWN, phase=None, reason=None
    ),
    Case(title="state up is up", nic=nic("blue", state="up"), pod=HAS, row=UP, phase=None, reason=None),
    Case(
        title="an unknown state is up, and told in KubeVirt's words",
        nic=nic("blue", state="sideways"),
        pod=HAS,
        row=UP,
        operation="SetLink",
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.INVALID_STATE,
        says="logical blue interface state value is unsupported: sideways",
    ),
    Case(
        title="an unknown state stays told",
        nic=nic("blue", state="sideways"),
        pod=HAS,
        row=UP,
        record=operation("blue", type_="SetLink", phase="Blocked", reason="InvalidState", path="None"),
        operation="SetLink",
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.INVALID_STATE,
    ),
    Case(
        title="a NIC of birth whose state was corrected was never plugged",
        nic=nic("blue"),
        pod=HAS,
        row=UP,
        record=operation("blue", type_="SetLink", phase="Blocked", reason="InvalidState", path="None"),
        operation="SetLink",
        phase=Phase.READY,
        reason=Reason.LINK_SET,
        says="its link is up",
    ),
    Case(
        title="a link that nobody reports",
        nic=nic("blue", state="down"),
        pod=HAS,
        row=PLUGGED,
        phase=None,
        reason=None,
    ),
    Case(
        title="link in the template, gate off",
        nic=nic("blue"),
        pod=HAS,
        row=UP,
        view={"vm": LINK_DOWN, **GATE_OFF},
        operation="SetLink",
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.FEATURE_GATE_DISABLED,
    ),
    Case(
        title="link, refused by the API server",
        nic=nic("blue", state="down"),
        pod=HAS,
        row=UP,
        view={"refusal": Refusal(reason=Reason.HOTPLUG_ERROR, message="no")},
        operation="SetLink",
        phase=Phase.FAILED,
        reason=Reason.HOTPLUG_ERROR,
    ),
    Case(
        title="link of an SR-IOV NIC",
        nic=nic("blue", binding="sriov", state="down"),
        pod=HAS,
        row=PLUGGED,
        operation="SetLink",
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.LINK_STATE_NOT_SUPPORTED,
        says='Take "state: down" away, or restart the VM without the NIC',  # it cannot be unplugged
    ),
    Case(
        title="link up of an SR-IOV NIC",
        nic=nic("blue", binding="sriov", state="up"),
        pod=HAS,
        row=PLUGGED,
        phase=None,
        reason=None,
    ),
    Case(
        title="a plugged NIC whose link is as it shall be stays plugged",
        nic=nic("blue", state="down"),
        pod=HAS,
        row=DOWN,
        record=operation("blue", phase="Ready", reason="Attached"),
        phase=Phase.READY,
        reason=Reason.ATTACHED,
    ),
    Case(
        title="deleted from the template, which unplugs, and cannot leave",
        nic=nic("blue", binding="sriov"),
        pod=HAS,
        row=PLUGGED,
        view={"vm": vm(primary()), **DECLARATIVE},
        origin=("blue",),
        operation="Unplug",
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.UNPLUG_NEEDS_RESTART,
        says="Restart the VM",
    ),
    Case(
        title="deleted from the template, which unplugs, from a pod that counts its interfaces",
        nic=nic("blue"),
        pod=pod(attached=["net1"]),
        row=row("blue", "domain", "multus-status", pod_interface="net1"),
        view={"vm": vm(primary()), **DECLARATIVE},
        origin=("blue",),
        operation="Unplug",
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.ORDINAL_INTERFACE_NAMES,
    ),
    Case(
        title="deleted from the template, which does not unplug",
        nic=nic("blue"),
        pod=HAS,
        row=PLUGGED,
        view={"vm": vm(primary())},
        origin=("blue",),
        phase=None,
        reason=None,
    ),
    Case(
        title="deleted from the template when the pod has it, and the guest has not",
        nic=nic("blue"),
        pod=HAS,
        row=row("blue", "multus-status"),
        view={"vm": vm(primary())},
        origin=("blue",),
        path=Path.DYNAMIC,
        phase=Phase.IN_POD,
        reason=Reason.WAITING_FOR_GUEST,
        says="deleted from the VM's template, which does not take it back. To take it back, write its",
    ),
    Case(
        title="deleted from the template before it ever came: nothing is left to be told",
        nic=nic("blue"),
        view={"vm": vm(primary()), "nads": [nad("other")]},
        origin=("blue",),
        phase=None,
        reason=None,
    ),
    Case(
        title="Stage: a new NIC in the template",
        nic=nic("blue"),
        pod=HAS,
        row=PLUGGED,
        view={"vm": vm(primary(), nic("blue"), nic("red")), **staged()},
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.ROLLOUT_STRATEGY_STAGE,
        says="asks for the NIC, and spec.configuration.vmRolloutStrategy of KubeVirt CR kubevirt/kubevirt is Stage. "
        "Restart the VM, or set it to LiveUpdate",
    ),
    Case(
        title="Stage: an SR-IOV NIC does not migrate the VM either",
        nic=nic("blue"),
        pod=HAS,
        row=PLUGGED,
        conditions=MIGRATABLE,
        view={"vm": vm(primary(), nic("blue"), nic("red", binding="sriov")), **staged()},
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.ROLLOUT_STRATEGY_STAGE,
    ),
    Case(
        title="Stage: what is wrong with the new NIC is told first",
        nic=nic("blue"),
        pod=HAS,
        row=PLUGGED,
        view={"vm": vm(primary(), nic("blue"), nic("red", attachment="-")), **staged()},
        path=Path.NONE,
        phase=BLOCKED,
        reason=Reason.INVALID_ATTACHMENT_REFERENCE,
    ),
    Case(
        title="Stage: absent in the template",
        nic=nic("blue"),
        pod=HAS,
        row=PLUGGED,
        view={"vm": vm(primary(), absent("blue")), **staged()},
        operation="Unplug",
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.ROLLOUT_STRATEGY_STAGE,
        says="the VM's template asks for the NIC to go",
    ),
    Case(
        title="Stage: deleted from the template, which unplugs",
        nic=nic("blue"),
        pod=HAS,
        row=PLUGGED,
        view={"vm": vm(primary()), **staged(removalPolicy="Declarative")},
        origin=("blue",),
        operation="Unplug",
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.ROLLOUT_STRATEGY_STAGE,
    ),
    Case(
        title="Stage: absent in the template, and still on its way to the guest, as the VMI asks",
        nic=nic("blue"),
        pod=ASKED,
        view={"vm": vm(primary(), absent("blue")), **staged()},
        origin=("blue",),
        phase=Phase.PENDING,
        reason=Reason.WAITING_FOR_POD_INTERFACE,
        says="The VM's template no longer asks for it, which waits for a restart, as vmRolloutStrategy is Stage",
    ),
    Case(
        title="Stage: absent in the VMI itself",
        nic=absent("blue"),
        pod=HAS,
        row=PLUGGED,
        view={"vm": vm(primary(), nic("blue")), **staged()},
        operation="Unplug",
        phase=Phase.IN_GUEST,
        reason=Reason.WAITING_FOR_GUEST_RELEASE,
    ),
    Case(
        title="Stage: another network in the template",
        nic=nic("blue"),
        pod=HAS,
        row=PLUGGED,
        conditions=MIGRATABLE,
        view={"vm": OTHER_NETWORK, **staged()},
        operation="ChangeNetwork",
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.ROLLOUT_STRATEGY_STAGE,
        says="the VM's template asks for network ops/lan",
    ),
    Case(
        title="Stage: another network in the VMI itself",
        nic=nic("blue", attachment="ops/lan"),
        pod=HAS,
        row=PLUGGED,
        conditions=MIGRATABLE,
        view={"vm": vm(primary(), nic("blue")), **staged()},
        operation="ChangeNetwork",
        path=Path.MIGRATION,
        phase=Phase.PENDING,
        reason=Reason.NETWORK_CHANGE_NEEDS_MIGRATION,
    ),
    Case(
        title="Stage: link down in the template",
        nic=nic("blue"),
        pod=HAS,
        row=UP,
        view={"vm": LINK_DOWN, **staged()},
        operation="SetLink",
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.ROLLOUT_STRATEGY_STAGE,
        says="the VM's template asks for link down",
    ),
    Case(
        title="Stage: link down in the template, before a node agent has reported any link",
        nic=nic("blue"),
        pod=HAS,
        row=PLUGGED,
        view={"vm": LINK_DOWN, **staged()},
        operation="SetLink",
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.ROLLOUT_STRATEGY_STAGE,
    ),
    Case(
        title="Stage: link down in the template, taken back",
        nic=nic("blue"),
        pod=HAS,
        row=UP,
        record=operation("blue", type_="SetLink", path="Restart", phase="Blocked", reason="RolloutStrategyStage"),
        view={"vm": vm(primary(), nic("blue")), **staged()},
        phase=None,
        reason=None,
    ),
    Case(
        title="Stage: link down in the VMI itself",
        nic=nic("blue", state="down"),
        pod=HAS,
        row=UP,
        view={"vm": vm(primary(), nic("blue")), **staged()},
        operation="SetLink",
        phase=Phase.PENDING,
        reason=Reason.WAITING_FOR_LINK,
    ),
    Case(
        title="Stage: a NIC of the VMI itself",
        nic=nic("blue"),
        pod=ASKED,
        view={"vm": vm(primary()), **staged()},
        origin=(),
        phase=Phase.PENDING,
        reason=Reason.WAITING_FOR_POD_INTERFACE,
    ),
    Case(
        title="added to the VMI alone",
        nic=nic("blue"),
        pod=HAS,
        row=PLUGGED,
        view={"vm": vm(primary()), **DECLARATIVE},
        origin=(),
        phase=None,
        reason=None,
    ),
    Case(
        title="unplug of a binding that cannot leave",
        nic=absent("blue", binding="sriov"),
        pod=HAS,
        row=PLUGGED,
        operation="Unplug",
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.UNPLUG_NEEDS_RESTART,
        says="Delete its interface and network instead of writing state: absent, and restart the VM",
    ),
    Case(
        title="unplug from a pod that counts its interfaces",
        nic=absent("blue"),
        pod=pod(attached=["net1"]),
        row=row("blue", "domain", "multus-status", pod_interface="net1"),
        operation="Unplug",
        path=Path.RESTART,
        phase=BLOCKED,
        reason=Reason.ORDINAL_INTERFACE_NAMES,
        says="Restart the VM",
    ),
)


def _plan(case: Case) -> Plan:
    raw = vmi(
        primary(),
        case.nic,
        rows=[primary_row(), *([case.row] if case.row else [])],
        operations=[case.record] if case.record else [],
        conditions=case.conditions,
        annotations=None if case.origin is None else {"nicplug.io/template-interfaces": json.dumps(case.origin)},
        owner_uid=VM_UID if "vm" in case.view else None,
    )
    return plan_vmi(vmi_view(raw, case.pod, report_pending_since=later(-60), **case.view), now=NOW)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_record(case: Case) -> None:
    records = status_of(_plan(case)).get("interfaceOperations") or []
    if case.phase is None:
        assert records == []
        return
    assert len(records) == 1
    record = records[0]
    found = (record["operation"], record["path"], record["phase"], record["reason"])
    assert found == (case.operation, case.path, case.phase, case.reason)
    assert case.says in with_remedy(record["message"], record.get("remedy", ""))
    due = record.get("nextAttemptTime")
    assert due == (format_micro_time(case.next_attempt) if case.next_attempt is not None else due)


@pytest.mark.parametrize("case", [item for item in CASES if item.phase in (BLOCKED, Phase.FAILED)], ids=str)
def test_who_needs_a_person_says_what_to_do_in_a_field_of_its_own(case: Case) -> None:
    """It was the end of a long sentence."""
    (record,) = status_of(_plan(case))["interfaceOperations"]
    assert record["remedy"][0].isupper()
    assert record["remedy"] not in record["message"]
    assert not re.search(r"UTC|[:,;] (restart|migrate|add|correct|write|use|create) ", record["message"])


def test_an_event_has_one_text_for_message_and_remedy() -> None:
    (event,) = _plan(CASES[0]).announcements
    assert (event.reason, event.message) == (
        "InterfaceBlocked",
        'NIC "blue": network attachment definition default/blue-net does not exist. Create it; the NIC is then plugged '
        "automatically. Or correct multus.networkName",
    )


@pytest.mark.parametrize("case", [item for item in CASES if item.next_attempt is not None], ids=str)
def test_the_next_attempt_is_the_same_in_every_pass_until_it_is_made(case: Case) -> None:
    (record,) = status_of(_plan(case))["interfaceOperations"]
    again = replace(case, record=record, view={**case.view, "report_pending_since": later(-60)})
    raw = vmi(primary(), again.nic, rows=[primary_row(), *([again.row] if again.row else [])], operations=[record])
    after = plan_vmi(vmi_view(raw, again.pod, report_pending_since=later(-60), **case.view), now=later(0.5))
    assert (status_of(after).get("interfaceOperations") or [record])[0]["nextAttemptTime"] == record["nextAttemptTime"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_condition_tells_the_same(case: Case) -> None:
    conditions = {item["type"]: item for item in status_of(_plan(case)).get("conditions") or []}
    ready = conditions["InterfacesReady"]
    if case.phase in (None, Phase.READY):
        assert (ready["status"], ready["reason"]) == ("True", Reason.ALL_INTERFACES_READY)
    else:
        assert (ready["status"], ready["reason"]) == ("False", case.reason)
    assert ready["observedGeneration"] == 1


@pytest.mark.parametrize(
    ("state", "reported", "reason"),
    [("down", "up", "WaitingForLink"), ("down", "down", None), ("gone", "up", "InvalidState")],
)
def test_the_link_of_the_primary_nic(state: str, reported: str, reason: str | None) -> None:
    raw = vmi(primary(state=state), rows=[row("default", "domain", pod_interface="eth0", linkState=reported)])
    records = (
        status_of(plan_vmi(vmi_view(raw, pod(), report_pending_since=later(-60)), now=NOW)).get("interfaceOperations")
        or []
    )
    assert [(item["operation"], item["reason"]) for item in records] == ([("SetLink", reason)] if reason else [])


def test_a_link_that_was_set_is_announced() -> None:
    before = operation("blue", type_="SetLink", reason="WaitingForLink", since=later(-2))
    raw = vmi(primary(), nic("blue", state="down"), rows=[primary_row(), DOWN], operations=[before])
    plan = plan_vmi(vmi_view(raw, HAS), now=NOW)
    (event,) = plan.announcements
    assert (event.reason, event.message) == (
        "InterfaceLinkSet",
        'NIC "blue": its link is down, 2.00 s after it was asked for',
    )
    (completion,) = completions(plan)
    assert (completion.operation, completion.seconds) == ("SetLink", 2.0)


def test_a_path_is_counted_by_the_reason_of_its_choice_whatever_the_record_waits_for() -> None:
    """The first record that is written of a NIC in place says that it waits for the guest."""
    plan = plan_vmi(vmi_view(vmi(primary(), nic("blue")), HAS), now=NOW)
    assert status_of(plan)["interfaceOperations"][0]["reason"] == Reason.WAITING_FOR_GUEST
    assert PathTaken(path="Dynamic", reason=Reason.WAITING_FOR_POD_INTERFACE) in plan.measures


def test_what_was_measured_is_not_measured_again() -> None:
    raw = vmi(primary(), nic("blue"))
    raw["status"] |= status_of(plan_vmi(vmi_view(raw, HAS), now=NOW))
    again = plan_vmi(vmi_view(raw, HAS), now=later(5))
    assert (status_of(again), again.measures) == ({}, ())


# What only conditions or events say, and how it comes about.
def _drained() -> Json:
    raw = vmi(conditions=[{"type": "LiveMigratable", "status": "True"}])
    raw["spec"]["evictionStrategy"] = "LiveMigrate"
    raw["status"]["evacuationNodeName"] = NODE
    return raw


ELSEWHERE: dict[Reason, Plan] = {
    Reason.ALL_INTERFACES_READY: plan_vmi(vmi_view(vmi(), pod(), report_pending_since=later(-9)), now=NOW),
    Reason.GUEST_NOT_RUNNING: plan_vmi(
        vmi_view(vmi(phase="Scheduling"), pod(), report_pending_since=later(-9)), now=NOW
    ),
    Reason.RUN_STRATEGY_NOT_SUPPORTED: plan_vm(
        vm_view(vm(run_strategy="WaitAsReceiver"), report_pending_since=later(-9)), now=NOW
    ),
    Reason.NAME_TAKEN: plan_vm(vm_view(vm(), vmi=vmi(owner_uid="another"), report_pending_since=later(-9)), now=NOW),
    Reason.INVALID_STATE_CHANGE_REQUEST: plan_vm(
        vm_view(vm(run_strategy="Manual", status={"stateChangeRequests": [{"action": "Pause"}]})), now=NOW
    ),
    Reason.FOREIGN_POD: plan_vmi(vmi_view(vmi(phase=""), foreign=[pod()]), now=NOW),
    Reason.LAUNCHER_POD_LOST: plan_vmi(vmi_view(vmi()), now=NOW),
    Reason.INVALID_HOTPLUG_POLICY: plan_vmi(
        replace(vmi_view(vmi(), pod(), report_pending_since=later(-9)), policy=HotplugPolicy(problems=("no",))), now=NOW
    ),
    Reason.ATTACHMENT_DEFINITION_CHANGED: plan_vmi(
        vmi_view(
            vmi(primary(), nic("blue"), rows=[primary_row(), PLUGGED]),
            pod(
                networks=[element("blue")],
                attached=["blue"],
                annotations={
                    "k8s.v1.cni.cncf.io/network-status": network_status(POD_INTERFACES["blue"]),
                    "k8s.v1.cni.cncf.io/networks": render([element("blue")]),
                    "nicplug.io/network-attachments": '{"blue":"nad-blue-net/0"}',
                },
            ),
            nads=[nad("blue-net")],
            report_pending_since=later(-9),
        ),
        now=NOW,
    ),
    # The reconciler gives these their reason: tests/unit/reconcile/test_reconciler.py.
    Reason.FAILED_CREATE: plan_vmi(
        vmi_view(vmi(phase=""), refusal=Refusal(reason=Reason.FAILED_CREATE, message="no")), now=NOW
    ),
    **{
        reason: plan_vmi(vmi_view(vmi(deleting=True), pod(), refusal=Refusal(reason=reason, message="no")), now=NOW)
        for reason in (Reason.FAILED_DELETE, Reason.FAILED_CHANGE_ABORTION, Reason.FAILED_POD_PATCH)
    },
    **{
        Reason(str(why)): plan_vmi(
            vmi_view(vmi(phase="Scheduling"), pod(status=waiting(str(why))), report_pending_since=later(-9)), now=NOW
        )
        for why in (Reason.ERR_IMAGE_PULL, Reason.IMAGE_PULL_BACK_OFF)
    },
    Reason.POD_SANDBOX_FAILED: plan_vmi(
        vmi_view(
            vmi(phase="Scheduling"),
            pod(phase="Pending", ready=False, annotations={}),
            start_failures=(start_failure("no bridge"),),
            report_pending_since=later(-9),
        ),
        now=NOW,
    ),
    Reason.EVACUATION_BLOCKED: plan_vmi(
        vmi_view(
            _drained(), pod(), nodes=(parse_node(node(NODE, unschedulable=True)),), report_pending_since=later(-9)
        ),
        now=NOW,
    ),
    Reason.FAILED_GUARANTEE: plan_vmi(
        vmi_view(pinned(phase="Scheduling"), pod(status={"qosClass": "Burstable"}), report_pending_since=later(-9)),
        now=NOW,
    ),
    **{
        reason: plan_vm(
            vm_view(
                vm(),
                vmi=vmi(owner_uid=VM_UID),
                refusal=Refusal(reason=reason, message="no"),
                report_pending_since=later(-9),
            ),
            now=NOW,
        )
        for reason in (Reason.HOTPLUG_ERROR, Reason.FAILED_UPDATE)
    },
}


@pytest.mark.parametrize("reason", ELSEWHERE, ids=str)
def test_reasons_of_conditions_and_events(reason: Reason) -> None:
    status = status_of(ELSEWHERE[reason])
    reasons = {item.get("reason") for item in [*(status.get("conditions") or []), status]}
    assert reason in reasons | {event.reason for event in ELSEWHERE[reason].announcements}


def _of_spec(*nics: Nic, rows: Sequence[Json] = ()) -> list[tuple[str, str, str]]:
    """Name, reason and message of each record of a running VMI with these NICs."""
    has = pod(attached=[item["name"] for item in rows])
    view = vmi_view(vmi(primary(), *nics, rows=[primary_row(), *rows]), has, report_pending_since=later(-9))
    records = status_of(plan_vmi(view, now=NOW)).get("interfaceOperations") or []
    return [(item["name"], item["reason"], item["message"]) for item in records]


TWIN = "02:00:00:00:00:11"
BORN_BLUE, BORN_RED = (row(name, "domain", "multus-status") for name in ("blue", "red"))
IN_SPECS = {
    Reason.DUPLICATE_NAME: _of_spec(nic("blue"), nic("blue", attachment="other")),
    Reason.NO_INTERFACE: _of_spec(({"name": "default", "masquerade": {}}, {"name": "spare", "pod": {}})),
    Reason.ENTRY_DELETED: _of_spec(rows=[PLUGGED]),
    Reason.DUPLICATE_MAC_ADDRESS: _of_spec(
        nic("blue", mac=TWIN), nic("red", mac=TWIN.replace(":", "-")), rows=[BORN_BLUE, BORN_RED]
    ),
    Reason.NOT_ADMITTED: _of_spec(primary("second"), rows=[row("second", "domain")]),
}


@pytest.mark.parametrize("reason", IN_SPECS, ids=str)
def test_flaws_of_a_spec_have_one_record_each(reason: Reason) -> None:
    assert len({name for name, _, _ in IN_SPECS[reason]}) == len(IN_SPECS[reason])
    assert reason in {found for _, found, _ in IN_SPECS[reason]}


def test_an_annotation_that_cannot_be_read_is_not_to_be_emptied_which_would_detach_the_nics_in_use() -> None:
    view = vmi_view(
        vmi(primary(), nic("blue"), rows=[primary_row()]), pod(networks="[{"), report_pending_since=later(-9)
    )
    (record,) = status_of(plan_vmi(view, now=NOW))["interfaceOperations"]
    assert record["reason"] == Reason.ANNOTATION_UNREADABLE
    assert "set it to []" not in record["message"]
    assert record["remedy"] == (
        "Make it a JSON list of networks, or names with commas between them, again; or migrate or restart the VM, "
        "whose new pod gets a new one. Emptied, it detaches every NIC"
    )


def test_stage_adds_nothing_to_a_nic_that_the_template_asks_for_too() -> None:
    blue = vmi(primary(), nic("blue"), rows=[primary_row()], owner_uid=VM_UID, annotations=OF_TEMPLATE)
    view = vmi_view(blue, ASKED, vm=vm(primary(), nic("blue")), report_pending_since=later(-9), **staged())
    (record,) = status_of(plan_vmi(view, now=NOW))["interfaceOperations"]
    assert "no longer asks for it" not in record["message"]


def test_a_nic_that_was_taken_back_says_so_also_with_rollout_strategy_stage() -> None:
    template = vm(primary(), nic("blue"))
    (interface,) = [item for item in a_vm(template).interfaces if item.name == "blue"]
    (network,) = [item for item in a_vm(template).networks if item.name == "blue"]
    note = {"nicplug.io/rolled-back-interfaces": json.dumps({"blue": entry_digest(interface, network)})}
    config = staged(onFailure="Rollback")["config"]
    raw = vmi(primary(), rows=[primary_row()], annotations=note, owner_uid=VM_UID)
    plan = plan_vmi(vmi_view(raw, pod(), vm=template, config=config, report_pending_since=later(-9)), now=NOW)
    (record,) = status_of(plan)["interfaceOperations"]
    assert (record["phase"], record["reason"]) == ("Failed", "RolledBack")
    # Another policy: nothing stands in its way but the strategy.
    plan = plan_vmi(vmi_view(raw, pod(), vm=template, report_pending_since=later(-9), **staged()), now=NOW)
    (record,) = status_of(plan)["interfaceOperations"]
    assert (record["phase"], record["reason"]) == ("Blocked", "RolloutStrategyStage")


def _reported_of_template(template: Json, *nics: Nic, has: Json | None = None, **members: Any) -> list[tuple[str, str]]:
    """Reason and message of each record of a running VMI with these NICs, whose VM has that template."""
    view = vmi_view(vmi(primary(), *nics, **members), has or pod(), vm=template, report_pending_since=later(-9))
    records = status_of(plan_vmi(view, now=NOW)).get("interfaceOperations") or []
    return [(item["reason"], item["message"]) for item in records]


def test_a_network_that_the_template_alone_has_and_no_interface_names_has_a_record() -> None:
    """It never reached the VMI, and nobody said why."""
    template = vm(primary())
    template["spec"]["template"]["spec"]["networks"].append(nic("blue")[1])
    says = 'spec.template.spec.domain.devices.interfaces of the VM has no interface named "blue"'
    [(reason, message)] = _reported_of_template(template, rows=[primary_row()])
    assert reason == Reason.NO_INTERFACE
    assert message.startswith(says)
    # Of one that the guest still has it is told once; of one whose interface is in the VMI, not at all.
    assert [found for found, _ in _reported_of_template(template, rows=[primary_row(), PLUGGED])] == [reason]
    assert _reported_of_template(template, nic("blue"), has=HAS, rows=[primary_row(), PLUGGED]) == []


def test_a_nic_whose_entry_was_deleted_under_the_guest_does_not_pass_for_unplugged() -> None:
    """A record goes when its effect is observed, not when somebody edits the list."""
    raw = vmi(primary(), rows=[primary_row(), PLUGGED], operations=[operation("blue", type_="Unplug", phase="InGuest")])
    plan = plan_vmi(vmi_view(raw, HAS), now=NOW)
    (record,) = status_of(plan)["interfaceOperations"]
    assert (record["operation"], record["phase"], record["reason"]) == ("Unplug", "Blocked", "EntryDeleted")
    assert record["remedy"].startswith("Write them back with state: absent")
    assert [event.reason for event in plan.announcements] == ["InterfaceBlocked"]


def test_entries_deleted_under_the_guest_are_reported_also_while_the_template_says_absent() -> None:
    """There was no record, and the VMI was InterfacesReady: nobody asked the guest, and nobody was told."""
    reasons = _reported_of_template(
        vm(primary(), absent("blue")), has=HAS, rows=[primary_row(), PLUGGED], owner_uid=VM_UID
    )
    assert [reason for reason, _ in reasons] == ["EntryDeleted"]
    assert _reported_of_template(vm(primary(), absent("blue")), rows=[primary_row()], owner_uid=VM_UID) == []


def test_a_network_written_back_alone_does_not_hide_that_the_guest_still_has_its_nic() -> None:
    raw = vmi(primary(), rows=[primary_row(), PLUGGED])
    raw["spec"]["networks"].append(nic("blue")[1])
    (record,) = status_of(plan_vmi(vmi_view(raw, HAS), now=NOW))["interfaceOperations"]
    assert (record["reason"], record["message"], record["remedy"]) == (
        "InterfaceMissing",
        'the guest still has the NIC, and spec.domain.devices.interfaces has no interface named "blue"',
        "Add it, with state: absent if the NIC is to leave; or remove the network, and restart the VM",
    )


def test_two_nics_with_one_address_were_not_reported() -> None:
    """Both are served. The later one names the other; one that is being taken away does not count."""
    twins = nic("red", mac=TWIN), nic("blue", mac=TWIN)
    [(name, reason, message)] = _of_spec(*twins, rows=[BORN_BLUE, BORN_RED])
    assert (name, reason) == ("blue", Reason.DUPLICATE_MAC_ADDRESS)
    assert f'macAddress "{TWIN}" is that of NIC "red" too' in message
    [plugged] = _of_spec(*twins, rows=[BORN_BLUE])
    assert plugged[:2] == ("red", "WaitingForPodInterface")
    assert [item[:2] for item in _of_spec(absent("blue"), nic("red", mac=TWIN))] == [("red", "WaitingForPodInterface")]


def test_a_nic_from_the_start_with_a_twin_was_announced_as_plugged() -> None:
    """Its record is about the address: the NIC is ready, and nothing happened. Without the twin there is no record."""
    twins = [nic("red", mac=TWIN), nic("blue", mac=TWIN)]
    raw = vmi(primary(), *twins, rows=[primary_row(), BORN_BLUE, BORN_RED])
    plan = plan_vmi(vmi_view(raw, pod(attached=["blue", "red"])), now=NOW)
    status = status_of(plan)
    [record] = status["interfaceOperations"]
    assert (record["operation"], record["path"], record["phase"]) == ("Plug", "None", "Ready")
    assert [event for event in plan.announcements if "blue" in event.message] == []
    [ready] = [item for item in status["conditions"] if item["type"] == "InterfacesReady"]
    assert ready["status"] == "True"
    raw["status"]["interfaceOperations"] = [record]
    raw["spec"]["domain"]["devices"]["interfaces"][1].pop("macAddress")
    after = status_of(plan_vmi(vmi_view(raw, pod(attached=["blue", "red"])), now=NOW))
    assert after["interfaceOperations"] == []


# Where the cases of other reasons are, below tests/.
SHOWN_IN = {
    Reason.MIGRATING: "unit/plan/nic/test_path_findings.py",
    Reason.AFTER_MIGRATION: "unit/plan/nic/test_path_findings.py",
    Reason.FOREIGN_MIGRATION: "unit/plan/vmi/test_migration_request.py",
    Reason.NODE_LOST: "unit/plan/migration/test_lost_nodes.py",
    Reason.TARGET_POD_REPLACED: "unit/plan/migration/test_target_renewal.py",
    Reason.MIGRATION_SUCCEEDED: "unit/plan/migration/test_phases.py",
    Reason.MIGRATION_IN_FLIGHT: "unit/plan/migration/test_one_at_a_time.py",
    Reason.TARGET_POD_NOT_READY: "unit/plan/migration/test_timeouts.py",
    Reason.TARGET_POD_LATE: "unit/plan/migration/test_timeouts.py",
    Reason.NO_SLOT_IN_TIME: "unit/plan/migration/test_timeouts.py",
    Reason.FAILED_HAND_OVER: "api/test_migration_patience.py",
    Reason.FAILED_ABORT: "api/test_migration_patience.py",
    Reason.SLOT_LEDGER_REFUSED: "api/test_migration_slots.py",
    Reason.EVACUATION_FIRST: "unit/plan/companion/test_own_migrations.py",
    Reason.MIGRATION_LEFT_PENDING: "unit/plan/companion/test_pending.py",
    Reason.UPDATERS_TURN: "unit/plan/companion/test_own_migrations.py",
    Reason.VIRT_CONTROLLER_SILENT: "unit/plan/companion/test_own_migrations.py",
    Reason.WAITING_FOR_VIRT_CONTROLLER: "unit/plan/companion/test_own_migrations.py",
    Reason.WEBHOOK_UNAVAILABLE: "unit/reconcile/test_companion.py",
    Reason.UPDATER_REPEATS: "unit/plan/companion/test_updater.py",
}


@pytest.mark.parametrize(("reason", "path"), SHOWN_IN.items())
def test_the_cases_of_a_reason_are_where_they_are_said_to_be(reason: Reason, path: str) -> None:
    tests = (FilePath(__file__).parents[3] / path).read_text()
    assert re.search(rf'"{reason}"|\bReason\.{reason.name}\b', tests)


def test_every_reason_can_be_reached() -> None:
    """A reason that nothing gives is a promise in the documents that nobody keeps."""
    # That each rule of the path can be reached is tested in tests/unit/plan/nic/path/test_choice.py.
    of_paths = {rule.reason for rule in (*IN_PLACE, *OBSTACLES)}
    of_migrations = failures.REASONS | waits.REASONS
    reached = (
        {case.reason for case in CASES} | set(ELSEWHERE) | set(IN_SPECS) | of_paths | of_migrations | set(SHOWN_IN)
    )
    assert set(Reason) - reached == set()


def _of_forbidden_bridge(**view: Any) -> tuple[Json, list[Json]]:
    """The condition and the records of a guest that has a bridge on the pod network, which is no longer permitted."""
    raw = vmi(primary(binding="bridge"), rows=[primary_row()])
    config = kubevirt(permitBridgeInterfaceOnPodNetwork=False)
    found = vmi_view(raw, pod(), **{"config": config, "report_pending_since": later(-9), **view})
    status = status_of(plan_vmi(found, now=NOW))
    conditions = {item["type"]: item for item in status["conditions"]}
    return conditions["InterfacesReady"], status.get("interfaceOperations") or []


def test_a_guest_with_a_forbidden_bridge_was_reported_as_ready() -> None:
    """It runs on, and does not start again: nobody shall find that out by a restart."""
    condition, [record] = _of_forbidden_bridge()
    assert (condition["status"], condition["reason"]) == ("True", Reason.NOT_ADMITTED)
    assert (record["phase"], record["reason"], record["remedy"]) == (
        Phase.READY,
        Reason.NOT_ADMITTED,
        "Use masquerade, or ask the cluster admin for permitBridgeInterfaceOnPodNetwork in the KubeVirt CR",
    )
    assert "Bridge on pod network configuration is not enabled under kubevirt-config" in record["message"]
    assert record["message"] in condition["message"]


@pytest.mark.parametrize(
    "view", [{"config": kubevirt()}, {"vm": vm(primary())}], ids=["permitted", "template corrected"]
)
def test_a_bridge_on_the_pod_network_that_may_start_again_has_no_record(view: dict[str, Any]) -> None:
    condition, records = _of_forbidden_bridge(**view)
    assert (condition["reason"], records) == (Reason.ALL_INTERFACES_READY, [])
