"""What may happen to a VM while it is migrated, in each phase: both pods end or one stays; the migration is over."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.api import objects
from tests.api.migrating import PHASES, SOURCE, TARGET, Moving, end_pods, printable, reach
from tests.api.objects import Json
from tests.api.world import MIGRATION, NOW, POD, VM, VMI, World


@pytest.fixture
async def moving(world: World) -> list[Moving]:
    """One VM in each phase, all at once."""
    world.server.serve("nodes")
    for node in (SOURCE, TARGET):
        world.server.create("nodes", objects.cluster_node(node))
    world.set_hotplug(parallelInboundMigrationsPerNode=20)
    world.server.modify("kubevirts", "kubevirt", _allow_many, namespace="kubevirt")
    await world.operator()
    return [await reach(world, f"{phase.lower()}-vm", phase) for phase in PHASES]


def _allow_many(body: Json) -> None:
    limits = {"parallelMigrationsPerCluster": 20, "parallelOutboundMigrationsPerNode": 20}
    body["spec"]["configuration"]["migrations"] = limits


def _halt(world: World, item: Moving) -> None:
    world.server.modify(VM, item.name, lambda body: body["spec"].update(runStrategy="Halted"))


def _restart(world: World, item: Moving) -> None:
    asked = [{"action": "Stop", "uid": item.vmi_uid}, {"action": "Start"}]
    world.server.modify(VM, item.name, lambda body: body["status"].update(stateChangeRequests=asked), status=True)


def _delete_vmi(world: World, item: Moving) -> None:
    world.server.delete(VMI, item.name)


def _delete_vm(world: World, item: Moving) -> None:
    world.server.delete(VM, item.name)


def _lose_source(world: World, item: Moving) -> None:
    """Its node is gone, and somebody has said so: the pod is removed by force."""
    world.server.delete(POD, item.source, grace_seconds=0)


STOPS: tuple[tuple[str, Callable[[World, Moving], None], bool], ...] = (
    ("the VM is halted", _halt, False),
    ("the VM is restarted", _restart, True),
    ("the VMI is deleted", _delete_vmi, True),
    ("the VM is deleted", _delete_vm, False),
    ("the source is lost", _lose_source, True),
)


@pytest.mark.parametrize(("title", "happens", "starts_again"), STOPS, ids=[title for title, *_ in STOPS])
async def test_the_end_of_a_guest_is_the_end_of_its_migration(
    world: World,
    moving: list[Moving],
    title: str,
    happens: Callable[[World, Moving], None],
    starts_again: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The target's node agent may still say that the guest has arrived, and is given two minutes for it.
    monkeypatch.setattr("nicplug.plan.vmi.phase._NODE_AGENT_SILENCE", timedelta(seconds=1))
    targets = {name for item in moving for name in item.targets()}
    assert len(targets) == len(PHASES) - 1
    for item in moving:
        happens(world, item)

    def is_over(item: Moving) -> bool:
        end_pods(world)
        return item.phase() == "Failed" and not item.vmi() and not item.targets()

    for item in moving:
        await world.until(lambda: is_over(item))  # noqa: B023
        await world.until(lambda: not item.migration()["metadata"].get("finalizers"))  # noqa: B023
        assert item.reason() in ("VmiMissing", "VmiFinal", "TargetPodLost"), (
            title,
            item.name,
        )
        if starts_again:
            await world.until(lambda: world.has_pod(item.name))  # noqa: B023
            assert "migrationState" not in world.get(VMI, item.name).get("status", {})
    await world.at_rest()
    pods = {pod["metadata"]["name"] for pod in world.server.items(POD)}
    assert not pods & (targets | {item.source for item in moving})
    assert len(pods) == (len(moving) if starts_again else 0)


async def test_a_target_that_is_lost_leaves_the_guest_where_it_is(world: World, moving: list[Moving]) -> None:
    later = [item for item in moving if item.targets()]
    for item in later:
        world.server.delete(POD, item.targets()[0], grace_seconds=0)
    for item in later:
        await world.until(lambda: item.phase() == "Failed")  # noqa: B023
        await world.until(lambda: not item.migration()["metadata"].get("finalizers"))  # noqa: B023
        await world.until(lambda: printable(world, item.name) == "Running")  # noqa: B023
        assert item.vmi()["status"]["phase"] == "Running"
        assert item.reason() == "TargetPodLost"
        assert not item.state() or item.state()["failed"] is True
    await world.at_rest()
    assert {pod["metadata"]["name"] for pod in world.server.items(POD)} == {item.source for item in moving}


async def test_a_migration_that_is_deleted_leaves_the_guest_where_it_is(world: World, moving: list[Moving]) -> None:
    for item in moving:
        world.server.delete(MIGRATION, item.name)
    copying = moving[-1]
    await world.until(lambda: copying.state().get("abortRequested") is True)
    copying.report(abortStatus="Succeeded", failed=True, completed=True, endTimestamp=NOW, failureReason="aborted")

    def is_gone(item: Moving) -> bool:
        end_pods(world)
        return not item.migration() and not item.targets()

    for item in moving:
        await world.until(lambda: is_gone(item))  # noqa: B023
        await world.until(lambda: printable(world, item.name) == "Running")  # noqa: B023
        assert item.vmi()["status"]["phase"] == "Running"
    await world.at_rest()
    assert {pod["metadata"]["name"] for pod in world.server.items(POD)} == {item.source for item in moving}


async def test_a_pod_that_loses_its_labels_gets_them_back_and_the_migration_goes_on(
    world: World, moving: list[Moving]
) -> None:
    """Whoever takes them takes the pod out of the operator's sight."""
    before = {item.name: item.phase() for item in moving}
    pods = {name: item for item in moving for name in (item.source, *item.targets())}
    for name in pods:
        world.server.modify(POD, name, _take_labels)
    for name, item in pods.items():
        await world.until(lambda: _labels(world, name).get("kubevirt.io") == "virt-launcher")  # noqa: B023
        assert _labels(world, name)["kubevirt.io/created-by"] == item.vmi_uid
    await world.at_rest()
    for item in moving:
        assert item.phase() == before[item.name]
        assert item.vmi()["status"]["phase"] == "Running"
    assert len(world.server.items(POD)) == len(pods)


def _take_labels(body: Json) -> None:
    labels = body["metadata"]["labels"]
    body["metadata"]["labels"] = {name: value for name, value in labels.items() if name.endswith("migrationJobUID")}


def _labels(world: World, name: str) -> Json:
    labels: Json = world.get(POD, name)["metadata"].get("labels") or {}
    return labels


async def test_both_pods_of_a_vmi_whose_dependents_are_orphaned_go_with_it(world: World, moving: list[Moving]) -> None:
    """`kubectl delete vmi --cascade=orphan`: garbage collection has taken the owner away before anybody looks."""
    for operator in world.operators():
        await world.stop(operator)
    for item in moving:
        world.server.modify(VM, item.name, lambda body: body["spec"].update(runStrategy="Halted"))
        world.server.delete(VMI, item.name)
        for name in (item.source, *item.targets()):
            world.server.modify(POD, name, lambda body: body["metadata"].pop("ownerReferences"))
    await world.operator()

    def is_gone(item: Moving) -> bool:
        end_pods(world)
        return not item.vmi()

    for item in moving:
        await world.until(lambda: is_gone(item))  # noqa: B023
    await world.at_rest()
    assert world.server.items(POD) == []
