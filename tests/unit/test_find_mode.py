"""Which mode `nicplug run` finds on a cluster, and when it ends because that has changed."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest
import structlog

from nicplug.cache.reaper import Reaper
from nicplug.completeness import Completeness, ModeEnded
from nicplug.kube.api import KubeApi, Resource
from nicplug.kube.errors import ApiError, Denied, Gone, Unavailable
from nicplug.kube.resources import CUSTOM_RESOURCE_DEFINITIONS, DEPLOYMENTS, LEASES
from nicplug.kube.watch_health import WatchHealth
from nicplug.model.mode import DEFINITION, Mode
from nicplug.side_watches import SideWatches
from nicplug.startup import RivalError, find_mode, refuse_rivals, wait_for_api, why_mode_ends

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
THEIRS = {"app.kubernetes.io/managed-by": "virt-operator"}
OURS = {"app.kubernetes.io/name": "nicplug"}
PLURALS = ("virtualmachines", "virtualmachineinstances", "virtualmachineinstancemigrations", "kubevirts")
FORBIDDEN = Denied('cannot list resource "deployments"', status=403)
DEPLOYMENT = {"metadata": {"namespace": "kubevirt", "name": "virt-controller"}}


def crd(name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    status = {"conditions": [{"type": "Established", "status": "True"}]}
    return {"metadata": {"name": name, "labels": dict(labels)}, "status": status}


def lease(name: str, namespace: str, *, renewed: str = "2026-12-01T11:59:50.000000Z") -> dict[str, Any]:
    spec = {"holderIdentity": "pod-1", "renewTime": renewed}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


class Cluster:
    """CRDs, Deployments and Leases, or an error in the place of each; answers only after some failures."""

    def __init__(
        self,
        *,
        crds: Mapping[str, Mapping[str, str]] | ApiError,
        deployments: list[Any] | ApiError = (),  # type: ignore[assignment]
        leases: list[Any] | ApiError = (),  # type: ignore[assignment]
        failures: int = 0,
    ) -> None:
        self.crds = crds
        self._deployments = deployments
        self._leases = leases
        self._failures = failures
        self.selectors: list[tuple[str, str | None]] = []

    async def get(self, resource: Resource, *, name: str) -> Any:
        assert resource is CUSTOM_RESOURCE_DEFINITIONS
        self._fail()
        if isinstance(self.crds, ApiError):
            raise self.crds
        if name not in self.crds:
            raise Gone(f"no {name}", status=404)
        return crd(name, self.crds[name])

    async def list(self, resource: Resource, *, field_selector: str, label_selector: str | None = None) -> Any:
        self._fail()
        self.selectors.append((field_selector, label_selector))
        found = {DEPLOYMENTS: self._deployments, LEASES: self._leases}[resource]
        if isinstance(found, ApiError):
            raise found
        name = field_selector.removeprefix("metadata.name=")
        return {"items": [item for item in found if item["metadata"]["name"] == name]}

    def _fail(self) -> None:
        if self._failures:
            self._failures -= 1
            raise Unavailable("no answer", status=0)


def found(cluster: Cluster, *, wanted: Mode | None = None) -> Mode:
    async def look() -> Mode:
        return await asyncio.wait_for(find_mode(api(cluster), wanted=wanted, clock=lambda: NOW), timeout=5)

    return asyncio.run(look())


def api(cluster: Cluster) -> KubeApi:
    return cast(KubeApi, cluster)


def test_beside_kubevirt_it_is_a_companion() -> None:
    cluster = Cluster(crds={DEFINITION: THEIRS}, deployments=[DEPLOYMENT])
    assert found(cluster) is Mode.COMPANION
    assert cluster.selectors == [("metadata.name=virt-controller", "kubevirt.io=virt-controller")]


def test_on_its_own_crds_it_is_standalone_and_does_not_look_for_kubevirt() -> None:
    cluster = Cluster(crds={DEFINITION: OURS}, deployments=FORBIDDEN, leases=FORBIDDEN)
    assert found(cluster) is Mode.STANDALONE
    assert cluster.selectors == []


def test_without_the_right_to_list_deployments_the_lease_counts() -> None:
    with structlog.testing.capture_logs() as lines:
        cluster = Cluster(
            crds={DEFINITION: THEIRS}, deployments=FORBIDDEN, leases=[lease("virt-controller", "kubevirt")]
        )
        assert found(cluster) is Mode.COMPANION
    warned = [(line["event"], line["kind"]) for line in lines if line["log_level"] == "warning"]
    assert warned == [("cannot look for other controllers", "Deployment")]
    assert [line["virt_controller"] for line in lines if line["event"] == "mode chosen"] == [
        "Lease kubevirt/virt-controller"
    ]


def test_without_both_rights_the_crd_alone_counts() -> None:
    assert found(Cluster(crds={DEFINITION: THEIRS}, deployments=FORBIDDEN, leases=FORBIDDEN)) is Mode.COMPANION


@pytest.mark.parametrize(
    ("cluster", "wanted", "said"),
    [
        (Cluster(crds={DEFINITION: THEIRS}), None, "but no virt-controller was found"),
        (
            Cluster(
                crds={DEFINITION: THEIRS},
                deployments=FORBIDDEN,
                leases=[lease("virt-controller", "kubevirt", renewed="2026-12-01T10:00:00.000000Z")],
            ),
            None,
            "(Deployments cannot be listed)",
        ),
        (Cluster(crds={DEFINITION: THEIRS}, deployments=[DEPLOYMENT]), Mode.STANDALONE, "is KubeVirt's own"),
        (Cluster(crds={DEFINITION: OURS}), Mode.COMPANION, "is nicplug's"),
        (Cluster(crds={DEFINITION: THEIRS}), Mode.COMPANION, "but no virt-controller was found"),
        (Cluster(crds={}), Mode.COMPANION, "is not installed"),
    ],
    ids=["left CRDs", "silent", "standalone beside KubeVirt", "companion of nobody", "of left CRDs", "without CRDs"],
)
def test_where_no_mode_fits_it_does_not_start(cluster: Cluster, wanted: Mode | None, said: str) -> None:
    with pytest.raises(RivalError) as caught:
        found(cluster, wanted=wanted)
    assert said in str(caught.value)
    assert "docs/beside-kubevirt.md" in caught.value.remedy


def test_it_waits_for_the_api_server() -> None:
    cluster = Cluster(crds={DEFINITION: THEIRS}, deployments=[DEPLOYMENT], failures=2)
    with structlog.testing.capture_logs() as lines:
        assert found(cluster) is Mode.COMPANION
    assert [line["problem"] for line in lines if line["event"] == "waiting"] == [
        "the API server does not answer as it should: no answer"
    ]


def test_it_waits_for_the_crds_that_show_the_mode() -> None:
    crds: dict[str, Mapping[str, str]] = {}
    cluster = Cluster(crds=crds, deployments=[DEPLOYMENT])

    async def look() -> Mode:
        finding = asyncio.create_task(find_mode(api(cluster), wanted=None, clock=lambda: NOW))
        await asyncio.sleep(0.05)
        assert not finding.done()
        crds[DEFINITION] = THEIRS
        return await asyncio.wait_for(finding, timeout=5)

    with structlog.testing.capture_logs() as lines:
        assert asyncio.run(look()) is Mode.COMPANION
    assert [line["problem"] for line in lines if line["event"] == "waiting"] == [
        f"CRD {DEFINITION} is not installed: kubectl apply -f crds/, or install KubeVirt first"
    ]


def installed(labels: Mapping[str, str], **others: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    return {f"{plural}.kubevirt.io": others.get(plural, labels) for plural in PLURALS}


def said_while_waiting(crds: dict[str, Mapping[str, str]]) -> list[str]:
    async def look() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(wait_for_api(api(Cluster(crds=crds)), mode=Mode.COMPANION), timeout=0.2)

    with structlog.testing.capture_logs() as lines:
        asyncio.run(look())
    return [line["problem"] for line in lines]


def test_beside_kubevirt_its_crds_need_not_keep_what_nicplug_writes() -> None:
    assert said_while_waiting({**installed(THEIRS), "interfacereports.nicplug.io": OURS}) == []


def test_beside_kubevirt_it_waits_for_the_crd_of_its_reports() -> None:
    assert said_while_waiting(installed(THEIRS)) == [
        "CRD interfacereports.nicplug.io is not installed: kubectl apply -f crds/nicplug.io/"
    ]


def test_it_told_to_install_its_own_crds_while_virt_operator_was_still_installing() -> None:
    crds = installed(THEIRS)
    del crds["virtualmachineinstancemigrations.kubevirt.io"]
    assert said_while_waiting(crds) == [
        "CRD virtualmachineinstancemigrations.kubevirt.io is not installed: KubeVirt is not installed completely"
    ]


def test_a_mixture_of_both_parties_crds_is_refused() -> None:
    cluster = Cluster(crds=installed(THEIRS, virtualmachines=OURS))
    with pytest.raises(RivalError, match=r"CRD virtualmachines\.kubevirt\.io is nicplug's") as caught:
        asyncio.run(asyncio.wait_for(wait_for_api(api(cluster), mode=Mode.COMPANION), timeout=5))
    assert "virt-operator" in caught.value.remedy


def test_beside_kubevirt_virt_controller_is_no_rival_but_another_nicplug_is() -> None:
    leases = [lease("virt-controller", "kubevirt")]
    cluster = Cluster(crds={}, leases=leases)
    asyncio.run(refuse_rivals(api(cluster), mode=Mode.COMPANION, namespace="nicplug-system", now=NOW))
    leases.append(lease("nicplug-operator", "elsewhere"))
    with pytest.raises(RivalError, match="another nicplug works in namespace elsewhere"):
        asyncio.run(refuse_rivals(api(cluster), mode=Mode.COMPANION, namespace="nicplug-system", now=NOW))


@pytest.mark.parametrize(
    ("mode", "crds", "reason"),
    [
        (Mode.COMPANION, {DEFINITION: THEIRS}, ""),
        (Mode.COMPANION, {}, f"CRD {DEFINITION} is no longer installed"),
        (Mode.COMPANION, {DEFINITION: OURS}, f"CRD {DEFINITION} is no longer KubeVirt's"),
        (Mode.COMPANION, Unavailable("no answer", status=0), ""),
        (Mode.COMPANION, FORBIDDEN, ""),
        (Mode.STANDALONE, {}, ""),
    ],
    ids=["still there", "removed", "replaced", "no answer", "no right", "standalone"],
)
def test_it_notices_that_kubevirt_has_gone(mode: Mode, crds: Any, reason: str) -> None:
    assert asyncio.run(why_mode_ends(api(Cluster(crds=crds)), mode=mode)) == reason


@dataclass
class PlayedReaper:
    """Counts its sweeps; after the second one, nicplug's CRDs have replaced KubeVirt's."""

    api: Any
    sweeps: int = field(default=0)

    def has_missed(self) -> bool:
        return False

    async def sweep(self) -> None:
        self.sweeps += 1
        if self.sweeps == 2:
            self.api.crds = {DEFINITION: OURS}


async def keep(reaper: PlayedReaper, mode: Mode) -> None:
    completeness = Completeness(
        reaper=cast(Reaper, reaper),
        watches=cast(WatchHealth, None),
        side_watches=cast(SideWatches, None),
        relisted=asyncio.Event(),
        sweep_interval_seconds=0.01,
        mode=mode,
    )
    await asyncio.wait_for(completeness.keep(), timeout=1)


def test_a_companion_ends_when_kubevirt_has_gone() -> None:
    reaper = PlayedReaper(Cluster(crds={DEFINITION: THEIRS}))
    with structlog.testing.capture_logs() as lines, pytest.raises(ModeEnded, match="is no longer KubeVirt's"):
        asyncio.run(keep(reaper, Mode.COMPANION))
    assert reaper.sweeps == 2
    assert [(line["event"], line["reason"]) for line in lines if line["log_level"] == "warning"] == [
        ("KubeVirt has gone; the process ends, to be started again", f"CRD {DEFINITION} is no longer KubeVirt's")
    ]


def test_standalone_goes_on_while_its_crds_are_away() -> None:
    reaper = PlayedReaper(Cluster(crds={}))
    with pytest.raises(TimeoutError):
        asyncio.run(keep(reaper, Mode.STANDALONE))
    assert reaper.sweeps > 2
