"""Bodies of requests: as Go writes JSON, and as they are where they are text already."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import aiohttp

from nicplug.kube import go_json

JSON_PATCH = "application/json-patch+json"

# The library would encode a text once more, so it gets something else, and the text is put in its place.
_text: ContextVar[bytes | None] = ContextVar("_text", default=None)


@contextmanager
def sending(body: Any) -> Iterator[Any]:
    """What to give to the library as the body of the one request that is sent meanwhile."""
    is_text = isinstance(body, bytes)
    token = _text.set(body if is_text else None)
    try:
        # Of anything but a list the library thinks that it is no JSON patch.
        yield [] if is_text else body
    finally:
        _text.reset(token)


async def encode_as_go(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """A middleware: where the API server compares texts, what Python has encoded would never be equal."""
    if (text := _text.get()) is not None:
        await request.update_body(text)
        return await handler(request)
    is_patch = request.headers.get("Content-Type") == JSON_PATCH
    is_compared = is_patch or request.url.path.endswith("/controllerrevisions")
    if is_compared and isinstance(request.body, aiohttp.Payload):
        encoded = await request.body.as_bytes()
        if not is_patch or go_json.needs_encoding(encoded):
            await request.update_body(go_json.encode(json.loads(encoded)))
    return await handler(request)
