"""Decides all waiting requests for NICs of one VM on one read, and records them with one write.

Separately, each would cost three requests to the API server, and all but one would conflict with the writes of the VM
controller, which processes the first ones in the meantime.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from nicplug.kube.errors import ApiError
from nicplug.model.keys import ObjectKey
from nicplug.model.requests import InterfaceRequest
from nicplug.plan.subresources.answers import ACCEPTED, Answer, Endpoint
from nicplug.plan.subresources.interfaces import Together
from nicplug.subresources.attempts import AnyWrite, attempt, refused_interface
from nicplug.subresources.objects import Objects
from nicplug.subresources.turns import OneAtATime

MOST = 64


class Decide(Protocol):
    """Reads the VM, and decides what to write."""

    def __call__(
        self, requests: Sequence[InterfaceRequest], key: ObjectKey, *, may_be_cached: bool
    ) -> Awaitable[Together]:
        """Decide the requests.

        Args:
            may_be_cached: a write may be decided on slightly stale objects.
        """
        ...


@dataclass(slots=True, eq=False)
class _Waiting:
    request: InterfaceRequest
    answer: Answer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestsTogether:
    """Answers requests for NICs of VMs.

    Attributes:
        decide: decides requests that have waited together.
    """

    objects: Objects
    turns: OneAtATime
    decide: Decide
    _waiting: dict[ObjectKey, list[_Waiting]] = field(default_factory=dict)

    async def ask(self, request: InterfaceRequest, key: ObjectKey) -> Answer:
        """Answer one request; the request that has the turn takes along all that wait."""
        mine = _Waiting(request)
        self._waiting.setdefault(key, []).append(mine)
        try:
            async with self.turns.turn(key):
                while mine.answer is None:
                    await self._answer_batch(key, first=mine)
        finally:
            self._forget(mine, key)
        return mine.answer

    async def _answer_batch(self, key: ObjectKey, *, first: _Waiting) -> None:
        waiting = self._waiting.get(key, [])
        batch = [first, *(item for item in waiting if item is not first)][:MOST]
        for item in batch:
            self._forget(item, key)
        # A request that was taken along by a cancelled one gets a turn of its own.
        await self._carry_out(batch, key)

    def _forget(self, item: _Waiting, key: ObjectKey) -> None:
        waiting = self._waiting.get(key, [])
        if item in waiting:
            waiting.remove(item)
        if not waiting:
            self._waiting.pop(key, None)

    async def _carry_out(self, batch: Sequence[_Waiting], key: ObjectKey) -> None:
        decided = Together(())
        refusals: list[ApiError] = []

        async def decide(number: int) -> Answer:
            nonlocal decided
            decided = Together(())
            # If several wait, the VM was written a moment ago.
            may_be_cached = number == 0 and len(batch) == 1
            decided = await self.decide([item.request for item in batch], key, may_be_cached=may_be_cached)
            return replace(ACCEPTED, write=decided.write)

        def refused(error: ApiError, write: AnyWrite) -> Answer:
            refusals.append(error)
            return refused_interface(Endpoint.VM)(error, write)

        whole = await attempt(self.objects, decide, about=Endpoint.VM, key=key, refused=refused)
        again = []
        for place, item in enumerate(batch):
            if place < len(decided.answers) and (whole.code == ACCEPTED.code or place not in decided.recorded):
                item.answer = decided.answers[place]
            elif refusals and len(decided.recorded) > 1:
                again.append(item)
            else:
                item.answer = whole
        # The API server may have refused only one of them.
        for item in again:
            await self._carry_out([item], key)
