"""Checks that the requester of a NIC may read its network, if the cluster admin demands it (`requireNadAccess`)."""

from dataclasses import dataclass

from nicplug.apiserver.access import SUBJECT_ACCESS_REVIEWS, is_allowed, review_of
from nicplug.apiserver.calls import Caller
from nicplug.kube.api import KubeApi
from nicplug.kube.resources import NETWORK_ATTACHMENT_DEFINITIONS
from nicplug.model.keys import ObjectKey
from nicplug.model.metadata import mapping
from nicplug.model.requests import AddInterface
from nicplug.plan.subresources.answers import Answer, Endpoint, forbidden


@dataclass(frozen=True, slots=True)
class Requesters:
    """Checks callers with SubjectAccessReviews."""

    api: KubeApi

    async def refuse(
        self, caller: Caller, request: AddInterface, *, endpoint: Endpoint, key: ObjectKey
    ) -> Answer | None:
        """Return why the caller may not use the network, whether or not it exists; None if it may.

        Raises:
            ApiError: the review failed, so the network may not be used.
        """
        namespace, name = request.to_network().attachment_reference(namespace=key.namespace)
        review = await self.api.create(SUBJECT_ACCESS_REVIEWS, review_of(caller, _attributes(namespace, name)))
        if is_allowed(mapping(review.get("status"))):
            return None
        why = (
            f'user "{caller.name[:256]}" may not get network attachment definition {namespace}/{name}, and '
            "requireNadAccess of the KubeVirt CR demands that. Use another network, or ask the cluster admin"
        )
        return forbidden(endpoint, key.name, why)


def _attributes(namespace: str, name: str) -> dict[str, str]:
    resource = NETWORK_ATTACHMENT_DEFINITIONS
    return {
        "group": resource.group,
        "version": resource.version,
        "resource": resource.plural,
        "verb": "get",
        "namespace": namespace,
        "name": name,
    }
