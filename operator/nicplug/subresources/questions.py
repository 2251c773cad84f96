"""`nicplan` and `nicstory`: answers `nicplug plan` and `nicplug why` for users who cannot read nodes and pods.

Reads with the permissions of this process; the answer contains only what concerns the VM in question. Writes nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from nicplug.apiserver import statuses
from nicplug.apiserver.bodies import BadBody, decode
from nicplug.apiserver.calls import READ, UPDATE, Call, Found, Handler, Handlers, Subresource
from nicplug.apiserver.calls import Answer as Reply
from nicplug.apiserver.statuses import Status
from nicplug.insight.evidence import Evidence, Target
from nicplug.insight.forecast_json import forecast_json
from nicplug.insight.planning import NothingToChange, foresee_question
from nicplug.insight.question import BadQuestion, PlanQuestion, parse_question
from nicplug.insight.reading import read_machine
from nicplug.insight.stories import NoSuchNic, read_stories
from nicplug.insight.story_json import story_json
from nicplug.insight.trimmed import trimmed_plan, trimmed_unknown
from nicplug.kube.api import WatchingApi
from nicplug.kube.errors import ApiError, Denied
from nicplug.model.keys import ObjectKey
from nicplug.model.requests import AddInterface
from nicplug.plan.nic.requested import object_to
from nicplug.plan.subresources.answers import Endpoint
from nicplug.subresources.cluster import NodeSide
from nicplug.subresources.knowledge import Knowledge
from nicplug.subresources.requester import Requesters

log = structlog.get_logger(__name__)

PLAN, STORY = "nicplan", "nicstory"
API_VERSION = "cli.nicplug.io/v1"
MOST_AT_A_TIME = 8
"""Questions that are answered concurrently: each costs a dozen reads, `addinterface` costs two."""

_RESOURCES = {Endpoint.VM: "virtualmachines", Endpoint.VMI: "virtualmachineinstances"}
_NAME = "nic"


class _Refused(Exception):
    """Ends the processing of a question with an answer."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.message)
        self.status = status


@dataclass(slots=True)
class Questions:
    """Answers questions about VMs; changes nothing."""

    api: WatchingApi
    knowledge: Knowledge
    node_side: NodeSide
    requesters: Requesters
    kubevirt_namespace: str
    _under_way: int = 0

    def handlers(self) -> Handlers:
        """Return the handlers by subresource."""
        found: dict[Subresource, Handler] = {}
        for endpoint, resource in _RESOURCES.items():
            found[Subresource(resource=resource, name=PLAN, verb=UPDATE)] = self._answering(endpoint, self._plan)
            found[Subresource(resource=resource, name=STORY, verb=READ)] = self._answering(endpoint, self._stories)
        return found

    def _answering(
        self, endpoint: Endpoint, answer: Callable[[Call, Endpoint], Awaitable[Mapping[str, Any]]]
    ) -> Callable[[Call], Coroutine[Any, Any, Reply]]:
        async def carry(call: Call) -> Reply:
            try:
                async with self._place():
                    return Found(await answer(call, endpoint))
            except _Refused as refused:
                return refused.status
            except Denied as error:
                log.error("a question cannot be answered", error=str(error), request=error.request)
                return statuses.service_unavailable("nicplug api may not read what plans and stories need")
            except ApiError as error:
                log.warning("a question cannot be answered", error=str(error), request=error.request)
                return statuses.service_unavailable("the API server does not answer what plans and stories need")

        return carry

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if problem := self.knowledge.problem:
            raise _Refused(statuses.service_unavailable(problem))
        if self._under_way >= MOST_AT_A_TIME:
            raise _Refused(statuses.too_many_requests())
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def _plan(self, call: Call, endpoint: Endpoint) -> Mapping[str, Any]:
        try:
            question = parse_question(decode(call.body))
        except (BadBody, BadQuestion) as error:
            raise _Refused(statuses.bad_request(str(error))) from None
        evidence = await self._read(call, endpoint)
        forbidden = await self._forbidden(call, question, evidence, endpoint)
        try:
            vm_forecast = foresee_question(evidence, question, forbidden=forbidden, now=evidence.clock())
        except NothingToChange as error:
            raise _Refused(statuses.bad_request(f"{error}. {error.remedy}")) from None
        answer = trimmed_plan(forecast_json(vm_forecast, unknown=trimmed_unknown(evidence.unknown)))
        return {"apiVersion": API_VERSION, **answer}

    async def _stories(self, call: Call, endpoint: Endpoint) -> Mapping[str, Any]:
        names = [value for name, value in call.query if name == _NAME]
        if len(names) > 1:
            raise _Refused(statuses.bad_request(f"the parameter {_NAME} can be given once"))
        evidence = await self._read(call, endpoint)
        try:
            stories = await read_stories(self.api, evidence, names[0] if names else "", now=evidence.clock())
        except NoSuchNic as error:
            raise _Refused(_not_found(f"{error}. It has: {error.known}", call)) from None
        unknown = trimmed_unknown(evidence.unknown)
        items = [story_json(story, target=evidence.target, unknown=unknown) for story in stories]
        return {"apiVersion": API_VERSION, "kind": "NicStoryList", "items": items}

    async def _read(self, call: Call, endpoint: Endpoint) -> Evidence:
        """Read the evidence about one VM; that about the cluster may be some seconds old."""
        target = Target(namespace=call.namespace, name=call.name, kubevirt_namespace=self.kubevirt_namespace)
        unknown, found = await asyncio.gather(
            self.node_side.read(),
            read_machine(self.api, target=target, cluster=self.knowledge.caches, clock=lambda: datetime.now(UTC)),
        )
        found.unknown += unknown
        if (found.vm if endpoint is Endpoint.VM else found.vmi) is None:
            raise _Refused(_not_found(f'{endpoint.value}.kubevirt.io "{call.name}" not found', call))
        return found

    async def _forbidden(
        self, call: Call, question: PlanQuestion, evidence: Evidence, endpoint: Endpoint
    ) -> dict[str, str]:
        """Return the networks that the caller may not use, with reasons, if `requireNadAccess` is set."""
        config = self.knowledge.config
        if config is None or not config.nad_rules.requester_must_read:
            return {}
        key, refused = ObjectKey(call.namespace, call.name), {}
        for reference in _references(question, evidence):
            request = AddInterface(name="nic", network=reference)
            if object_to(request, vm=None, vmi=None) is not None:
                # The answer only says what is wrong with a name that no network can have.
                continue
            if (answer := await self.requesters.refuse(call.caller, request, endpoint=endpoint, key=key)) is not None:
                refused[reference] = answer.message
        return refused


def _references(question: PlanQuestion, evidence: Evidence) -> Iterable[str]:
    """Return the requested networks, each once; of a whole spec, those that neither VM nor VMI has yet."""
    owners = [owner for owner in (evidence.parsed_vm, evidence.parsed_vmi) if owner is not None]
    had = {network.attachment for owner in owners for network in owner.networks} if question.spec is not None else set()
    return dict.fromkeys(
        item.attachment for item in question.networks if item.attachment and item.attachment not in had
    )


def _not_found(message: str, call: Call) -> Status:
    details = statuses.Details(name=call.name, group="kubevirt.io", kind=call.subresource.resource)
    return Status(code=404, reason="NotFound", message=message, details=details)
