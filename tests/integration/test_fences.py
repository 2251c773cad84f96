"""The fences around launcher pods on a real API server: who is refused what, who is not, with nicplug up and down.

Each attempt runs as somebody with every right of RBAC that it needs: what refuses it is a fence. Attempts that must
pass are dry runs, which pass through admission too, so that they change nothing for the operator.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from tests.integration.conftest import Sandbox, a_user
from tests.integration.fence_requests import (
    ADMIN,
    APPLY,
    COLLECTOR,
    CONTROLLERS,
    DYNAMIC_NETWORKS,
    MULTUS,
    NETWORK_STATUS,
    NETWORKS,
    NICPLUG,
    TENANT,
    Attempt,
    Fenced,
    Who,
    annotated,
    create,
    delete,
    kubelet,
    labelled,
    named,
    owned,
    patch,
    put,
    status,
)
from tests.integration.user import POD, VMI, Json, vmi
from tests.integration.waiting import until

TENANTS, OWN = "nicplug-launcher-pods", "nicplug-operator-pods"
WOULD_BE = "would be a launcher pod of a virtual machine: only the ServiceAccount of nicplug makes those"
STATUS_IS = 'only the node side may change its annotation "k8s.v1.cni.cncf.io/network-status"'
NETWORKS_ARE = "only nicplug may change its annotations"
LABELS_ARE = "only nicplug may change its label"
OWNERS_ARE = "only the garbage collector may change its owner references"


@pytest.fixture(scope="module")
def fenced(sandbox: Sandbox) -> Fenced:
    """A VMI that runs, an ordinary pod beside it, and a tenant who owns the namespace."""
    user = a_user(sandbox)
    user.create(VMI, vmi("guest"))
    user.until_running("guest")
    return Fenced.make(sandbox=sandbox, user=user, launcher=user.pod_of("guest"))


@pytest.fixture(scope="module", params=["up", "down"])
def nicplug(sandbox: Sandbox, fenced: Fenced, request: pytest.FixtureRequest) -> Iterator[Fenced]:
    """With the operator running, and without: the API server alone enforces the fences."""
    if request.param == "up":
        yield fenced
        return
    sandbox.stop()
    yield fenced
    sandbox.start()


LAUNCHER_LABEL = {"kubevirt.io": "virt-launcher"}

REFUSED = [
    # -- nobody else makes a launcher pod
    Attempt("a pod with the launcher's label", TENANT, create(labelled(LAUNCHER_LABEL)), WOULD_BE),
    Attempt("a pod that says whose it is", TENANT, create(labelled({"kubevirt.io/created-by": "u"})), WOULD_BE),
    Attempt("a pod owned by a VMI", TENANT, create(owned(controller=False)), WOULD_BE),
    Attempt("a pod controlled by a VMI", TENANT, create(owned(controller=True)), WOULD_BE),
    Attempt("a pod among other owners", TENANT, create(owned(controller=False, others=3)), WOULD_BE),
    Attempt("a generated name", TENANT, create(named(labelled(LAUNCHER_LABEL), generate=True)), WOULD_BE),
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
    Attempt("network-status", TENANT, patch("launcher", annotations={NETWORK_STATUS: "[]"}), STATUS_IS),
    Attempt("network-status by status", TENANT, status("launcher", annotations={NETWORK_STATUS: "[]"}), STATUS_IS),
    Attempt("no network-status", TENANT, patch("launcher", annotations={NETWORK_STATUS: None}), STATUS_IS),
    Attempt(
        "network-status by its old name", TENANT, patch("launcher", annotations=annotated("networks-status")), STATUS_IS
    ),
    Attempt("network-status applied", TENANT, patch("launcher", annotations={NETWORK_STATUS: "[]"}, kind=APPLY), STATUS_IS),
    Attempt("network-status by the collector", COLLECTOR, patch("launcher", annotations={NETWORK_STATUS: "[]"}), STATUS_IS),
    # -- nor asks for networks
    Attempt("networks", TENANT, patch("launcher", annotations={NETWORKS: '[{"name":"lan"}]'}), NETWORKS_ARE),
    Attempt("no networks", TENANT, put("launcher", annotations={NETWORKS: ""}), NETWORKS_ARE),
    Attempt("networks by status", TENANT, status("launcher", annotations={NETWORKS: "x"}), NETWORKS_ARE),
    Attempt(
        "the default network", TENANT,
        patch("launcher", annotations={"v1.multus-cni.io/default-network": "victim/lan"}), NETWORKS_ARE,
    ),
    Attempt("networks by Multus", MULTUS, status("launcher", annotations={NETWORKS: "x"}), NETWORKS_ARE),
    Attempt("networks by the controller", DYNAMIC_NETWORKS, status("launcher", annotations={NETWORKS: "x"}), NETWORKS_ARE),
    Attempt("networks by the kubelet", kubelet(), status("launcher", annotations={NETWORKS: "x"}), NETWORKS_ARE),
    # -- nor hides a launcher pod, or gives it to another VMI
    Attempt("no launcher label", TENANT, patch("launcher", labels={"kubevirt.io": None}), LABELS_ARE),
    Attempt("no labels at all", TENANT, put("launcher", labels=None), LABELS_ARE),
    Attempt("another VMI", TENANT, patch("launcher", labels={"kubevirt.io/created-by": "other"}), LABELS_ARE),
    Attempt("a migration", TENANT, patch("launcher", labels={"kubevirt.io/migrationJobUID": "m"}), LABELS_ARE),
    Attempt("nicplug's labels", TENANT, patch("launcher", labels={"nicplug.io/mine": "x"}), LABELS_ARE),
    Attempt("labels by status", TENANT, status("launcher", labels={"kubevirt.io": None}), LABELS_ARE),
    Attempt("labels by Multus", MULTUS, status("launcher", labels={"kubevirt.io": None}), LABELS_ARE),
    Attempt("labels by the collector", COLLECTOR, patch("launcher", labels={"kubevirt.io": None}), LABELS_ARE),
    Attempt("no owner", TENANT, patch("launcher", owners="none"), OWNERS_ARE),
    Attempt("one owner more", TENANT, patch("launcher", owners="more"), OWNERS_ARE),
    Attempt("no owner by Multus", MULTUS, patch("launcher", owners="none"), OWNERS_ARE),
]  # fmt: skip


@pytest.mark.parametrize("attempt", REFUSED, ids=str)
def test_a_tenant_took_over_a_launcher_pod(nicplug: Fenced, attempt: Attempt) -> None:
    code, answer = attempt.send(nicplug)
    assert code == 403, answer
    assert f"ValidatingAdmissionPolicy '{TENANTS}' with binding '{TENANTS}' denied request: pod \"" in answer["message"]
    assert attempt.told in answer["message"]


def test_a_refusal_names_the_pod_and_the_remedy(fenced: Fenced) -> None:
    _, answer = patch("launcher", annotations={NETWORK_STATUS: "[]"})(fenced, fenced.client(TENANT))
    assert answer["message"].endswith(
        f'denied request: pod "{fenced.namespace}/{fenced.name("launcher")}" is a launcher pod: only the node side may '
        'change its annotation "k8s.v1.cni.cncf.io/network-status". If "tenant" is the account of Multus or of the '
        'dynamic networks controller, ask the cluster admin to bind the ClusterRole "nicplug-node-side" to it.'
    )


UNTOUCHED = [
    Attempt("the tenant labels it", TENANT, patch("launcher", labels={"team": "a", "vm.kubevirt.io/x": "b"}, dry=True)),
    Attempt("the tenant takes his label away", TENANT, put("launcher", labels={"team": "a"}, dry=True)),
    Attempt("the tenant annotates it", TENANT, patch("launcher", annotations={"kubevirt.io/note": "x"}, dry=True)),
    Attempt("the tenant applies labels", TENANT, patch("launcher", labels={"team": "a"}, kind=APPLY, dry=True)),
    Attempt("the tenant writes it as it is", TENANT, put("launcher", dry=True)),
    Attempt("the tenant deletes it", TENANT, delete("launcher", dry=True)),
    Attempt("an ordinary pod", TENANT, create(labelled({"app": "web"}), dry=True)),
    Attempt("a pod with labels of KubeVirt's", TENANT, create(labelled({"kubevirt.io": "virt-api"}), dry=True)),
    Attempt("a pod with a label like KubeVirt's", TENANT, create(labelled({"kubevirt.io/size": "x"}), dry=True)),
    Attempt("a pod of a ReplicaSet", CONTROLLERS["ReplicaSet"], create(labelled({}, controller="ReplicaSet"), dry=True)),
    Attempt("an ordinary pod's networks", TENANT, patch("ordinary", annotations={NETWORKS: "lan"}, dry=True)),
    Attempt("an ordinary pod's status", TENANT, status("ordinary", annotations={NETWORK_STATUS: "[]"}, dry=True)),
    Attempt("an ordinary pod's owners", TENANT, patch("ordinary", owners="more", dry=True)),
    Attempt("an ordinary pod's deletion", TENANT, delete("ordinary", dry=True)),
    Attempt("the kubelet reports networks", kubelet(), status("launcher", annotations={NETWORK_STATUS: "[]"}, dry=True)),
    Attempt("Multus reports networks", MULTUS, status("launcher", annotations={NETWORK_STATUS: "[]"}, dry=True)),
    Attempt("the controller reports", DYNAMIC_NETWORKS, status("launcher", annotations={NETWORK_STATUS: "[]"}, dry=True)),
    Attempt("the collector edits owners", COLLECTOR, patch("launcher", owners="none", dry=True)),
    Attempt("the admin repairs networks", ADMIN, patch("launcher", annotations={NETWORKS: ""}, dry=True)),
    Attempt("the admin repairs network-status", ADMIN, patch("launcher", annotations={NETWORK_STATUS: "[]"}, dry=True)),
    Attempt("the admin repairs labels", ADMIN, patch("launcher", labels={"kubevirt.io": None}, dry=True)),
    Attempt("the admin repairs owners", ADMIN, patch("launcher", owners="none", dry=True)),
]  # fmt: skip


@pytest.mark.parametrize("attempt", UNTOUCHED, ids=str)
def test_the_fences_kept_people_and_nodes_from_their_work(nicplug: Fenced, attempt: Attempt) -> None:
    code, answer = attempt.send(nicplug)
    assert code in (200, 201), answer


OF_NICPLUG = [
    Attempt("no label", NICPLUG, create(owned(controller=True, label=False)), "nicplug creates only launcher pods"),
    Attempt("no owner", NICPLUG, create(labelled(LAUNCHER_LABEL)), "nicplug creates only launcher pods"),
    Attempt("no controller", NICPLUG, create(owned(controller=False)), "nicplug creates only launcher pods"),
    Attempt("two owners", NICPLUG, create(owned(controller=True, others=1)), "nicplug creates only launcher pods"),
    Attempt("of another VMI", NICPLUG, create(owned(controller=True, uid="x")), "nicplug creates only launcher pods"),
    *(
        Attempt(title, NICPLUG, create(owned(controller=True, **spec)), "a launcher pod of nicplug has no host namespace")
        for title, spec in {
            "the node's network": {"hostNetwork": True},
            "the node's processes": {"hostPID": True},
            "the node's IPC": {"hostIPC": True},
            "another account": {"serviceAccountName": "builder"},
            "the node's files": {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]},
            "privileges": {"containers": [{"name": "x", "image": "x", "securityContext": {"privileged": True}}]},
            "privileges at first": {
                "initContainers": [{"name": "y", "image": "x", "securityContext": {"privileged": True}}]
            },
        }.items()
    ),
    Attempt("deletes a pod of others", NICPLUG, delete("ordinary"), "is not a launcher pod: nicplug changes and deletes"),
    Attempt(
        "changes a pod of others", NICPLUG, patch("ordinary", annotations={NETWORKS: "x"}), "is not a launcher pod:"
    ),
    Attempt("makes one of a pod of others", NICPLUG, patch("ordinary", owners="vmi"), "is not a launcher pod:"),
    Attempt(
        "says what another pod's status is", NICPLUG, status("ordinary", unpaused="True"), "is not a launcher pod:"
    ),
    Attempt("owners", NICPLUG, patch("launcher", owners="more"), "nicplug changes no spec, owner reference or finalizer"),
    Attempt(
        "a finalizer", NICPLUG, patch("launcher", finalizers=["nicplug.io/x"]), "nicplug changes no spec, owner reference"
    ),
    Attempt("the image", NICPLUG, patch("launcher", image="evil"), "nicplug changes no spec, owner reference"),
    Attempt("a label", NICPLUG, patch("launcher", labels={"team": "x"}), "of the labels of a launcher pod nicplug"),
    Attempt(
        "a label less", NICPLUG, patch("launcher", labels={"vm.kubevirt.io/name": None}), "of the labels of a launcher pod"
    ),
    Attempt(
        "a label by status", NICPLUG, status("launcher", labels={"kubevirt.io": "x"}), "of the labels of a launcher pod"
    ),
    Attempt(
        "network-status", NICPLUG, patch("launcher", annotations={NETWORK_STATUS: "[]"}),
        "of the annotations of a launcher pod nicplug changes only",
    ),
    Attempt(
        "no annotation", NICPLUG, patch("launcher", annotations={NETWORK_STATUS: None}), "of the annotations of a launcher"
    ),
    Attempt(
        "networks by status", NICPLUG, status("launcher", annotations={NETWORKS: "x"}), "of the annotations of a launcher"
    ),
    Attempt("its phase", NICPLUG, status("launcher", phase="Failed"), "of the status of a launcher pod nicplug"),
    Attempt("its address", NICPLUG, status("launcher", podIP=None, podIPs=None), "of the status of a launcher pod"),
    Attempt("another condition", NICPLUG, status("launcher", ready="False"), "of the status of a launcher pod"),
]  # fmt: skip


@pytest.mark.parametrize("attempt", OF_NICPLUG, ids=str)
def test_a_stolen_token_of_nicplug_reached_other_pods(nicplug: Fenced, attempt: Attempt) -> None:
    code, answer = attempt.send(nicplug)
    assert code == 403, answer
    assert f"ValidatingAdmissionPolicy '{OWN}' with binding '{OWN}' denied request: pod \"" in answer["message"]
    assert attempt.told in answer["message"]


DONE_BY_NICPLUG = [
    Attempt("a launcher pod", NICPLUG, create(owned(controller=True), dry=True)),
    Attempt("networks", NICPLUG, patch("launcher", annotations={NETWORKS: "x"}, dry=True)),
    Attempt(
        "a migration's end", NICPLUG,
        patch("launcher", annotations={"kubevirt.io/migration-target-ready-timestamp": "x"}, dry=True),
    ),
    Attempt("labels that were lost", NICPLUG, patch("launcher", labels={"kubevirt.io/created-by": "x"}, dry=True)),
    Attempt("readiness", NICPLUG, status("launcher", unpaused="False", dry=True)),
    Attempt("a launcher pod's end", NICPLUG, delete("launcher", dry=True)),
]  # fmt: skip


@pytest.mark.parametrize("attempt", DONE_BY_NICPLUG, ids=str)
def test_the_fences_kept_nicplug_from_its_work(fenced: Fenced, attempt: Attempt) -> None:
    code, answer = attempt.send(fenced)
    assert code in (200, 201), answer
