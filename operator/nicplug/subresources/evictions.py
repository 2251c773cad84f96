"""Answers evictions of launcher pods: reads pod and VMI, and marks the VMI."""

from dataclasses import dataclass

import structlog

from nicplug.apiserver.reviews import Review
from nicplug.apiserver.statuses import Status, service_unavailable
from nicplug.kube.errors import ApiError
from nicplug.model.keys import ObjectKey
from nicplug.plan.subresources.migrate import ask_eviction, owner_of_guest
from nicplug.subresources.knowledge import Knowledge
from nicplug.subresources.objects import Objects

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Evictions:
    """Reviews evictions: each costs two reads, and the first one of a guest a write."""

    objects: Objects
    knowledge: Knowledge

    async def review(self, review: Review) -> str | Status:
        """Return why the eviction is refused for now; "" leaves it to the budgets; a Status if that is unknown."""
        if problem := self.knowledge.problem:
            return service_unavailable(problem)
        try:
            pod = await self.objects.pod(ObjectKey(review.namespace, review.name))
        except ApiError as error:
            log.warning("pod of an eviction not read; its budget decides", pod=review.name, error=str(error))
            return ""
        name = owner_of_guest(pod) if pod is not None else ""
        if pod is None or not name:
            return ""
        try:
            vmi = await self.objects.vmi(ObjectKey(review.namespace, name))
        except ApiError as error:
            return f"kubevirt failed getting the vmi: {error}"
        answer = ask_eviction(pod=pod, vmi=vmi, config=self.knowledge.config)
        if answer.mark is not None and not review.is_dry_run:
            try:
                await self.objects.write(answer.mark)
            except ApiError as error:
                return f"kubevirt failed marking the vmi for eviction: {error}"
        return answer.refusal
