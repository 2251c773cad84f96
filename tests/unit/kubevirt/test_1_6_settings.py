"""Section 1.6: what the KubeVirt CR says, which gates are on, and what the releases differ in (section 0)."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.kubevirt.build import LIVE, NOW, condition, migration, net, nic, pod, required, vmi

from nicplug_sandbox.kubevirt.migration_actions import sync as migrate
from nicplug_sandbox.kubevirt.migration_rules import View as MigrationView
from nicplug_sandbox.kubevirt.objects import condition_of
from nicplug_sandbox.kubevirt.settings import ClusterSettings, duration_of, read_settings, release_of
from nicplug_sandbox.kubevirt.template_sync import synced_spec
from nicplug_sandbox.kubevirt.vmi import View, status, sync
from nicplug_sandbox.kubevirt.workload_updater import View as Updates
from nicplug_sandbox.kubevirt.workload_updater import sync as update

ALL = ["HotplugNICs", "LiveUpdateNADRef", "PodSecondaryInterfaceNamingUpgrade", "ExternalNetResourceInjection"]


def kubevirt(version: str = "v1.9.0", **configuration: Any) -> Any:
    return {"spec": {"configuration": configuration}, "status": {"observedKubeVirtVersion": version}}


def test_defaults() -> None:
    assert read_settings(None) == ClusterSettings() == replace(read_settings({"spec": {}}), is_deployed=False)


def test_what_is_read() -> None:
    found = read_settings(
        kubevirt(
            evictionStrategy="LiveMigrate",
            vmRolloutStrategy="Stage",
            migrations={"nodeDrainTaintKey": "drain", "parallelMigrationsPerCluster": 7},
        )
    )
    assert (found.eviction_strategy, found.is_live_update) == ("LiveMigrate", False)
    assert (found.drain_taint, found.parallel_per_cluster, found.outbound_per_node) == ("drain", 7, 2)


@pytest.mark.parametrize(
    ("version", "release"),
    [("v1.9.0", (1, 9)), ("1.4.1", (1, 4)), ("v1.10.0-rc.0", (1, 10)), ("", (1, 9)), ("devel", (1, 9))],
)
def test_releases(version: str, release: tuple[int, int]) -> None:
    assert release_of(version) == release


@pytest.mark.parametrize(("text", "seconds"), [("1m0s", 60), ("90s", 90), ("1h2m3.5s", 3723.5), ("500ms", 0.5)])
def test_durations(text: str, seconds: float) -> None:
    assert duration_of(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("version", "listed", "off", "on"),
    [
        ("v1.9.0", [], [], ALL),
        ("v1.9.0", [], ALL, ALL[:2]),
        ("v1.9.0", ALL[2:], ALL, ALL),
        ("v1.8.0", [], [], ALL[:1]),
        ("v1.8.0", ALL[1:], ALL, ALL),
        ("v1.4.0", [], [], ALL[:1]),
    ],
)
def test_gates(version: str, listed: list[str], off: list[str], on: list[str]) -> None:
    """General is on, then what is listed, then what is disabled is off; Beta is on from 1.9."""
    gates = {"featureGates": listed, "disabledFeatureGates": off}
    found = read_settings(kubevirt(version, developerConfiguration=gates))
    assert [gate for gate in ALL if found.is_on(gate)] == on  # type: ignore[arg-type]


def test_before_1_6_nothing_migrates_for_nics() -> None:
    """No condition, no timer, and so nothing for the updater to see."""
    waiting = vmi(nic("blue"), conditions=(LIVE,))
    for release, told in (((1, 6), True), ((1, 5), False)):
        view = View(vmi=waiting, pods=[pod()], settings=ClusterSettings(release=release))
        (written,) = status(view, now=NOW).writes
        assert isinstance(written.body, list)
        conditions = next(item["value"] for item in written.body[1:] if item["path"] == "/status/conditions")
        found = condition_of({"status": {"conditions": conditions}}, "MigrationRequired")
        assert (found is not None) is told


@pytest.mark.parametrize(("version", "name"), [("v1.9.0", "other"), ("v1.8.2", "blue-nad")])
def test_before_1_9_a_nic_stays_on_its_network(version: str, name: str) -> None:
    renames = read_settings(kubevirt(version)).is_on("LiveUpdateNADRef")
    running = vmi(nic("blue"), conditions=(LIVE,))
    template = {**running["spec"], "networks": [running["spec"]["networks"][0], net("blue", "other")]}
    assert synced_spec(template, running, renames=renames)["networks"][1]["multus"]["networkName"] == name


ORDINAL: list[Any] = [{"interface": "eth0", "default": True}, {"interface": "net1", "name": "default/blue-nad"}]


@pytest.mark.parametrize(("version", "interface"), [("v1.9.0", "pod16477688c0e"), ("v1.8.2", "net1")])
def test_before_1_9_a_target_pod_keeps_ordinal_names(version: str, interface: str) -> None:
    settings = replace(read_settings(kubevirt(version)), gates=frozenset({"ExternalNetResourceInjection"}))
    view = MigrationView(
        migration=migration(phase="Pending"),
        vmi=vmi(nic("blue"), conditions=(LIVE,)),
        pods=[pod(entries=ORDINAL)],
        settings=settings,
    )
    (made,) = migrate(view, now=NOW).writes
    assert isinstance(made.body, dict)
    assert f'"interface":"{interface}"' in made.body["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"]
    assert made.body["spec"]["containers"][0]["image"] == f"quay.io/kubevirt/virt-launcher:{version}"


def test_4_2_where_networks_are_looked_up_no_pod_is_made_without_them() -> None:
    """Until 1.8 by default. A migration then stays Pending, and no deadline ends it, as there is no pod."""
    missing = "failed to render launch manifest: failed to locate network attachment definition default/blue-nad"
    fresh = vmi(nic("blue"), phase="")
    for networks, error in ((frozenset[tuple[str, str]](), missing), (frozenset({("default", "blue-nad")}), "")):
        found = sync(View(vmi=fresh, pods=[], networks=networks))
        assert (found.error, bool(found.writes)) == (error, not error)
        running = vmi(nic("blue"), conditions=(LIVE,))
        view = MigrationView(migration=migration(phase="Pending"), vmi=running, pods=[pod()], networks=networks)
        moved = migrate(view, now=NOW)
        assert (moved.error, bool(moved.writes)) == (error, not error)


def test_the_updater_obeys_the_methods_of_the_moment() -> None:
    waiting = vmi(conditions=(condition("LiveMigratable"), required("True")))
    for methods, count in (
        ({}, 0),
        ({"workloadUpdateMethods": []}, 0),
        ({"workloadUpdateMethods": ["LiveMigrate"]}, 1),
    ):
        settings = read_settings({"spec": {"workloadUpdateStrategy": methods}})
        assert len(update(Updates(vmis=[waiting], migrations=[], settings=settings, pods=[]), now=NOW).writes) == count
