"""Reads, decides and writes; after a conflicting change, again from fresh data, at most `ATTEMPTS` times."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from nicplug.kube.errors import AlreadyExists, ApiError, Gone, Stale
from nicplug.model.keys import ObjectKey
from nicplug.plan.actions import Create, PatchSpec
from nicplug.plan.subresources.answers import Answer, Endpoint, Write, conflict, not_written, patch_failed, read_failed
from nicplug.subresources.objects import Objects

log = structlog.get_logger(__name__)

# The VM controller writes the same list while it processes requests: several conflicts in a row are normal.
ATTEMPTS = 10
_FIRST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 0.2
# The API server's message for a PUT of an object that has changed.
KEEPS_CHANGING = "the object has been modified; please apply your changes to the latest version and try again"

Decide = Callable[[int], Awaitable[Answer]]
"""Takes the number of the attempt, from 0: the first one may decide on slightly stale objects."""
AnyWrite = Write | PatchSpec
RefusedWrite = Callable[[ApiError, AnyWrite], Answer]
"""Turns the API server's refusal of a write into an answer."""


async def attempt(
    objects: Objects, decide: Decide, *, about: Endpoint, key: ObjectKey, refused: RefusedWrite
) -> Answer:
    """Answer one request.

    Args:
        decide: reads the current objects, and returns the answer with what to write.
        about: the subresource's kind, for messages.
        refused: turns the API server's refusal of a write into an answer.
    """
    for number in range(ATTEMPTS):
        if number:
            pause = min(_FIRST_PAUSE_SECONDS * 2 ** (number - 1), _LONGEST_PAUSE_SECONDS)
            # Jitter, so as not to stay in step with other writers.
            await asyncio.sleep(random.uniform(pause / 2, pause))
        try:
            answer = await decide(number)
        except ApiError as error:
            return read_failed(about, key.name, str(error))
        writes: list[AnyWrite] = [item for item in (answer.first, answer.write) if item is not None]
        for write in writes:
            try:
                await objects.write(write)
            except (Stale, Gone, AlreadyExists) as error:
                log.debug("the object has changed; deciding again", object=str(key), error=str(error))
                break
            except ApiError as error:
                log.warning("the API server refused a write", object=str(key), error=str(error), request=error.request)
                return refused(error, write)
        else:
            return answer
    return conflict(about, key.name, KEEPS_CHANGING)


def refused_interface(endpoint: Endpoint) -> RefusedWrite:
    """Return KubeVirt's wording for a refused patch of `addinterface` and `removeinterface`."""

    def word(error: ApiError, write: AnyWrite) -> Answer:
        subresource = None if isinstance(write, Create) else write.subresource
        return patch_failed(
            endpoint, subresource=subresource, code=error.status, reason=error.reason, message=str(error)
        )

    return word


def refused_other(error: ApiError, _: AnyWrite) -> Answer:
    """Return KubeVirt's wording for any other refused write."""
    return not_written(str(error))
