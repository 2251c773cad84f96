"""Nodes, dynamic networks controllers and the policy reach the decisions, and wake only whoever waits for them."""

from tests import manifests
from tests.api import objects
from tests.api.operator_thread import OperatorThread, eventually
from tests.api.world import DAEMON_SETS, POD, VM, World

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.keys import VmiKey
from nicplug.plan.views import VmiView

NODES, SYSTEM = "nodes", objects.CONTROLLER_NAMESPACE
POD_NAME = objects.controller_pod_name("node01")


def view(operator: OperatorThread, name: str = "a") -> VmiView:
    found = operator.app.gatherer.vmi_view(VmiKey("default", name))
    assert found is not None
    return found


def controller(operator: OperatorThread) -> DynamicController:
    return view(operator).controller


def state(operator: OperatorThread) -> ControllerState:
    return controller(operator).state


async def test_where_the_controller_runs_is_known_before_the_first_decision(world: World) -> None:
    world.deploy_controller("node01")
    operator = await world.operator()
    await world.running(objects.vm("a"))
    assert state(operator) is ControllerState.READY


async def test_the_controller_s_pod_is_followed(world: World) -> None:
    world.deploy_controller("node01")
    operator = await world.operator()
    await world.running(objects.vm("a"))
    world.set_controller("node01", ready=False)
    await eventually(lambda: state(operator) is ControllerState.NOT_READY)
    assert controller(operator).message == f"pod {POD_NAME} is not ready"
    world.server.delete(POD, POD_NAME, namespace=SYSTEM, grace_seconds=0)
    await eventually(lambda: state(operator) is ControllerState.NOT_ON_NODE)
    world.run_controller("node01")
    await eventually(lambda: state(operator) is ControllerState.READY)
    world.server.delete(DAEMON_SETS, objects.CONTROLLER, namespace=SYSTEM)
    await eventually(lambda: state(operator) is ControllerState.NOT_DEPLOYED)
    await world.until(lambda: world.server.open_watches.count(POD) == 1)


async def test_a_stranger_s_pod_with_the_labels_is_no_controller(world: World) -> None:
    world.deploy_controller()
    operator = await world.operator()
    await world.running(objects.vm("a"))
    world.server.create(POD, objects.controller_pod("node01", owner_uid="somebody"), namespace=SYSTEM)
    world.set_controller("node01", ready=True)
    world.server.create(NODES, objects.cluster_node("later"))
    await eventually(lambda: view(operator).nodes)
    assert state(operator) is ControllerState.NOT_ON_NODE


async def test_the_policy_names_another_controller(world: World) -> None:
    world.deploy_controller("node01")
    operator = await world.operator()
    await world.running(objects.vm("a"))
    assert state(operator) is ControllerState.READY
    world.set_hotplug(dynamicController={"name": "another"})
    await eventually(lambda: state(operator) is ControllerState.NOT_DEPLOYED)
    world.set_hotplug(dynamicController={"name": objects.CONTROLLER})
    await eventually(lambda: state(operator) is ControllerState.READY)


async def test_what_must_not_be_read_is_not_known(world: World) -> None:
    world.deploy_controller("node01")
    for resource in (NODES, DAEMON_SETS):
        world.server.fail(status=403, resource=resource, times=99)
    operator = await world.operator()
    await world.running(objects.vm("a"))
    assert state(operator) is ControllerState.UNKNOWN
    assert view(operator).nodes is None


async def test_pods_of_the_controller_that_must_not_be_read(world: World) -> None:
    world.deploy_controller("node01")
    world.server.fail(status=403, resource=POD, namespace=SYSTEM, times=99)
    operator = await world.operator()
    await world.running(objects.vm("a"))
    assert state(operator) is ControllerState.UNKNOWN


async def test_annotations_and_the_cluster_s_policy(world: World) -> None:
    world.set_hotplug(dynamicTimeout="20s", migration="Never")
    operator = await world.operator()
    name = await world.running(objects.vm("a"))
    world.server.modify(VM, name, lambda body: body["metadata"].update(annotations={"nicplug.io/on-failure": "Hold"}))
    await eventually(lambda: view(operator).policy.on_failure == "Hold")
    policy = view(operator).policy
    assert policy.origins == {
        "dynamicTimeout": "spec.configuration.network.hotplug.dynamicTimeout of KubeVirt CR kubevirt/kubevirt",
        "migration": "spec.configuration.network.hotplug.migration of KubeVirt CR kubevirt/kubevirt",
        "onFailure": "annotation nicplug.io/on-failure of VirtualMachine default/a",
    }


async def test_nodes_wake_only_whoever_waits(world: World) -> None:
    operator = await world.operator()
    for name in ("a", "b"):
        await world.running(objects.vm(name))
    world.plug(VM, "a", "blue")
    await world.until(lambda: world.record("a", "blue").get("phase") == "Pending")
    await eventually(lambda: operator.app.caches.waiting_for_a_node() == [VmiKey("default", "a")])
    assert operator.app.caches.waiting_for_controller({"node01"}) == [VmiKey("default", "a")]
    assert operator.app.caches.waiting_for_controller({"node02"}) == []
    await world.until(lambda: manifests.pod_interface("blue") in objects.requested(world.pod_of("a")))
    world.attach("a")
    await world.until(lambda: world.row("a", "blue").get("infoSource") == "multus-status")
    world.run_guest("a")
    await world.until(lambda: world.record("a", "blue").get("phase") == "Ready")
    await eventually(lambda: operator.app.caches.waiting_for_a_node() == [])
