"""Watches that are cut, too old, in error or away, as measured in Kopf: each symptom has its test."""

import asyncio
import time
from typing import Any

import kopf
import pytest
from tests.api import objects
from tests.api.operator_thread import eventually
from tests.api.world import MIGRATION, POD, VM, VMI, World
from tests.fakes.faults import Fault
from tests.manifests import pod_interface

from nicplug import app, kopf_settings
from nicplug.cache.dynamic_controllers import MOST_FOLLOWED
from nicplug.cache.kinds import CachedKind
from nicplug.cache.multus_configs import MOST_NAMESPACES
from nicplug.cache.optional_watch import OptionalWatch
from nicplug.handlers import register
from nicplug.kube.api import Resource
from nicplug.kube.connect import WATCH_CONNECTIONS
from nicplug.kube.resources import CONFIG_MAPS, DAEMON_SETS, PODS
from nicplug.kube.watch_session import StreamErrors
from nicplug.model.trusted_namespaces import DEFAULT_TRUSTED_NAMESPACES, MOST_TRUSTED

# By Kopf, and by the operator itself (docs/adr/0009).
OWN_WATCHES = ["network-attachment-definitions", *["core/events"] * 3, "nodes", "hotplugpolicies"]
# One for each namespace that is trusted by default.
MULTUS_WATCHES = ["configmaps"] * len(DEFAULT_TRUSTED_NAMESPACES)
WATCHED = sorted([VM, VMI, POD, MIGRATION, "kubevirts", "controllerrevisions", *OWN_WATCHES, *MULTUS_WATCHES])


async def test_pods_of_others_are_never_sent_to_the_operator(world: World) -> None:
    await world.operator()
    await world.until(lambda: sorted(world.server.open_watches) == WATCHED)
    asked = [item for item in world.server.requests if item.resource == POD and item.verb in ("list", "watch")]
    assert {item.query.get("labelSelector") for item in asked} == {"kubevirt.io=virt-launcher"}


async def test_every_watch_of_the_operator_has_a_connection(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch that waits for the end of another one would be blind for minutes."""
    opened: list[Resource] = []
    run = OptionalWatch.run

    async def counted(watch: OptionalWatch) -> None:
        opened.append(watch.resource)
        await run(watch)

    monkeypatch.setattr(OptionalWatch, "run", counted)
    await world.operator()
    await world.until(lambda: sorted(world.server.open_watches) == WATCHED)
    # As many of these as the cluster admin's lists and the DaemonSets there ask for, up to a bound each.
    bounds = {DAEMON_SETS: MOST_TRUSTED, PODS: MOST_FOLLOWED, CONFIG_MAPS: MOST_NAMESPACES}
    others = [resource for resource in opened if resource not in bounds]
    assert len(others) >= len(OWN_WATCHES)
    assert sum(bounds.values()) + len(others) <= WATCH_CONNECTIONS


async def test_kopf_sees_deletions_and_neither_changes_nor_echoes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line cost it a task and a call of every handler, half of them for what the operator had written itself."""
    seen: list[str] = []

    class Listener:
        def __init__(self, listener: Any) -> None:
            self._listener = listener

        def hear(self, kind: CachedKind, event: kopf.RawEvent) -> None:
            seen.append(f"{event['type']} {kind.value}")
            self._listener.hear(kind, event)

    def register_counted(*, listener: Any, **rest: Any) -> None:
        register(listener=Listener(listener), **rest)

    monkeypatch.setattr(app, "register", register_counted)
    await world.operator()
    name = await world.running(objects.vmi("a"))
    await world.plugged(VMI, name, "blue")
    assert seen == []
    world.server.delete(VMI, name)
    await world.until(lambda: world.server.get(VMI, name) is None)
    await eventually(lambda: f"DELETED {CachedKind.VMI.value}" in seen)
    assert {line.split()[0] for line in seen} == {"DELETED"}


async def test_a_cut_watch_is_opened_again_and_nothing_is_lost_or_doubled(world: World) -> None:
    await world.operator(report_delay_seconds=5)
    name = await world.running(objects.vm("a"))
    await world.quiet()
    world.server.cut_watches()
    world.plug(VM, name, "blue")
    await world.until(lambda: objects.requested(world.pod_of(name)) == [pod_interface("blue")])
    await world.until(lambda: sorted(world.server.open_watches) == WATCHED)
    assert [line.split()[1] for line in world.written()] == [VMI, POD]


async def test_a_relist_after_410_costs_no_write(world: World) -> None:
    await world.operator()
    await world.running(objects.vm("a", ["blue"]))
    await world.quiet()
    world.server.expire_watches()
    await world.until(lambda: sorted(world.server.open_watches) == WATCHED)
    await world.at_rest()
    assert world.written() == []


async def test_an_object_deleted_while_the_watch_was_broken_is_no_ghost_for_long(world: World) -> None:
    """Kopf lists again after 410 but tells of no deletion (docs/adr/0001, trap B)."""
    operator = await world.operator()
    for name in ("a", "b"):
        await world.running(objects.vmi(name))

    def break_and_delete() -> None:
        world.server.expire_watches()
        world.server.modify(VMI, "b", lambda body: body["metadata"].update(finalizers=[]))
        # Its pod is collected with it.
        world.server.delete(VMI, "b")
        world.server.compact()

    world.server.atomically(break_and_delete)
    assert operator.sample("nicplug_cache_objects", kind="VirtualMachineInstance") == 2
    await eventually(lambda: operator.sample("nicplug_cache_objects", kind="VirtualMachineInstance") == 1)
    await eventually(lambda: operator.sample("nicplug_cache_objects", kind="Pod") == 1)
    # The name is free again for the operator too.
    await world.running(objects.vmi("b"))


async def test_an_error_in_the_stream_is_listed_over_by_the_same_process(world: World) -> None:
    """Kopf alone ends the process (docs/adr/0001, trap C), after lingering for 5 s with dead watches."""
    operator = await world.operator(leader_election=True)
    name = await world.running(objects.vm("a"))
    holder = world.lease_holder()
    world.server.break_watches(code=500)
    world.plug(VM, name, "blue")
    await world.until(lambda: objects.requested(world.pod_of(name)) == [pod_interface("blue")])
    await world.until(lambda: sorted(world.server.open_watches) == WATCHED)
    assert not operator.has_ended
    assert world.lease_holder() == holder


async def test_streams_that_break_every_time_are_opened_ever_more_slowly() -> None:
    errors = StreamErrors()
    pauses = [errors.next_pause(POD, now=float(second)) for second in range(12)]
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert max(pauses) == 30.0
    assert errors.next_pause(VM, now=12.0) == 0.1
    assert errors.next_pause(POD, now=200.0) == 0.1


async def test_an_expired_continue_token_begins_the_list_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kopf alone ends the process (docs/adr/0001, trap H)."""
    monkeypatch.setattr(kopf_settings, "_CHUNK_SIZE", 2)
    for index in range(4):
        world.server.create(VM, objects.vm(f"a{index}", running=False))
    # Before its second page the LIST is too old; the others are through by then.
    expired = world.server.inject(Fault(verb="list", resource=VM, times=5, then=world.server.compact))
    operator = await world.operator(until_works=False)
    await eventually(lambda: expired.times == 0)
    await eventually(lambda: operator.works)
    assert operator.sample("nicplug_cache_objects", kind="VirtualMachine") == 4


@pytest.mark.parametrize("status", [400, 404, 405, 410, 429, 500])
async def test_a_watch_that_is_refused_is_tried_again_by_the_same_process(world: World, status: int) -> None:
    """404 is a CRD that was deleted for a moment; Kopf alone ends the process."""
    operator = await world.operator()
    await world.until(lambda: sorted(world.server.open_watches) == WATCHED)
    refused = world.server.fail(status=status, verb="watch", resource=VMI, times=3)
    world.server.cut_watches()
    await world.until(lambda: refused.times == 0 and sorted(world.server.open_watches) == WATCHED)
    await world.running(objects.vmi("a"))
    assert not operator.has_ended
    counted = operator.sample("nicplug_api_requests_total", verb="watch", resource=VMI, code=str(status))
    assert counted == 3, "as the API server answered, not as it is reported to Kopf"


async def test_credentials_refused_for_a_moment_are_read_anew(world: World) -> None:
    """Kopf alone ends the process when it gets the same credentials twice."""
    operator = await world.operator()
    await world.until(lambda: sorted(world.server.open_watches) == WATCHED)
    refused = world.server.fail(status=401, verb="watch", times=6)
    world.server.cut_watches()
    await world.until(lambda: refused.times == 0 and sorted(world.server.open_watches) == WATCHED)
    await world.running(objects.vmi("a"))
    assert not operator.has_ended


async def test_a_watch_that_is_denied_for_a_moment_is_opened_again(world: World) -> None:
    """A kube-apiserver that has just started denies everything until it has read its roles."""
    operator = await world.operator()
    await world.until(lambda: sorted(world.server.open_watches) == WATCHED)
    denied = world.server.fail(status=403, verb="watch", resource=POD, times=2)
    world.server.cut_watches()
    await world.until(lambda: denied.times == 0 and sorted(world.server.open_watches) == WATCHED)
    await world.running(objects.vmi("a"))
    assert not operator.has_ended


async def test_an_api_server_that_was_away_is_served_again_within_seconds_of_its_return(world: World) -> None:
    """Kopf's own delays end, and with them the operator, after 54 s; a watch came back 13 s late (1.10 G)."""
    operator = await world.operator()
    name = await world.running(objects.vm("a"))
    await world.server.stop()
    await asyncio.sleep(2)
    assert not operator.has_ended
    world.plug(VM, name, "blue")
    await world.server.start()
    back_at = time.monotonic()
    await world.until(lambda: objects.requested(world.pod_of(name)) == [pod_interface("blue")])
    # The longest delay is 2 s; the rest is room for a busy machine, far below the 13 s of Kopf's own.
    assert time.monotonic() - back_at < 12


async def test_an_api_server_that_is_not_there_at_start_is_waited_for(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    await world.server.stop()
    operator = await world.operator(until_works=False)
    said: list[str] = []

    def has_said(text: str) -> bool:
        said.append(capsys.readouterr().out)
        return text in "".join(said)

    await eventually(lambda: has_said("the API server does not answer as it should"))
    await world.server.start()
    await eventually(lambda: operator.works)


async def test_a_missing_crd_is_named_and_waited_for(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.server.delete("customresourcedefinitions", "virtualmachineinstances.kubevirt.io")
    operator = await world.operator(until_works=False)
    said: list[str] = []

    def has_said(text: str) -> bool:
        said.append(capsys.readouterr().out)
        return text in "".join(said)

    await eventually(lambda: has_said("virtualmachineinstances.kubevirt.io is not installed: kubectl apply -f crds/"))
    assert not operator.works
    assert world.server.open_watches == []
    world.server.create("customresourcedefinitions", objects.crd("virtualmachineinstances"))
    await eventually(lambda: operator.works)


async def test_an_operator_that_waits_for_a_crd_ends_when_asked(world: World) -> None:
    world.server.delete("customresourcedefinitions", "kubevirts.kubevirt.io")
    operator = await world.operator(until_works=False)
    await world.until(lambda: len([item for item in world.server.requests if item.code == 404]) > 1)
    await world.stop(operator)
    assert operator.error is None


async def test_a_running_vmi_whose_pod_is_not_listed_yet_is_not_failed(world: World) -> None:
    """Before the caches are complete a missing pod looks like a lost one."""
    first = await world.operator()
    name = await world.running(objects.vmi("a"))
    await world.stop(first)
    await world.quiet()
    world.server.inject(Fault(verb="list", resource=POD, delay_seconds=1.0))
    second = await world.operator(until_works=False)
    await eventually(lambda: second.sample("nicplug_cache_objects", kind="VirtualMachineInstance") == 1)
    world.plug(VMI, name, "blue")
    await world.until(lambda: world.server.writes(POD))
    assert world.phase(name) == "Running"
    assert [request.resource for request in world.work() if request.subresource == "status"] in ([], [VMI])


async def test_kopf_is_told_to_go_on_for_ever() -> None:
    settings = kopf_settings.kopf_settings()
    for delays in (settings.networking.error_backoffs, settings.queueing.error_delays):
        iterator = iter(delays)  # type: ignore[arg-type]
        drawn = [next(iterator) for _ in range(1000)]
        assert max(drawn) == 2.0
        assert drawn == sorted(drawn)
