"""The fences around launcher pods on a real API server: who is refused what, who is not, with nicplug up and down.

Each attempt runs as somebody with every right of RBAC that it needs: what refuses it is a fence. Attempts that must
pass are dry runs, which pass through admission too, so that they change nothing for the operator.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from tests.integration.conftest import Sandbox, a_user
from tests.integration.fence_attempts import (
    BOUND,
    BOUND_LABELS,
    DONE_BY_NICPLUG,
    FEW_ANNOTATIONS,
    FEW_LABELS,
    LAUNCHER_LABEL,
    NETWORKS_ARE,
    NOTHING_ATTACHED,
    OF_NICPLUG,
    ONE_CONDITION,
    REFUSED,
    STATUS_IS,
    STILL_BOUND,
    TOO_MANY_LABELS,
    UNTOUCHED,
    WOULD_BE,
)
from tests.integration.fence_privileges import NO_ACCOUNT, NO_VOLUME, PRIVILEGES
from tests.integration.fence_requests import (
    ADMIN,
    MULTUS,
    NETWORK_STATUS,
    NETWORKS,
    NICPLUG,
    RBAC,
    TENANT,
    VIRT_HANDLER,
    Attempt,
    Fenced,
    Send,
    Who,
    bind,
    create,
    kubelet,
    owned,
    patch,
    status,
    subresource,
    with_metadata,
    with_owners,
)
from tests.integration.kubernetes_release import DROPPED
from tests.integration.user import POD, VMI, Json
from tests.integration.waiting import until
from tests.manifests import vmi

from nicplug_sandbox import audit

TENANTS, OWN, BINDINGS = "nicplug-launcher-pods", "nicplug-operator-pods", "nicplug-bindings"
SIDE_BY_SIDE = 6


@pytest.fixture(scope="module")
def fenced(sandbox: Sandbox) -> Fenced:
    """A VMI that runs, an ordinary pod beside it, and a tenant who owns the namespace."""
    user = a_user(sandbox)
    user.create(VMI, vmi("guest", "blue"))
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


Answers = Callable[[Attempt, Sequence[Attempt]], tuple[int, Json]]


@pytest.fixture(scope="module")
def answers(nicplug: Fenced) -> Iterator[Answers]:
    """What is answered to an attempt, which is sent together with all of its table: none of them changes anything."""
    sent: dict[Attempt, Future[tuple[int, Json]]] = {}

    def answer(attempt: Attempt, table: Sequence[Attempt]) -> tuple[int, Json]:
        if attempt not in sent:
            sent.update({row: pool.submit(row.send, nicplug) for row in table})
        return sent[attempt].result()

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        yield answer


@pytest.mark.parametrize("attempt", REFUSED, ids=str)
def test_a_tenant_took_over_a_launcher_pod(answers: Answers, attempt: Attempt) -> None:
    code, answer = answers(attempt, REFUSED)
    assert code == 403, answer
    assert f"ValidatingAdmissionPolicy '{TENANTS}' with binding '{TENANTS}' denied request: pod \"" in answer["message"]
    assert attempt.told in answer["message"]


def test_a_refusal_names_the_pod_and_the_remedy(fenced: Fenced) -> None:
    _, answer = patch("launcher", annotations=NOTHING_ATTACHED)(fenced, fenced.client(TENANT))
    assert answer["message"].endswith(
        f'denied request: pod "{fenced.namespace}/{fenced.name("launcher")}" is a launcher pod: only the node side may '
        'change its annotation "k8s.v1.cni.cncf.io/network-status". If "tenant" is the account of Multus or of the '
        'dynamic networks controller, ask the cluster admin to bind the ClusterRole "nicplug-node-side" to it.'
    )


@pytest.mark.parametrize("attempt", BOUND, ids=str)
def test_a_binding_carried_networks_or_labels_onto_a_pod(answers: Answers, attempt: Attempt) -> None:
    """The API server copies both from the metadata of a Binding, past the fence around pods."""
    code, answer = answers(attempt, BOUND)
    assert code == 403, answer
    assert (
        f"ValidatingAdmissionPolicy '{BINDINGS}' with binding '{BINDINGS}' denied request: pod \"" in answer["message"]
    )
    assert attempt.told in answer["message"]


@pytest.mark.parametrize("attempt", STILL_BOUND, ids=str)
def test_the_fences_kept_pods_from_their_nodes(answers: Answers, attempt: Attempt) -> None:
    code, answer = answers(attempt, STILL_BOUND)
    assert code == 201, answer


def test_a_stolen_token_of_nicplug_bound_pods(nicplug: Fenced) -> None:
    """Its role does not let it; were it given the right, the fence would hold it as everybody."""
    attempt = Attempt("binds", NICPLUG, bind("ordinary", labels=LAUNCHER_LABEL, dry=True))
    code, answer = attempt.send(nicplug)
    assert (code, 'cannot create resource "pods/binding"' in answer["message"]) == (403, True), answer
    with nicplug.bound(role="system:kube-scheduler", who=NICPLUG):
        until(lambda: BOUND_LABELS in attempt.send(nicplug)[1].get("message", ""))
    until(lambda: 'cannot create resource "pods/binding"' in attempt.send(nicplug)[1].get("message", ""))


def test_the_kubelet_of_its_node_bound_a_pod(nicplug: Fenced) -> None:
    """By `bindings` the fence refuses it; to `pods/binding` NodeRestriction lets no kubelet come."""
    code, answer = bind("ordinary", labels=LAUNCHER_LABEL)(nicplug, nicplug.client(kubelet()))
    assert (code, "unexpected pod subresource" in answer["message"]) == (403, True), answer


def _rewritten(body: Json) -> None:
    metadata = body["metadata"]
    metadata["annotations"] = {**metadata.get("annotations", {}), NETWORKS: "victim/secret-net", NETWORK_STATUS: "[]"}
    metadata["labels"] = {**metadata["labels"], "kubevirt.io": "x", "kubevirt.io/migrationJobUID": "m"}
    metadata["ownerReferences"] = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "mine", "uid": "mine"}]


def _debugged(body: Json) -> None:
    _rewritten(body)
    body["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "debug"}]


def _resized(body: Json) -> None:
    _rewritten(body)
    body["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "2"}}


@pytest.mark.parametrize(
    ("which", "name", "change"),
    [
        ("launcher", "ephemeralcontainers", _debugged),
        ("orphan", "ephemeralcontainers", _debugged),
        # Not of the running one: the simulated kubelet does not say that it can resize.
        ("sized", "resize", _resized),
    ],
)
def test_a_subresource_changed_what_is_fenced(
    nicplug: Fenced, which: str, name: str, change: Callable[[Json], None]
) -> None:
    """No fence covers these: the API server takes only containers and resources from the body, not its metadata."""
    _, before = nicplug.admin.request("GET", nicplug.admin.path(POD, nicplug.name(which)))
    code, after = subresource(which, name, change)(nicplug, nicplug.client(TENANT))
    if (code, name) == (404, "resize"):
        pytest.skip("this API server does not serve pods/resize, as Kubernetes 1.31")
    assert code == 200, after["message"]
    assert after["spec"] != before["spec"]
    fenced_members = ("labels", "annotations", "ownerReferences")
    assert [after["metadata"].get(member) for member in fenced_members] == [
        before["metadata"].get(member) for member in fenced_members
    ]


@pytest.mark.parametrize("attempt", UNTOUCHED, ids=str)
def test_the_fences_kept_people_and_nodes_from_their_work(answers: Answers, attempt: Attempt) -> None:
    code, answer = answers(attempt, UNTOUCHED)
    assert code in (200, 201), answer


@pytest.mark.parametrize("attempt", OF_NICPLUG, ids=str)
def test_a_stolen_token_of_nicplug_reached_other_pods(answers: Answers, attempt: Attempt) -> None:
    code, answer = answers(attempt, OF_NICPLUG)
    members = PRIVILEGES.get(attempt.title, ("", {}))[1].keys()
    if code == 201 and members and members <= DROPPED:
        assert members.isdisjoint(answer["spec"]), answer
        pytest.skip("this API server takes that out of a pod")
    assert code == 403, answer
    assert f"ValidatingAdmissionPolicy '{OWN}' with binding '{OWN}' denied request: pod \"" in answer["message"]
    assert attempt.told in answer["message"]


@pytest.mark.parametrize("attempt", DONE_BY_NICPLUG, ids=str)
def test_the_fences_kept_nicplug_from_its_work(answers: Answers, attempt: Attempt) -> None:
    code, answer = answers(attempt, DONE_BY_NICPLUG)
    assert code in (200, 201), answer


def test_the_kubelet_of_another_node_reported_networks(fenced: Fenced) -> None:
    """Not by a fence but by the API server's own admission of kubelets, which a cluster should have switched on."""
    node = fenced.pods["launcher"]["spec"]["nodeName"]
    other = kubelet("node01" if node == "node02" else "node02")
    code, answer = status("launcher", annotations=NOTHING_ATTACHED, dry=True)(fenced, fenced.client(other))
    assert code == 403, answer
    assert "with spec.nodeName set to itself" in answer["message"]


def test_a_static_pod_passed_for_a_launcher(fenced: Fenced) -> None:
    """A kubelet makes a mirror pod of whatever lies in its manifest folder."""
    node = fenced.pods["launcher"]["spec"]["nodeName"]
    _, found = fenced.admin.request("GET", f"/api/v1/nodes/{node}")
    reference = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": found["metadata"]["uid"], "controller": True}

    def mirror(labels: dict[str, str]) -> Attempt:
        annotations = {"kubernetes.io/config.mirror": "x"}
        spec = {"nodeName": node, "containers": [{"name": "x", "image": "x"}]}
        metadata = {
            "name": f"static-{node}",
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [reference],
        }
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        return Attempt("mirror", kubelet(), create(lambda _: body, dry=True))

    code, answer = mirror({}).send(fenced)
    assert code == 201, answer
    code, answer = mirror(LAUNCHER_LABEL).send(fenced)
    assert (code, WOULD_BE in answer["message"]) == (403, True), answer


def test_virt_handler_wrote_pods(fenced: Fenced) -> None:
    """It has no right to, as in KubeVirt, and needs none from the fences."""
    code, answer = status("launcher", annotations=NOTHING_ATTACHED, dry=True)(fenced, fenced.client(VIRT_HANDLER))
    assert code == 403
    assert 'cannot patch resource "pods/status"' in answer["message"]


def test_the_node_side_runs_under_any_name_once_the_admin_says_so(fenced: Fenced) -> None:
    """Bound cluster-wide; in the namespace alone its owner could bind it to himself."""
    who = Who(f"system:serviceaccount:{fenced.namespace}:my-multus")
    report = Attempt("report", who, status("launcher", annotations=NOTHING_ATTACHED, dry=True))
    fenced.bind(role="cluster-admin", who=who, namespace=fenced.namespace)
    fenced.bind(role="nicplug-node-side", who=who, namespace=fenced.namespace)
    until(lambda: STATUS_IS in report.send(fenced)[1].get("message", ""))
    with fenced.bound(role="nicplug-node-side", who=who):
        until(lambda: report.send(fenced)[0] == 200)
        code, answer = status("launcher", annotations={NETWORKS: "x"}, dry=True)(fenced, fenced.client(who))
        assert (code, NETWORKS_ARE in answer["message"]) == (403, True)
    until(lambda: report.send(fenced)[0] == 403)


def test_a_launcher_pod_has_the_account_that_the_owner_of_the_namespace_allows(fenced: Fenced) -> None:
    """Refused without the right, and with it nothing else than the account and its token is allowed."""
    token: Json = {"serviceAccountName": "builder", "automountServiceAccountToken": True}
    nicplug = fenced.client(NICPLUG)

    def made(**spec: Any) -> tuple[int, Json]:
        return create(owned(controller=True, **{**token, **spec}), dry=True)(fenced, nicplug)

    code, answer = made()
    assert (code, NO_ACCOUNT in answer["message"]) == (403, True), answer
    binding = "create rolebinding nicplug-launcher-accounts --clusterrole=nicplug-launcher-accounts"
    assert (
        f"kubectl -n {fenced.namespace} {binding} --serviceaccount=nicplug-system:nicplug-operator."
        in (answer["message"])
    )
    path = fenced.bind(role="nicplug-launcher-accounts", who=NICPLUG, namespace=fenced.namespace)
    until(lambda: made()[0] == 201)
    _, answer = made()
    (volume,) = answer["spec"]["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    (compute,) = answer["spec"]["containers"]
    assert compute["volumeMounts"][0]["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    code, answer = made(volumes=[{"name": "s", "secret": {"secretName": "s"}}])
    assert (code, NO_VOLUME in answer["message"]) == (403, True), answer
    code, answer = made(
        automountServiceAccountToken=False,
        volumes=[{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}],
    )
    assert (code, NO_VOLUME in answer["message"]) == (403, True), "a token that the pod does not ask for"
    fenced.admin.request("DELETE", path)
    until(lambda: made()[0] == 403)


def test_the_right_to_one_account_is_no_right_to_another(fenced: Fenced) -> None:
    name = f"one-{uuid.uuid4().hex[:6]}"
    rule = {
        "apiGroups": ["nicplug.io"],
        "resources": ["launcheraccounts"],
        "resourceNames": ["builder"],
        "verbs": ["use"],
    }
    in_namespace = f"{RBAC}/namespaces/{fenced.namespace}"
    code, answer = fenced.admin.request("POST", f"{in_namespace}/roles", {"metadata": {"name": name}, "rules": [rule]})
    assert code == 201, answer
    body = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": NICPLUG.user}],
    }
    code, answer = fenced.admin.request("POST", f"{in_namespace}/rolebindings", body)
    assert code == 201, answer
    nicplug = fenced.client(NICPLUG)

    def made(account: str) -> tuple[int, Json]:
        spec: Json = {"serviceAccountName": account, "automountServiceAccountToken": True}
        return create(owned(controller=True, **spec), dry=True)(fenced, nicplug)

    until(lambda: made("builder")[0] == 201)
    code, answer = made("default")
    assert (code, NO_ACCOUNT in answer["message"]) == (403, True), answer
    fenced.admin.request("DELETE", f"{in_namespace}/rolebindings/{name}")
    until(lambda: made("builder")[0] == 403)


def test_the_right_to_override_was_not_enough(fenced: Fenced) -> None:
    """Anyone who repairs launcher pods needs no part of the node side."""
    role = {"rules": [{"apiGroups": ["nicplug.io"], "resources": ["launcherpods"], "verbs": ["override"]}]}
    code, made = fenced.admin.request("POST", f"{RBAC}/clusterroles", {**role, "metadata": {"generateName": "repair-"}})
    assert code == 201, made
    repair = Attempt("repair", Who("repairer"), patch("launcher", annotations=NOTHING_ATTACHED, dry=True))
    fenced.bind(role="cluster-admin", who=repair.who, namespace=fenced.namespace)
    with fenced.bound(role=made["metadata"]["name"], who=repair.who):
        until(lambda: repair.send(fenced)[0] == 200)


@pytest.mark.parametrize("labels", [LAUNCHER_LABEL, {"kubevirt.io/created-by": "u"}], ids=["launcher", "created-by"])
def test_a_replica_set_made_launcher_pods(nicplug: Fenced, labels: dict[str, str]) -> None:
    """With the real controller, whose account makes the pods."""
    tenant, name = nicplug.client(TENANT), f"tool-{uuid.uuid4().hex[:6]}"
    path = f"/apis/apps/v1/namespaces/{nicplug.namespace}/replicasets"
    template = {"metadata": {"labels": {"app": name, **labels}}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
    code, answer = tenant.request("POST", path, {"metadata": {"name": name}, "spec": spec})
    assert code == 201, answer

    def condition() -> Json:
        _, found = tenant.request("GET", f"{path}/{name}")
        rows = (found.get("status") or {}).get("conditions") or []
        return next((row for row in rows if row["type"] == "ReplicaFailure"), {})

    assert WOULD_BE in until(condition)["message"]
    assert nicplug.admin.items(POD, selector=f"app={name}") == []
    assert tenant.request("DELETE", f"{path}/{name}")[0] == 200


def _many(count: int, *, prefix: str) -> dict[str, str]:
    return {f"{prefix}{number}": "" for number in range(count)}


LARGE = {
    "labels": with_metadata(labels=_many(20_000, prefix="l")),
    "annotations": with_metadata(annotations={"large": "x" * 250 * 1024}),
    "owners": with_owners(5_000),
}


@pytest.mark.parametrize("title", LARGE)
def test_an_ordinary_pod_was_refused_for_its_size(nicplug: Fenced, title: str) -> None:
    """CEL has a budget: what people store as a pod stays within it."""
    code, answer = create(LARGE[title], dry=True)(nicplug, nicplug.client(TENANT))
    assert code == 201, answer["message"][:1000]


def test_a_launcher_pod_was_not_served_for_its_size(nicplug: Fenced) -> None:
    """Who annotates and labels his own launcher pod without end must not stop its network."""
    labels, annotations, more = _many(900, prefix="l"), _many(900, prefix="a"), _many(1_000, prefix="b")
    report = status("launcher", annotations=NOTHING_ATTACHED, dry=True)
    networks = patch("launcher", annotations={NETWORKS: "x"}, dry=True)
    ready = status("orphan", ready="False", dry=True)
    nothing = {**annotations, **more}
    steps: list[tuple[Who, Send, str]] = [
        (TENANT, patch("launcher", labels=labels, annotations=annotations), ""),
        (TENANT, patch("launcher", labels={"l0": "x"}, dry=True), ""),
        (MULTUS, report, ""),
        (kubelet(), report, ""),
        (NICPLUG, networks, ""),
        (NICPLUG, patch("launcher", labels={"l0": "x"}, dry=True), FEW_LABELS),
        (NICPLUG, patch("launcher", annotations={"a0": "x"}, dry=True), FEW_ANNOTATIONS),
        (TENANT, status("orphan", conditions=_conditions(900)), ""),
        (NICPLUG, ready, ONE_CONDITION),
        # Larger, nothing is looked through, whatever it is: a loop would cost too much.
        (TENANT, status("orphan", conditions=_conditions(1_001)), ""),
        (NICPLUG, ready, ""),
        (TENANT, patch("launcher", annotations=more), ""),
        (MULTUS, report, ""),
        (NICPLUG, networks, ""),
        (NICPLUG, patch("launcher", annotations={"a0": "x"}, dry=True), ""),
        (NICPLUG, status("launcher", unpaused="False", dry=True), ""),
        (TENANT, patch("launcher", annotations=dict.fromkeys(nothing)), ""),
        (ADMIN, patch("launcher", labels=more), ""),
        (MULTUS, report, ""),
        (NICPLUG, patch("launcher", labels={"l0": "x"}, dry=True), ""),
        (TENANT, patch("launcher", labels=dict.fromkeys(more), dry=True), TOO_MANY_LABELS),
        (ADMIN, patch("launcher", labels=dict.fromkeys([*labels, *more])), ""),
    ]
    for number, (who, request, told) in enumerate(steps):
        code, answer = request(nicplug, nicplug.client(who))
        message = answer.get("message", "")
        assert (code, told in message) == (403 if told else 200, True), (number, message[:1000])


def _conditions(count: int) -> list[Json]:
    rows = [{"type": f"example.com/{number}", "status": "True"} for number in range(count)]
    return [{"$patch": "replace"}, *rows]


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (patch("launcher", labels=_many(1_001, prefix="l")), TOO_MANY_LABELS),
        (create(with_owners(5_001)), "more than 5000 owner references count as one"),
    ],
    ids=["labels", "owners"],
)
def test_a_pod_made_the_api_server_loop_for_seconds(nicplug: Fenced, request_: Send, told: str) -> None:
    """What a loop of CEL costs grows with the square of its length: the fences bound it by a count."""
    code, answer = request_(nicplug, nicplug.client(TENANT))
    assert (code, told in answer["message"]) == (403, True), answer["message"][:1000]


INSTALLED = {"nodes", "daemonsets", "configmaps", "clusterroles", "clusterrolebindings"}


def test_the_simulated_node_side_acted_as_the_cluster_s_admin(fenced: Fenced) -> None:
    """Only what an admin installs is written as the admin."""
    as_admin: set[str] = set()
    as_somebody: set[tuple[str, str]] = set()
    for entry in audit.entries(fenced.sandbox.directory / "audit.log"):
        if entry.get("userAgent") != "nicplug-sandbox-node" or entry["verb"] in ("get", "list", "watch"):
            continue
        target = "/".join(filter(None, map(entry["objectRef"].get, ("resource", "subresource"))))
        who = entry.get("impersonatedUser", {}).get("username")
        if who:
            as_somebody.add((who, target))
        else:
            as_admin.add(target)
    assert as_admin <= INSTALLED
    node = fenced.pods["launcher"]["spec"]["nodeName"]
    assert {
        (f"system:node:{node}", "pods/status"),
        (f"system:node:{node}", "leases"),
        (VIRT_HANDLER.user, "virtualmachineinstances/status"),
    } <= as_somebody
