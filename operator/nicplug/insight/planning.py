"""From a question for a plan to the change whose consequences are foreseen. Pure but for the evidence."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from nicplug.insight.changes import with_lists, with_requests
from nicplug.insight.evidence import Evidence
from nicplug.insight.forecast import VmForecast, forecast
from nicplug.insight.nic_names import free_name
from nicplug.insight.question import PlanQuestion
from nicplug.insight.requests import answer_to
from nicplug.model.interface_requests import AddInterface, InterfaceRequest, RemoveInterface
from nicplug.plan.subresources.answers import Answer


class NothingToChange(Exception):
    """The object that would be changed does not exist.

    Attributes:
        remedy: what to ask for instead.
    """

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedChange:
    """Single changes, after the checks that `addinterface` and `removeinterface` make.

    Attributes:
        raw: the object that would be changed; None when nothing is accepted.
    """

    raw: dict[str, Any] | None
    accepted: tuple[InterfaceRequest, ...]
    refusals: tuple[str, ...]


def weigh(evidence: Evidence, question: PlanQuestion, *, forbidden: Mapping[str, str] | None = None) -> WeighedChange:
    """Ask the checks of the subresources about each single change.

    Args:
        forbidden: networks that the caller may not use, by their references, with the reason. Nothing else is said
            of them.

    Raises:
        NothingToChange: there is no template, or no instance.
    """
    requests = _requests(evidence, question)
    raw = _object_of(evidence, question) if requests else None
    accepted, refusals = [], []
    for request in requests:
        why = (forbidden or {}).get(request.network, "") if isinstance(request, AddInterface) else ""
        answer = answer_to(evidence, request, persist=question.persist) if not why else None
        if why or _is_refused(answer):
            refusals.append(why or (answer.message if answer is not None else ""))
        else:
            accepted.append(request)
    return WeighedChange(raw=raw if accepted else None, accepted=tuple(accepted), refusals=tuple(refusals))


def _object_of(evidence: Evidence, question: PlanQuestion) -> dict[str, Any]:
    """What would be changed."""
    if (raw := evidence.vm if question.persist else evidence.vmi) is not None:
        return raw
    remedy = "Add --persist to plan for the template." if not question.persist else "Leave --persist out."
    what = "VM" if question.persist else "VMI"
    raise NothingToChange(f"VM {evidence.target.name} has no {what} to change", remedy=remedy)


def _is_refused(answer: Answer | None) -> bool:
    return answer is not None and answer.code >= 400


def foresee_question(
    evidence: Evidence, question: PlanQuestion, *, forbidden: Mapping[str, str], now: datetime
) -> VmForecast:
    """The answer where no dry run is made.

    Args:
        forbidden: as for `weigh`.

    Raises:
        NothingToChange: there is no template, or no instance.
    """
    if question.spec is not None:
        refusals, raw = tuple(forbidden.values()), _object_of(evidence, question)
        changed = with_lists(raw, question.spec) if not refusals else None
        return replace(forecast(evidence, changed=changed, now=now), refusals=refusals)
    weighed = weigh(evidence, question, forbidden=forbidden)
    changed = with_requests(weighed.raw, weighed.accepted)[1] if weighed.raw is not None else None
    return replace(forecast(evidence, changed=changed, now=now), refusals=weighed.refusals)


def _requests(evidence: Evidence, question: PlanQuestion) -> list[InterfaceRequest]:
    owners = [owner for owner in (evidence.parsed_vm, evidence.parsed_vmi) if owner is not None]
    taken = {item.name for owner in owners for item in owner.interfaces}
    taken |= {item.name for owner in owners for item in owner.networks}
    requests: list[InterfaceRequest] = [RemoveInterface(name=name) for name in question.removals]
    for item in question.additions:
        name = item.name or free_name(item.network, taken=taken)
        taken.add(name)
        requests.append(AddInterface(name=name, network=item.network))
    return requests
