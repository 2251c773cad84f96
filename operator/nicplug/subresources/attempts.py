"""Read, decide, write; and again from fresh data when the write meets a change, a bounded number of times."""

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

# The VM controller writes the same list while it works requests off: a few in a row are ordinary.
ATTEMPTS = 10
_FIRST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 0.2
# The words of the API server for a PUT of an object that has changed.
CHANGES_ALL_THE_TIME = "the object has been modified; please apply your changes to the latest version and try again"

Decide = Callable[[int], Awaitable[Answer]]
"""Takes the number of the attempt, from 0: the first may be decided on what was so a moment ago."""
AnyWrite = Write | PatchSpec
RefusedWrite = Callable[[ApiError, AnyWrite], Answer]
"""Words the API server's answer to a write."""


async def attempt(
    objects: Objects, decide: Decide, *, about: Endpoint, key: ObjectKey, refused: RefusedWrite
) -> Answer:
    """Answer one request.

    Args:
        decide: reads the objects as they are now, and says what is to be written.
        about: what is asked, for texts.
        refused: words an answer of the API server to a write.
    """
    for number in range(ATTEMPTS):
        if number:
            pause = min(_FIRST_PAUSE_SECONDS * 2 ** (number - 1), _LONGEST_PAUSE_SECONDS)
            # Not in step with who else writes.
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
    return conflict(about, key.name, CHANGES_ALL_THE_TIME)


def refused_interface(endpoint: Endpoint) -> RefusedWrite:
    """How KubeVirt words a refused patch of `addinterface` and `removeinterface`."""

    def word(error: ApiError, write: AnyWrite) -> Answer:
        subresource = None if isinstance(write, Create) else write.subresource
        return patch_failed(
            endpoint, subresource=subresource, code=error.status, reason=error.reason, message=str(error)
        )

    return word


def refused_other(error: ApiError, _: AnyWrite) -> Answer:
    """How KubeVirt words any other refused write."""
    return not_written(str(error))
