"""Questions to `nicplug api`, for users who cannot read nodes, DaemonSets or pods themselves."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from nicplug.cli.connection import Session
from nicplug.cli.subresources import VMIS, VMS, path_of
from nicplug.kube.errors import ApiError, Denied, Gone, Unavailable
from nicplug.kube.resources import VIRTUAL_MACHINES
from nicplug.model.mode import Mode

if TYPE_CHECKING:
    from nicplug.insight.evidence import Evidence, Target
    from nicplug.insight.question import PlanQuestion
    from nicplug.model.networks import Network

Json = dict[str, Any]
FROM_KUBECONFIG, FROM_API = "kubeconfig", "api"


@dataclass(frozen=True, slots=True)
class ReadAsUser:
    """The evidence that the user can read, or why it cannot be read.

    Attributes:
        mode: that of the cluster.
    """

    found: "Evidence | None"
    error: Denied | None = None
    mode: Mode = Mode.STANDALONE

    @property
    def asks_api(self) -> bool:
        """True if `nicplug api`, which only runs in standalone mode, may know more: something was denied."""
        is_enough = self.found is not None and not any(item.is_denied for item in self.found.unknown)
        return self.mode is Mode.STANDALONE and not is_enough

    @property
    def is_none(self) -> bool:
        """True if the user can read VMs and VMIs, and there is none of that name."""
        return self.found is not None and self.found.vm is None and self.found.vmi is None

    def must(self) -> "Evidence":
        """Return the evidence when `nicplug api` cannot be asked instead.

        Raises:
            Denied: the evidence cannot be read.
        """
        if self.found is None:
            raise self.error or Denied("the evidence cannot be read", status=403)
        return self.found


async def read_as_user(session: Session, target: "Target", *, networks: "Iterable[Network]" = ()) -> ReadAsUser:
    """Read the evidence with the permissions of the kubeconfig; a missing permission is part of the result.

    Raises:
        ApiError: any error other than a missing permission.
    """
    from nicplug.cli.machines import now
    from nicplug.cli.mode import mode_of
    from nicplug.insight.reading import read_evidence

    mode = await mode_of(session)
    try:
        found = await read_evidence(session.api, target=target, clock=now, networks=networks, mode=mode)
    except Denied as error:
        if error.status == 401 or not error.is_missing_right:
            raise
        return ReadAsUser(None, error, mode)
    return ReadAsUser(found, None, mode)


async def ask_plan(session: Session, name: str, question: "PlanQuestion", *, must: bool = False) -> Json | None:
    """Return the plan that `nicplug api` makes; None if it cannot be asked.

    Args:
        must: nothing else can answer, so it is an error if `nicplug api` cannot be asked.

    Raises:
        ApiError: `nicplug api` rejects the question, or cannot be asked.
    """
    return await _ask(session, "PUT", name, "nicplan", body=json.dumps(question.to_json()).encode(), must=must)


async def ask_stories(session: Session, name: str, nic: str, *, must: bool = False) -> list[Json] | None:
    """Return the stories of `nicplug api`, as `insight.story_json`; None if it cannot be asked.

    Args:
        nic: name of one NIC; "" for every NIC that is not ready.
        must: nothing else can answer, so it is an error if `nicplug api` cannot be asked.

    Raises:
        ApiError: `nicplug api` rejects the question, or cannot be asked.
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
    """Ask about the VM of that name; if there is none, about a VMI without a VM."""
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
            # Only the aggregated API is unavailable: without the API server there is no answer at all.
            return _raise_if(must or error.status not in (502, 503, 504), error)
    assert first is not None
    raise first


def _raise_if(must: bool, error: ApiError) -> Json | None:
    """Raise if there must be an answer; otherwise return None, and the caller reads for itself."""
    if must:
        raise error
    return None


async def _refusal_of_vm(session: Session, name: str) -> Denied | None:
    """Return the refusal to read the VM: a caller without that permission gets it instead of the subresource's."""
    try:
        await session.api.get(VIRTUAL_MACHINES, name=name, namespace=session.namespace)
    except Denied as error:
        return error
    except ApiError:
        pass
    return None
