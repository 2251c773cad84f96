"""Check why pods of nicplug do not become ready: an image, a setting, a volume, or no node that fits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from nicplug.cli.connection import Session
from nicplug.cli.doctor.finding import Finding, problem, warning
from nicplug.kube.resources import PODS
from nicplug.model.conditions import find_condition, is_true
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.names import COMPONENT_LABEL, INSTALLED_SELECTOR
from nicplug.model.pod_conditions import unscheduled
from nicplug.model.times import parse_time

_CHECK = "pods"
_COMPONENTS = ("operator", "api")
# The kubelet's reasons for a waiting container.
_IMAGE_ERRORS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_STARTS = frozenset({"ContainerCreating", "PodInitializing"})
# Prefix of the errors of `nicplug run` and `nicplug api`; the remedy is on the next line.
_ERROR = "Error: "
_QUOTED_CHARACTERS = 300
# Enough to pull the image and to mount Secrets; a pod that takes longer lacks something.
_START = timedelta(minutes=2)
_SET_IMAGE = (
    "Correct image.repository, image.tag or imagePullSecrets of the Helm release, or `images` of your overlay "
    "(docs/install.md)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """The reason why a pod is not ready.

    Attributes:
        message: what is wrong.
        remedy: what to do.
    """

    message: str
    remedy: str


async def check_pods(session: Session, *, namespace: str, at: datetime) -> list[Finding]:
    """Check the pods of both Deployments; no findings if all are ready, or if there are none."""
    page = await session.api.list(PODS, namespace=namespace, label_selector=INSTALLED_SELECTOR)
    pods = [pod for pod in objects(page.get("items")) if "deletionTimestamp" not in mapping(pod.get("metadata"))]
    return [finding for component in _COMPONENTS for finding in _judge(pods, component, at=at)]


def _judge(pods: Sequence[Mapping[str, Any]], component: str, *, at: datetime) -> Iterator[Finding]:
    own = [pod for pod in pods if mapping(mapping(pod.get("metadata")).get("labels")).get(COMPONENT_LABEL) == component]
    waiting = [pod for pod in own if not is_true(objects(mapping(pod.get("status")).get("conditions")), "Ready")]
    found = [(pod, trouble) for pod in waiting if (trouble := trouble_of(pod, at=at))]
    if not found:
        return
    pod, trouble = found[0]
    more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
    message = f"pod {text(mapping(pod.get('metadata')).get('name'))}{more}: {trouble.message}"
    # A single ready pod does the work of all.
    yield (problem if len(waiting) == len(own) else warning)(_CHECK, message, trouble.remedy)


def trouble_of(pod: Mapping[str, Any], *, at: datetime) -> Trouble | None:
    """Return why a pod is not ready; None while it may still be starting.

    Args:
        pod: the object as the API server returns it.
        at: the current time, in UTC.
    """
    metadata, status = mapping(pod.get("metadata")), mapping(pod.get("status"))
    where = f"-n {text(metadata.get('namespace'))}"
    describe = f"kubectl {where} describe pod {text(metadata.get('name'))}"
    for container in objects(status.get("containerStatuses")):
        if trouble := _of_container(container, logs=f"kubectl {where} logs {text(metadata.get('name'))} --previous"):
            return trouble
    if explanation := unscheduled(status):
        return Trouble(message=f"no node takes it: {explanation.message or explanation.reason}", remedy=describe)
    began = parse_time(status.get("startTime"))
    if _is_starting(status) and began is not None and at - began > _START:
        minutes = int((at - began).total_seconds() // 60)
        message = f"its containers have been starting for {minutes} minutes: a Secret to mount is missing, or a network"
        return Trouble(message=message, remedy=f"{describe} names it.")
    return None


def _of_container(container: Mapping[str, Any], *, logs: str) -> Trouble | None:
    state, last = mapping(container.get("state")), mapping(container.get("lastState"))
    waiting = mapping(state.get("waiting"))
    reason, detail = text(waiting.get("reason")), text(waiting.get("message"))
    if reason in _IMAGE_ERRORS:
        message = f'image "{text(container.get("image"))}" cannot be pulled: {reason}'
        return Trouble(message=f"{message}, {detail}" if detail else message, remedy=_SET_IMAGE)
    ended = mapping(state.get("terminated")) or mapping(last.get("terminated"))
    if ended:
        message = f"it ended with exit code {ended.get('exitCode')}"
        line = _last_words(text(ended.get("message")))
        return Trouble(message=f"{message}: {line}" if line else message, remedy=logs)
    if reason and reason not in _STARTS:
        return Trouble(message=f"{reason}: {detail}" if detail else reason, remedy=logs.replace(" --previous", ""))
    return None


def _last_words(log: str) -> str:
    """Return nicplug's last error in the log, otherwise the last line; the manifests set FallbackToLogsOnError."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
    return (errors or lines or [""])[-1][:_QUOTED_CHARACTERS]


def _is_starting(status: Mapping[str, Any]) -> bool:
    scheduled = find_condition(objects(status.get("conditions")), "PodScheduled")
    states = [mapping(mapping(item.get("state")).get("waiting")) for item in objects(status.get("containerStatuses"))]
    is_waiting = not states or any(text(state.get("reason")) in _STARTS for state in states)
    return scheduled is not None and scheduled.get("status") == "True" and is_waiting
