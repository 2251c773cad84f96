"""Which mode the cluster is in, by a question that every signed-in user may ask."""

import json

from nicplug.cli.connection import Session
from nicplug.kube.errors import ApiError, Unavailable
from nicplug.kube.resources import VIRTUAL_MACHINE_INSTANCES
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.mode import Mode


async def mode_of(session: Session) -> Mode:
    """Return the mode by discovery: KubeVirt's VMIs have no status subresource, and nicplug's have.

    Not by the CRDs, which users may not read and which are large. Without an answer: standalone.

    Raises:
        Unavailable: the API server does not answer.
    """
    group_version = VIRTUAL_MACHINE_INSTANCES.api_version
    try:
        answer = await session.api.request("GET", f"/apis/{group_version}", accept="application/json")
        resources = objects(mapping(json.loads(answer)).get("resources"))
    except Unavailable as error:
        if not error.status:
            raise
        return Mode.STANDALONE
    except (ApiError, ValueError):
        return Mode.STANDALONE
    served = {text(item.get("name")) for item in resources}
    plural = VIRTUAL_MACHINE_INSTANCES.plural
    return Mode.COMPANION if plural in served and f"{plural}/status" not in served else Mode.STANDALONE
