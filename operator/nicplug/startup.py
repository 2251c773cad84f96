"""What must be true before the watches open: the API server answers and the CRDs are served."""

import asyncio

import structlog

from nicplug.kube.api import Json, KubeApi
from nicplug.kube.errors import RIGHTS_REMEDY, ApiError, Denied, Gone
from nicplug.kube.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    KUBEVIRTS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
)
from nicplug.model.metadata import mapping, sequence

log = structlog.get_logger(__name__)

_FIRST_DELAY_SECONDS = 0.2
_MAXIMUM_DELAY_SECONDS = 2.0
_WATCHED = (VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, KUBEVIRTS)


class StartError(Exception):
    """The operator cannot start as it is configured; the text says what to change."""


class BadSetting(StartError):
    """A setting is wrong in a way that only shows when it is used; the text names its variable."""


async def wait_for_api(api: KubeApi) -> None:
    """Wait until every watched CRD is established; says what is missing whenever that changes."""
    said, delay = "", _FIRST_DELAY_SECONDS
    while problem := await _problem(api):
        if problem != said:
            log.warning("waiting", problem=problem)
            said = problem
        await asyncio.sleep(delay)
        delay = min(delay * 2, _MAXIMUM_DELAY_SECONDS)


async def _problem(api: KubeApi) -> str:
    for resource in _WATCHED:
        name = f"{resource.plural}.{resource.group}"
        try:
            definition = await api.get(CUSTOM_RESOURCE_DEFINITIONS, name=name)
        except Gone:
            return f"CRD {name} is not installed: kubectl apply -f crds/"
        except Denied as error:
            return f"{error}. {RIGHTS_REMEDY}"
        except ApiError as error:
            return f"the API server does not answer as it should: {error}"
        if not _is_established(definition):
            return f"CRD {name} is not established yet"
    return ""


def _is_established(definition: Json) -> bool:
    conditions = sequence(mapping(definition.get("status")).get("conditions"))
    return any(row.get("type") == "Established" and row.get("status") == "True" for row in conditions)
