"""The HotplugPolicy reaches the decisions when it is there, and nothing depends on its kind."""

from typing import Any

from tests.api import objects
from tests.api.operator_thread import OperatorThread, eventually
from tests.api.world import VM, World

from nicplug.model.keys import VmiKey

POLICIES = "hotplugpolicies"


def policy(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "default"}, "spec": spec}


def origin(operator: OperatorThread) -> str:
    """Who has set whether a VM may be migrated, as its plans see it."""
    found = operator.app.gatherer.vmi_view(VmiKey("default", "a"))
    assert found is not None
    return f"{found.policy.migration} by {found.policy.origin('migration')}"


BY_OBJECT = "Never by spec.migration of HotplugPolicy default"
BY_NOBODY = "Allowed by the default"


async def test_a_policy_is_known_before_the_first_decision_and_followed(world: World) -> None:
    world.server.create(POLICIES, policy(migration="Never"))
    operator = await world.operator()
    await world.running(objects.vm("a"))
    assert origin(operator) == BY_OBJECT
    world.server.delete(POLICIES, "default", namespace="")
    await eventually(lambda: origin(operator) == BY_NOBODY)


async def test_without_its_crd_everything_works_and_it_is_read_once_it_is_installed(world: World) -> None:
    world.server.stop_serving(POLICIES)
    operator = await world.operator()
    name = await world.running(objects.vm("a"))
    await world.plugged(VM, name, "blue")
    assert origin(operator) == BY_NOBODY
    world.server.serve(POLICIES)
    world.server.create(POLICIES, policy(migration="Never"))
    await eventually(lambda: origin(operator) == BY_OBJECT)


async def test_without_the_right_to_read_it_everything_works(world: World) -> None:
    message = 'hotplugpolicies.nicplug.io is forbidden: User "nicplug" cannot list resource "hotplugpolicies"'
    body = {"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": message, "code": 403}
    denied = world.server.fail(status=403, resource=POLICIES, times=1000, body=body)
    operator = await world.operator()
    name = await world.running(objects.vm("a"))
    await world.plugged(VM, name, "blue")
    assert denied.times < 1000
    assert origin(operator) == BY_NOBODY


async def test_a_change_of_the_policy_writes_to_no_machine_that_it_does_not_concern(world: World) -> None:
    operator = await world.operator()
    name = await world.running(objects.vm("a"))
    await world.plugged(VM, name, "blue")
    await world.quiet()
    world.server.create(POLICIES, policy(migration="Never"))
    await eventually(lambda: origin(operator) == BY_OBJECT)
    await world.at_rest()
    # The status of the KubeVirt CR shows the policy.
    assert {request.resource for request in world.work()} <= {"kubevirts"}
