"""What Multus enforces, as the ConfigMaps of trusted namespaces bring it, and whom that wakes."""

import json
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, cast
from unittest.mock import Mock

import pytest
from structlog.testing import capture_logs
from tests.build import NOW, kubevirt, nad, nic, primary, vmi
from tests.fakes.listing import relist

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.cache.multus_configs import (
    LONGEST_KEPT,
    MOST_NAMESPACES,
    MultusConfigOf,
    MultusConfigs,
    MultusConfigWatches,
)
from nicplug.cache.optional_watch import Absence
from nicplug.model.keys import AttachmentKey, VmiKey
from nicplug.model.nad_policy import MultusFindings
from nicplug.model.vmi import parse_vmi

SECRET = AttachmentKey("victim", "secret")


def config_map(namespace: str = "kube-system", **config: Any) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": "multus-daemon-config"}
    return {"metadata": metadata, "data": {"daemon-config.json": json.dumps(config)}}


class World:
    def __init__(self, *namespaces: str) -> None:
        self.changes: list[str] = []
        self.now = NOW
        self.configs = MultusConfigs(clock=self._clock)
        self.configs.look_in(namespaces)
        self.configs.on_change = lambda: self.changes.append(self.said)

    def _clock(self) -> datetime:
        return self.now

    @property
    def said(self) -> str:
        isolation = self.configs.findings.isolation
        return "nothing" if isolation is None else "on" if isolation.is_on else "off"

    def of(self, namespace: str) -> MultusConfigOf:
        return MultusConfigOf(namespace=namespace, configs=self.configs)


def test_nothing_is_concluded_before_every_trusted_namespace_has_been_looked_at() -> None:
    """Another one may disagree: what is open for a moment could be used in it."""
    world = World("kube-system", "net")
    with capture_logs() as lines:
        relist(world.of("kube-system"), [config_map()])
    assert (world.said, world.changes, lines) == ("nothing", [], [])
    relist(world.of("net"), [])
    assert (world.said, world.changes) == ("off", ["off"])


def test_a_change_is_reported_and_its_echo_is_not() -> None:
    world = World("kube-system")
    relist(world.of("kube-system"), [config_map()])
    world.of("kube-system").change("MODIFIED", config_map(namespaceIsolation=True))
    world.of("kube-system").change("MODIFIED", config_map(namespaceIsolation=True))
    world.of("kube-system").change("DELETED", config_map())
    assert world.changes == ["off", "on", "nothing"]


def test_without_the_right_it_says_so() -> None:
    world = World("kube-system")
    world.of("kube-system").lose(Absence.DENIED)
    assert "must not be read in kube-system" in world.configs.findings.problem
    relist(world.of("kube-system"), [config_map()])
    assert world.said == "off"


def test_what_a_namespace_says_that_is_not_trusted_any_more_does_not_count() -> None:
    world = World("kube-system", "net")
    relist(world.of("kube-system"), [config_map(namespaceIsolation=True)])
    relist(world.of("net"), [config_map("net")])
    assert "disagree" in world.configs.findings.problem
    world.configs.look_in(["kube-system"])
    assert world.said == "on"
    world.of("net").change("MODIFIED", config_map("net"))
    assert world.said == "on"


def test_an_empty_list_that_is_removed_again_gave_a_reason_that_was_over() -> None:
    """It was that no trusted namespace had been looked at, in a Warning, while they were being read."""
    world = World()
    assert world.configs.findings.problem.startswith("no namespace is trusted")
    world.configs.look_in(["kube-system"])
    assert world.configs.findings.problem == "the configuration of Multus has not been read yet"
    relist(world.of("kube-system"), [config_map()])
    assert world.said == "off"


@pytest.mark.parametrize("longer_or_other", [("kube-system", "net"), ("net",)])
def test_another_list_of_trusted_namespaces_refuses_no_network_while_they_are_read(
    longer_or_other: tuple[str, ...],
) -> None:
    """It raised NetworkNotAllowed and OutdatedNetworkAttachments on every VM with a network of another namespace."""
    world = World("kube-system")
    relist(world.of("kube-system"), [config_map()])
    world.configs.look_in(longer_or_other)
    assert (world.said, world.changes) == ("off", ["off"])
    relist(world.of("net"), [config_map("net")])
    assert (world.said, set(world.changes)) == ("off", {"off"})


def test_a_shorter_list_of_trusted_namespaces_counts_at_once() -> None:
    world = World("kube-system", "net")
    relist(world.of("kube-system"), [config_map()])
    relist(world.of("net"), [config_map("net")])
    world.changes.clear()
    world.configs.look_in(["kube-system"])
    assert world.configs.findings.origin == "ConfigMap kube-system/multus-daemon-config"
    assert set(world.changes) == {"off"}


@pytest.mark.parametrize(("found", "said"), [([], "nothing"), ([config_map("net", namespaceIsolation=True)], "on")])
def test_a_config_map_that_is_not_trusted_any_more_loses_its_effect_once_the_others_have_been_read(
    found: list[dict[str, Any]], said: str
) -> None:
    world = World("kube-system")
    relist(world.of("kube-system"), [config_map()])
    world.configs.look_in(["net"])
    world.of("kube-system").change("MODIFIED", config_map(globalNamespaces="x"))
    relist(world.of("net"), found)
    assert world.changes == ["off", said]


def test_what_default_namespaces_say_does_not_outlive_the_first_list_of_the_cluster_admin() -> None:
    """A tenant may have created one that the admin does not trust; until the CR is read it counts by default."""
    configs = MultusConfigs(clock=lambda: NOW)
    for namespace in configs.namespaces:
        relist(MultusConfigOf(namespace=namespace, configs=configs), [config_map(namespace)])
    assert configs.findings.isolation is not None
    configs.look_in(["net"])
    assert configs.findings == MultusFindings()


JUST_BEFORE = LONGEST_KEPT - timedelta(milliseconds=1)


@pytest.mark.parametrize(("passed", "said"), [(JUST_BEFORE, "off"), (LONGEST_KEPT, "nothing")])
def test_isolation_that_is_off_stayed_in_force_while_the_list_of_a_new_namespace_failed(
    passed: timedelta, said: str
) -> None:
    world = World("kube-system")
    relist(world.of("kube-system"), [config_map()])
    world.configs.look_in(["kube-system", "net"])
    world.now += passed
    assert world.said == said


def test_changes_of_the_list_one_after_the_other_keep_an_old_isolation_no_longer() -> None:
    world = World("kube-system")
    relist(world.of("kube-system"), [config_map()])
    for name in ("a", "b", "c"):
        world.configs.look_in(["kube-system", name])
        world.now += LONGEST_KEPT / 3
    assert world.said == "nothing"


def test_a_list_that_has_been_read_gives_the_next_change_its_whole_time() -> None:
    world = World("kube-system")
    relist(world.of("kube-system"), [config_map()])
    world.configs.look_in(["kube-system", "net"])
    relist(world.of("net"), [])
    world.now += LONGEST_KEPT
    assert world.said == "off"
    world.configs.look_in(["kube-system", "other"])
    world.now += JUST_BEFORE
    assert world.said == "off"


SAYS_ON = ("MODIFIED", config_map(namespaceIsolation=True))
CONTRADICTIONS = [
    pytest.param("kube-system", SAYS_ON, id="Multus was turned on"),
    pytest.param("kube-system", ("MODIFIED", config_map(namespaceIsolation="no")), id="it cannot be understood"),
    pytest.param("kube-system", ("DELETED", config_map()), id="the ConfigMap is gone"),
    pytest.param("none", ("ADDED", config_map("none")), id="there is another one"),
    pytest.param("new", ("ADDED", config_map("new", namespaceIsolation=True)), id="a new namespace says on"),
    pytest.param("new", ("ADDED", config_map("new", namespaceIsolation="no")), id="a new one is not understood"),
]


class TestWhileAnotherNamespaceIsNotRead:
    """`kube-system` said "off"; its word, and that of every other trusted namespace, counts meanwhile."""

    @pytest.fixture
    def world(self) -> World:
        world = World("kube-system", "none")
        relist(world.of("kube-system"), [config_map()])
        relist(world.of("none"), [])
        world.configs.look_in(["kube-system", "none", "new", "failing"])
        world.changes.clear()
        return world

    @pytest.mark.parametrize(("namespace", "line"), CONTRADICTIONS)
    def test_what_a_trusted_namespace_said_had_no_effect(
        self, world: World, namespace: str, line: tuple[str, dict[str, Any]]
    ) -> None:
        with capture_logs() as lines:
            world.of(namespace).change(*line)
        assert (world.configs.findings, world.changes) == (MultusFindings(), ["nothing"])
        (warning,) = lines
        assert "failing" in warning["problem"]
        assert warning["remedy"]

    def test_it_stays_unknown_until_all_have_been_read(self, world: World) -> None:
        world.of("kube-system").change(*SAYS_ON)
        world.of("kube-system").change("MODIFIED", config_map())
        assert world.said == "nothing"
        for name in ("new", "failing"):
            relist(world.of(name), [])
        assert (world.said, world.changes) == ("off", ["nothing", "off"])

    def test_a_right_that_is_taken_away_makes_it_unknown(self, world: World) -> None:
        world.of("kube-system").lose(Absence.DENIED)
        assert world.said == "nothing"

    @pytest.mark.parametrize("found", [[], [config_map("new")]], ids=["nothing", "the same"])
    def test_what_agrees_with_it_leaves_it_in_force(self, world: World, found: list[dict[str, Any]]) -> None:
        relist(world.of("kube-system"), [config_map()])
        world.of("none").lose(Absence.DENIED)
        relist(world.of("new"), found)
        assert (world.said, world.changes) == ("off", [])


class TestTimers:
    """Nothing else wakes whoever relies on what is kept."""

    @pytest.fixture
    def world(self) -> World:
        world = World("kube-system")
        relist(world.of("kube-system"), [config_map()])
        world.changes.clear()
        return world

    @pytest.fixture
    def timers(self, world: World) -> list[tuple[float, Callable[[], None]]]:
        timers: list[tuple[float, Callable[[], None]]] = []

        def spawn(work: Coroutine[Any, Any, None]) -> Any:
            work.close()
            return Mock()

        watches = MultusConfigWatches(
            api=cast(Any, None), configs=world.configs, spawn=spawn, later=lambda *timer: timers.append(timer)
        )
        world.configs.on_namespaces = watches.adjust
        watches.adjust()
        assert timers == [], "nothing is being read"
        return timers

    def test_a_vm_that_may_not_use_its_network_any_more_was_not_looked_at(
        self, world: World, timers: list[tuple[float, Callable[[], None]]]
    ) -> None:
        world.configs.look_in(["kube-system", "net"])
        ((seconds, look),) = timers
        assert seconds == LONGEST_KEPT.total_seconds()
        world.now += JUST_BEFORE
        look()
        assert (world.changes, len(timers)) == ([], 2), "the loop's clock is another one"
        world.now += LONGEST_KEPT - JUST_BEFORE
        timers[1][1]()
        assert (world.changes, len(timers)) == (["nothing"], 2)

    def test_a_timer_is_without_effect_once_all_have_been_read(
        self, world: World, timers: list[tuple[float, Callable[[], None]]]
    ) -> None:
        world.configs.look_in(["kube-system", "net"])
        relist(world.of("net"), [])
        world.now += LONGEST_KEPT
        timers[0][1]()
        assert (world.said, len(timers)) == ("off", 1)

    def test_what_is_read_after_the_time_and_before_the_timer_is_news(self, world: World) -> None:
        """A pass in between has refused a network, and nothing else would wake that VM."""
        world.configs.look_in(["kube-system", "net"])
        world.now += LONGEST_KEPT
        relist(world.of("net"), [])
        assert world.changes == ["off"]


def test_an_isolation_that_is_not_known_is_a_warning_with_a_remedy() -> None:
    world = World("kube-system")
    with capture_logs() as lines:
        relist(world.of("kube-system"), [])
        relist(world.of("kube-system"), [config_map()])
    assert [(line["log_level"], bool(line.get("remedy"))) for line in lines] == [("warning", True), ("info", False)]


def test_the_number_of_watches_is_bounded() -> None:
    world = World(*(f"n{number:02}" for number in range(32)))
    assert len(world.configs.namespaces) == MOST_NAMESPACES


class TestCaches:
    """Whose NADs are known to whom, and who looks again."""

    @pytest.fixture
    def caches(self) -> Caches:
        caches = Caches(clock=lambda: NOW)
        caches.observe(CachedKind.KUBEVIRT, kubevirt(hotplug={"trustedNamespaces": ["kube-system"]}))
        caches.observe(CachedKind.VMI, vmi(primary(), nic("blue", attachment="victim/secret")))
        relist(caches.attachments, [nad("secret", namespace="victim")])
        return caches

    def isolate(self, caches: Caches, **config: Any) -> None:
        relist(MultusConfigOf(namespace="kube-system", configs=caches.multus), [config_map(**config)])

    def known(self, caches: Caches) -> set[AttachmentKey]:
        (record,) = caches.vmis
        return set(caches.attachments_of(record).definitions)

    @pytest.mark.parametrize(("config", "known"), [({}, {SECRET}), ({"namespaceIsolation": True}, set())])
    def test_of_a_network_that_a_vm_may_not_use_nothing_is_known(
        self, caches: Caches, config: dict[str, Any], known: set[AttachmentKey]
    ) -> None:
        self.isolate(caches, **config)
        assert self.known(caches) == known

    @pytest.mark.parametrize(("config", "woken"), [({}, 1), ({"namespaceIsolation": True}, 0)])
    def test_its_changes_wake_nobody_who_may_not_use_it(
        self, caches: Caches, config: dict[str, Any], woken: int
    ) -> None:
        self.isolate(caches, **config)
        assert len(caches.referring([SECRET])) == woken

    def test_a_longer_list_of_trusted_namespaces_hides_no_network_that_a_vm_uses(self, caches: Caches) -> None:
        self.isolate(caches)
        longer = kubevirt(hotplug={"trustedNamespaces": ["kube-system", "net"]})
        longer["metadata"]["resourceVersion"] = "1000"
        caches.observe(CachedKind.KUBEVIRT, longer)
        assert caches.trusted_namespaces() == ("kube-system", "net")
        assert self.known(caches) == {SECRET}

    def test_a_change_of_the_isolation_wakes_all_who_refer_to_a_network(self, caches: Caches) -> None:
        assert caches.referring(None) == [VmiKey("default", "vmi-fedora")]

    def test_the_default_network_is_known_and_its_changes_wake_the_vm(self) -> None:
        caches = Caches(clock=lambda: NOW)
        default = {"name": "default", "multus": {"networkName": "lan", "default": True}}
        raw = vmi(({"name": "default", "bridge": {}}, default), phase="")
        caches.observe(CachedKind.VMI, raw)
        relist(caches.attachments, [nad("lan")])
        key = AttachmentKey("default", "lan")
        assert set(caches.attachments_of(parse_vmi(raw)).definitions) == {key}
        assert caches.referring([key]) == [VmiKey("default", "vmi-fedora")]
