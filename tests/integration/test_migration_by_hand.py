"""The node simulator's two ends of a live migration, on a real control plane, against a controller played by hand."""

from collections.abc import AsyncIterator, Iterator

import pytest
from tests.integration.kubectl import install_crds
from tests.integration.node_process import simulator
from tests.integration.played_migration import PlayedMigration
from tests.integration.played_operator import PlayedOperator, element, info_sources, vmi_body

from nicplug_sandbox.controlplane import ControlPlane
from nicplug_sandbox.guests import SOCKET, read_guests
from nicplug_sandbox.node.api import MERGE_PATCH, VIRTUAL_MACHINE_INSTANCES

NODES = ("node01", "node02", "node03")
LONG_COPY = {"sandbox.nicplug.io/migration-copy": "30s"}
BLUE = {"blue": "blue"}


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """Three simulated nodes."""
    install_crds(control_plane.kubeconfig)
    socket = control_plane.kubeconfig.parent / SOCKET
    options = ("--nodes", "3", "--copy-seconds", "0.1", "--guests-socket", str(socket), "--deregister")
    with simulator(control_plane.kubeconfig, *options):
        yield control_plane


@pytest.fixture
async def operator(cluster: ControlPlane) -> AsyncIterator[PlayedOperator]:
    """An operator in a namespace with the network `blue`; every fault is taken away at the end."""
    async with PlayedOperator.connect(cluster.kubeconfig) as played:
        await played.create_nad("blue")
        yield played
        for node in NODES:
            await played.annotate_node(node, migration_source=None, migration_target=None)


async def prepared(
    operator: PlayedOperator, *, annotations: dict[str, str] | None = None, nics: dict[str, str] | None = None
) -> PlayedMigration:
    """A running VM with `blue` in its guest, and a target pod for it."""
    _, source = await operator.run(vmi_body("vm", nics=("blue",), annotations=annotations), elements=[element("blue")])
    return await PlayedMigration.with_target(operator, vmi="vm", source=source, nics=BLUE | (nics or {}))


async def require_migration(operator: PlayedOperator) -> None:
    """The condition that only the target agent takes away."""
    condition = {
        "type": "MigrationRequired", "status": "True", "reason": "AutoMigrationDueToLiveUpdate",
        "lastProbeTime": None, "lastTransitionTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    present = operator.vmi("vm")["status"]["conditions"]
    patch = {"status": {"conditions": [*present, condition], "evacuationNodeName": "node01"}}
    await operator.patch_vmi("vm", patch, subresource="status", content_type=MERGE_PATCH)


async def test_a_guest_moves_and_gets_its_new_nic_there(operator: PlayedOperator) -> None:
    await operator.create_nad("red")
    migration = await prepared(operator, nics={"red": "red"})
    await operator.add_nic_to_spec("vm", "red")
    await require_migration(operator)
    mac = operator.vmi("vm")["status"]["interfaces"][1]["mac"]
    await migration.hand_off()
    state = await migration.until("completed")
    vmi, node = operator.vmi("vm"), migration.node_of(migration.target)
    assert vmi["status"]["nodeName"] == vmi["metadata"]["labels"]["kubevirt.io/nodeName"] == node
    assert vmi["metadata"]["labels"]["kubevirt.io/migrationTargetNodeName"] == node
    assert "failed" not in state
    assert state["mode"] == "PreCopy"
    assert state["targetNodeDomainDetected"] is True
    assert state["startTimestamp"] <= state["targetNodeDomainReadyTimestamp"] <= state["endTimestamp"]
    assert [item["type"] for item in vmi["status"]["conditions"]] == ["LiveMigratable"]
    assert "evacuationNodeName" not in vmi["status"]
    assert info_sources(vmi) == {"default": "domain", "blue": "domain, multus-status"}
    assert vmi["status"]["interfaces"][1]["mac"] == mac
    assert vmi["status"]["interfaces"][0]["ipAddress"] == operator.pod(migration.target)["status"]["podIP"]
    event = await operator.event("vm", "Migrated")
    assert event["message"] == f"The VirtualMachineInstance migrated to node {node}."

    await operator.until(lambda: operator.pod(migration.source)["status"]["phase"] == "Succeeded")
    await migration.tell_rows("blue", "red")
    await operator.until(lambda: info_sources(operator.vmi("vm")).get("red") == "domain, multus-status")
    assert operator.phase("vm") == "Running"


async def until_guest(operator: PlayedOperator, cluster: ControlPlane, pod: str) -> None:
    """Wait until the guest runs in a pod, with both NICs."""
    wanted = (pod, ["default", "blue"])

    async def runs_there() -> bool:
        found = read_guests(cluster.kubeconfig.parent).get(f"{operator.namespace}/vm", {"pod": "", "nics": []})
        return (found["pod"], [nic["name"] for nic in found["nics"]]) == wanted

    await operator.eventually(runs_there)


async def test_an_abort_during_the_copy_leaves_the_guest_where_it_was(
    operator: PlayedOperator, cluster: ControlPlane
) -> None:
    migration = await prepared(operator, annotations=LONG_COPY)
    await migration.hand_off()
    await migration.until("startTimestamp")
    await migration.abort()
    state = await migration.until("completed")
    assert state["failed"]
    assert state["abortStatus"] == "Succeeded"
    await operator.until(lambda: operator.pod(migration.target)["status"]["phase"] == "Succeeded")
    await until_guest(operator, cluster, migration.source)
    event = await operator.event("vm", "Migrated")
    assert event["message"].startswith(f"VirtualMachineInstance migration uid {migration.uid} failed. reason:")


async def test_a_target_pod_that_is_killed_during_the_copy(operator: PlayedOperator, cluster: ControlPlane) -> None:
    migration = await prepared(operator, annotations=LONG_COPY)
    await migration.hand_off()
    await migration.until("startTimestamp")
    await migration.kill(migration.target)
    state = await migration.until("completed")
    assert state["failureReason"] == "Unable to write to socket: Broken pipe"
    await until_guest(operator, cluster, migration.source)
    assert operator.phase("vm") == "Running"


@pytest.mark.parametrize(
    ("role", "how", "reason"),
    [
        pytest.param("migration-target", "prepare", "failed to prepare", id="preparation"),
        pytest.param("migration-source", "copy", "Broken pipe", id="copy"),
        pytest.param("migration-target", "load", "load of migration failed", id="cut-over"),
    ],
)
async def test_after_a_failure_the_next_migration_succeeds(
    operator: PlayedOperator, cluster: ControlPlane, role: str, how: str, reason: str
) -> None:
    fault = f"sandbox.nicplug.io/{role}"
    first = await prepared(operator, annotations={fault: f"broken={how}"})
    await first.hand_off()
    assert reason in (await first.until("failed"))["failureReason"]
    await operator.until(lambda: operator.pod(first.target)["status"]["phase"] == "Succeeded")
    await operator.patch_vmi("vm", {"metadata": {"annotations": {fault: None}}}, content_type=MERGE_PATCH)
    second = await PlayedMigration.with_target(operator, vmi="vm", source=first.source, nics=BLUE)
    await second.hand_off()
    assert "failed" not in await second.until("completed")
    await until_guest(operator, cluster, second.target)


async def test_a_guest_goes_and_comes_back(operator: PlayedOperator, cluster: ControlPlane) -> None:
    there = await prepared(operator)
    await there.hand_off()
    await there.until("completed")
    back = await PlayedMigration.with_target(operator, vmi="vm", source=there.target, nics=BLUE)
    await back.hand_off()
    await back.until("completed")
    await until_guest(operator, cluster, back.target)


async def test_a_vmi_that_is_deleted_during_the_copy(operator: PlayedOperator) -> None:
    migration = await prepared(operator, annotations=LONG_COPY)
    await operator.patch_vmi("vm", {"metadata": {"finalizers": ["sandbox.example/hold"]}}, content_type=MERGE_PATCH)
    await migration.hand_off()
    await migration.until("startTimestamp")
    await operator.api.delete(VIRTUAL_MACHINE_INSTANCES, name="vm", namespace=operator.namespace)
    await operator.until(lambda: operator.phase("vm") == "Succeeded")
    await operator.until(lambda: operator.pod(migration.target)["status"]["phase"] == "Succeeded")
    await operator.patch_vmi("vm", {"metadata": {"finalizers": None}}, content_type=MERGE_PATCH)
