"""One list of facts about the node side: the sandbox's simulator, and the imitations in sim, api and integration.

What they agree on is what the operator may rely on (docs/node-simulator.md has where each comes from).
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.conformance.node_sides import INTERFACES, NETWORK, TARGET, Api, ByHand, NodeSide, Sandbox, Simulation
from tests.fakes.apiserver import FakeApiServer
from tests.unit.node import build
from tests.unit.node.world import NAD, NODE, POD, world

from nicplug_sandbox.node.api import Json

BLUE, RED = INTERFACES["blue"], INTERFACES["red"]
MOVES = ("sandbox", "sim", "api")
"""Nobody plays a migration by hand."""


@pytest.fixture(params=[*MOVES, "by hand"])
async def side(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[NodeSide]:
    """Whoever plays the node side."""
    match request.param:
        case "sim":
            yield Simulation()
        case "sandbox":
            nodes = [(NODE, build.node(name)) for name in ("node01", "node02")]
            multus = (POD, build.daemon_pod("multus", on="node02"))
            async with world(*nodes, multus, (NAD, build.nad(NETWORK)), copy_seconds=0.02) as played:
                yield Sandbox(played)
        case name:
            async with FakeApiServer() as server:
                yield Api(server, tmp_path) if name == "api" else ByHand(server, tmp_path)


moving = pytest.mark.parametrize("side", MOVES, indirect=True)


def ready(side: NodeSide) -> str:
    rows: list[Json] = side.pod()["status"].get("conditions") or []
    return next((item["status"] for item in rows if item["type"] == "Ready"), "")


async def test_a_pod_starts_with_all_networks_of_its_annotation(side: NodeSide) -> None:
    await side.launch("blue", "red")
    await side.until(lambda: ready(side) == "True")
    assert side.attached() == sorted(["eth0", BLUE, RED])


async def test_the_pod_follows_its_annotation(side: NodeSide) -> None:
    await side.run("blue")
    side.annotate("blue", "red")
    await side.until(lambda: side.attached() == sorted(["eth0", BLUE, RED]))
    side.annotate()
    await side.until(lambda: side.attached() == ["eth0"])


async def test_a_guest_starts_with_what_has_the_go_ahead(side: NodeSide) -> None:
    await side.run("blue")
    assert side.source_of("main") == "domain"
    assert side.source_of("blue") == "domain, multus-status"
    rows = {item["name"]: item for item in side.vmi()["status"]["interfaces"]}
    assert rows["blue"]["podInterfaceName"] == BLUE


async def test_nothing_is_plugged_without_the_go_ahead(side: NodeSide) -> None:
    """Even if the pod has it."""
    await side.run()
    side.add("blue")
    side.annotate("blue")
    await side.until(lambda: BLUE in side.attached())
    await side.rest()
    assert side.source_of("blue") is None


async def test_the_go_ahead_plugs(side: NodeSide) -> None:
    await side.run()
    side.add("blue")
    side.annotate("blue")
    await side.until(lambda: BLUE in side.attached())
    side.write_row("blue", "multus-status")
    await side.until(lambda: side.source_of("blue") == "domain, multus-status")


async def test_the_guest_lets_go_of_what_is_absent_and_the_pod_does_not(side: NodeSide) -> None:
    await side.run("blue")
    side.set_absent("blue")
    await side.until(lambda: side.source_of("blue") == "multus-status")
    assert BLUE in side.attached()


async def test_a_row_of_which_nothing_is_true_goes(side: NodeSide) -> None:
    await side.run("blue")
    side.set_absent("blue")
    await side.until(lambda: side.source_of("blue") == "multus-status")
    side.annotate()
    await side.until(lambda: BLUE not in side.attached())
    side.write_row("blue")
    await side.until(lambda: side.source_of("blue") is None)
    assert side.source_of("main") == "domain"


@moving
async def test_a_migration_brings_the_guest_to_the_target(side: NodeSide) -> None:
    await side.run("blue")
    side.hand_off("blue")
    await side.until(lambda: side.state.get("completed"))
    told = side.state
    assert set(told) >= {"targetNodeAddress", "startTimestamp", "targetNodeDomainReadyTimestamp", "endTimestamp"}
    assert not told.get("failed")
    assert side.attached(TARGET) == sorted(["eth0", BLUE])
    body = side.vmi()
    assert body["metadata"]["labels"]["kubevirt.io/nodeName"] == "node02"
    assert (body["status"]["phase"], body["status"]["nodeName"]) == ("Running", "node02")
    assert side.source_of("blue") == "domain, multus-status"


@moving
async def test_a_migration_that_is_broken_off_leaves_the_guest_where_it_is(side: NodeSide) -> None:
    await side.run("blue")
    side.hand_off("blue")
    side.report(abortRequested=True)
    await side.until(lambda: side.state.get("completed"))
    assert (side.state.get("failed"), side.state.get("abortStatus")) == (True, "Succeeded")
    assert side.state.get("endTimestamp")
    body = side.vmi()
    assert body["metadata"]["labels"]["kubevirt.io/nodeName"] == "node01"
    assert body["status"]["nodeName"] == "node01"
