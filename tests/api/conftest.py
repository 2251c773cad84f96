"""A world per test: nothing that one test does can reach another."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests import manifests
from tests.api import objects
from tests.api.world import DAEMON_SETS, World
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.schema import kinds_with_schemas

ROOT = Path(__file__).parents[2]
CRDS = ("virtualmachines", "virtualmachineinstances", "virtualmachineinstancemigrations", "kubevirts")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """The CRDs and a KubeVirt CR with the gate on; no operator yet.

    Nobody knows whether there is a dynamic networks controller, so it is given the benefit of the doubt:
    `World.deploy_controller` says more.
    """
    kinds = kinds_with_schemas(ROOT / "crds")
    async with FakeApiServer(kinds=kinds, collects_garbage=True) as server:
        for plural in CRDS:
            server.create("customresourcedefinitions", objects.crd(plural))
        server.create("kubevirts", objects.kubevirt(), namespace="kubevirt")
        server.stop_serving(DAEMON_SETS)
        server.create("network-attachment-definitions", manifests.nad())
        made = World(server, tmp_path)
        try:
            yield made
        finally:
            server.heal()
            await made.close()
