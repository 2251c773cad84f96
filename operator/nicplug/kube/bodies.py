"""Encodes request bodies as Go does; sends bodies that are already text unchanged."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import aiohttp

from nicplug.kube import go_json

JSON_PATCH = "application/json-patch+json"

# The library would encode text again. It gets a placeholder, which the middleware replaces with the text.
_text: ContextVar[bytes | None] = ContextVar("_text", default=None)


@contextmanager
def sending(body: Any) -> Iterator[Any]:
    """Yield the body to pass to the library for the one request sent inside the context."""
    is_text = isinstance(body, bytes)
    token = _text.set(body if is_text else None)
    try:
        # The library treats a body as a JSON patch only if it is a list.
        yield [] if is_text else body
    finally:
        _text.reset(token)


async def encode_as_go(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Middleware that re-encodes bodies as Go does, where the API server compares encoded text with its own."""
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
