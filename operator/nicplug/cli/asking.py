"""Questions to `nicplug api`, for those who cannot read nodes, DaemonSets or pods themselves."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from nicplug.cli.connection import Session
from nicplug.cli.subresources import VMIS, VMS, path_of
from nicplug.kube.errors import ApiError, Denied, Gone, Unavailable
from nicplug.kube.resources import VIRTUAL_MACHINES

if TYPE_CHECKING:
    from nicplug.insight.evidence import Evidence, Target
    from nicplug.insight.question import PlanQuestion
    from nicplug.model.networks import Network

Json = dict[str, Any]
FROM_KUBECONFIG, FROM_API = "kubeconfig", "api"


def is_enough(evidence: "Evidence | None") -> bool:
    """Whether all that counts could be read: what nobody serves is no lack of rights."""
    return evidence is not None and not any(item.is_denied for item in evidence.unknown)


@dataclass(frozen=True, slots=True)
class ReadAsUser:
    """The evidence that the user may read, or why it cannot be read."""

    found: "Evidence | None"
    error: Denied | None = None

    @property
    def is_none(self) -> bool:
        """The user may look, and there is nothing of that name."""
        return self.found is not None and self.found.vm is None and self.found.vmi is None

    def must(self) -> "Evidence":
        """The evidence, where nobody else can be asked.

        Raises:
            Denied: it cannot be read.
        """
        if self.found is None:
            raise self.error or Denied("the evidence cannot be read", status=403)
        return self.found


async def read_as_user(session: Session, target: "Target", *, networks: "Iterable[Network]" = ()) -> ReadAsUser:
    """Read with the rights of the kubeconfig.

    Raises:
        ApiError: any other than that a right is missing.
    """
    from nicplug.cli.machines import now
    from nicplug.insight.evidence import read_evidence

    try:
        return ReadAsUser(await read_evidence(session.api, target=target, clock=now, networks=networks))
    except Denied as error:
        if error.status == 401 or not error.is_missing_right:
            raise
        return ReadAsUser(None, error)


async def ask_plan(session: Session, name: str, question: "PlanQuestion", *, must: bool = False) -> Json | None:
    """The plan as `nicplug api` foresees it; None where it cannot be asked.

    Args:
        must: nobody else can answer, so that it is an error when it cannot be asked.

    Raises:
        ApiError: what it has against the question, or why it cannot be asked.
    """
    return await _ask(session, "PUT", name, "nicplan", body=json.dumps(question.to_json()).encode(), must=must)


async def ask_stories(session: Session, name: str, nic: str, *, must: bool = False) -> list[Json] | None:
    """The stories as `nicplug api` tells them; None where it cannot be asked.

    Args:
        nic: one NIC; "" for each that is not ready.
        must: as for `ask_plan`.

    Raises:
        ApiError: what it has against the question, or why it cannot be asked.
    """
    answer = await _ask(session, "GET", name, "nicstory", query=urlencode({"nic": nic}) if nic else "", must=must)
    return list(answer.get("items") or []) if answer is not None else None


async def _ask(
    session: Session,
    method: str,
    name: str,
    subresource: str,
    *,
    body: bytes | None = None,
    query: str = "",
    must: bool,
) -> Json | None:
    """First the VM of that name, then a VMI that belongs to none."""
    first: Gone | None = None
    for plural in (VMS, VMIS):
        path = path_of(session, plural, name, subresource) + (f"?{query}" if query else "")
        try:
            answer = json.loads(await session.api.request(method, path, body=body, accept="application/json"))
            return answer if isinstance(answer, dict) else None
        except Gone as error:
            if error.is_not_served:
                return _raise_if(must, error)
            first = first or error
        except Denied as error:
            if not error.is_missing_right:
                raise
            return _raise_if(must, await _refusal_of_vm(session, name) or error if must else error)
        except Unavailable as error:
            # The aggregated API alone: without the API server there is no answer at all.
            return _raise_if(must or error.status not in (502, 503, 504), error)
    assert first is not None
    raise first


def _raise_if(must: bool, error: ApiError) -> Json | None:
    """None: nobody answers, and the caller reads for itself."""
    if must:
        raise error
    return None


async def _refusal_of_vm(session: Session, name: str) -> Denied | None:
    """A caller who may not read the VM gets that refusal, not the one of the subresource."""
    try:
        await session.api.get(VIRTUAL_MACHINES, name=name, namespace=session.namespace)
    except Denied as error:
        return error
    except ApiError:
        pass
    return None
