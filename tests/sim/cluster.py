"""The objects of a small cluster, with the rules of kube-apiserver that decide races.

uid, resourceVersion and generation; the status subresource; finalizers and graceful deletion of pods; guarded JSON
patches. Names and times are a function of the seed alone, so that a schedule can be run again.
"""

import json
import marshal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.build import NOW
from tests.fakes.patches import JSON_PATCH, patched
from tests.fakes.status import ApiFailure

from nicplug.kube.errors import AlreadyExists, Gone, Rejected, Stale

Json = dict[str, Any]
Address = tuple[str, str]
"""Plural and name; of one kind everything lives in one namespace."""

NAMESPACE = "default"
VMS, VMIS, PODS, KUBEVIRTS = "virtualmachines", "virtualmachineinstances", "pods", "kubevirts"
MIGRATIONS, REVISIONS = "virtualmachineinstancemigrations", "controllerrevisions"
NADS, NODES, EVENTS = "network-attachment-definitions", "nodes", "events"
DAEMON_SETS, CONTROLLER_PODS = "daemonsets", "controllerpods"
"""The pods of the dynamic networks controller are watched by themselves, and so are a kind of their own here."""
CONFIG_MAPS, BUDGETS, REPORTS = "configmaps", "poddisruptionbudgets", "interfacereports"
JOB_LABEL = "kubevirt.io/migrationJobUID"
LAUNCHER = ("kubevirt.io", "virt-launcher")
# By which labels the operator watches a kind.
_SELECTORS = {PODS: LAUNCHER, BUDGETS: ("app.kubernetes.io/managed-by", "nicplug")}
# Where what counts lies that is not of the VMs.
_NAMESPACES = {KUBEVIRTS: "kubevirt", DAEMON_SETS: "kube-system", CONTROLLER_PODS: "kube-system"}
KINDS = {
    VMS: "VirtualMachine",
    VMIS: "VirtualMachineInstance",
    MIGRATIONS: "VirtualMachineInstanceMigration",
    PODS: "Pod",
    KUBEVIRTS: "KubeVirt",
    REVISIONS: "ControllerRevision",
    NADS: "NetworkAttachmentDefinition",
    NODES: "Node",
    DAEMON_SETS: "DaemonSet",
    CONTROLLER_PODS: "Pod",
    CONFIG_MAPS: "ConfigMap",
    BUDGETS: "PodDisruptionBudget",
    REPORTS: "InterfaceReport",
}
_SCATTER = 7919
_MAKERS_OF_PODS = ("operator", "virt-controller")
_BORN_WITH_STATUS = frozenset({KUBEVIRTS, NODES, CONTROLLER_PODS})


def copied(body: Json) -> Json:
    """A deep copy, by the fastest way there is: schedules do little else."""
    copy: Json = marshal.loads(marshal.dumps(body))
    return copy


def _thawed(frozen: bytes) -> Json:
    body: Json = marshal.loads(frozen)
    return body


@dataclass(slots=True)
class Machine:
    """What is true of a node and not to be read from the API.

    Attributes:
        is_lost: neither kubelet nor node agent does anything; its guests may run on.
        has_controller: the dynamic networks controller runs there.
        is_controller_broken: everything that it tries fails.
        takes_guests: its agent answers when a guest is to come.
        sends_guests: its agent begins when a guest is to leave.
        pulls_images: a pod that is new there starts.
        has_room: for one more pod; nobody but the scheduler knows.
        seconds_ahead: how far the clock of its agent is ahead.
    """

    is_lost: bool = False
    has_controller: bool = True
    is_controller_broken: bool = False
    takes_guests: bool = True
    sends_guests: bool = True
    pulls_images: bool = True
    has_room: bool = True
    seconds_ahead: float = 0.0

    @property
    def plugs(self) -> bool:
        """A NIC can get into a running pod there."""
        return self.has_controller and not self.is_controller_broken


@dataclass(frozen=True, slots=True)
class Change:
    """The last change, for those who check it."""

    plural: str
    type: str
    by: str
    before: Json | None
    after: Json


_ENDED = ("Succeeded", "Failed")


class Cluster:
    """Everything that is true.

    Args:
        nodes: names of the nodes; each has a machine, and a Node object once `make_world` was called.

    Attributes:
        history: every change in order: plural, type of the watch line, the object; pods as watched by label.
        guests: NICs in the guest of each VMI, by uid; what the node knows and the API does not.
        homes: uid of the pod that has the guest of a VMI, by the VMI's uid.
        made_for: uid of the migration that a pod was made for, by the pod's uid; somebody may take its labels away.
        made: uids of the pods that an operator has made.
        recorded: uids of the pods that an operator has ever counted for its own in a status.
        made_late: uids of the pods whose migration had ended, or did not exist any more, when they were made.
        handled: the annotation's text that the dynamic networks controller last looked at, by the pod's uid.
        taken_up: the text that it works on, by the pod's uid.
        is_quota_reached: no pod may be made.
        failing_networks: networks, as `<namespace>/<name>`, whose plugin fails on every node.
        phantoms: NICs that a pod's network status lists and the pod does not have: no agent can plug them.
        is_unattended: no operator runs.
        is_kubevirts: the CRDs are KubeVirt's: VMIs have no status subresource, and each write raises their generation.
        admit: what webhooks make of an object that is created; they may refuse it.
        log: what happened, for a person.
        on_commit: checks that run after every change.
    """

    def __init__(self, nodes: Sequence[str] = ("node01",)) -> None:
        self.now: datetime = NOW
        self.history: list[tuple[str, str, Json]] = []
        self.guests: dict[str, list[str]] = {}
        self.homes: dict[str, str] = {}
        self.made_for: dict[str, str] = {}
        self.made_late: set[str] = set()
        self.made: set[str] = set()
        self.recorded: set[str] = set()
        self.handled: dict[str, str] = {}
        self.taken_up: dict[str, str] = {}
        self.machines = {name: Machine() for name in nodes}
        self.is_quota_reached = False
        self.failing_networks: set[str] = set()
        self.phantoms: set[str] = set()
        self.is_unattended = False
        self.is_kubevirts = False
        self.admit: Callable[[str, Json, str], Json] = lambda _plural, body, _by: body
        self.log: list[str] = []
        self.on_commit: list[Callable[[Cluster], None]] = []
        self.last: Change | None = None
        self._objects: dict[Address, Json] = {}
        self._frozen: dict[str, dict[str, bytes]] = {}
        self._shown: dict[str, dict[str, Json]] = {}
        self._version = 100
        self._born = 0

    def say(self, text: str) -> None:
        """Write a line of the log."""
        self.log.append(f"{(self.now - NOW).total_seconds():8.3f} {text}")

    def pass_time(self, seconds: float) -> None:
        """Move the clock."""
        self.now += timedelta(seconds=seconds)

    def get(self, plural: str, name: str) -> Json | None:
        """A copy of one object."""
        found = self._frozen.get(plural, {}).get(name)
        return _thawed(found) if found is not None else None

    def all(self, plural: str) -> list[Json]:
        """Copies of all objects of a kind, by name."""
        return [_thawed(frozen) for _, frozen in sorted(self._frozen.get(plural, {}).items())]

    def shown(self, plural: str) -> list[Json]:
        """All objects of a kind, by name: the same to all who look until they change, and only to be read.

        Schedules did little else than copy. That nobody writes into one is checked when it changes.
        """
        frozen, shown = self._frozen.get(plural, {}), self._shown.setdefault(plural, {})
        for name in frozen.keys() - shown.keys():
            shown[name] = _thawed(frozen[name])
        return [shown[name] for name in sorted(frozen)]

    def in_sight(self, plural: str) -> list[Json]:
        """What a LIST with the operator's selectors shows."""
        return [body for body in self.all(plural) if is_in_sight(plural, body)]

    @property
    def version(self) -> int:
        """The resourceVersion of the last change."""
        return self._version

    def create(self, plural: str, body: Mapping[str, Any], *, by: str) -> Json:
        """POST."""
        born: Json = self.admit(plural, json.loads(json.dumps(body)), by)
        name = born["metadata"].setdefault("name", f"{born['metadata'].pop('generateName', '')}{self._version}")
        if (plural, name) in self._objects:
            raise AlreadyExists(f"{plural} {name} exists", status=409)
        born["metadata"] |= {
            "namespace": _NAMESPACES.get(plural, NAMESPACE),
            "uid": self.uid_of(plural, name),
            "generation": 1,
            "creationTimestamp": self.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if plural == PODS:
            born["status"] = {"phase": "Pending"}
            self.made |= {born["metadata"]["uid"]} if by.startswith(_MAKERS_OF_PODS) else set()
            if by.startswith(_MAKERS_OF_PODS) and (job := (born["metadata"].get("labels") or {}).get(JOB_LABEL)):
                self.made_for[born["metadata"]["uid"]] = job
                if job not in self._unfinished():
                    self.made_late.add(born["metadata"]["uid"])
        elif plural not in _BORN_WITH_STATUS and not (self.is_kubevirts and plural == VMIS):
            born.pop("status", None)
        return self._commit(plural, name, "ADDED", born, by=by, what="created")

    def uid_of(self, plural: str, name: str) -> str:
        """The uid of an object that is created now, in no order: of two of one second, it does not tell the first."""
        self._born += 1
        return f"{plural[:-1]}-{self._born * _SCATTER % 10000:04}"

    def choose_node(self, fitting: Sequence[str]) -> str:
        """The node that the scheduler gives a pod."""
        return fitting[self._version % len(fitting)]

    def _unfinished(self) -> set[str]:
        """The uids of the migrations that have not ended."""
        found = self.shown(MIGRATIONS)
        return {job["metadata"]["uid"] for job in found if (job.get("status") or {}).get("phase") not in _ENDED}

    def patch(
        self, plural: str, name: str, patch: Sequence[Mapping[str, Any]], *, by: str, subresource: str | None = None
    ) -> Json:
        """JSON patch; raises `Stale` when a `test` fails or a path is missing."""
        old = self._objects.get((plural, name))
        if old is None:
            raise Gone(f"{plural} {name} not found", status=404)
        content = json.dumps([dict(operation) for operation in patch]).encode()
        try:
            body = patched(copied(old), content_type=JSON_PATCH, content=content)
        except ApiFailure as failure:
            raise Stale(f"{plural} {name}: the patch does not fit", status=422) from failure
        return self.replace(plural, name, body, by=by, subresource=subresource)

    def put(self, plural: str, name: str, body: Json, *, by: str) -> Json:
        """PUT, guarded by the resourceVersion."""
        old = self._objects.get((plural, name))
        if old is None:
            raise Gone(f"{plural} {name} not found", status=404)
        if body["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"]:
            raise Stale(f"{plural} {name}: the object has been modified", status=409)
        return self.replace(plural, name, copied(body), by=by)

    def replace(self, plural: str, name: str, body: Json, *, by: str, subresource: str | None = None) -> Json:
        """What a PUT or a PATCH amounts to."""
        old = self._objects[plural, name]
        is_whole = self.is_kubevirts and plural == VMIS
        if is_whole:
            new = {**_without_status(plural, old, body), "status": body.get("status") or {}}
        else:
            new = _with_status(old, body) if subresource == "status" else _without_status(plural, old, body)
        added = set(new["metadata"].get("finalizers") or ()) - set(old["metadata"].get("finalizers") or ())
        if added and "deletionTimestamp" in old["metadata"]:
            raise Rejected("no new finalizers can be added if the object is being deleted", status=422)
        if new.get("spec") != old.get("spec") or (is_whole and new["status"] != old.get("status")):
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        if new == old:
            return copied(old)
        if "deletionTimestamp" in new["metadata"] and not new["metadata"].get("finalizers") and plural != PODS:
            return self._commit(plural, name, "DELETED", new, by=by, what="let go")
        what = "status patched" if subresource else "patched"
        return self._commit(plural, name, "MODIFIED", new, by=by, what=what)

    def delete(
        self,
        plural: str,
        name: str,
        *,
        by: str,
        uid: str | None = None,
        version: int | None = None,
        force: bool = False,
    ) -> Json:
        """DELETE: pods on a node and objects with finalizers stay for a while."""
        old = self._objects.get((plural, name))
        if old is None or uid not in (None, old["metadata"]["uid"]):
            raise Gone(f"{plural} {name} not found", status=404)
        if version is not None and old["metadata"]["resourceVersion"] != str(version):
            raise Stale(f"{plural} {name}: another resourceVersion", status=409)
        new = copied(old)
        waits = new["spec"].get("nodeName") if plural == PODS else new["metadata"].get("finalizers")
        if "deletionTimestamp" in new["metadata"] and not force:
            return new
        new["metadata"]["deletionTimestamp"] = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        if waits and not force:
            new["metadata"]["generation"] += 1
            return self._commit(plural, name, "MODIFIED", new, by=by, what="being deleted")
        return self._commit(plural, name, "DELETED", new, by=by, what="deleted")

    def _commit(self, plural: str, name: str, type_: str, body: Json, *, by: str, what: str) -> Json:
        self._version += 1
        before = self._objects.get((plural, name))
        if (shown := self._shown.get(plural, {}).pop(name, None)) is not None:
            assert shown == before, f"somebody changed {plural} {name}, which was only shown"
        body["metadata"]["resourceVersion"] = str(self._version)
        if type_ == "DELETED":
            del self._objects[plural, name], self._frozen[plural][name]
        else:
            self._objects[plural, name] = body
            self._frozen.setdefault(plural, {})[name] = marshal.dumps(body)
        self.say(f"{by}: {KINDS[plural]} {name} {what} (resourceVersion {self._version})")
        if (line := _line(plural, type_, before, body)) is not None:
            self.history.append((plural, line, copied(body)))
        self.last = Change(plural, type_, by, before, body)
        if plural in (VMIS, MIGRATIONS):
            self.recorded |= recorded_in(body)
        for check in self.on_commit:
            check(self)
        return copied(body)

    def report(self, pod: Json, *, reason: str, message: str) -> None:
        """An Event about a pod, which nobody keeps."""
        metadata = {"namespace": NAMESPACE}
        about = {"kind": "Pod", **{key: pod["metadata"][key] for key in ("namespace", "name", "uid")}}
        self.say(f"event: {message}")
        event = {"metadata": metadata, "involvedObject": about, "reason": reason, "message": message}
        event["eventTime"] = self.now.isoformat()
        self.history.append((EVENTS, "ADDED", event))


def recorded_in(body: Json) -> set[str]:
    """uids of the pods that a VMI or a migration names as its own."""
    status = body.get("status") or {}
    rows = [*(status.get("launcherPods") or ()), *filter(None, [status.get("targetPod")])]
    return {row["uid"] for row in rows} | {*(status.get("activePods") or ())}


def launcher_pods(cluster: Cluster, vmi_uid: str | None = None) -> list[Json]:
    """The pods that an operator has made for a VMI, or for all, whatever their labels say."""
    found = [(pod, owner_of(pod)) for pod in cluster.shown(PODS) if pod["metadata"]["uid"] in cluster.made]
    return [pod for pod, owner in found if owner and owner["kind"] == KINDS[VMIS] and vmi_uid in (None, owner["uid"])]


def owner_of(body: Json) -> Json | None:
    """The first ownerReference; None when there is none."""
    owners = body["metadata"].get("ownerReferences") or [None]
    owner: Json | None = owners[0]
    return owner


def is_target(cluster: Cluster, pod: Json) -> bool:
    """It was made for a migration."""
    return pod["metadata"]["uid"] in cluster.made_for


def is_live(pod: Json) -> bool:
    """It runs or shall run, and nobody has asked it to go."""
    return pod["status"]["phase"] in ("Pending", "Running") and "deletionTimestamp" not in pod["metadata"]


def is_in_sight(plural: str, body: Json) -> bool:
    """The operator's selectors match it."""
    label, value = _SELECTORS.get(plural, ("", None))
    return (body["metadata"].get("labels") or {}).get(label) == value


def _line(plural: str, type_: str, before: Json | None, after: Json) -> str | None:
    """What a watch by label says: an object that loses the label looks deleted, one that gets it looks new."""
    saw = before is not None and is_in_sight(plural, before)
    sees = type_ != "DELETED" and is_in_sight(plural, after)
    if saw and sees:
        return "MODIFIED"
    return "ADDED" if sees else "DELETED" if saw else None


def _without_status(plural: str, old: Json, body: Json) -> Json:
    known = old["metadata"]
    kept = {key: known[key] for key in ("uid", "generation", "creationTimestamp", "resourceVersion")}
    kept |= {"deletionTimestamp": known["deletionTimestamp"]} if "deletionTimestamp" in known else {}
    free = {key: value for key, value in body["metadata"].items() if value not in ([], {}, None)}
    new = {key: value for key, value in body.items() if key != "status"}
    status = {"status": old["status"]} if "status" in old else {}
    return {**new, "metadata": {**free, **kept}, **status}


def _with_status(old: Json, body: Json) -> Json:
    new = {key: copied(value) if isinstance(value, dict) else value for key, value in old.items() if key != "status"}
    return {**new, "status": body["status"]} if "status" in body else new
