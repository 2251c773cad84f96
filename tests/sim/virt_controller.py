"""KubeVirt's virt-controller in the simulation: the sandbox's stand-in, one event and one request at a time.

Beside it what virt-api does to migrations and evictions. The same scheduler drives it as the operators: it decides when
each event arrives, when each request travels and when its answer does, and when the process is killed.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.sim.cluster import (
    KUBEVIRTS,
    MIGRATIONS,
    NADS,
    NAMESPACE,
    NODES,
    PODS,
    REVISIONS,
    VMIS,
    VMS,
    Cluster,
    Json,
)
from tests.sim.operators import Faults

from nicplug.kube.errors import ApiError, Gone, Rejected
from nicplug_sandbox.kubevirt.admission import (
    VIRT_CONTROLLER,
    admitted_migration,
    guest_of,
    judged_eviction,
    refused_creation,
)
from nicplug_sandbox.kubevirt.settings import read_settings
from nicplug_sandbox.kubevirt.stepped import SteppedController, SteppedPass, Task
from nicplug_sandbox.kubevirt.writes import Event, Kind, Write

PLURALS: Mapping[Kind, str] = {
    "VirtualMachine": VMS,
    "VirtualMachineInstance": VMIS,
    "VirtualMachineInstanceMigration": MIGRATIONS,
    "KubeVirt": KUBEVIRTS,
    "Pod": PODS,
    "ControllerRevision": REVISIONS,
    "Node": NODES,
    "NetworkAttachmentDefinition": NADS,
}
KINDS: Mapping[str, Kind] = {plural: kind for kind, plural in PLURALS.items()}
_PARALLEL = 4
_NAME = "virt-controller"


def admit(cluster: Cluster) -> Callable[[str, Json, str], Json]:
    """What the webhooks of virt-api make of an object that is created."""

    def judge(plural: str, body: Json, by: str) -> Json:
        if plural != MIGRATIONS:
            return body
        body["metadata"]["namespace"] = NAMESPACE
        refusal = refused_creation(
            body,
            user=VIRT_CONTROLLER if by == _NAME else by,
            vmi=cluster.get(VMIS, body["spec"].get("vmiName", "")),
            migrations=cluster.all(MIGRATIONS),
        )
        if refusal is not None:
            raise Rejected(refusal.message, status=422)
        return admitted_migration(body)

    return judge


def evict(cluster: Cluster, name: str, *, by: str) -> None:
    """POST pods/eviction: granted, or refused and perhaps turned into an evacuation.

    Raises:
        Gone: there is no such pod.
        Rejected: virt-api has refused it.
    """
    pod = cluster.get(PODS, name)
    if pod is None:
        raise Gone(f"pods {name} not found", status=404)
    vmi = cluster.get(VMIS, guest_of(pod)) if guest_of(pod) else None
    if vmi is not None:
        settings = read_settings(cluster.get(KUBEVIRTS, "kubevirt"))
        judged = judged_eviction(pod, vmi, settings=settings)
        if judged.node:
            patch = [{"op": "add", "path": "/status/evacuationNodeName", "value": judged.node}]
            cluster.patch(VMIS, vmi["metadata"]["name"], patch, by="virt-api")
        if judged.refusal is not None:
            raise Rejected(judged.refusal.message, status=judged.refusal.code)
    cluster.delete(PODS, name, by=by)


@dataclass(slots=True)
class _Request:
    """A request that has taken effect, and whose answer is on its way.

    Attributes:
        seen: how many events there must have been heard first: a time-out takes much longer than any event.
    """

    answer: Json | None = None
    error: ApiError | None = None
    seen: int = 0


@dataclass(slots=True)
class VirtController:
    """One process.

    Attributes:
        seconds_ahead: how far its clock is ahead.
        writes: how many requests it has sent.
        said: the events it has reported.
    """

    cluster: Cluster
    faults: Faults
    randomness: random.Random
    seconds_ahead: float = 0.0
    writes: int = 0
    said: list[Event] = field(default_factory=list)
    _controller: SteppedController = field(init=False)
    _on_the_way: list[tuple[str, str, Json]] = field(init=False)
    _heard: int = field(init=False)
    _passes: dict[Task, SteppedPass] = field(init=False)
    _answers: dict[Task, _Request] = field(init=False)

    def __post_init__(self) -> None:
        self.cluster.is_kubevirts = True
        self.cluster.admit = admit(self.cluster)
        self.start()

    def start(self) -> None:
        """A new process: the old one's passes end where they are, and everything is listed again."""
        self._passes, self._answers, self._on_the_way = {}, {}, []
        self._controller = SteppedController(clock=self._clock, randomness=self.randomness, on_event=self._say)
        self._heard = len(self.cluster.history)
        for kind, plural in PLURALS.items():
            self._controller.informer.replace(kind, [_seen(plural, body) for body in self.cluster.in_sight(plural)])

    def _clock(self) -> datetime:
        return self.cluster.now + timedelta(seconds=self.seconds_ahead)

    def _say(self, event: Event) -> None:
        self.said.append(event)
        self.cluster.say(f"{_NAME}: {event.kind} {event.about['metadata']['name']}: {event.reason}: {event.message}")

    def hear(self) -> bool:
        """One event arrives: the next of one of the watches, which keep their order; False when none is on its way."""
        self._on_the_way += [event for event in self.cluster.history[self._heard :] if event[0] in KINDS]
        self._heard = len(self.cluster.history)
        if not self._on_the_way:
            return False
        plural = self.randomness.choice(sorted({event[0] for event in self._on_the_way}))
        event = next(event for event in self._on_the_way if event[0] == plural)
        self._on_the_way.remove(event)
        _, type_, body = event
        informer = self._controller.informer
        change = informer.remove if type_ == "DELETED" else informer.put
        change(KINDS[plural], _seen(plural, body))
        return True

    def work(self) -> bool:
        """Begin a pass, or go on with one; False when there is nothing to do now."""
        ready = [task for task, work in self._passes.items() if not work.is_waiting and not self._is_lost(task)]
        due = self._controller.due()
        if due and len(self._passes) < _PARALLEL and (not ready or self.randomness.random() < 0.5):
            task = due[0]
            self._passes[task] = self._controller.begin(task)
        elif ready:
            task = self.randomness.choice(ready)
            self._go_on(task, self._passes[task])
        else:
            return False
        if self._passes[task].is_over:
            del self._passes[task]
        return True

    def _is_lost(self, task: Task) -> bool:
        """The answer will not come, and it is too early to give up waiting."""
        answer = self._answers.get(task)
        return answer is not None and answer.seen > self._heard - len(self._on_the_way)

    def _go_on(self, task: Task, work: SteppedPass) -> None:
        if (answer := self._answers.pop(task, None)) is not None:
            self._deliver(answer, work)
        elif work.wanted is not None:
            self._answers[task] = self._request(work.wanted)
        else:
            work.go_on()

    def _request(self, item: Write) -> _Request:
        self.writes += 1
        if self.randomness.random() < self.faults.refused:
            return _Request(error=ApiError("connection refused"))
        try:
            answer = self._send(item)
        except ApiError as error:
            return _Request(error=error)
        if self.randomness.random() < self.faults.answer_lost:
            return _Request(error=ApiError("time-out after the write"), seen=len(self.cluster.history))
        return _Request(answer=_seen(PLURALS[item.kind], answer) if answer is not None else None)

    def _send(self, item: Write) -> Json | None:
        plural, cluster = PLURALS[item.kind], self.cluster
        subresource = "status" if item.verb.endswith("-status") else None
        match item.verb:
            case "create":
                assert isinstance(item.body, dict)
                return cluster.create(plural, item.body, by=_NAME)
            case "update" | "update-status":
                assert isinstance(item.body, dict)
                return self._update(plural, item.name, item.body, subresource=subresource)
            case "patch" | "patch-status":
                assert isinstance(item.body, list)
                return cluster.patch(plural, item.name, item.body, by=_NAME, subresource=subresource)
            case "delete":
                return cluster.delete(plural, item.name, by=_NAME, uid=item.uid)
            case "evict":
                evict(cluster, item.name, by=_NAME)
                return None

    def _update(self, plural: str, name: str, body: Json, *, subresource: str | None) -> Json:
        """PUT, guarded by the resourceVersion; what of the object this path does not write is as it is stored."""
        if subresource is None:
            return self.cluster.put(plural, name, body, by=_NAME)
        version = body["metadata"]["resourceVersion"]
        guard = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
        patch = [guard, {"op": "add", "path": "/status", "value": body["status"]}]
        return self.cluster.patch(plural, name, patch, by=_NAME, subresource=subresource)

    def _deliver(self, request: _Request, work: SteppedPass) -> None:
        match request.error:
            case None:
                work.answered(request.answer)
            case Gone():
                work.gone()
            case error:
                work.refused(str(error))

    def next_due(self) -> datetime | None:
        """When the first key that waits for time is due, by the world's clock."""
        due = self._controller.next_due()
        return due - timedelta(seconds=self.seconds_ahead) if due is not None else None

    def look_at_everything(self) -> None:
        """As after a resync."""
        for kind in KINDS.values():
            for obj in self._controller.informer.all(kind):
                self._controller.touch(kind, obj)


def _seen(plural: str, body: Json) -> Json:
    """The cluster keeps nodes in a namespace, as everything."""
    if plural != NODES:
        return body
    return {**body, "metadata": {key: value for key, value in body["metadata"].items() if key != "namespace"}}
