"""A phantom that the controller does not detach at once: asked again, given up in the end, and in nobody's way."""

from collections import Counter
from typing import Any

import pytest
from tests.build import (
    CONTROLLER,
    POD_INTERFACES,
    Json,
    failed,
    kubevirt,
    later,
    nad,
    network_status,
    nic,
    pod,
    primary,
    primary_row,
    row,
    vmi,
    vmi_view,
)
from tests.unit.plan.outcome import status_of

from nicplug.model.hotplug_policy import DynamicPath, HotplugPolicy, OnFailure
from nicplug.model.networks_annotation import parse_annotation
from nicplug.plan.actions import PatchNetworksAnnotation
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal
from nicplug.plan.vmi.plan_vmi import plan_vmi

NOT_MIGRATABLE = {"type": "LiveMigratable", "status": "False", "reason": "DisksNotLiveMigratable"}
ANNOTATIONS = ("k8s.v1.cni.cncf.io/networks", "k8s.v1.cni.cncf.io/network-status")
NAMES = {interface: name for name, interface in POD_INTERFACES.items()}


class World:
    """One VM with a node agent and a dynamic networks controller, of docs/node-simulator.md: NICs green and red.

    The controller adds before it removes, stops at what fails, and looks again when the text has changed.
    """

    def __init__(self, *, policy: HotplugPolicy | None = None, stuck: int = 0) -> None:
        self.policy = policy or HotplugPolicy()
        self.raw = vmi(
            primary(), nic("green"), nic("red"), rows=[primary_row()], operations=[], conditions=[NOT_MIGRATABLE]
        )
        self.pod = pod(networks=[], attached=[])
        self.broken = {"red"}
        self.stuck = stuck
        self.nads = ["green", "red"]
        self.refusal: Refusal | None = None
        self.really: set[str] = set()
        self.writes: Counter[str] = Counter()
        self._failures: dict[str, Any] = {}
        self._seen = ""
        self._at = 0.0

    def run(self, seconds: float) -> None:
        """Let time pass; whatever is written is answered at once."""
        end = self._at + seconds
        while self._at < end:
            self._pass()
            self._control()
            self._plug()
            self._at += 0.5 if seconds <= 60 else 20

    def record(self, name: str) -> Json:
        """Its record; empty without one."""
        return next((item for item in self.raw["status"]["interfaceOperations"] if item["name"] == name), {})

    def asked(self) -> set[str]:
        """The NICs in the annotation."""
        return {NAMES[str(item["interface"])] for item in parse_annotation(self._annotations[ANNOTATIONS[0]])}

    def listed(self) -> set[str]:
        """The NICs in network-status."""
        return {name for name, interface in POD_INTERFACES.items() if interface in self._annotations[ANNOTATIONS[1]]}

    @property
    def _annotations(self) -> Json:
        found: Json = self.pod["metadata"]["annotations"]
        return found

    def _pass(self) -> None:
        view = vmi_view(
            self.raw,
            self.pod,
            config=kubevirt(),
            controller=CONTROLLER,
            policy=self.policy,
            failures=list(self._failures.values()),
            nads=[nad(f"{name}-net") for name in self.nads],
            report_pending_since=later(-60),
            refusal=self.refusal,
        )
        plan = plan_vmi(view, now=later(self._at))
        self.writes += Counter(type(action).__name__ for action in plan.actions)
        self.raw["status"] |= status_of(plan)
        for action in plan.actions:
            if isinstance(action, PatchNetworksAnnotation):
                self._annotations[ANNOTATIONS[0]] = action.wanted

    def _control(self) -> None:
        text = self._annotations[ANNOTATIONS[0]]
        if text == self._seen:
            return
        self._seen = text
        added: list[str] = []
        for name in [name for name in ("green", "red") if name in self.asked() - self.listed()]:
            if name in self.broken:
                self._fail(name)
                self._list(self.listed() | set(added))
                return
            added.append(name)
        self.really |= set(added)
        leaving = self.listed() - self.asked()
        if leaving and (self.stuck > 0 or not leaving <= set(self.nads)):
            self.stuck -= 1
            self._list(self.listed() | set(added))
            self._fail(min(leaving), removing=True)
            return
        self.really -= leaving
        self._list((self.listed() | set(added)) - leaving)

    def _fail(self, name: str, *, removing: bool = False) -> None:
        self._failures[name] = failed(name, removing=removing, at=later(self._at + 0.05))

    def _list(self, names: set[str]) -> None:
        self._annotations[ANNOTATIONS[1]] = network_status(*(POD_INTERFACES[name] for name in sorted(names)))

    def _plug(self) -> None:
        rows = [item for item in self.raw["status"]["interfaces"] if item["name"] not in self.really & self.listed()]
        here = [row(name, "domain", "multus-status") for name in sorted(self.really & self.listed())]
        self.raw["status"]["interfaces"] = [*rows, *here]


STAYS = {
    "nothing else helps": HotplugPolicy(),
    "onFailure is Hold": HotplugPolicy(on_failure=OnFailure.HOLD),
    "dynamicPath is Always": HotplugPolicy(dynamic_path=DynamicPath.ALWAYS),
}


@pytest.mark.parametrize("title", STAYS)
def test_it_is_asked_for_again_after_the_controller_failed_to_detach_it(title: str) -> None:
    """Nobody touched the text any more, the controller was silent, and both NICs were waited for without end."""
    world = World(policy=STAYS[title], stuck=1)
    world.run(60)
    assert world.record("green")["phase"] == "Ready"
    world.broken = set()
    world.run(3600)
    assert [world.record(name)["phase"] for name in ("green", "red")] == ["Ready", "Ready"]


@pytest.mark.parametrize("title", STAYS)
def test_one_that_cannot_be_detached_is_given_up_and_says_so(title: str) -> None:
    world = World(policy=STAYS[title], stuck=10**9)
    world.run(60)
    world.broken = set()
    world.run(3600)
    assert world.record("red")["phase"] == "Ready"
    reported = world.record("green")
    assert (reported["phase"], reported["attempts"], reported["suspect"]) == ("Failed", 4, True)
    assert "failed removing interface" in reported["message"]
    assert "It is not retried until something changes" in reported["message"]
    world.writes.clear()
    world.run(3600)
    assert not world.writes


def test_what_was_given_up_is_tried_once_more_when_the_vmi_changes() -> None:
    world = World(stuck=10**9)
    world.run(60)
    world.broken, world.stuck = set(), 0
    world.run(600)
    assert world.record("green")["phase"] == "Failed"
    world.raw["metadata"]["generation"] += 1
    world.run(60)
    assert world.record("green")["phase"] == "Ready"


def test_a_change_while_it_cannot_be_detached_does_not_let_its_record_flip() -> None:
    """It began its time anew whenever it had failed, as nobody asked for it in the new generation."""
    world = World(stuck=10**9)
    world.run(60)
    world.raw["metadata"]["generation"] += 1
    world.run(3600)
    world.writes.clear()
    world.run(3600)
    # Red fails on, and is asked for every ten minutes.
    assert world.writes["PatchStatus"] <= 12
    assert world.record("green")["phase"] == "Failed"


def test_one_whose_network_is_deleted_is_in_nobody_s_way() -> None:
    world = World(policy=HotplugPolicy(on_failure=OnFailure.HOLD))
    world.run(4)
    world.nads = ["red"]
    world.run(30)
    assert (world.record("green")["phase"], world.asked()) == ("Blocked", {"red"})
    world.broken = set()
    world.run(3600)
    assert world.record("red")["phase"] == "Ready"
    world.nads = ["green", "red"]
    world.run(60)
    assert world.record("green")["phase"] == "Ready"


def test_what_the_api_server_refuses_to_send_is_no_attempt() -> None:
    """Each was written down, every two seconds, and when the right was given the next one was due in ten minutes."""
    world = World()
    world.refusal = Refusal(reason=Reason.FAILED_POD_PATCH, message="pods is forbidden")
    world.run(3600)
    assert world.writes["PatchStatus"] == 1
    assert (world.record("green")["attempts"], world.record("green")["reason"]) == (0, "FailedPodPatch")
    world.refusal = None
    world.broken = set()
    world.run(10)
    assert [world.record(name)["phase"] for name in ("green", "red")] == ["Ready", "Ready"]


def test_a_lost_interface_that_must_not_be_asked_for_says_so() -> None:
    world = World()
    world.broken = set()
    world.run(10)
    world.refusal = Refusal(reason=Reason.FAILED_POD_PATCH, message="pods is forbidden")
    world.really, world.pod = set(), replace_networks(world.pod)
    world.run(10)
    reported = world.record("green")
    assert (reported["reason"], reported["attempts"]) == ("PodInterfaceLost", 0)
    assert "The API server refuses to have it asked for again" in reported["message"]
    assert "pods is forbidden" in reported["message"]


def replace_networks(raw: Json) -> Json:
    """Somebody empties both annotations."""
    fresh = pod(networks=[], attached=[])
    return raw | {"metadata": raw["metadata"] | {"annotations": fresh["metadata"]["annotations"]}}
