"""The kubelet: runs the pods bound to its nodes, and ends them.

`next_step` decides from objects alone; `Kubelet` carries it out. Every write names the pod's uid, so
that it can never hit a pod of the same name that came later.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto

from nicplug_sandbox.node import pod_status
from nicplug_sandbox.node.accounts import Clients
from nicplug_sandbox.node.api import PODS, STRATEGIC_PATCH, ApiError, Json
from nicplug_sandbox.node.daemonsets import is_daemon, role_of
from nicplug_sandbox.node.events import KUBELET, Event, EventPoster
from nicplug_sandbox.node.faults import HEALTHY, Fault, RoleName, fault_of
from nicplug_sandbox.node.mirror import Key, Mirror, key_of
from nicplug_sandbox.node.multus import CniError, Multus
from nicplug_sandbox.node.networks import NETWORK_STATUS, annotation, format_status, read_status
from nicplug_sandbox.node.settings import PREFIX, Settings
from nicplug_sandbox.node.work import WorkQueue

log = logging.getLogger(__name__)

POD_FAULT = PREFIX + "pod"
"""On a pod: `image-pull`, or `exit=<code>` to let its containers end with that code."""
FINAL = ("Succeeded", "Failed")
IMAGE_PULL_RETRY_SECONDS = 1.0


class Step(Enum):
    """What a kubelet does next with a pod."""

    NOTHING = auto()
    START = auto()
    FAIL_IMAGE_PULL = auto()
    EXIT = auto()
    HOLD_BACK = auto()
    RESTART = auto()
    UPDATE_READINESS = auto()
    FAIL_PROBE = auto()
    PASS_PROBE = auto()
    TERMINATE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFault:
    """What the pod itself is told to suffer."""

    image_pull: bool = False
    exit_code: int | None = None


def pod_fault(pod: Json) -> PodFault:
    """Read `POD_FAULT`; what is not understood has no effect."""
    text = annotation(pod, POD_FAULT)
    if text == "image-pull":
        return PodFault(image_pull=True)
    code = text.removeprefix("exit=")
    if text.startswith("exit=") and code.isdecimal():
        return PodFault(exit_code=int(code))
    if text:
        log.warning('pod %s: annotation "%s" is "%s", not image-pull or exit=<code>', key_of(pod), POD_FAULT, text)
    return PodFault()


def next_step(pod: Json, *, fault: Fault, exit_code: int | None = None, agent: Fault = HEALTHY) -> Step:
    """Decide what to do with a pod of this node.

    Args:
        fault: what is wrong with the kubelet.
        exit_code: the pod's containers have ended by themselves.
        agent: what is wrong with the role that runs in the pod, if it is one of the node's agents.
    """
    status = pod.get("status", {})
    phase = status.get("phase") or "Pending"
    metadata = pod["metadata"]
    if "deletionTimestamp" in metadata:
        # A pod that is final and has no grace left waits for somebody's finalizer, not for us.
        done = phase in FINAL and metadata.get("deletionGracePeriodSeconds") == 0
        return Step.NOTHING if done else Step.TERMINATE
    if phase in FINAL:
        return Step.NOTHING
    own = pod_fault(pod)
    waits = pod_status.waiting_reason(pod)
    exits = own.exit_code is not None or exit_code is not None
    crashes = exits or (fault.broken == "crash" and not is_daemon(pod)) or agent.broken == "crash"
    if phase == "Pending":
        pull_fails = (
            own.image_pull or pod_status.bad_image(pod) or (fault.broken == "image-pull" and not is_daemon(pod))
        )
        return Step.FAIL_IMAGE_PULL if pull_fails else Step.START
    if crashes:
        if pod["spec"].get("restartPolicy", "Always") != "Always":
            return Step.EXIT
        return Step.NOTHING if waits else Step.HOLD_BACK
    if waits == "CrashLoopBackOff":
        return Step.RESTART
    if is_daemon(pod) and not waits and _fails_probe(pod) != (agent.broken == "unready"):
        return Step.PASS_PROBE if _fails_probe(pod) else Step.FAIL_PROBE
    return Step.NOTHING if _is_readiness_current(pod) else Step.UPDATE_READINESS


def _fails_probe(pod: Json) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(item["type"] == "ContainersReady" and item["status"] == "False" for item in conditions)


def _is_readiness_current(pod: Json) -> bool:
    conditions = {item["type"]: item["status"] for item in pod["status"].get("conditions") or ()}
    expected = conditions.get("ContainersReady") == "True" and pod_status.is_gated_ready(pod)
    return (conditions.get("Ready") == "True") == expected


def status_after(step: Step, pod: Json, *, host: str, now: datetime, exit_code: int | None = None) -> Json:
    """The status that a step leaves, for the steps that are nothing but a write."""
    match step:
        case Step.EXIT:
            codes = (pod_fault(pod).exit_code, exit_code, 1)
            return pod_status.ended(pod, exit_code=next(code for code in codes if code is not None), now=now)
        case Step.HOLD_BACK:
            message = "back-off restarting failed container"
            return pod_status.waiting(pod, reason="CrashLoopBackOff", host=host, now=now, message=message)
        case Step.RESTART:
            addresses = [item["ip"] for item in pod["status"].get("podIPs") or ()] or [host]
            return pod_status.running(pod, addresses=addresses, host=host, now=now, restart=True)
        case Step.FAIL_PROBE | Step.PASS_PROBE:
            return pod_status.probed(pod, passed=step is Step.PASS_PROBE, now=now)
        case Step.UPDATE_READINESS:
            moment = pod_status.timestamp(now)
            return {"conditions": pod_status.ready_conditions(pod, containers_ready=True, now=moment)}
        case _:
            raise ValueError(f"{step} is more than a write")


class Kubelet:
    """The kubelets of all simulated nodes."""

    def __init__(
        self,
        *,
        clients: Clients,
        pods: Mirror,
        nodes: Mirror,
        multus: Multus,
        events: EventPoster,
        settings: Settings,
        addresses: dict[str, str],
    ) -> None:
        """`addresses`: each simulated node's own IP."""
        self._clients = clients
        self._pods = pods
        self._nodes = nodes
        self._multus = multus
        self._events = events
        self._settings = settings
        self._addresses = addresses
        self._due: dict[str, float] = {}
        self._deleted: set[str] = set()
        self._exits: dict[str, int] = {}
        self.queue = WorkQueue(name="kubelet", work=self.reconcile, concurrency=settings.concurrency)

    def start(self) -> None:
        """Begin to listen, and look at every pod that is there already."""
        for pod in self._pods.all():
            self._enqueue(pod)
        self._pods.listen(self._on_pod)
        self._nodes.listen(self._on_node)

    def _on_pod(self, old: Json | None, new: Json | None) -> None:
        if new is not None:
            self._enqueue(new)
        elif old is not None:
            self._due.pop(old["metadata"]["uid"], None)
            self._deleted.discard(old["metadata"]["uid"])
            self._exits.pop(old["metadata"]["uid"], None)

    def _on_node(self, _old: Json | None, new: Json | None) -> None:
        # Any change of the node may be a fault that comes or goes; nodes change rarely.
        if new is not None and new["metadata"]["name"] in self._addresses:
            for pod in self._pods.by_index("node", new["metadata"]["name"]):
                self._enqueue(pod)

    def on_exit(self, pod: Json, *, exit_code: int) -> None:
        """The pod's containers have ended by themselves: what runs in them says so."""
        self._exits[pod["metadata"]["uid"]] = exit_code
        self._enqueue(pod)

    def _step(self, pod: Json, fault: Fault) -> Step:
        exit_code = self._exits.get(pod["metadata"]["uid"])
        return next_step(pod, fault=fault, exit_code=exit_code, agent=self._agent_fault(pod))

    def _agent_fault(self, pod: Json) -> Fault:
        role = role_of(pod)
        return HEALTHY if role is None else fault_of(self._nodes.get(Key("", pod["spec"]["nodeName"])), role)

    def _enqueue(self, pod: Json) -> None:
        node = pod["spec"].get("nodeName", "")
        if node not in self._addresses:
            return
        fault = self._fault(node)
        if fault.absent:
            return
        step = self._step(pod, fault)
        if step is not Step.NOTHING:
            self.queue.add(key_of(pod), after=fault.slow_seconds + self._pause_before(step, pod))

    def _pause_before(self, step: Step, pod: Json) -> float:
        """The news of our own failure must not be taken as a reason to try again at once."""
        match step, pod_status.waiting_reason(pod):
            case Step.START, "ContainerCreating":
                return self._settings.sandbox_retry_seconds
            case Step.FAIL_IMAGE_PULL, "ErrImagePull" | "ImagePullBackOff":
                return IMAGE_PULL_RETRY_SECONDS
            case _:
                return 0.0

    def _fault(self, node: str) -> Fault:
        return fault_of(self._nodes.get(Key("", node)), RoleName.KUBELET)

    async def reconcile(self, key: Key) -> float | None:
        """Do the next step of one pod; returns when to look again."""
        pod = self._pods.get(key)
        if pod is None or pod["spec"].get("nodeName", "") not in self._addresses:
            return None
        fault = self._fault(pod["spec"]["nodeName"])
        if fault.absent:
            return None
        match self._step(pod, fault):
            case Step.NOTHING:
                return None
            case Step.START:
                return await self._start(pod)
            case Step.TERMINATE:
                return await self._terminate(pod)
            case Step.FAIL_IMAGE_PULL:
                return await self._fail_image_pull(pod)
            case step:
                host = self._addresses[pod["spec"]["nodeName"]]
                code = self._exits.get(pod["metadata"]["uid"])
                await self._write(pod, status_after(step, pod, host=host, now=datetime.now(UTC), exit_code=code))
                return None

    async def _start(self, pod: Json) -> float | None:
        node = pod["spec"]["nodeName"]
        now, host = datetime.now(UTC), self._addresses[node]
        if (wait := await self._wait_for_start(pod, now=now)) is not None:
            return wait
        if pod["spec"].get("hostNetwork"):
            await self._write(pod, pod_status.running(pod, addresses=[host], host=host, now=now))
            return None
        # A sandbox that outlived a restart of this process is used as it is.
        entries = read_status(pod)
        try:
            entries = entries or await self._multus.create_sandbox(pod)
        except CniError as error:
            await self._report_sandbox(pod, error)
            return self._settings.sandbox_retry_seconds
        default = next(entry for entry in entries if entry.get("default"))
        fragment = pod_status.running(pod, addresses=default.get("ips") or [host], host=host, now=now)
        await self._write(pod, fragment, annotations={NETWORK_STATUS: format_status(entries)})
        return None

    async def _wait_for_start(self, pod: Json, *, now: datetime) -> float | None:
        """With a start duration: show ContainerCreating first; returns how long to wait still."""
        if not self._settings.start_seconds:
            return None
        clock, uid = asyncio.get_running_loop().time(), pod["metadata"]["uid"]
        if uid not in self._due:
            self._due[uid] = clock + self._settings.start_seconds
            host = self._addresses[pod["spec"]["nodeName"]]
            await self._write(pod, pod_status.waiting(pod, reason="ContainerCreating", host=host, now=now))
        left = self._due[uid] - clock
        if left > 0:
            return left
        del self._due[uid]
        return None

    async def _report_sandbox(self, pod: Json, error: CniError) -> None:
        node = pod["spec"]["nodeName"]
        sandbox = pod_status.container_id(pod, "", 0).removeprefix("containerd://")
        self._post(
            pod,
            reason="FailedCreatePodSandBox",
            message="Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for "
            f'sandbox "{sandbox}": plugin type="multus-shim" name="multus-cni-network" failed (add): {error}',
        )
        if pod_status.waiting_reason(pod) != "ContainerCreating":
            host = self._addresses[node]
            await self._write(
                pod, pod_status.waiting(pod, reason="ContainerCreating", host=host, now=datetime.now(UTC))
            )

    async def _fail_image_pull(self, pod: Json) -> float:
        host, image = self._addresses[pod["spec"]["nodeName"]], pod_status.bad_image(pod)
        image = image or pod["spec"]["containers"][0].get("image", "")
        reason, message = "ErrImagePull", f'failed to pull and unpack image "{image}": no such host'
        if pod_status.waiting_reason(pod):
            reason, message = "ImagePullBackOff", f'Back-off pulling image "{image}"'
        if pod_status.waiting_reason(pod) != reason:
            self._post(pod, reason="Failed", message=f"Error: {reason}")
            fragment = pod_status.waiting(pod, reason=reason, host=host, now=datetime.now(UTC), message=message)
            await self._write(pod, fragment)
        return IMAGE_PULL_RETRY_SECONDS

    async def _terminate(self, pod: Json) -> float | None:
        clock, uid = asyncio.get_running_loop().time(), pod["metadata"]["uid"]
        if uid in self._deleted:  # only the news of it is on the way
            return None
        if pod.get("status", {}).get("phase") == "Running":
            grace = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
            due = self._due.setdefault(uid, clock + min(grace, self._settings.termination_seconds))
            if due > clock:
                return due - clock
            await self._write(pod, pod_status.ended(pod, exit_code=0, now=datetime.now(UTC)))
        self._due.pop(uid, None)
        try:
            await self._clients.kubelet(pod["spec"]["nodeName"]).delete(
                PODS, name=pod["metadata"]["name"], namespace=pod["metadata"]["namespace"], uid=uid
            )
        except ApiError as error:
            if not (error.is_gone or error.is_stale):
                raise
        self._deleted.add(uid)
        return None

    async def _write(self, pod: Json, status: Json, *, annotations: dict[str, str] | None = None) -> None:
        metadata = pod["metadata"]
        body: Json = {"metadata": {"uid": metadata["uid"]}, "status": status}
        if annotations:
            body["metadata"]["annotations"] = annotations
        answer = await self._clients.kubelet(pod["spec"]["nodeName"]).patch(
            PODS, body,
            name=metadata["name"], namespace=metadata["namespace"],
            subresource="status", content_type=STRATEGIC_PATCH,
        )  # fmt: skip
        self._pods.apply_response(answer)

    def _post(self, pod: Json, *, reason: str, message: str) -> None:
        self._events.post(
            Event(
                about=pod, kind="Pod", api_version="v1", component=KUBELET,
                host=pod["spec"]["nodeName"], type="Warning", reason=reason, message=message,
            )
        )  # fmt: skip
