"""Whatever the API server answers, or does not: the life of a VM ends in the same objects, with the same commits."""

import asyncio
from collections import Counter

import pytest
from tests.api import objects
from tests.api.objects import NETWORKS, Json
from tests.api.world import POD, VM, VMI, World
from tests.fakes.faults import Fault
from tests.manifests import pod_interface

from nicplug.kube import transport
from nicplug.reconcile import delays as retry

_JSON_PATCH_REFUSED = {
    "kind": "Status",
    "status": "Failure",
    "code": 422,
    "reason": "Invalid",
    "message": "the server rejected our request due to an error in our request",
}
# Every write of a life: (verb, resource, subresource).
WRITES = (
    ("patch", VM, ""),
    ("create", VMI, ""),
    ("create", POD, ""),
    ("patch", VMI, ""),
    ("patch", VMI, "status"),
    ("patch", POD, ""),
    ("patch", POD, "status"),
    ("patch", VM, "status"),
    ("delete", VMI, ""),
    ("delete", POD, ""),
)
FAULTS = {
    "409": {"status": 409},
    "422 of our test": {"status": 422, "body": _JSON_PATCH_REFUSED},
    "500": {"status": 500},
    "500 after the commit": {"status": 500, "when": "after"},
    "504 after the commit": {"status": 504, "when": "after"},
    "connection dropped": {"drop": True},
    "connection dropped after the commit": {"drop": True, "when": "after"},
    "no answer": {"delay_seconds": 0.4},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_a_life_with_one_fault_at_every_kind_of_write(
    world: World, fault: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_TOTAL_SECONDS", 0.3)
    injected = [
        world.server.inject(Fault(verb=verb, resource=resource, subresource=subresource, **fault))
        for verb, resource, subresource in WRITES
        if (verb == "patch" or fault.get("status") != 422)
        # A pod whose answer was lost is replaced: test_pod_impersonation.py.
        and not ((verb, resource) == ("create", POD) and fault.get("when") == "after")
    ]
    operator = await world.operator(report_delay_seconds=0.05)
    await _live(world)
    assert [rule.times for rule in injected] == [0] * len(injected)
    commits = Counter((request.verb, request.resource) for request in world.work() if request.committed)
    assert commits["create", VMI] == 1
    assert commits["create", POD] == 1
    assert commits["patch", POD] == 3, "the readiness gate, the plug, the unplug"
    assert commits["delete", VMI] == 1
    assert operator.sample("nicplug_bugs_total") == 0


async def _live(world: World) -> None:
    name = await world.running(objects.vm("a"))
    await world.plugged(VM, name, "blue")
    await world.unplugged(VM, name, "blue")
    assert world.pod_of(name)["metadata"]["annotations"][NETWORKS] == ""
    world.server.modify(VM, name, lambda body: body["spec"].update(runStrategy="Halted"))
    await world.until(lambda: world.server.get(VMI, name) is None and not world.server.items(POD))
    await world.until(lambda: world.get(VM, name)["status"]["printableStatus"] == "Stopped")


async def test_somebody_who_patches_first_is_kept_and_the_nic_follows_at_once(world: World) -> None:
    await world.operator()
    name = await world.running(objects.vmi("a"))
    foreign = '[{"name":"other","namespace":"default","interface":"net9"}]'

    def win_the_race() -> None:
        pod = world.pod_of(name)["metadata"]["name"]
        world.server.modify(POD, pod, lambda body: body["metadata"]["annotations"].update({NETWORKS: foreign}))

    await world.quiet()
    world.server.inject(Fault(verb="patch", resource=POD, then=win_the_race))
    world.plug(VMI, name, "blue")
    await world.until(lambda: pod_interface("blue") in objects.requested(world.pod_of(name)))
    assert sorted(objects.requested(world.pod_of(name))) == ["net9", pod_interface("blue")]
    codes = [request.code for request in world.server.writes(POD)]
    # The loser may be told by the watch only after its second try.
    assert set(codes[:-1]) == {422}
    assert codes[-1] == 200
    assert len(codes) <= 7


async def test_retry_after_holds_every_object_back_and_is_kept_to(world: World) -> None:
    await world.operator(report_delay_seconds=5)
    names = [await world.running(objects.vmi(f"a{index}")) for index in range(4)]
    loop = asyncio.get_running_loop()
    world.server.fail(status=429, resource=POD, verb="patch", headers={"Retry-After": "1"})
    await world.quiet()
    world.plug(VMI, names[0], "blue")
    await world.until(lambda: world.work())
    throttled_at = loop.time()
    for name in names[1:]:
        world.plug(VMI, name, "blue")
    await asyncio.sleep(0.5)
    assert [request.code for request in world.work()] == [429]
    await world.until(lambda: len([item for item in world.work() if item.code == 200]) == len(names))
    assert loop.time() - throttled_at >= 0.9
    assert len(world.work()) == len(names) + 1


async def test_a_denial_of_a_moment_is_not_told(world: World) -> None:
    """A kube-apiserver that has just started denies everything until it has read its roles."""
    await world.operator()
    name = await world.running(objects.vmi("a"))
    world.server.fail(status=403, resource=POD, verb="patch", times=1)
    world.plug(VMI, name, "blue")
    await world.until(lambda: objects.requested(world.pod_of(name)), seconds=10)
    assert not [item for item in world.server.items("events") if item["type"] == "Warning"]


async def test_a_missing_permission_is_told_asked_for_slowly_and_used_when_it_is_given(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "_DENIED_BASE_SECONDS", 1.5)
    operator = await world.operator()
    name = await world.running(objects.vmi("a"))
    forbidden = world.server.fail(status=403, resource=POD, verb="patch", times=1000)
    world.plug(VMI, name, "blue")
    await world.until(lambda: world.condition(name, "Synchronized") == "False")
    assert world.condition(name, "Synchronized", member="reason") == "HotPlugNetworkInterfaceError"
    assert "403" in world.condition(name, "Synchronized", member="message")
    assert world.record(name, "blue")["phase"] == "Failed"
    await asyncio.sleep(0.5)
    assert forbidden.times == 998  # once without a word, once told
    assert not operator.has_ended
    warnings = [item["reason"] for item in world.server.items("events") if item["type"] == "Warning"]
    assert warnings.count("HotPlugNetworkInterfaceError") == 1
    forbidden.times = 0
    # Nobody touches the object: the operator asks again by itself.
    await world.until(lambda: objects.requested(world.pod_of(name)) == [pod_interface("blue")])
    await world.until(lambda: world.condition(name, "Synchronized") == "")


async def test_a_create_that_the_api_server_rejects_waits_for_a_change_and_says_so(world: World) -> None:
    await world.operator()
    message = 'pods "virt-launcher-a" is forbidden: exceeded quota'
    body = {**_JSON_PATCH_REFUSED, "message": message, "details": {"causes": [{"field": "spec", "message": "no"}]}}
    rejected = world.server.fail(status=422, resource=POD, verb="create", times=1000, body=body)
    world.server.create(VMI, objects.vmi("a"))
    await world.until(lambda: world.condition("a", "Synchronized") == "False")
    assert world.condition("a", "Synchronized", member="reason") == "FailedCreate"
    assert message in world.condition("a", "Synchronized", member="message")
    await asyncio.sleep(1)
    assert 1000 - rejected.times <= 2
    rejected.times = 0
    world.server.modify(VMI, "a", lambda vmi: vmi["spec"].update(hostname="b"))
    await world.until(lambda: world.has_pod("a"))
    await world.until(lambda: world.condition("a", "Synchronized") == "")
