"""Check that a drain migrates guests: the eviction webhook is registered, and points to the aggregated API."""

from collections.abc import Mapping
from typing import Any

from nicplug.cli.connection import Session
from nicplug.cli.doctor.finding import Finding, ok, unknown, warning
from nicplug.kube.errors import APPLY_MANIFESTS, Denied, Gone
from nicplug.kube.resources import VALIDATING_WEBHOOK_CONFIGURATIONS
from nicplug.model.conditions import find_condition
from nicplug.model.metadata import mapping, objects, text

_CHECK = "evictions"
_NAME = "nicplug-evictions"
_MEANS = "a drain waits for protected guests and migrates none"


async def check_evictions(session: Session, api_service: Mapping[str, Any]) -> Finding:
    """Check that the webhook exists, has the Service, port and CA of the APIService, and that the API is available."""
    try:
        found = await session.api.get(VALIDATING_WEBHOOK_CONFIGURATIONS, name=_NAME)
    except Gone:
        return warning(_CHECK, f"there is no ValidatingWebhookConfiguration {_NAME}: {_MEANS}", f"{APPLY_MANIFESTS}.")
    except Denied as error:
        return unknown(_CHECK, str(error))
    config = mapping(next(iter(objects(found.get("webhooks"))), {}).get("clientConfig"))
    registered = mapping(api_service.get("spec"))
    if _service(config) != _service(registered):
        message = f"{_NAME} points to Service {_service(config)}, the APIService to {_service(registered)}: {_MEANS}"
        return warning(_CHECK, message, f"{APPLY_MANIFESTS}.")
    if text(config.get("caBundle")) != text(registered.get("caBundle")):
        message = f"{_NAME} has a different CA than the APIService: {_MEANS}"
        return warning(_CHECK, message, "Wait some seconds for nicplug api to update it; otherwise see its log.")
    available = find_condition(objects(mapping(api_service.get("status")).get("conditions")), "Available") or {}
    if available.get("status") != "True":
        return warning(_CHECK, f"nicplug api does not answer: {_MEANS}", "Follow the remedy of the check api.")
    return ok(_CHECK, "a drain migrates guests")


def _service(config: Mapping[str, Any]) -> str:
    service = mapping(config.get("service"))
    return f"{text(service.get('namespace'))}/{text(service.get('name'))}:{service.get('port') or 443}"
