"""A user, an admin or a node on a real API server: plain requests, no code of the operator's."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import urllib3
from kubernetes.client import Configuration
from kubernetes.config import load_kube_config
from tests.integration.waiting import until
from urllib3 import HTTPHeaderDict

Json = dict[str, Any]

VM, VMI, POD = "virtualmachines", "virtualmachineinstances", "pods"
NAD, DAEMON_SET = "network-attachment-definitions", "daemonsets"
MIGRATION = "virtualmachineinstancemigrations"
_PREFIXES = {
    VM: "/apis/kubevirt.io/v1",
    VMI: "/apis/kubevirt.io/v1",
    "kubevirts": "/apis/kubevirt.io/v1",
    MIGRATION: "/apis/kubevirt.io/v1",
    "interfacereports": "/apis/nicplug.io/v1alpha1",
    NAD: "/apis/k8s.cni.cncf.io/v1",
    "events": "/apis/events.k8s.io/v1",
    "leases": "/apis/coordination.k8s.io/v1",
    DAEMON_SET: "/apis/apps/v1",
    "controllerrevisions": "/apis/apps/v1",
    "poddisruptionbudgets": "/apis/policy/v1",
    "roles": "/apis/rbac.authorization.k8s.io/v1",
    "rolebindings": "/apis/rbac.authorization.k8s.io/v1",
}
_CLUSTER_SCOPED = frozenset({"namespaces", "nodes"})
_CONFLICT = 409


class Refused(AssertionError):
    """The API server refused what a test had to do."""


class User:
    """One who writes into one namespace.

    Args:
        kubeconfig: of an admin; the API server decides nothing for the test.
        namespace: where objects are.
        acts_as: the user that the admin impersonates; the admin when empty.
        groups: of that user, beyond what the API server adds by itself.
    """

    def __init__(self, *, kubeconfig: Path, namespace: str, acts_as: str = "", groups: tuple[str, ...] = ()) -> None:
        configuration = Configuration()
        load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
        self.kubeconfig = kubeconfig
        self.namespace = namespace
        self._host: str = configuration.host
        self._identity = [("Impersonate-User", acts_as)] if acts_as else []
        self._identity += [("Impersonate-Group", group) for group in groups]
        self._pool = urllib3.PoolManager(
            ca_certs=configuration.ssl_ca_cert,
            cert_file=configuration.cert_file,
            key_file=configuration.key_file,
            retries=False,
            maxsize=8,
        )

    def request(self, method: str, path: str, body: Json | None = None, *, content_type: str = "") -> tuple[int, Json]:
        """Status and body of one request, `{"message": text}` for a body of plain text; 0 while nobody listens."""
        headers = HTTPHeaderDict(self._identity)
        headers.update({"Content-Type": content_type or "application/json", "User-Agent": "nicplug-test"})
        content = json.dumps(body) if body is not None else None
        try:
            answer = self._pool.request(method, self._host + path, body=content, headers=headers, timeout=10)
        except urllib3.exceptions.HTTPError:
            return 0, {}
        # By the text itself: Kubernetes 1.31 calls /openapi/v3 plain text.
        if answer.data and not answer.data.startswith((b"{", b"[")):
            return answer.status, {"message": answer.data.decode()}  # "404 page not found", of a path nobody serves
        return answer.status, json.loads(answer.data) if answer.data else {}

    def get(self, plural: str, name: str) -> Json | None:
        """An object, None when there is none."""
        code, body = self.request("GET", self.path(plural, name))
        return body if code == 200 else None

    def items(self, plural: str, *, selector: str = "") -> list[Json]:
        """All objects of a kind in the namespace."""
        code, body = self.request("GET", self.path(plural) + (f"?labelSelector={selector}" if selector else ""))
        return list(body["items"]) if code == 200 else []

    def create(self, plural: str, body: Json) -> Json:
        """POST."""
        return self._must("POST", self.path(plural), body)

    def merge(self, plural: str, name: str, patch: Json, *, status: bool = False) -> Json:
        """JSON merge patch."""
        path = self.path(plural, name, status=status)
        return self._must("PATCH", path, patch, content_type="application/merge-patch+json")

    def change(self, plural: str, name: str, change: Callable[[Json], object], *, status: bool = False) -> Json:
        """Read, edit, PUT; once more when somebody was faster, as `kubectl edit` users do."""
        while True:
            _, old = self.request("GET", self.path(plural, name))
            new = copy.deepcopy(old)
            change(new)
            code, body = self.request("PUT", self.path(plural, name, status=status), new)
            if code == 200:
                return body
            if code != _CONFLICT:
                raise Refused(f"PUT {plural} {name}: {code} {body.get('message')}")

    def delete(self, plural: str, name: str) -> None:
        """DELETE."""
        self._must("DELETE", self.path(plural, name))

    def _must(self, method: str, path: str, body: Json | None = None, *, content_type: str = "") -> Json:
        code, answer = self.request(method, path, body, content_type=content_type)
        if not 200 <= code < 300:
            raise Refused(f"{method} {path}: {code} {answer.get('message')}")
        return answer

    def path(self, plural: str, name: str = "", *, status: bool = False) -> str:
        """The URL path of a collection, of an object, or of its status."""
        scope = "" if plural in _CLUSTER_SCOPED else f"/namespaces/{self.namespace}"
        path = f"{_PREFIXES.get(plural, '/api/v1')}{scope}/{plural}"
        return path + (f"/{name}" if name else "") + ("/status" if status else "")

    # -- what is looked at ---------------------------------------------------------------------

    def phase(self, name: str) -> str:
        """Phase of a VMI; "" without one."""
        return str(((self.get(VMI, name) or {}).get("status") or {}).get("phase") or "")

    def row(self, name: str, nic: str) -> Json:
        """The row of `status.interfaces` of a NIC; empty without one."""
        return self._of(self._status(name), "interfaces", nic)

    def record(self, name: str, nic: str) -> Json:
        """The record of a NIC; empty without one."""
        return self._of(self._status(name), "interfaceOperations", nic)

    def _status_with_ready(self, name: str, nic: str) -> Json:
        status = self._status(name)
        return status if self._of(status, "interfaceOperations", nic).get("phase") == "Ready" else {}

    def _status(self, name: str) -> Json:
        return (self.get(VMI, name) or {}).get("status") or {}

    @staticmethod
    def _of(status: Json, member: str, nic: str) -> Json:
        return next((row for row in status.get(member) or [] if row.get("name") == nic), {})

    def condition(self, name: str, type_: str, *, plural: str = VMI) -> Json:
        """A condition; empty without it."""
        status = (self.get(plural, name) or {}).get("status") or {}
        return next((row for row in status.get("conditions") or [] if row["type"] == type_), {})

    def pod_of(self, name: str) -> Json:
        """The launcher pod of a VMI, found by its owner; empty without one."""
        uid = ((self.get(VMI, name) or {}).get("metadata") or {}).get("uid")
        for pod in self.items(POD, selector="kubevirt.io=virt-launcher"):
            owners = pod["metadata"].get("ownerReferences") or [{}]
            if uid and owners[0].get("uid") == uid:
                return pod
        return {}

    def annotation(self, name: str) -> str | None:
        """The networks annotation of the launcher pod."""
        annotations = (self.pod_of(name).get("metadata") or {}).get("annotations") or {}
        value: str | None = annotations.get("k8s.v1.cni.cncf.io/networks")
        return value

    # -- what is waited for --------------------------------------------------------------------

    def until_running(self, name: str) -> None:
        """The guest runs, and every NIC of the spec is in it."""
        until(lambda: self.phase(name) == "Running" and self.condition(name, "InterfacesReady").get("status") == "True")

    def until_ready(self, name: str, nic: str) -> None:
        """The NIC is in the guest, and its record says so.

        Of one answer: between two, a pod may lose an interface and get it back.
        """
        status = until(lambda: self._status_with_ready(name, nic))
        assert self._of(status, "interfaces", nic)["infoSource"] == "domain, multus-status"

    def until_gone(self, plural: str, name: str) -> None:
        """The object does not exist."""
        until(lambda: self.request("GET", self.path(plural, name))[0] == 404)
