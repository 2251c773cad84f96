"""What a kubelet writes into a pod's status. Pure: a pod in, a status fragment out.

Fragments are for a strategic merge patch, which merges conditions by type and replaces container lists.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from nicplug_sandbox.node.api import Json

UNREACHABLE_REGISTRY = ".invalid"
"""RFC 2606: no registry can have such a name, so such an image cannot be pulled."""


def timestamp(now: datetime) -> str:
    """RFC 3339 with seconds, as the API server writes it."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def container_id(pod: Json, container: str, restarts: int) -> str:
    """A made-up but stable container id."""
    text = f"{pod['metadata']['uid']}/{container}/{restarts}"
    return "containerd://" + hashlib.sha256(text.encode()).hexdigest()


def restarts_of(pod: Json, container: str) -> int:
    """How often the container was restarted so far."""
    for status in pod.get("status", {}).get("containerStatuses") or ():
        if status["name"] == container:
            return int(status.get("restartCount", 0))
    return 0


def _container_status(pod: Json, container: Json, *, state: Json, ready: bool, restarts: int) -> Json:
    started = "running" in state
    status: Json = {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "ready": ready,
        "started": started,
        "restartCount": restarts,
        "state": state,
    }
    if "waiting" not in state:
        status["imageID"] = f"sandbox/{container.get('image', '')}"
        status["containerID"] = container_id(pod, container["name"], restarts)
    return status


def container_statuses(pod: Json, *, state: Json, ready: bool, restart: bool = False) -> Json:
    """`containerStatuses` and `initContainerStatuses` when every container is in `state`.

    Init containers have finished by then, except restartable ones (sidecars), which run along.
    """
    spec = pod["spec"]
    result: Json = {
        "containerStatuses": [
            _container_status(
                pod,
                container,
                state=state,
                ready=ready,
                restarts=restarts_of(pod, container["name"]) + (1 if restart else 0),
            )
            for container in spec["containers"]
        ]
    }
    if spec.get("initContainers"):
        started = "waiting" not in state
        result["initContainerStatuses"] = [
            _container_status(
                pod,
                container,
                state=_init_state(container, state=state) if started else state,
                ready=started,
                restarts=0,
            )
            for container in spec["initContainers"]
        ]
    return result


def _init_state(container: Json, *, state: Json) -> Json:
    if container.get("restartPolicy") == "Always":
        return state
    started = next(iter(state.values())).get("startedAt", "")
    return {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": started, "finishedAt": started}}


def _condition(kind: str, *, status: bool, now: str, reason: str = "", message: str = "") -> Json:
    condition: Json = {
        "type": kind, "status": "True" if status else "False", "lastProbeTime": None, "lastTransitionTime": now,
    }  # fmt: skip
    # An explicit null clears what an earlier patch left in the merged entry.
    condition["reason"] = reason or None
    condition["message"] = message or None
    return condition


def is_gated_ready(pod: Json) -> bool:
    """Whether every readiness gate of the pod is met."""
    conditions = {item["type"]: item["status"] for item in pod.get("status", {}).get("conditions") or ()}
    gates = pod["spec"].get("readinessGates") or ()
    return all(conditions.get(gate["conditionType"]) == "True" for gate in gates)


def ready_conditions(pod: Json, *, containers_ready: bool, now: str, reason: str = "") -> list[Json]:
    """The conditions that follow from the containers and the readiness gates."""
    gated = is_gated_ready(pod)
    ready = containers_ready and gated
    why, message = reason, ""
    if containers_ready and not gated:
        why, message = "ReadinessGatesNotReady", 'the status of pod readiness gates is not "True"'
    elif not containers_ready and not reason:
        names = " ".join(container["name"] for container in pod["spec"]["containers"])
        why, message = "ContainersNotReady", f"containers with unready status: [{names}]"
    return [
        _condition("PodReadyToStartContainers", status=reason != "PodCompleted", now=now),
        _condition("Initialized", status=True, now=now),
        _condition(
            "ContainersReady", status=containers_ready, now=now,
            reason="" if containers_ready else why, message="" if containers_ready else message,
        ),
        _condition("Ready", status=ready, now=now, reason="" if ready else why, message="" if ready else message),
    ]  # fmt: skip


def running(pod: Json, *, addresses: Sequence[str], host: str, now: datetime, restart: bool = False) -> Json:
    """Every container runs."""
    moment = timestamp(now)
    return {
        "phase": "Running",
        "conditions": ready_conditions(pod, containers_ready=True, now=moment),
        "startTime": pod.get("status", {}).get("startTime") or moment,
        "hostIP": host,
        "hostIPs": [{"ip": host}],
        "podIP": addresses[0],
        "podIPs": [{"ip": address} for address in addresses],
        **container_statuses(pod, state={"running": {"startedAt": moment}}, ready=True, restart=restart),
    }


def probed(pod: Json, *, passed: bool, now: datetime) -> Json:
    """The containers run on, and their readiness probe has another result."""
    statuses = [{**status, "ready": passed} for status in pod["status"].get("containerStatuses") or ()]
    return {
        "conditions": ready_conditions(pod, containers_ready=passed, now=timestamp(now)),
        **({"containerStatuses": statuses} if statuses else {}),
    }


def waiting(pod: Json, *, reason: str, host: str, now: datetime, message: str = "") -> Json:
    """No container runs: the sandbox or an image is missing, or a crashed container is held back."""
    moment = timestamp(now)
    state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    return {
        "phase": pod.get("status", {}).get("phase") or "Pending",
        "conditions": ready_conditions(pod, containers_ready=False, now=moment),
        "startTime": pod.get("status", {}).get("startTime") or moment,
        "hostIP": host,
        "hostIPs": [{"ip": host}],
        **container_statuses(pod, state=state, ready=False),
    }


def ended(pod: Json, *, exit_code: int, now: datetime) -> Json:
    """Every container has ended."""
    moment = timestamp(now)
    terminated = {
        "exitCode": exit_code,
        "reason": "Completed" if exit_code == 0 else "Error",
        "startedAt": pod.get("status", {}).get("startTime") or moment,
        "finishedAt": moment,
    }
    reason = "PodCompleted" if exit_code == 0 else "PodFailed"
    return {
        "phase": "Succeeded" if exit_code == 0 else "Failed",
        "conditions": ready_conditions(pod, containers_ready=False, now=moment, reason=reason),
        **container_statuses(pod, state={"terminated": terminated}, ready=False),
    }


def waiting_reason(pod: Json) -> str:
    """Why the pod's containers wait, empty when they do not."""
    for status in pod.get("status", {}).get("containerStatuses") or ():
        if "waiting" in status.get("state", {}):
            return str(status["state"]["waiting"].get("reason", ""))
    return ""


def bad_image(pod: Json) -> str:
    """The first image that no registry can serve, or empty."""
    for container in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]):
        image: str = container.get("image", "")
        if image.partition("/")[0].partition(":")[0].endswith(UNREACHABLE_REGISTRY):
            return image
    return ""
