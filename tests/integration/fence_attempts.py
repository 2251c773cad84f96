"""Who tries what on a pod in `test_fences`, and the fence that refuses it, by its text."""

from typing import Any

from tests.integration.fence_privileges import ADDED, PRIVILEGES
from tests.integration.fence_requests import (
    ADMIN,
    APPLY,
    ATTACHED,
    COLLECTOR,
    CONTROLLER_MANAGER,
    CONTROLLERS,
    DYNAMIC_NETWORKS,
    MULTUS,
    NETWORK_STATUS,
    NETWORKS,
    NICPLUG,
    OTHER_GROUP,
    OTHER_KIND,
    SCHEDULER,
    TENANT,
    Attempt,
    Who,
    annotated,
    bind,
    create,
    delete,
    kubelet,
    labelled,
    owned,
    patch,
    put,
    status,
    with_generated_name,
)
from tests.integration.user import Json

WOULD_BE = "would be a launcher pod of a virtual machine: only the ServiceAccount of nicplug makes those"
STATUS_IS = 'only the node side may change its annotation "k8s.v1.cni.cncf.io/network-status"'
NETWORKS_ARE = "only nicplug may change its annotations"
TOO_MANY_LABELS = "a launcher pod with more than 1000 labels keeps those"
LABELS_ARE = "only nicplug may change its label"
OWNERS_ARE = "only the garbage collector may change its owner references"
ONLY_LAUNCHERS = "is not created: nicplug creates only launcher pods"
NOT_ITS_POD = "is not a launcher pod: nicplug changes and deletes only pods that a VirtualMachineInstance controls"
NOT_THE_SPEC = "nicplug changes no spec, owner reference or finalizer of a launcher pod"
FEW_LABELS = "of the labels of a launcher pod nicplug changes only"
FEW_ANNOTATIONS = "of the annotations of a launcher pod nicplug changes only"
ONE_CONDITION = "of the status of a launcher pod nicplug changes only"
BOUND_LABELS = 'is not bound: a Binding gives no label "kubevirt.io"'
BOUND_ANNOTATIONS = "is not bound: a Binding gives no annotation that decides about networks"
BOUND_MANY = "is not bound: its Binding carries more than 1000 labels or annotations"
_MANY = {f"k{number}": "" for number in range(1001)}
LAUNCHER_LABEL = {"kubevirt.io": "virt-launcher"}
NOTHING_ATTACHED = {NETWORK_STATUS: "[]"}

REFUSED = [
    # -- nobody else makes a launcher pod
    Attempt("a pod with the launcher's label", TENANT, create(labelled(LAUNCHER_LABEL)), WOULD_BE),
    Attempt("a pod that says whose it is", TENANT, create(labelled({"kubevirt.io/created-by": "u"})), WOULD_BE),
    Attempt("a pod owned by a VMI", TENANT, create(owned(controller=False)), WOULD_BE),
    Attempt("a pod controlled by a VMI", TENANT, create(owned(controller=True)), WOULD_BE),
    Attempt("a pod among other owners", TENANT, create(owned(controller=False, others=3)), WOULD_BE),
    Attempt("a generated name", TENANT, create(with_generated_name(labelled(LAUNCHER_LABEL))), WOULD_BE),
    Attempt("a dry run", TENANT, create(labelled(LAUNCHER_LABEL), dry=True), WOULD_BE),
    Attempt("the cluster's admin", ADMIN, create(labelled(LAUNCHER_LABEL)), WOULD_BE),
    Attempt("the node side", MULTUS, create(labelled(LAUNCHER_LABEL)), WOULD_BE),
    *(
        Attempt(f"through a {kind}", who, create(labelled(LAUNCHER_LABEL, controller=kind)), WOULD_BE)
        for kind, who in CONTROLLERS.items()
    ),
    *(
        Attempt(f"a VMI's pod through a {kind}", who, create(owned(controller=False)), WOULD_BE)
        for kind, who in CONTROLLERS.items()
    ),
    # -- nor turns an ordinary pod into one
    Attempt("relabelled", TENANT, patch("ordinary", labels=LAUNCHER_LABEL), WOULD_BE),
    Attempt("relabelled by its uid", TENANT, patch("ordinary", labels={"kubevirt.io/created-by": "u"}), WOULD_BE),
    Attempt("relabelled by JSON patch", TENANT, patch("ordinary", labels=LAUNCHER_LABEL, kind="json"), WOULD_BE),
    Attempt(
        "relabelled by strategic merge", TENANT, patch("ordinary", labels=LAUNCHER_LABEL, kind="strategic"), WOULD_BE
    ),
    Attempt("relabelled by server-side apply", TENANT, patch("ordinary", labels=LAUNCHER_LABEL, kind=APPLY), WOULD_BE),
    Attempt("relabelled by update", TENANT, put("ordinary", labels=LAUNCHER_LABEL), WOULD_BE),
    Attempt("relabelled through its status", TENANT, status("ordinary", labels=LAUNCHER_LABEL), WOULD_BE),
    Attempt("given a VMI as owner", TENANT, patch("ordinary", owners="vmi"), WOULD_BE),
    Attempt("relabelled by the cluster's admin", ADMIN, patch("ordinary", labels=LAUNCHER_LABEL), WOULD_BE),
    Attempt("relabelled by Multus", MULTUS, status("ordinary", labels=LAUNCHER_LABEL), WOULD_BE),
    Attempt("given a VMI as owner by the collector", COLLECTOR, patch("ordinary", owners="vmi"), WOULD_BE),
    # -- nor says what is attached
    Attempt("network-status", TENANT, patch("launcher", annotations=NOTHING_ATTACHED), STATUS_IS),
    Attempt("network-status by status", TENANT, status("launcher", annotations=NOTHING_ATTACHED), STATUS_IS),
    Attempt("no network-status", TENANT, patch("launcher", annotations={NETWORK_STATUS: None}), STATUS_IS),
    Attempt(
        "network-status by its old name", TENANT, patch("launcher", annotations=annotated("networks-status")), STATUS_IS
    ),
    Attempt("network-status applied", TENANT, patch("launcher", annotations=NOTHING_ATTACHED, kind=APPLY), STATUS_IS),
    Attempt("network-status by the collector", COLLECTOR, patch("launcher", annotations=NOTHING_ATTACHED), STATUS_IS),
    # -- nor asks for networks
    Attempt("networks", TENANT, patch("launcher", annotations={NETWORKS: '[{"name":"lan"}]'}), NETWORKS_ARE),
    Attempt("no networks", TENANT, put("launcher", annotations={NETWORKS: ""}), NETWORKS_ARE),
    Attempt("networks by status", TENANT, status("launcher", annotations={NETWORKS: "x"}), NETWORKS_ARE),
    Attempt(
        "the default network", TENANT,
        patch("launcher", annotations={"v1.multus-cni.io/default-network": "victim/lan"}), NETWORKS_ARE,
    ),
    Attempt("networks by Multus", MULTUS, status("launcher", annotations={NETWORKS: "x"}), NETWORKS_ARE),
    Attempt("networks by its agent", DYNAMIC_NETWORKS, status("launcher", annotations={NETWORKS: "x"}), NETWORKS_ARE),
    Attempt("networks by the kubelet", kubelet(), status("launcher", annotations={NETWORKS: "x"}), NETWORKS_ARE),
    # -- nor hides that a network of the pod has changed since
    Attempt("no attachments", TENANT, patch("launcher", annotations={ATTACHED: None}), NETWORKS_ARE),
    Attempt("attachments", TENANT, put("launcher", annotations={ATTACHED: "{}"}), NETWORKS_ARE),
    Attempt("attachments of another pod", TENANT, patch("orphan", annotations={ATTACHED: "{}"}), NETWORKS_ARE),
    Attempt("attachments by status", TENANT, status("launcher", annotations={ATTACHED: None}), NETWORKS_ARE),
    Attempt("attachments applied", TENANT, patch("launcher", annotations={ATTACHED: "{}"}, kind=APPLY), NETWORKS_ARE),
    Attempt("attachments by Multus", MULTUS, status("launcher", annotations={ATTACHED: None}), NETWORKS_ARE),
    Attempt("attachments by an agent", DYNAMIC_NETWORKS, patch("launcher", annotations={ATTACHED: None}), NETWORKS_ARE),
    Attempt("attachments by the kubelet", kubelet(), status("launcher", annotations={ATTACHED: None}), NETWORKS_ARE),
    # -- nor hides a launcher pod, or gives it to another VMI
    Attempt("no launcher label", TENANT, patch("launcher", labels={"kubevirt.io": None}), LABELS_ARE),
    Attempt("no labels at all", TENANT, put("launcher", labels=None), LABELS_ARE),
    Attempt("another VMI", TENANT, patch("launcher", labels={"kubevirt.io/created-by": "other"}), LABELS_ARE),
    Attempt("a migration", TENANT, patch("launcher", labels={"kubevirt.io/migrationJobUID": "m"}), LABELS_ARE),
    Attempt("nicplug's labels", TENANT, patch("launcher", labels={"nicplug.io/mine": "x"}), LABELS_ARE),
    Attempt("labels by status", TENANT, status("launcher", labels={"kubevirt.io": None}), LABELS_ARE),
    Attempt("labels by Multus", MULTUS, status("launcher", labels={"kubevirt.io": None}), LABELS_ARE),
    Attempt("labels by the collector", COLLECTOR, patch("launcher", labels={"kubevirt.io": None}), LABELS_ARE),
    Attempt("nothing of a launcher pod", TENANT, put("launcher", labels=None, ownerReferences=None), LABELS_ARE),
    Attempt("no owner", TENANT, patch("launcher", owners="none"), OWNERS_ARE),
    Attempt("one owner more", TENANT, patch("launcher", owners="more"), OWNERS_ARE),
    Attempt("no owner by Multus", MULTUS, patch("launcher", owners="none"), OWNERS_ARE),
]  # fmt: skip

UNTOUCHED = [
    Attempt("the tenant labels it", TENANT, patch("launcher", labels={"team": "a", "vm.kubevirt.io/x": "b"}, dry=True)),
    Attempt("the tenant takes a label away", TENANT, patch("launcher", labels={"vm.kubevirt.io/name": None}, dry=True)),
    Attempt("the tenant labels it by update", TENANT, put("launcher", labels={"team": "a"}, dry=True)),
    Attempt("the tenant annotates it", TENANT, patch("launcher", annotations={"kubevirt.io/note": "x"}, dry=True)),
    Attempt("the tenant applies labels", TENANT, patch("launcher", labels={"team": "a"}, kind=APPLY, dry=True)),
    Attempt("the tenant writes it as it is", TENANT, put("launcher", dry=True)),
    Attempt("the tenant deletes it", TENANT, delete("launcher", dry=True)),
    Attempt("an ordinary pod", TENANT, create(labelled({"app": "web"}), dry=True)),
    Attempt("a pod with labels of KubeVirt's", TENANT, create(labelled({"kubevirt.io": "virt-api"}), dry=True)),
    Attempt("a pod with a label like KubeVirt's", TENANT, create(labelled({"kubevirt.io/size": "x"}), dry=True)),
    Attempt("a ReplicaSet's pod", CONTROLLERS["ReplicaSet"], create(labelled({}, controller="ReplicaSet"), dry=True)),
    Attempt("an ordinary pod's networks", TENANT, patch("ordinary", annotations={NETWORKS: "lan"}, dry=True)),
    Attempt("an ordinary pod's status", TENANT, status("ordinary", annotations=NOTHING_ATTACHED, dry=True)),
    Attempt("an ordinary pod's owners", TENANT, patch("ordinary", owners="more", dry=True)),
    Attempt("an ordinary pod's deletion", TENANT, delete("ordinary", dry=True)),
    Attempt("the kubelet reports networks", kubelet(), status("launcher", annotations=NOTHING_ATTACHED, dry=True)),
    Attempt("Multus reports networks", MULTUS, status("launcher", annotations=NOTHING_ATTACHED, dry=True)),
    Attempt("the controller reports", DYNAMIC_NETWORKS, status("launcher", annotations=NOTHING_ATTACHED, dry=True)),
    Attempt("the collector edits owners", COLLECTOR, patch("launcher", owners="none", dry=True)),
    Attempt("a collector without its account", CONTROLLER_MANAGER, patch("launcher", owners="none", dry=True)),
    Attempt("the admin repairs networks", ADMIN, patch("launcher", annotations={NETWORKS: ""}, dry=True)),
    Attempt("the admin repairs attachments", ADMIN, patch("launcher", annotations={ATTACHED: None}, dry=True)),
    Attempt("an ordinary pod's attachments", TENANT, patch("ordinary", annotations={ATTACHED: "x"}, dry=True)),
    Attempt("the admin repairs network-status", ADMIN, patch("launcher", annotations=NOTHING_ATTACHED, dry=True)),
    Attempt("the admin repairs labels", ADMIN, patch("launcher", labels={"kubevirt.io": None}, dry=True)),
    Attempt("the admin repairs owners", ADMIN, patch("launcher", owners="none", dry=True)),
]  # fmt: skip

_BINDING_LABELS: dict[str, dict[str, str]] = {
    "a launcher": LAUNCHER_LABEL,
    "whose it is": {"kubevirt.io/created-by": "u"},
    "a migration": {"kubevirt.io/migrationJobUID": "m"},
    "labels of nicplug": {"nicplug.io/x": "y"},
}
_BINDING_ANNOTATIONS = [
    NETWORKS, NETWORK_STATUS, "k8s.v1.cni.cncf.io/networks-status", "v1.multus-cni.io/default-network",
    "nicplug.io/pod-spec", "kubevirt.io/migration-target-ready-timestamp",
]  # fmt: skip


def _bindings(title: str, who: Who, **metadata: Any) -> list[Attempt]:
    told = BOUND_LABELS if "labels" in metadata else BOUND_ANNOTATIONS
    return [
        Attempt(f"{title} {how}", who, bind(which, legacy=legacy, **metadata), told)
        for which in ("ordinary", "orphan")
        for how, legacy in ((f"of {which} by pods/binding", False), (f"of {which} by bindings", True))
    ]


BOUND = [
    *(row for title, keys in _BINDING_LABELS.items() for row in _bindings(title, TENANT, labels=keys)),
    *(row for key in _BINDING_ANNOTATIONS for row in _bindings(key, TENANT, annotations={key: "[]"})),
    *_bindings("a scheduler's networks", SCHEDULER, annotations={NETWORKS: "x"}),
    *_bindings("a scheduler's launcher", SCHEDULER, labels=LAUNCHER_LABEL),
    *_bindings("Multus's networks", MULTUS, annotations={NETWORKS: "x"}),
    *_bindings("Multus's network-status", MULTUS, annotations=NOTHING_ATTACHED),
    *_bindings("Multus's launcher", MULTUS, labels=LAUNCHER_LABEL),
    *_bindings("an agent's network-status", DYNAMIC_NETWORKS, annotations=NOTHING_ATTACHED),
    *_bindings("a kubelet's networks", kubelet(), annotations={NETWORKS: "x"})[1::2],
    *_bindings("a kubelet's network-status", kubelet(), annotations=NOTHING_ATTACHED)[1::2],
    *_bindings("a kubelet's launcher", kubelet(), labels=LAUNCHER_LABEL)[1::2],
    *_bindings("an admin's networks", ADMIN, annotations={NETWORKS: "x"}),
    *_bindings("an admin's launcher", ADMIN, labels=LAUNCHER_LABEL),
    Attempt("in a dry run", TENANT, bind("ordinary", labels=LAUNCHER_LABEL, dry=True), BOUND_LABELS),
    *(
        Attempt(f"very many {kind}", TENANT, bind("ordinary", labels=labels, annotations=annotations), BOUND_MANY)
        for kind, labels, annotations in (("labels", _MANY, {}), ("annotations", {}, _MANY))
    ),
]
_ELSE: Json = {"labels": {"topology.kubernetes.io/zone": "z"}, "annotations": {"example.com/gpu": "1"}}
_MUCH_ELSE: Json = {
    "labels": {"vm.kubevirt.io/x": "b", **{f"k{number}": "" for number in range(999)}},
    "annotations": {f"k{number}": "" for number in range(1000)},
}
_BINDERS: list[tuple[str, Who, str, Json]] = [
    ("the scheduler", SCHEDULER, "ordinary", {}),
    ("the scheduler, a launcher pod", SCHEDULER, "orphan", {}),
    ("a scheduler with keys of its own", SCHEDULER, "ordinary", _ELSE),
    ("the tenant", TENANT, "ordinary", {}),
    ("the tenant with keys of his own", TENANT, "ordinary", _MUCH_ELSE),
]
STILL_BOUND = [
    Attempt(f"{title} {how}", who, bind(which, legacy=legacy, dry=True, **metadata))
    for title, who, which, metadata in _BINDERS
    for how, legacy in (("by pods/binding", False), ("by bindings", True))
]

OF_NICPLUG = [
    Attempt("no label", NICPLUG, create(owned(controller=True, label=False)), ONLY_LAUNCHERS),
    Attempt("no owner", NICPLUG, create(labelled(LAUNCHER_LABEL)), ONLY_LAUNCHERS),
    Attempt("no controller", NICPLUG, create(owned(controller=False)), ONLY_LAUNCHERS),
    Attempt("two owners", NICPLUG, create(owned(controller=True, others=1)), ONLY_LAUNCHERS),
    Attempt("of another VMI", NICPLUG, create(owned(controller=True, uid="x")), ONLY_LAUNCHERS),
    Attempt("of another kind", NICPLUG, create(owned(controller=True, owner=OTHER_KIND)), ONLY_LAUNCHERS),
    Attempt("of another group", NICPLUG, create(owned(controller=True, owner=OTHER_GROUP)), ONLY_LAUNCHERS),
    *(
        Attempt(title, NICPLUG, create(owned(controller=True, **spec)), told)
        for title, (told, spec) in PRIVILEGES.items()
    ),
    Attempt("deletes a pod of others", NICPLUG, delete("ordinary"), NOT_ITS_POD),
    Attempt(
        "changes a pod of others", NICPLUG, patch("ordinary", annotations={NETWORKS: "x"}), NOT_ITS_POD
    ),
    Attempt("makes one of a pod of others", NICPLUG, patch("ordinary", owners="vmi"), NOT_ITS_POD),
    Attempt(
        "says what another pod's status is", NICPLUG, status("ordinary", unpaused="True"), NOT_ITS_POD
    ),
    *(
        Attempt(f"deletes a pod {which}", NICPLUG, delete(which), NOT_ITS_POD)
        for which in ("of a kind", "of a group", "released")
    ),
    Attempt("owners", NICPLUG, patch("launcher", owners="more"), NOT_THE_SPEC),
    Attempt(
        "a finalizer", NICPLUG, patch("launcher", finalizers=["nicplug.io/x"]), NOT_THE_SPEC
    ),
    Attempt("the image", NICPLUG, patch("launcher", image="evil"), NOT_THE_SPEC),
    Attempt("a label", NICPLUG, patch("launcher", labels={"team": "x"}), FEW_LABELS),
    Attempt(
        "a label less", NICPLUG, patch("launcher", labels={"vm.kubevirt.io/name": None}), FEW_LABELS
    ),
    Attempt(
        "a label by status", NICPLUG, status("launcher", labels={"kubevirt.io": "x"}), FEW_LABELS
    ),
    Attempt(
        "network-status", NICPLUG, patch("launcher", annotations=NOTHING_ATTACHED),
        FEW_ANNOTATIONS,
    ),
    Attempt(
        "no annotation", NICPLUG, patch("launcher", annotations={NETWORK_STATUS: None}), FEW_ANNOTATIONS
    ),
    Attempt("attachments", NICPLUG, patch("launcher", annotations={ATTACHED: "{}"}), FEW_ANNOTATIONS),
    Attempt("no attachments", NICPLUG, patch("launcher", annotations={ATTACHED: None}), FEW_ANNOTATIONS),
    Attempt(
        "networks by status", NICPLUG, status("launcher", annotations={NETWORKS: "x"}), FEW_ANNOTATIONS
    ),
    Attempt("its phase", NICPLUG, status("launcher", phase="Failed"), ONE_CONDITION),
    Attempt("its address", NICPLUG, status("launcher", podIP=None, podIPs=None), ONE_CONDITION),
    Attempt("another condition", NICPLUG, status("launcher", ready="False"), ONE_CONDITION),
]  # fmt: skip

DONE_BY_NICPLUG = [
    Attempt("a launcher pod", NICPLUG, create(owned(controller=True), dry=True)),
    *(
        Attempt(f"with {title}", NICPLUG, create(owned(controller=True, **spec), dry=True))
        for title, spec in ADDED.items()
    ),
    Attempt("networks", NICPLUG, patch("launcher", annotations={NETWORKS: "x"}, dry=True)),
    Attempt(
        "a migration's end", NICPLUG,
        patch("launcher", annotations={"kubevirt.io/migration-target-ready-timestamp": "x"}, dry=True),
    ),
    Attempt("labels that were lost", NICPLUG, patch("launcher", labels={"kubevirt.io/created-by": "x"}, dry=True)),
    Attempt("readiness", NICPLUG, status("launcher", unpaused="False", dry=True)),
    Attempt("a launcher pod's end", NICPLUG, delete("launcher", dry=True)),
    Attempt(
        "labels of one without owner", NICPLUG,
        patch("orphan", labels={"kubevirt.io": "x", "kubevirt.io/created-by": "x"}, dry=True),
    ),
    Attempt("the end of one without owner", NICPLUG, delete("orphan", dry=True)),
    Attempt("the end of one without owner and launcher label", NICPLUG, delete("sized", dry=True)),
    Attempt("the end of one without labels", NICPLUG, delete("unlabelled", dry=True)),
]  # fmt: skip
