"""What `nicplug doctor` says of KubeVirt's virt-controller and its settings, and which rights it checks there."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.build import NOW, Json, kubevirt
from tests.chart import OVERLAYS
from tests.unit.insight.read_api import Api

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.cli.connection import Session
from nicplug.cli.doctor.finding import Finding
from nicplug.cli.doctor.rights import COMPANION, NUDGE, Right
from nicplug.cli.doctor.virt_controller import check_settings, check_virt_controller
from nicplug.insight.evidence import Evidence, Target
from nicplug.model.times import format_micro_time
from nicplug_sandbox.yaml_documents import read_documents

OVERLAY, COMPONENTS = OVERLAYS / "companion", OVERLAYS.parent / "components"


def judged(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(item.check, str(item.severity)) for item in findings]


def deployment(*, ready: int) -> Json:
    labels = {"kubevirt.io": "virt-controller"}
    return {
        "metadata": {"name": "virt-controller", "namespace": "kubevirt", "labels": labels},
        "status": {"readyReplicas": ready} if ready else {},
    }


def lease(*, seconds_ago: float, holder: str = "virt-controller-1") -> Json:
    renewed = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    spec = {"holderIdentity": holder, "renewTime": format_micro_time(renewed)}
    return {"metadata": {"name": "virt-controller", "namespace": "kubevirt"}, "spec": spec}


async def found(
    deployments: Iterable[Json] = (), leases: Iterable[Json] = (), *, denied: frozenset[str] = frozenset()
) -> Finding:
    api: Any = Api(denied=denied)
    api.objects |= {"deployments": list(deployments), "leases": list(leases)}
    session = Session(api=api, namespace="default", context="x", server="s")
    (finding,) = await check_virt_controller(session)
    return finding


class TestVirtController:
    async def test_it_works(self) -> None:
        finding = await found([deployment(ready=2)], [lease(seconds_ago=5)])
        assert judged([finding]) == [("virt-controller", "ok")]
        assert finding.message == (
            "virt-controller-1 renews Lease kubevirt/virt-controller "
            "(2 replicas of Deployment kubevirt/virt-controller are ready)"
        )

    @pytest.mark.parametrize("leases", [[], [lease(seconds_ago=120)], [lease(seconds_ago=5, holder="")]])
    @pytest.mark.parametrize(("ready", "severity"), [(0, "problem"), (2, "warning")])
    async def test_nobody_renews_its_lease(self, leases: list[Json], ready: int, severity: str) -> None:
        finding = await found([deployment(ready=ready)], leases)
        assert judged([finding]) == [("virt-controller", severity)]
        assert finding.message.startswith("nobody renews the Lease of virt-controller")
        assert "kubectl get deployments -A -l kubevirt.io=virt-controller" in finding.remedy

    async def test_it_is_not_installed(self) -> None:
        finding = await found([deployment(ready=1) | {"metadata": {"name": "another", "namespace": "kubevirt"}}])
        assert judged([finding]) == [("virt-controller", "problem")]
        assert finding.message == "there is no Deployment of virt-controller"

    async def test_without_permission_nothing_is_known(self) -> None:
        finding = await found(denied=frozenset({"deployments"}))
        assert (judged([finding]), finding.is_denied) == ([("virt-controller", "unknown")], True)
        finding = await found([deployment(ready=2)], [lease(seconds_ago=5)], denied=frozenset({"leases"}))
        assert judged([finding]) == [("virt-controller", "warning")]


def settings(version: str = "v1.9.0", *methods: str, **migrations: int) -> dict[str, Finding]:
    """The findings on a KubeVirt CR, by check."""
    config = kubevirt()
    config["spec"]["workloadUpdateStrategy"] = {"workloadUpdateMethods": list(methods)}
    config["spec"]["configuration"]["migrations"] = migrations
    caches = Caches(clock=lambda: NOW)
    caches.observe(CachedKind.KUBEVIRT, config | {"status": {"observedKubeVirtVersion": version}})
    evidence = Evidence(target=Target(namespace="default", name=""), caches=caches, clock=lambda: NOW)
    return {f"{item.check} {item.severity}": item for item in check_settings(evidence)}


class TestSettings:
    def test_everything_is_well(self) -> None:
        assert list(settings("v1.9.0", "LiveMigrate")) == ["kubevirt ok", "migrations ok", "limits ok", "gate ok"]

    def test_evict_may_end_a_guest(self) -> None:
        finding = settings("v1.9.0", "Evict", "LiveMigrate")["migrations warning"]
        assert finding.message.endswith("lists Evict: KubeVirt may end a guest for a NIC")

    @pytest.mark.parametrize(
        ("methods", "has"), [((), "is not set, KubeVirt's default"), (("Evict",), "is Evict")], ids=["none", "another"]
    )
    def test_without_live_migrate_both_only_report(self, methods: tuple[str, ...], has: str) -> None:
        finding = settings("v1.9.0", *methods)["migrations warning"]
        assert finding.message.endswith(f"{has}: nicplug only reports, and KubeVirt migrates nothing either")
        assert "spec.companion.ignoreWorkloadUpdateMethods of HotplugPolicy default" in finding.remedy

    def test_a_limit_of_zero_holds_every_migration_back(self) -> None:
        finding = settings("v1.9.0", "LiveMigrate", parallelMigrationsPerCluster=0)["limits warning"]
        assert finding.message.startswith("parallelMigrationsPerCluster 0")
        assert "parallelInbound" not in finding.message

    @pytest.mark.parametrize("version", ["v1.3.2", "", "devel"])
    def test_beside_another_version_it_only_reports(self, version: str) -> None:
        finding = settings(version, "LiveMigrate")["kubevirt warning"]
        assert finding.message.endswith(": nicplug only reports")
        assert finding.remedy == "Only another version of KubeVirt or of nicplug helps."

    def test_a_kubevirt_cr_in_another_namespace(self) -> None:
        evidence = Evidence(
            target=Target(namespace="default", name="", kubevirt_namespace="openshift-cnv"),
            caches=Caches(clock=lambda: NOW),
            clock=lambda: NOW,
        )
        (finding,) = check_settings(evidence)
        assert judged([finding]) == [("kubevirt", "problem")]
        assert finding.message == "no KubeVirt CR in namespace openshift-cnv"


Granted = set[tuple[str, str, tuple[str, ...], frozenset[str]]]


def granted(path: Path) -> Granted:
    """The rules of the roles in a file, one resource each."""
    return {
        (group, resource, tuple(rule.get("resourceNames", ())), frozenset(rule["verbs"]))
        for role in read_documents(path.read_text())
        for rule in role.get("rules", ())
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def asked(rights: Iterable[Right], *, in_own_namespace: bool = False) -> Granted:
    return {
        (item.group, item.resource, item.names, frozenset(item.verbs))
        for item in rights
        if item.in_own_namespace is in_own_namespace
    }


def test_the_rights_that_are_asked_for_are_those_that_are_granted() -> None:
    assert asked(COMPANION) == granted(OVERLAY / "clusterrole.yaml")
    assert asked(COMPANION, in_own_namespace=True) == granted(OVERLAY / "role.yaml")
    assert asked([NUDGE]) == granted(COMPONENTS / "nudge" / "clusterrole.yaml")
