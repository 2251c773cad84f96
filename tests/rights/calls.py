"""What nicplug's processes asked an API server for, by its audit log."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

# nicplug's own requests, and the watches that Kopf keeps for it. Tests that try what a stolen token can do use other
# clients: what they are refused is their subject, and what they are allowed needs no right.
_AGENTS = re.compile(r"nicplug|kopf/.*")
_DECISION = "authorization.k8s.io/decision"
_FORBIDDEN = 403


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request.

    Attributes:
        account: who asked.
        namespace: "" for all namespaces, and for what has none.
        group: API group; "" for the core, and for what is no resource.
        resource: with its subresource; the path of what is no resource.
        name: of the object; also of a list or watch of one object.
        at: seconds since the epoch, when it was received.
        is_allowed: the API server's authorizer let it through; admission may have refused it nevertheless.
        refusal: the message of an answer with code 403; "" for any other.
    """

    account: str
    namespace: str
    group: str
    resource: str
    name: str
    verb: str
    at: float
    is_allowed: bool
    refusal: str

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.account}: {self.verb} {resource} {self.namespace}/{self.name}: {self.refusal}"


def read_calls(log: Path, *, accounts: Iterable[str], agents: re.Pattern[str] = _AGENTS) -> Iterator[Call]:
    """The calls of the accounts' processes in an audit log; half a line at its end is left out.

    Args:
        agents: matches the whole name by which those processes call themselves.
    """
    wanted = frozenset(accounts)
    with log.open("rb") as lines:
        for line in lines:
            # Most lines are of others: parsing them would take seconds.
            if not line.endswith(b"\n") or b":serviceaccount:" not in line:
                continue
            if call := _call(json.loads(line), wanted, agents):
                yield call


def _call(entry: Mapping[str, Any], accounts: frozenset[str], agents: re.Pattern[str]) -> Call | None:
    account = entry["user"]["username"]
    # Of an impersonated request the user is the one who impersonates.
    if account not in accounts or not agents.fullmatch(entry.get("userAgent", "")):
        return None
    seen = entry.get("objectRef", {})
    parts = (seen.get("resource", entry["requestURI"].split("?")[0]), seen.get("subresource", ""))
    status = entry.get("responseStatus", {})
    message = status.get("message") or "no message"
    return Call(
        account=account,
        namespace=seen.get("namespace", ""),
        group=seen.get("apiGroup", ""),
        resource="/".join(filter(None, parts)),
        name=seen.get("name", ""),
        verb=entry["verb"],
        at=datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp(),
        is_allowed=entry.get("annotations", {}).get(_DECISION) == "allow",
        refusal=message if status.get("code") == _FORBIDDEN else "",
    )
