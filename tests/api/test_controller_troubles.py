"""What a dynamic networks controller that crashes, moves, is replaced or drained away means for a NIC that waits."""

from datetime import UTC, datetime, timedelta

from tests import manifests
from tests.api import objects
from tests.api.objects import Json
from tests.api.on_demand import made, migratable
from tests.api.world import DAEMON_SETS, POD, VM, World

SYSTEM = objects.CONTROLLER_NAMESPACE
POD_NAME = objects.controller_pod_name("node01")
LONG_AGO = "2026-01-01T00:00:00Z"


def in_a_minute() -> str:
    """A clock that is ahead of the operator's: what is given time has it for as long as a test may take."""
    return (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def status(*, ready: bool, since: str, waiting: str = "") -> Json:
    """The status of a pod of the controller."""
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {"startedAt": since}}
    row = {"type": "Ready", "status": str(ready), "lastTransitionTime": since}
    return {"phase": "Running", "conditions": [row], "containerStatuses": [{"name": "controller", "state": state}]}


def crash(world: World, *, since: str) -> None:
    """The kubelet tells of a container that ends again and again."""
    fresh = status(ready=False, since=since, waiting="CrashLoopBackOff")
    world.server.modify(POD, POD_NAME, lambda body: body.update(status=fresh), status=True, namespace=SYSTEM)


async def prepared(world: World, *, patience: str = "60s", **policy: str) -> str:
    """A running VM that could migrate, with a controller on its node, and an operator."""
    world.set_hotplug(dynamicTimeout=patience, **policy)
    world.deploy_controller("node01")
    await world.operator()
    return await migratable(world)


async def test_a_controller_that_crashes_has_a_moment_and_then_the_vm_is_migrated(world: World) -> None:
    name = await prepared(world)
    crash(world, since=in_a_minute())
    world.plug(VM, name, "blue")
    await world.until(lambda: world.record(name, "blue").get("reason") == "DynamicControllerNotReady")
    record = world.record(name, "blue")
    assert (record["path"], record["phase"]) == ("Dynamic", "Pending")
    assert f"pod {POD_NAME} waits: CrashLoopBackOff; it may be restarting" in record["message"]
    assert made(world) == []
    crash(world, since=LONG_AGO)
    await world.until(lambda: world.record(name, "blue").get("path") == "Migration")
    assert world.record(name, "blue")["reason"] == "DynamicControllerNotReady"
    await world.until(lambda: len(made(world)) == 1)


async def test_a_rolling_update_of_the_controller_migrates_nobody(world: World) -> None:
    name = await prepared(world)
    world.server.modify(POD, POD_NAME, lambda body: body["metadata"].update(finalizers=["test/held"]), namespace=SYSTEM)
    world.server.delete(POD, POD_NAME, namespace=SYSTEM, grace_seconds=30)
    uid = world.server.items(DAEMON_SETS)[0]["metadata"]["uid"]
    successor = objects.controller_pod("node01", owner_uid=uid, name="successor")
    world.server.create(POD, successor, namespace=SYSTEM)
    starting = status(ready=False, since=in_a_minute(), waiting="ContainerCreating")
    world.server.modify(POD, "successor", lambda body: body.update(status=starting), status=True, namespace=SYSTEM)
    world.plug(VM, name, "blue")
    await world.until(lambda: "pod successor waits: ContainerCreating" in world.record(name, "blue").get("message", ""))
    fresh = status(ready=True, since=in_a_minute())
    world.server.modify(POD, "successor", lambda body: body.update(status=fresh), status=True, namespace=SYSTEM)
    await world.until(lambda: world.record(name, "blue").get("reason") == "WaitingForPodInterface")
    world.attach(name)
    await world.until(lambda: world.row(name, "blue").get("infoSource") == "multus-status")
    assert world.record(name, "blue")["path"] == "Dynamic"
    assert made(world) == []


async def test_of_two_controllers_the_one_that_works_counts(world: World) -> None:
    name = await prepared(world, patience="1h")
    other = objects.controller_daemon_set()
    other["metadata"]["name"] = "dynamic-networks-controller-new"
    uid = world.server.create(DAEMON_SETS, other, namespace=SYSTEM)["metadata"]["uid"]
    world.server.create(POD, objects.controller_pod("node01", owner_uid=uid, name="new"), namespace=SYSTEM)
    fresh = status(ready=True, since=LONG_AGO)
    world.server.modify(POD, "new", lambda body: body.update(status=fresh), status=True, namespace=SYSTEM)
    crash(world, since=LONG_AGO)
    world.plug(VM, name, "blue")
    await world.until(lambda: world.record(name, "blue").get("reason") == "WaitingForPodInterface")
    world.server.delete(DAEMON_SETS, "dynamic-networks-controller-new", namespace=SYSTEM)
    await world.until(lambda: world.record(name, "blue").get("reason") == "DynamicControllerNotReady")
    assert f"DaemonSet {SYSTEM}/{objects.CONTROLLER}" in world.record(name, "blue")["message"]


async def test_a_controller_on_another_node_is_none(world: World) -> None:
    world.deploy_controller("node02")
    await world.operator()
    name = await migratable(world)
    world.plug(VM, name, "blue")
    await world.until(lambda: world.record(name, "blue").get("path") == "Migration")
    record = world.record(name, "blue")
    assert record["reason"] == "NoDynamicController"
    assert f"(DaemonSet {SYSTEM}/{objects.CONTROLLER}) does not run on node node01" in record["message"]


async def test_a_controller_that_is_taken_from_the_node_is_not_waited_for(world: World) -> None:
    """Another pod would come within the moment that a restart has; none comes to a node that is not selected."""
    name = await prepared(world, patience="1h")
    world.server.modify(
        DAEMON_SETS,
        objects.CONTROLLER,
        lambda body: body["spec"]["template"]["spec"].update(nodeSelector={"net": "yes"}),
        namespace=SYSTEM,
    )
    world.server.create("nodes", objects.cluster_node("node01"))
    world.server.create("nodes", objects.cluster_node("node02"))
    world.server.delete(POD, POD_NAME, namespace=SYSTEM, grace_seconds=0)
    world.plug(VM, name, "blue")
    await world.until(lambda: world.record(name, "blue").get("reason") == "NoDynamicController")
    assert world.record(name, "blue")["path"] == "Migration"


async def test_pods_that_their_daemon_set_has_left_behind_are_no_controller(world: World) -> None:
    name = await prepared(world, patience="1h")
    world.server.delete(DAEMON_SETS, objects.CONTROLLER, namespace=SYSTEM)
    world.plug(VM, name, "blue")
    await world.until(lambda: world.record(name, "blue").get("reason") == "NoDynamicController")
    assert world.record(name, "blue")["message"].startswith("no trusted namespace has a dynamic networks controller")


async def test_rights_that_are_taken_while_the_operator_runs_leave_a_doubt(world: World) -> None:
    name = await prepared(world, patience="1h")
    world.server.fail(status=403, resource=DAEMON_SETS, times=999)
    world.server.expire_watches()
    crash(world, since=LONG_AGO)
    world.plug(VM, name, "blue")
    await world.until(lambda: "whether it runs there is not known" in world.record(name, "blue").get("message", ""))
    assert world.record(name, "blue")["path"] == "Dynamic"
    assert made(world) == []


async def test_an_interface_that_a_pod_loses_behind_a_guest_is_asked_for_again_and_told(world: World) -> None:
    """Somebody empties the annotation, and the controller detaches what it does not list: the record said Ready."""
    name = await prepared(world, patience="1h")
    await world.plugged(VM, name, "blue")
    emptied = {objects.NETWORKS: "[]", objects.NETWORK_STATUS: objects.network_status([])}
    pod = world.pod_of(name)["metadata"]["name"]
    world.server.modify(POD, pod, lambda body: body["metadata"]["annotations"].update(emptied))
    await world.until(lambda: world.record(name, "blue").get("reason") == "PodInterfaceLost")
    await world.until(lambda: manifests.pod_interface("blue") in objects.requested(world.pod_of(name)))
    assert world.condition(name, "InterfacesReady") == "False"
    world.attach(name)
    await world.until(lambda: world.record(name, "blue").get("reason") == "PodInterfaceRestored")
    await world.until(lambda: world.condition(name, "InterfacesReady") == "True")
    await world.at_rest()


async def test_a_tenant_s_daemon_set_with_a_ready_pod_is_no_controller_of_the_node(world: World) -> None:
    """NICs of other tenants waited for it until dynamicTimeout, or were taken back."""
    world.server.serve(DAEMON_SETS)
    world.server.create("namespaces", {"metadata": {"name": "tenant"}})
    forged = world.server.create(DAEMON_SETS, objects.controller_daemon_set(), namespace="tenant")
    pod = objects.controller_pod("node01", owner_uid=forged["metadata"]["uid"], name="forged")
    world.server.create(POD, pod, namespace="tenant")
    ready = status(ready=True, since=LONG_AGO)
    world.server.modify(POD, "forged", lambda body: body.update(status=ready), status=True, namespace="tenant")
    await world.operator()
    name = await migratable(world)
    world.plug(VM, name, "blue")
    await world.until(lambda: world.record(name, "blue").get("reason") == "NoDynamicController")
    asked = {(item.resource, item.namespace) for item in world.server.requests}
    assert (DAEMON_SETS, "tenant") not in asked
    assert (POD, "tenant") not in asked


async def test_a_controller_in_a_namespace_that_the_policy_trusts_from_now_on_is_found(world: World) -> None:
    world.server.serve(DAEMON_SETS)
    world.server.create("namespaces", {"metadata": {"name": "nets"}})
    theirs = world.server.create(DAEMON_SETS, objects.controller_daemon_set(), namespace="nets")
    pod = objects.controller_pod("node01", owner_uid=theirs["metadata"]["uid"], name="theirs")
    world.server.create(POD, pod, namespace="nets")
    ready = status(ready=True, since=LONG_AGO)
    world.server.modify(POD, "theirs", lambda body: body.update(status=ready), status=True, namespace="nets")
    world.set_hotplug(migration="Never")
    await world.operator()
    name = await world.running(objects.vm("a"))
    world.plug(VM, name, "blue")
    await world.until(lambda: world.record(name, "blue").get("reason") == "MigrationForbidden")
    world.set_hotplug(migration="Never", trustedNamespaces=["nets"])
    await world.until(lambda: world.record(name, "blue").get("reason") == "WaitingForPodInterface")
