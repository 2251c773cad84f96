"""Events: aggregation, limits, names that survive a restart, and never an exception for the caller."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.fakes.direct import DirectApi, DirectWorld

from nicplug.kube.recorder import EventRecorder, ObjectReference, RecorderLimits, cut

pytestmark = pytest.mark.looptime

VMI = ObjectReference(
    api_version="kubevirt.io/v1", kind="VirtualMachineInstance", namespace="default", name="vmi-fedora", uid="u-1"
)


class Setup:
    """A recorder that runs, its API, and what it dropped."""

    def __init__(self, world: DirectWorld, limits: RecorderLimits | None = None) -> None:
        self.world = world
        self.api = DirectApi(world)
        self.dropped = 0
        self.deaths_dropped = 0
        self.recorder = EventRecorder(self.api, on_dropped=self._drop, instance="pod-1", limits=limits)
        self.task = asyncio.create_task(self.recorder.run())

    def _drop(self, is_urgent: bool) -> None:
        self.dropped += 1
        self.deaths_dropped += is_urgent

    def event(self, message: str = "plugged", *, regarding: ObjectReference = VMI) -> None:
        self.recorder.event(regarding, type="Normal", reason="InterfacePlugged", message=message)

    def death(self, message: str = "the guest is dead", *, regarding: ObjectReference = VMI) -> None:
        self.recorder.event(regarding, type="Warning", reason="LauncherPodLost", message=message, is_urgent=True)

    def deaths(self) -> list[str]:
        return [event["note"] for event in self.events() if event["reason"] == "LauncherPodLost"]

    def events(self) -> list[dict[str, Any]]:
        return [stored.copy() for _, stored in self.world.store.items(self.world.kinds["events"])]

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    made = Setup(DirectWorld())
    yield made
    await made.stop()


async def test_the_first_occurrence_is_written_at_once(setup: Setup) -> None:
    setup.event("NIC blue is in the guest")
    await asyncio.sleep(0.01)
    (event,) = setup.events()
    assert event["note"] == "NIC blue is in the guest"
    assert event["type"] == "Normal"
    assert event["reason"] == "InterfacePlugged"
    assert event["reportingController"] == "nicplug.io/operator"
    assert event["reportingInstance"] == "pod-1"
    assert event["action"]
    assert event["eventTime"].endswith("Z")
    assert event["regarding"] == {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "namespace": "default",
        "name": "vmi-fedora",
        "uid": "u-1",
    }
    assert "series" not in event


async def test_repeats_cost_one_patch_per_interval(setup: Setup) -> None:
    for _ in range(100):
        setup.event()
        await asyncio.sleep(0.05)
    await asyncio.sleep(20)
    (event,) = setup.events()
    assert event["series"]["count"] == 100
    assert [verb for verb, _ in setup.api.calls] == ["create", "patch"]


async def test_nothing_is_written_when_nothing_repeats(setup: Setup) -> None:
    setup.event()
    await asyncio.sleep(600)
    assert [verb for verb, _ in setup.api.calls] == ["create"]


async def test_different_messages_are_different_events(setup: Setup) -> None:
    setup.event("a")
    setup.event("b")
    await asyncio.sleep(0.1)
    assert sorted(event["note"] for event in setup.events()) == ["a", "b"]


async def test_after_a_restart_the_same_event_is_continued(setup: Setup) -> None:
    for _ in range(3):
        setup.event()
    await asyncio.sleep(15)
    restarted = Setup(setup.world)
    restarted.event()
    await asyncio.sleep(1)
    await restarted.stop()
    (event,) = setup.events()
    assert event["series"]["count"] == 4


async def test_an_event_that_expired_begins_anew(setup: Setup) -> None:
    setup.event()
    await asyncio.sleep(1)
    (event,) = setup.events()
    setup.world.writer.delete(setup.world.kinds["events"], ("default", event["metadata"]["name"]))
    setup.event()
    await asyncio.sleep(15)
    (again,) = setup.events()
    assert again["metadata"]["uid"] != event["metadata"]["uid"]
    assert "series" not in again


async def test_one_noisy_object_is_limited_and_others_are_not(setup: Setup) -> None:
    for number in range(100):
        setup.event(f"message {number}")
    other = ObjectReference(api_version="v1", kind="Node", namespace="", name="node01", uid="u-2")
    setup.event(regarding=other)
    await asyncio.sleep(1)
    assert len(setup.events()) == 25 + 1
    assert setup.dropped == 75
    await asyncio.sleep(300)
    setup.event("later")
    await asyncio.sleep(1)
    assert len(setup.events()) == 27


async def test_events_of_cluster_scoped_objects_are_in_the_default_namespace(setup: Setup) -> None:
    node = ObjectReference(api_version="v1", kind="Node", namespace="", name="node01", uid="u-2")
    setup.event(regarding=node)
    await asyncio.sleep(0.1)
    (event,) = setup.events()
    assert event["metadata"]["namespace"] == "default"
    assert "namespace" not in event["regarding"]


async def test_an_outage_delays_events_and_the_caller_notices_nothing(setup: Setup) -> None:
    setup.api.is_up = False
    setup.event()
    await asyncio.sleep(1)
    setup.api.is_up = True
    await asyncio.sleep(5)
    assert len(setup.events()) == 1
    assert setup.dropped == 0


async def test_a_long_outage_drops_and_counts(setup: Setup) -> None:
    setup.api.is_up = False
    setup.event()
    await asyncio.sleep(60)
    assert setup.dropped == 1
    setup.api.is_up = True
    setup.event()
    await asyncio.sleep(1)
    assert len(setup.events()) == 1


async def test_a_full_queue_drops_and_counts() -> None:
    setup = Setup(DirectWorld(), RecorderLimits(queue=10, burst=1000))
    setup.api.is_silent = True
    await asyncio.sleep(0.1)
    for number in range(30):
        setup.event(f"message {number}")
    assert setup.dropped == 20
    await setup.stop()
    assert setup.dropped == 30


async def test_what_is_queued_is_written_at_the_end(setup: Setup) -> None:
    await asyncio.sleep(1)
    for number in range(5):
        setup.event(f"message {number}")
    await setup.stop()
    assert len(setup.events()) == 5


async def test_an_event_in_flight_at_the_end_is_written_once() -> None:
    setup = Setup(DirectWorld())
    setup.api.latency_seconds = 0.2
    setup.event()
    await asyncio.sleep(0.1)
    await setup.stop()
    assert len(setup.events()) == 1
    assert setup.dropped == 0


async def test_events_that_cannot_be_written_do_not_stop_the_others(setup: Setup) -> None:
    missing = ObjectReference(api_version="v1", kind="Pod", namespace="no-such-namespace", name="p", uid="u-3")
    setup.event(regarding=missing)
    setup.event()
    await asyncio.sleep(1)
    assert [event["regarding"]["name"] for event in setup.events()] == ["vmi-fedora"]
    assert setup.dropped == 1


async def test_the_death_of_a_guest_is_never_lost_among_cheap_events() -> None:
    """13 events were dropped when a node went away, and nothing said that deaths were not among them."""
    setup = Setup(DirectWorld(), RecorderLimits(queue=10, burst=1000))
    setup.api.is_silent = True
    await asyncio.sleep(0.1)
    for number in range(30):
        setup.event(f"message {number}")
    for number in range(8):
        setup.death(f"death {number}")
    assert (setup.dropped, setup.deaths_dropped) == (28, 0)
    setup.api.is_silent = False
    await asyncio.sleep(600)
    assert sorted(setup.deaths()) == [f"death {number}" for number in range(8)]
    assert (len(setup.events()), setup.dropped, setup.deaths_dropped) == (10, 28, 0)
    await setup.stop()


async def test_deaths_alone_fill_the_queue_and_are_counted_as_such() -> None:
    setup = Setup(DirectWorld(), RecorderLimits(queue=10, burst=1000))
    setup.api.is_silent = True
    await asyncio.sleep(0.1)
    for number in range(13):
        setup.death(f"death {number}")
    setup.event()
    assert (setup.dropped, setup.deaths_dropped) == (4, 3)
    await setup.stop()


async def test_a_death_is_written_before_what_has_waited_longer(setup: Setup) -> None:
    setup.api.latency_seconds = 1.0
    for number in range(5):
        setup.event(f"message {number}")
    await asyncio.sleep(0.5)
    setup.death()
    await asyncio.sleep(2)
    assert [event["note"] for event in setup.events()] == ["message 0", "the guest is dead"]


async def test_the_noise_about_a_guest_leaves_room_for_its_death(setup: Setup) -> None:
    """The limit of one object was used up by what is plugged and unplugged, and its end was dropped."""
    for number in range(100):
        setup.event(f"message {number}")
    for number in range(30):
        setup.death(f"death {number}")
    await asyncio.sleep(1)
    assert len(setup.deaths()) == 25, "as many as of other events, on top of these"
    assert setup.deaths_dropped == 5


async def test_a_death_outlives_an_outage_that_drops_other_events(setup: Setup) -> None:
    setup.api.is_up = False
    setup.event()
    await asyncio.sleep(0.1)
    setup.death("death 1")
    setup.death("death 2")
    await asyncio.sleep(60)
    assert (setup.dropped, setup.deaths_dropped) == (1, 0)
    setup.api.is_up = True
    await asyncio.sleep(10)
    assert sorted(setup.deaths()) == ["death 1", "death 2"]


async def test_an_outage_without_end_ends_the_rounds_of_a_death(setup: Setup) -> None:
    setup.api.is_up = False
    setup.death()
    await asyncio.sleep(3600)
    assert setup.deaths_dropped == 1


async def test_an_event_that_made_room_begins_anew_when_it_is_repeated() -> None:
    setup = Setup(DirectWorld(), RecorderLimits(queue=2, burst=1000))
    setup.api.latency_seconds = 5.0
    setup.event("first")
    setup.event("second")
    await asyncio.sleep(1)
    setup.death()
    assert setup.dropped == 1
    await asyncio.sleep(60)
    setup.event("second")
    await asyncio.sleep(60)
    assert {event["note"] for event in setup.events()} == {"first", "second", "the guest is dead"}
    await setup.stop()


@pytest.mark.parametrize("text", ["x" * 2000, "ü" * 1000, "🦊" * 400])
def test_notes_are_cut_to_bytes_at_a_character(text: str) -> None:
    short = cut(text, 1024)
    assert len(short.encode()) <= 1024
    assert short.endswith("…")
    assert text.startswith(short[:-1])
    assert len(short.encode()) > 1024 - 8


def test_short_notes_stay_as_they_are() -> None:
    assert cut("plugged", 1024) == "plugged"
