"""Both targets of the conformance list."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import cast

import aiohttp
import pytest
from kubernetes.aio.client import Configuration
from tests.conformance.target import NAMESPACE, Target, tls_of
from tests.fakes.apiserver import NAMESPACES as FAKE_NAMESPACES
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.schema import kinds_with_schemas

from nicplug.kube.aio import AioApi
from nicplug.kube.api import KubeApi, Resource
from nicplug.kube.connect import connect
from nicplug.kube.errors import AlreadyExists, ApiError, Gone, Throttled
from nicplug.kube.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    NAMESPACES,
    NETWORK_ATTACHMENT_DEFINITIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
)
from nicplug_sandbox.controlplane import ControlPlane
from nicplug_sandbox.yaml_documents import read_documents

ROOT = Path(__file__).parents[2]
CRD_FILES = (
    *sorted((ROOT / "crds").glob("virtualmachine*.yaml")),
    ROOT / "sandbox/nicplug_sandbox/manifests/network-attachment-definition.yaml",
)
SERVICE_ACCOUNTS = Resource(group="", version="v1", plural="serviceaccounts", kind="ServiceAccount")


@pytest.fixture(scope="session")
def real_kubeconfig(control_plane: ControlPlane) -> Path:
    """The real control plane with the CRDs and a namespace in which pods can be created."""
    # In a thread: the loop of the first test is running already.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _prepare(control_plane.kubeconfig)).result()
    return control_plane.kubeconfig


@pytest.fixture(params=["fake", "real"])
async def target(request: pytest.FixtureRequest) -> AsyncIterator[Target]:
    """The API server that a fact is held against."""
    if request.param == "fake":
        async for made in _fake():
            yield made
        return
    async for made in _real(request.getfixturevalue("real_kubeconfig")):
        yield made


async def _fake() -> AsyncIterator[Target]:
    kinds = kinds_with_schemas(ROOT / "crds")
    async with (
        FakeApiServer(kinds=kinds, namespaces=(*FAKE_NAMESPACES, NAMESPACE)) as server,
        aiohttp.ClientSession() as session,
    ):
        api = AioApi(Configuration(host=server.url))
        yield Target(name="fake", server=server.url, api=api, session=session, forget_history=server.compact)
        await api.close()


async def _real(kubeconfig: Path) -> AsyncIterator[Target]:
    connection = await connect(kubeconfig=kubeconfig)
    login = await connection.credentials()
    tls = tls_of(ca=str(login.ca_path), certificate=str(login.certificate_path), key=str(login.private_key_path))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
        yield Target(
            name="real",
            server=connection.server,
            api=cast(AioApi, connection.api),
            session=session,
            # The watch cache of a real one begins when it starts: version 1 is always too old.
            forget_history=lambda: None,
        )
    await connection.close()


async def _prepare(kubeconfig: Path) -> None:
    connection = await connect(kubeconfig=kubeconfig)
    api = connection.api
    for path in CRD_FILES:
        (definition,) = read_documents(path.read_text())
        await _create(api, CUSTOM_RESOURCE_DEFINITIONS, definition)
    await _create(api, NAMESPACES, {"metadata": {"name": NAMESPACE}})
    async with asyncio.timeout(30):
        for resource in (VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCES, NETWORK_ATTACHMENT_DEFINITIONS):
            await _until(partial(_is_served, api, resource))
        await _until(partial(_has_service_account, api))
    await connection.close()


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    while True:
        if await condition():
            return
        await asyncio.sleep(0.1)


async def _create(api: KubeApi, resource: Resource, body: dict[str, object]) -> None:
    try:
        await api.create(resource, body)
    except AlreadyExists:
        return


async def _is_served(api: KubeApi, resource: Resource) -> bool:
    """A kind is served some time after its CRD; in between come 404, then 429 for a second or two."""
    try:
        await api.list(resource, namespace=NAMESPACE)
    except (Gone, Throttled):
        return False
    return True


async def _has_service_account(api: KubeApi) -> bool:
    try:
        await api.get(SERVICE_ACCOUNTS, name="default", namespace=NAMESPACE)
    except ApiError:
        return False
    return True
