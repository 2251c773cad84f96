"""When the requests of one hot-plug were received and answered, by the API server's own audit log.

A line of a watch may be read late, on a busy machine by as much as a whole hot-plug takes; the audit log is not.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nicplug_sandbox import audit
from nicplug_sandbox.api_process import SERVICE_ACCOUNT
from nicplug_sandbox.story.sight import NicSight

PEOPLE, OPERATOR, API, NODE = ("kubectl", "nicplug-cli"), "nicplug", "nicplug-api", "nicplug-sandbox-node"
_VMIS, _PODS = "virtualmachineinstances", "pods"
# A person's request of a subresource is an update.
_VERBS = ("patch", "update")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One PATCH or PUT that was not refused.

    Attributes:
        agent: the program that sent it; `nicplug api` by its account, as it names itself as the operator does.
        resource: with its subresource.
    """

    agent: str
    resource: str
    name: str
    received: datetime
    answered: datetime


def requests(log: Path, *, offset: int) -> list[Request]:
    """What was written after the first `offset` bytes, in the order in which it was received."""
    found = [_request(entry) for entry in audit.entries(log, offset=offset) if _is_done(entry)]
    return sorted(found, key=lambda request: request.received)


def asked_at(found: Sequence[Request]) -> datetime | None:
    """When the API server received what the user asked for; None if that is not among them."""
    return next((request.received for request in found if request.agent in PEOPLE), None)


def own_seconds(found: Sequence[Request], *, nic: NicSight) -> float | None:
    """What a NIC in place cost the operator: from the answers to user and node to the answers to its own.

    Where the user has asked `nicplug api`, the answer that counts is the one to the API's patch of the VMI.
    None if one of the requests is missing, or came in another order.
    """

    def first(agents: Collection[str], resource: str, *, after: Request | None) -> Request | None:
        is_of: Callable[[str], bool] = nic.is_pod_name if resource.startswith(_PODS) else nic.vmi.__eq__
        return next(
            (
                request
                for request in found
                if request.agent in agents
                and request.resource == resource
                and is_of(request.name)
                and (after is None or request.received > after.received)
            ),
            None,
        )

    asked = first((*PEOPLE, API), _VMIS, after=None)
    annotated = asked and first((OPERATOR,), _PODS, after=asked)
    attached = annotated and first((NODE,), f"{_PODS}/status", after=annotated)
    told = attached and first((OPERATOR,), f"{_VMIS}/status", after=attached)
    if asked is None or annotated is None or attached is None or told is None:
        return None
    return _seconds(asked, annotated) + _seconds(attached, told)


def _seconds(cause: Request, effect: Request) -> float:
    # An effect may overtake the answer to its cause: watches tell before the answer is sent.
    return max(0.0, (effect.answered - cause.answered).total_seconds())


def _is_done(entry: dict[str, Any]) -> bool:
    if "dryRun=" in entry.get("requestURI", ""):  # by `nicplug plan`
        return False
    return entry["verb"] in _VERBS and 200 <= int(entry.get("responseStatus", {}).get("code", 0)) < 300


def _request(entry: dict[str, Any]) -> Request:
    target = entry.get("objectRef", {})
    is_api = str(entry["user"]["username"]).endswith(f":{SERVICE_ACCOUNT}")
    return Request(
        agent=API if is_api else str(entry.get("userAgent", "")).partition("/")[0],
        resource="/".join(filter(None, [target.get("resource"), target.get("subresource")])),
        name=str(target.get("name", "")),
        received=datetime.fromisoformat(entry["requestReceivedTimestamp"]),
        answered=datetime.fromisoformat(entry["stageTimestamp"]),
    )
