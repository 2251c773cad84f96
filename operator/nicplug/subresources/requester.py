"""Whether who asks for a NIC may read its network, where the cluster admin demands that (`requireNadAccess`)."""

from dataclasses import dataclass
from typing import Any

from nicplug.apiserver.calls import Caller
from nicplug.kube.api import KubeApi, Resource
from nicplug.kube.resources import NETWORK_ATTACHMENT_DEFINITIONS
from nicplug.model.interface_requests import AddInterface
from nicplug.model.keys import ObjectKey
from nicplug.model.metadata import mapping
from nicplug.plan.subresources.answers import Answer, Endpoint, forbidden

SUBJECT_ACCESS_REVIEWS = Resource(
    group="authorization.k8s.io",
    version="v1",
    plural="subjectaccessreviews",
    kind="SubjectAccessReview",
    namespaced=False,
)


@dataclass(frozen=True, slots=True)
class Requesters:
    """Asks the API server about those who ask."""

    api: KubeApi

    async def refuse(
        self, caller: Caller, request: AddInterface, *, endpoint: Endpoint, key: ObjectKey
    ) -> Answer | None:
        """Why the caller may not have the network, whether or not it exists; None when it may.

        Raises:
            ApiError: nobody answers that, and then nobody may.
        """
        namespace, name = request.to_network().attachment_reference(namespace=key.namespace)
        review = await self.api.create(SUBJECT_ACCESS_REVIEWS, {"spec": _spec(caller, namespace, name)})
        status = mapping(review.get("status"))
        # An explicit refusal wins, as in the API server.
        if status.get("allowed") is True and status.get("denied") is not True:
            return None
        why = (
            f'user "{caller.name[:256]}" may not get network attachment definition {namespace}/{name}, and '
            "requireNadAccess of the KubeVirt CR demands that. Use another network, or ask the cluster admin"
        )
        return forbidden(endpoint, key.name, why)


def _spec(caller: Caller, namespace: str, name: str) -> dict[str, Any]:
    resource = NETWORK_ATTACHMENT_DEFINITIONS
    attributes = {
        "group": resource.group,
        "version": resource.version,
        "resource": resource.plural,
        "verb": "get",
        "namespace": namespace,
        "name": name,
    }
    spec: dict[str, Any] = {"user": caller.name, "resourceAttributes": attributes, "groups": list(caller.groups)}
    if caller.uid:
        spec["uid"] = caller.uid
    if caller.extra:
        spec["extra"] = {key: list(values) for key, values in caller.extra}
    return spec
