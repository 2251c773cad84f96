"""The statuses of KubeVirt CRs: who writes them, how often, and whose are left alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.build import NOW, kubevirt
from tests.fakes.direct import DirectApi, DirectWorld

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.cache.optional_watch import Absence
from nicplug.kube.errors import Denied
from nicplug.reconcile.kubevirt_status import LOOK_AGAIN_SECONDS, KubevirtStatus

pytestmark = pytest.mark.looptime
Json = dict[str, Any]


class Setup:
    """A cluster with KubeVirt CRs, and what keeps their statuses."""

    def __init__(self) -> None:
        self.world = DirectWorld()
        for namespace in ("kubevirt", "tenant"):
            self.world.writer.create(self.world.kinds["namespaces"], {"metadata": {"name": namespace}}, namespace="")
        self.api = DirectApi(self.world)
        self.caches = Caches(clock=lambda: NOW)
        self.leads = True
        self.keeper = KubevirtStatus(
            api=self.api, caches=self.caches, may_write=lambda: self.leads, clock=lambda: NOW, version="v9"
        )
        self.task = asyncio.create_task(self.keeper.run())

    def create(self, name: str = "kubevirt", *, namespace: str = "kubevirt", **metadata: Any) -> None:
        body = kubevirt(name=name)
        body["metadata"] = {"name": name, "namespace": namespace, **metadata}
        self.world.writer.create(self.world.kinds["kubevirts"], body, namespace=namespace)
        self.hear(name, namespace=namespace)

    def hear(self, name: str = "kubevirt", *, namespace: str = "kubevirt") -> None:
        """What the watch brings."""
        self.caches.observe(CachedKind.KUBEVIRT, self.object(name, namespace=namespace))
        self.keeper.wake()

    def object(self, name: str = "kubevirt", *, namespace: str = "kubevirt") -> Json:
        found = self.world.object("kubevirts", name, namespace=namespace)
        assert found is not None
        return found

    def status(self, name: str = "kubevirt", *, namespace: str = "kubevirt") -> Json:
        return dict(self.object(name, namespace=namespace).get("status") or {})

    async def edit(self, *operations: Json, subresource: str | None = None) -> None:
        from nicplug.kube.resources import KUBEVIRTS

        other = DirectApi(self.world)
        await other.patch(KUBEVIRTS, operations, name="kubevirt", namespace="kubevirt", subresource=subresource)
        self.hear()

    def writes(self) -> int:
        return [verb for verb, _ in self.api.calls].count("patch")


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    made = Setup()
    yield made
    made.task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await made.task


async def test_the_status_is_there_at_once(setup: Setup) -> None:
    setup.create()
    await asyncio.sleep(0.1)
    status = setup.status()
    assert (status["phase"], status["observedKubeVirtVersion"]) == ("Deployed", "v9")
    assert status["observedGeneration"] == setup.object()["metadata"]["generation"]


async def test_a_standby_writes_nothing_until_it_leads(setup: Setup) -> None:
    setup.leads = False
    setup.create()
    await asyncio.sleep(60)
    assert setup.api.calls == []
    setup.leads = True
    setup.keeper.wake()
    await asyncio.sleep(0.1)
    assert setup.status()["phase"] == "Deployed"


async def test_what_has_not_changed_costs_no_request(setup: Setup) -> None:
    setup.create()
    await asyncio.sleep(20)
    before = len(setup.api.calls)
    for _ in range(10):
        setup.hear()
        await asyncio.sleep(20)
    assert len(setup.api.calls) == before


async def test_nodes_that_come_and_go_cost_one_round_in_ten_seconds(setup: Setup) -> None:
    setup.create()
    await asyncio.sleep(30)
    before = setup.writes()
    for number in range(100):
        if number % 2:
            setup.caches.attachments.lose(Absence.DENIED)
        else:
            setup.caches.attachments.lose(Absence.NOT_SERVED)
        setup.keeper.wake()
        await asyncio.sleep(0.5)
    assert 1 <= setup.writes() - before <= 6


async def test_a_change_of_the_spec_is_observed(setup: Setup) -> None:
    setup.create()
    await asyncio.sleep(30)
    await setup.edit({"op": "add", "path": "/spec/imageTag", "value": "v2"})
    await asyncio.sleep(0.1)
    assert setup.object()["metadata"]["generation"] == 2
    assert setup.status()["observedGeneration"] == 2


async def test_a_kubevirt_cr_of_virt_operator_is_left_alone(setup: Setup) -> None:
    setup.create(annotations={"kubevirt.io/latest-observed-api-version": "v1"})
    with capture_logs() as lines:
        await asyncio.sleep(LOOK_AGAIN_SECONDS * 3)
    assert setup.writes() == 0
    assert setup.status() == {}
    (line,) = [line for line in lines if line["log_level"] == "warning"]
    assert line["mark"] == "annotation kubevirt.io/latest-observed-api-version"


async def test_it_does_not_fight_whoever_writes_the_status_too(setup: Setup) -> None:
    setup.create()
    await asyncio.sleep(30)
    before = setup.writes()
    for _ in range(20):
        await setup.edit({"op": "add", "path": "/status/phase", "value": "Deploying"}, subresource="status")
        await asyncio.sleep(60)
    assert 1 <= setup.writes() - before <= 3, "one look in ten minutes"


async def test_what_somebody_has_wiped_comes_back(setup: Setup) -> None:
    setup.create()
    await asyncio.sleep(30)
    await setup.edit({"op": "remove", "path": "/status/phase"}, subresource="status")
    await asyncio.sleep(LOOK_AGAIN_SECONDS * 2)
    assert setup.status()["phase"] == "Deployed"


async def test_one_that_was_created_again_has_a_status_again(setup: Setup) -> None:
    setup.create()
    await asyncio.sleep(30)
    gone = setup.object()
    setup.world.writer.delete(setup.world.kinds["kubevirts"], ("kubevirt", "kubevirt"))
    setup.caches.forget(CachedKind.KUBEVIRT, gone)
    setup.create()
    await asyncio.sleep(0.1)
    assert setup.status()["phase"] == "Deployed"


async def test_an_outage_delays_it(setup: Setup) -> None:
    setup.api.is_up = False
    setup.create()
    await asyncio.sleep(120)
    setup.api.is_up = True
    await asyncio.sleep(301)
    assert setup.status()["phase"] == "Deployed"


async def test_a_right_that_is_missing_is_said_once_and_asked_for_ever_less_often(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def denied(*_: object, **__: object) -> Json:
        setup.api.calls.append(("patch", "kubevirts"))
        raise Denied("no", status=403)

    monkeypatch.setattr(setup.api, "patch", denied)
    setup.create()
    with capture_logs() as lines:
        await asyncio.sleep(3600)
    assert len([line for line in lines if line["log_level"] == "warning"]) == 1
    assert 10 <= setup.writes() <= 20


async def test_somebody_else_s_change_in_between_is_not_overwritten(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """virt-operator began to report between the read and the write."""
    read, is_first = setup.api.list, True

    async def list_(*arguments: Any, **options: Any) -> Json:
        nonlocal is_first
        page = await read(*arguments, **options)
        if is_first:
            is_first = False
            mark = {"kubevirt.io/latest-observed-api-version": "v1"}
            await setup.edit({"op": "add", "path": "/metadata/annotations", "value": mark})
        return page

    monkeypatch.setattr(setup.api, "list", list_)
    setup.create()
    await asyncio.sleep(600)
    assert setup.status() == {}


async def test_one_without_effect_says_so_wherever_it_lies(setup: Setup) -> None:
    setup.create(creationTimestamp="2026-01-01T00:00:00Z")
    setup.create("second", creationTimestamp="2026-01-02T00:00:00Z")
    setup.create(namespace="tenant")
    for ignored in setup.caches.kubevirts.ignored():
        setup.keeper.report_ignored(ignored, f"{ignored.key} has no effect.")
    await asyncio.sleep(30)
    for name, namespace in (("second", "kubevirt"), ("kubevirt", "tenant")):
        status = setup.status(name, namespace=namespace)
        (row,) = status.pop("conditions")
        assert status == {}
        assert (row["type"], row["status"], row["reason"]) == ("Synchronized", "False", "ExistingDeployment")
        assert row["message"].endswith(f"{namespace}/{name} has no effect.")
    assert setup.status()["phase"] == "Deployed"


async def test_kubevirts_own_cr_in_another_namespace_is_left_alone(setup: Setup) -> None:
    """Of one elsewhere the caches have the name alone: whose it is is read before the write."""
    setup.create(namespace="tenant", annotations={"kubevirt.io/latest-observed-api-version": "v1"})
    (ignored,) = setup.caches.kubevirts.ignored()
    setup.keeper.report_ignored(ignored, "it has no effect.")
    await asyncio.sleep(30)
    assert setup.status(namespace="tenant") == {}
    assert setup.writes() == 0


async def test_one_that_counts_by_now_is_not_reported_as_ignored(setup: Setup) -> None:
    setup.create("first", creationTimestamp="2026-01-01T00:00:00Z")
    setup.create(creationTimestamp="2026-01-02T00:00:00Z")
    await asyncio.sleep(5)
    (ignored,) = setup.caches.kubevirts.ignored()
    setup.keeper.report_ignored(ignored, "it has no effect.")
    setup.caches.forget(CachedKind.KUBEVIRT, setup.object("first"))
    await asyncio.sleep(30)
    assert setup.status()["phase"] == "Deployed"
    assert "Synchronized" not in {row["type"] for row in setup.status()["conditions"]}
