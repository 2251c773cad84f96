"""The simulator's requests as they leave it."""

import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.configuration import Configuration

from nicplug_sandbox.node.api import JSON_PATCH, VIRTUAL_MACHINE_INSTANCES, Api, Json
from nicplug_sandbox.node.vmi_writes import guarded_patch


async def sent(body: Any) -> bytes:
    """The bytes of a JSON patch of a VMI's status."""
    bodies: list[bytes] = []

    async def on_patch(request: web.Request) -> web.Response:
        assert request.content_type == JSON_PATCH
        bodies.append(await request.read())
        return web.json_response({})

    app = web.Application()
    app.router.add_patch("/{path:.*}", on_patch)
    async with TestServer(app) as server:
        configuration = Configuration(host=str(server.make_url("/")))
        async with Api(configuration=configuration, connections=1) as api:
            await api.patch(
                VIRTUAL_MACHINE_INSTANCES, body,
                name="vm", namespace="default", subresource="status", content_type=JSON_PATCH,
            )  # fmt: skip
    return bodies[0]


def vmi_that_says(message: str) -> Json:
    return {"metadata": {"uid": "u"}, "status": {"conditions": [{"type": "A", "message": message}]}}


@pytest.mark.parametrize(
    ("message", "written"),
    [
        ("not <name> & not <ns>/<name>", r"not \u003cname\u003e \u0026 not \u003cns\u003e/\u003cname\u003e"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("Größe 日本", "Größe 日本"),
        ('"quoted"\n', r"\"quoted\"\n"),
    ],
)
async def test_a_migration_goes_on_whatever_a_condition_of_its_vmi_says(message: str, written: str) -> None:
    patch = guarded_patch(vmi_that_says(message), {"conditions": []})
    body = await sent(patch)
    assert f'"message":"{written}"'.encode() in body, "kube-apiserver compares a test with the text that Go writes"
    assert json.loads(body) == patch
