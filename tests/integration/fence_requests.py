"""What somebody tries to do to a pod in `test_fences`: one request, as one of many accounts."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.integration.conftest import Sandbox
from tests.integration.user import POD, Json, User

NETWORKS, NETWORK_STATUS = "k8s.v1.cni.cncf.io/networks", "k8s.v1.cni.cncf.io/network-status"
ATTACHED = "nicplug.io/network-attachments"
MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
_CONTENT_TYPES = {"merge": MERGE, "json": JSON_PATCH, "strategic": STRATEGIC, APPLY: APPLY}
RBAC = "/apis/rbac.authorization.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Who:
    """An account. `NODE` in its name stands for the launcher pod's node."""

    user: str = ""
    groups: tuple[str, ...] = ()


def _account(namespace: str, name: str) -> Who:
    return Who(f"system:serviceaccount:{namespace}:{name}")


ADMIN = Who()
TENANT = Who("tenant")
"""Holds every verb on everything in his namespace, by a RoleBinding to cluster-admin: nothing stronger is a tenant."""
MULTUS, DYNAMIC_NETWORKS = _account("kube-system", "multus"), _account("kube-system", "dynamic-networks-controller")
VIRT_HANDLER = _account("kubevirt", "kubevirt-handler")
COLLECTOR = _account("kube-system", "generic-garbage-collector")
CONTROLLER_MANAGER = Who("system:kube-controller-manager")
"""The garbage collector, where controllers have no accounts of their own."""
NICPLUG = _account("nicplug-system", "nicplug-operator")
SCHEDULER = Who("system:kube-scheduler")
CONTROLLERS = {
    kind: _account("kube-system", f"{kind.lower()}-controller") for kind in ("ReplicaSet", "Job", "StatefulSet")
} | {"DaemonSet": _account("kube-system", "daemon-set-controller")}


OTHER_KIND, OTHER_GROUP = {"kind": "Example"}, {"apiVersion": "example.com/v1"}
"""What makes of a reference to a VMI one to something else; nobody can look whether that exists."""


def kubelet(node: str = "NODE") -> Who:
    """The kubelet of a node, by default of the one where the launcher pod runs."""
    return Who(f"system:node:{node}", ("system:nodes",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fenced:
    """A running guest's pod, an ordinary pod, and who may try what.

    Attributes:
        pods: their bodies as they were in the beginning: `launcher`, `ordinary`, two launcher pods whose owner was
            taken away: `orphan`, and `sized`, which has a request that can be changed; two whose labels were taken
            away: `unlabelled`, and `released`, which its VMI no longer controls; two that look like that from afar:
            `of a kind` and `of a group`.
    """

    sandbox: Sandbox
    admin: User
    pods: dict[str, Json]
    _clients: dict[Who, User] = field(default_factory=dict)

    @classmethod
    def make(cls, *, sandbox: Sandbox, user: User, launcher: Json) -> "Fenced":
        """Create the ordinary pod, and give the tenant and the node side all rights in the namespace."""
        ordinary = user.create(POD, {**_body(), "metadata": {"name": "ordinary", "labels": {"app": "web"}}})
        user.create("serviceaccounts", {"metadata": {"name": "builder"}})
        made = cls(sandbox=sandbox, admin=user, pods={"launcher": launcher, "ordinary": ordinary})
        sized = {"name": "compute", "image": "launcher", "resources": {"requests": {"cpu": "1"}}}
        bodies = {"sized": owned(controller=True, containers=[sized])}
        without_owner: Json = {"ownerReferences": None}
        without_labels: Json = {"labels": {"kubevirt.io": None, "kubevirt.io/created-by": None}}
        released = [{**made.owner(), "controller": False}]
        for which, metadata in {
            "orphan": {**without_owner, "labels": {"kubevirt.io/created-by": None}},
            "sized": {**without_owner, "labels": {"kubevirt.io": None}},
            "unlabelled": without_labels,
            "released": {**without_labels, "ownerReferences": released},
        }.items():
            code, pod = create(bodies.get(which, owned(controller=True)))(made, made.client(NICPLUG))
            assert code == 201, pod
            made.pods[which] = user.merge(POD, pod["metadata"]["name"], {"metadata": metadata})
        for which, reference in {"of a kind": OTHER_KIND, "of a group": OTHER_GROUP}.items():
            owner = {**made.owner(), **reference}
            made.pods[which] = user.create(POD, with_metadata(ownerReferences=[owner])(made))
        node = Who(kubelet().user.replace("NODE", launcher["spec"]["nodeName"]))
        for who in (TENANT, MULTUS, DYNAMIC_NETWORKS, COLLECTOR, CONTROLLER_MANAGER, node, *CONTROLLERS.values()):
            made.bind(role="cluster-admin", who=who, namespace=user.namespace)
        return made

    def bind(self, *, role: str, who: Who, namespace: str = "") -> str:
        """Bind a ClusterRole in a namespace, or in all; the path of the binding."""
        name = f"fences-{uuid.uuid4().hex[:6]}"
        path = f"{RBAC}/namespaces/{namespace}/rolebindings" if namespace else f"{RBAC}/clusterrolebindings"
        body = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": who.user}],
        }
        code, answer = self.admin.request("POST", path, body)
        assert code == 201, answer
        return f"{path}/{name}"

    @contextmanager
    def bound(self, *, role: str, who: Who) -> Iterator[None]:
        """A ClusterRole bound in all namespaces, for a while."""
        path = self.bind(role=role, who=who)
        yield
        self.admin.request("DELETE", path)

    @property
    def namespace(self) -> str:
        """Of the tenant."""
        return self.admin.namespace

    def name(self, which: str) -> str:
        """The name of a pod, by what it is."""
        return str(self.pods[which]["metadata"]["name"])

    def owner(self) -> Json:
        """The launcher pod's reference to its VMI."""
        (reference,) = self.pods["launcher"]["metadata"]["ownerReferences"]
        return dict(reference)

    def client(self, who: Who) -> User:
        """The API as that account."""
        if who not in self._clients:
            user = who.user.replace("NODE", self.pods["launcher"]["spec"]["nodeName"])
            self._clients[who] = User(
                kubeconfig=self.sandbox.admin, namespace=self.namespace, acts_as=user, groups=who.groups
            )
        return self._clients[who]


Send = Callable[[Fenced, User], tuple[int, Json]]
Body = Callable[[Fenced], Json]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request of somebody, and what a fence says to it; "" where it passes."""

    title: str
    who: Who
    request: Send
    told: str = ""

    def __str__(self) -> str:
        return self.title.replace(" ", "-")

    def send(self, fenced: Fenced) -> tuple[int, Json]:
        """Status and body of the answer."""
        return self.request(fenced, fenced.client(self.who))


# -- pods that somebody would create --------------------------------------------------------------


def _body(**spec: Any) -> Json:
    container = {"name": "compute", "image": "launcher"}
    placed = {"nodeSelector": {"no": "node"}, "automountServiceAccountToken": False}
    members = {"containers": [container], **placed, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"made-{uuid.uuid4().hex[:6]}"}, "spec": members}


def _with(body: Json, **metadata: Any) -> Json:
    return {**body, "metadata": {**body["metadata"], **metadata}}


def labelled(labels: dict[str, str], *, controller: str = "") -> Body:
    """A pod with labels, and one of a controller such as a ReplicaSet."""
    reference = {"apiVersion": "apps/v1", "kind": controller, "name": "tool", "uid": "t", "controller": True}
    return lambda _: _with(_body(), labels=labels, ownerReferences=[reference] if controller else [])


def owned(
    *, controller: bool, others: int = 0, label: bool = True, uid: str = "", owner: Json | None = None, **spec: Any
) -> Body:
    """A pod with the VMI among its owners, otherwise like a launcher pod of nicplug's."""

    def body(fenced: Fenced) -> Json:
        vmi = {**fenced.owner(), "controller": controller, **(owner or {})}
        more = [{"apiVersion": "v1", "kind": "ConfigMap", "name": f"c{n}", "uid": f"c{n}"} for n in range(others)]
        labels = {"kubevirt.io": "virt-launcher"} if label else {}
        labels["kubevirt.io/created-by"] = uid or vmi["uid"]
        return _with(_body(**spec), ownerReferences=[*more, vmi], labels=labels)

    return body


def with_metadata(**metadata: Any) -> Body:
    """An ordinary pod with this metadata beside its name."""
    return lambda _: _with(_body(), **metadata)


def with_owners(count: int) -> Body:
    """An ordinary pod of many owners, none of them a VMI."""
    owners = [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": f"{number}"} for number in range(count)]
    return with_metadata(ownerReferences=owners)


def with_generated_name(body: Body) -> Body:
    """With a name that the API server makes up."""

    def generated(fenced: Fenced) -> Json:
        made = body(fenced)
        metadata = {key: value for key, value in made["metadata"].items() if key != "name"}
        return {**made, "metadata": {**metadata, "generateName": "made-"}}

    return generated


def annotated(name: str) -> dict[str, str]:
    """An annotation of Multus."""
    return {f"k8s.v1.cni.cncf.io/{name}": "[]"}


# -- requests -------------------------------------------------------------------------------------


def create(body: Body, *, dry: bool = False) -> Send:
    """POST."""
    return lambda fenced, user: user.request("POST", user.path(POD) + _query(dry), body(fenced))


def delete(which: str, *, dry: bool = False) -> Send:
    """DELETE."""
    return lambda fenced, user: user.request("DELETE", user.path(POD, fenced.name(which)) + _query(dry))


def bind(which: str, *, legacy: bool = False, dry: bool = False, **metadata: Any) -> Send:
    """POST of a Binding for a pod, under the pod or, as before Kubernetes 1.0, beside it."""

    def send(fenced: Fenced, user: User) -> tuple[int, Json]:
        name = fenced.name(which)
        target = {"apiVersion": "v1", "kind": "Node", "name": "node01"}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, **metadata}, "target": target}
        path = user.path("bindings") if legacy else f"{user.path(POD, name)}/binding"
        return user.request("POST", path + _query(dry), body)

    return send


def subresource(which: str, name: str, change: Callable[[Json], None]) -> Send:
    """GET of a pod, and PUT of it as this subresource."""

    def send(fenced: Fenced, user: User) -> tuple[int, Json]:
        path = user.path(POD, fenced.name(which))
        code, body = fenced.admin.request("GET", path)
        assert code == 200, body
        change(body)
        return user.request("PUT", f"{path}/{name}?dryRun=All", body)

    return send


def _query(dry: bool, *more: str) -> str:
    options = [*(["dryRun=All"] if dry else []), *more]
    return f"?{'&'.join(options)}" if options else ""


def patch(
    which: str, *, kind: str = "merge", owners: str = "", dry: bool = False, image: str = "", **metadata: Any
) -> Send:
    """PATCH of metadata, or of the image."""

    def send(fenced: Fenced, user: User) -> tuple[int, Json]:
        body: Json = {"metadata": dict(metadata)}
        if owners:
            body["metadata"]["ownerReferences"] = _owners(fenced, which, owners)
        if image:
            body["spec"] = {"containers": [{**fenced.pods[which]["spec"]["containers"][0], "image": image}]}
        content: Any = body
        if kind == "json":
            content = _operations(body)
        if kind == APPLY:
            content = {"apiVersion": "v1", "kind": "Pod", **body}
        more = ("fieldManager=tenant", "force=true") if kind == APPLY else ()
        path = user.path(POD, fenced.name(which)) + _query(dry, *more)
        return user.request("PATCH", path, content, content_type=_CONTENT_TYPES[kind])

    return send


def _operations(body: Json) -> list[Json]:
    return [
        {"op": "add", "path": f"/metadata/{member}/{key.replace('/', '~1')}", "value": value}
        for member, entries in body["metadata"].items()
        for key, value in entries.items()
    ]


def _owners(fenced: Fenced, which: str, owners: str) -> list[Json]:
    match owners:
        case "none":
            return []
        case "vmi":
            return [fenced.owner()]
        case _:
            present = fenced.pods[which]["metadata"].get("ownerReferences") or []
            return [*present, {"apiVersion": "v1", "kind": "ConfigMap", "name": "mine", "uid": "mine"}]


def put(which: str, *, dry: bool = False, **metadata: Any) -> Send:
    """GET, edit, PUT: maps are merged, and None takes one away."""

    def send(fenced: Fenced, user: User) -> tuple[int, Json]:
        path = user.path(POD, fenced.name(which))
        code, body = fenced.admin.request("GET", path)
        assert code == 200, body
        for member, value in metadata.items():
            if value is None:
                body["metadata"].pop(member, None)
            else:
                body["metadata"][member] = {**(body["metadata"].get(member) or {}), **value}
        return user.request("PUT", path + _query(dry), body)

    return send


def status(
    which: str, *, dry: bool = False, labels: Json | None = None, annotations: Json | None = None,
    unpaused: str = "", ready: str = "", **members: Any,
) -> Send:  # fmt: skip
    """PATCH of the status, and of what the status may change of the metadata."""

    def send(fenced: Fenced, user: User) -> tuple[int, Json]:
        metadata = {key: value for key, value in (("labels", labels), ("annotations", annotations)) if value}
        body: Json = {"metadata": metadata, "status": dict(members)}
        wanted = {"kubevirt.io/virtual-machine-unpaused": unpaused, "Ready": ready}
        rows = [{"type": kind, "status": value} for kind, value in wanted.items() if value]
        if rows:
            body["status"]["conditions"] = rows
        path = user.path(POD, fenced.name(which), status=True) + _query(dry)
        return user.request("PATCH", path, body, content_type=STRATEGIC)

    return send
