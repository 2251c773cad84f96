"""A webhook of virt-api and an API server that drops its question."""

import asyncio
import logging

import pytest
from aiohttp import web

from nicplug_sandbox.kubevirt.objects import Json
from nicplug_sandbox.kubevirt.webhooks import _handler


async def _drop_a_question(answered: list[Json]) -> None:
    async def answer(request: Json) -> Json:
        answered.append(request)
        return {}

    app = web.Application()
    app.router.add_post("/validator", _handler(answer))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        _, writer = await asyncio.open_connection(*runner.addresses[0])
        writer.write(b"POST /validator HTTP/1.1\r\nHost: virt-api\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.1)
    finally:
        await runner.cleanup()


def test_a_dropped_question_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    answered: list[Json] = []
    with caplog.at_level(logging.ERROR):
        asyncio.run(asyncio.wait_for(_drop_a_question(answered), 10))
    assert not answered
    assert not caplog.records
