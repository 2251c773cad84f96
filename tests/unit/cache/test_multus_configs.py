"""What Multus enforces, as the ConfigMaps of trusted namespaces bring it, and whom that wakes."""

import json
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.build import NOW, kubevirt, nad, nic, primary, vmi
from tests.fakes.listing import relist

from nicplug.cache.caches import CachedKind, Caches
from nicplug.cache.multus_configs import MOST_NAMESPACES, MultusConfigOf, MultusConfigs
from nicplug.cache.optional_watch import Absence
from nicplug.model.keys import AttachmentKey, VmiKey
from nicplug.model.multus_config import MultusFindings
from nicplug.model.vmi import parse_vmi

SECRET = AttachmentKey("victim", "secret")


def config_map(namespace: str = "kube-system", **config: Any) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": "multus-daemon-config"}
    return {"metadata": metadata, "data": {"daemon-config.json": json.dumps(config)}}


class World:
    def __init__(self, *namespaces: str) -> None:
        self.changes: list[str] = []
        self.configs = MultusConfigs()
        self.configs.look_in(namespaces)
        self.configs.on_change = lambda: self.changes.append(self.said)

    @property
    def said(self) -> str:
        isolation = self.configs.findings.isolation
        return "nothing" if isolation is None else "on" if isolation.is_on else "off"

    def of(self, namespace: str) -> MultusConfigOf:
        return MultusConfigOf(namespace=namespace, configs=self.configs)


def test_nothing_is_concluded_before_every_trusted_namespace_has_been_looked_at() -> None:
    """Another one may disagree: what is open for a moment could be used in it."""
    world = World("kube-system", "net")
    relist(world.of("kube-system"), [config_map()])
    assert (world.said, world.changes) == ("nothing", [])
    relist(world.of("net"), [])
    assert (world.said, world.changes) == ("off", ["off"])


def test_a_change_is_told_and_its_echo_is_not() -> None:
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
    configs = MultusConfigs()
    for namespace in configs.namespaces:
        relist(MultusConfigOf(namespace=namespace, configs=configs), [config_map(namespace)])
    assert configs.findings.isolation is not None
    configs.look_in(["net"])
    assert configs.findings == MultusFindings()


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
