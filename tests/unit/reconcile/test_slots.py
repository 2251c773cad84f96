"""The keeper of the ledger: what it reads and writes, when, and what an event about one of many costs."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from tests.build import NOW, kubevirt, migration, migration_state, pod, vmi

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.kube.api import Resource
from nicplug.kube.errors import Denied, Gone, Rejected, Stale
from nicplug.model.keys import SLOTS, MigrationKey, WorkKey
from nicplug.model.names import OPERATOR_LABELS
from nicplug.model.slot_ledger import LEDGER_NAME
from nicplug.plan.views import MigrationView, PlanSettings
from nicplug.reconcile.gather import Gatherer
from nicplug.reconcile.memory import Memory
from nicplug.reconcile.slots import SlotKeeper

Json = dict[str, Any]
NAMESPACE = "nicplug-system"


class LedgerApi:
    """The verbs that the keeper needs, on one ConfigMap."""

    def __init__(self) -> None:
        self.ledger: Json | None = None
        self.requests: list[str] = []
        self.has_namespace = True

    async def get(self, resource: Resource, *, name: str, namespace: str | None = None) -> Json:
        self.requests.append(f"get {resource.plural}")
        if resource.plural != "configmaps" or self.ledger is None:
            raise Gone("not found", status=404)
        return self.ledger

    async def create(self, resource: Resource, body: Json, *, namespace: str | None = None) -> Json:
        self.requests.append("create")
        metadata = {"name": LEDGER_NAME, "namespace": NAMESPACE, "labels": OPERATOR_LABELS}
        assert (body["metadata"], namespace) == (metadata, NAMESPACE)
        if not self.has_namespace:
            raise Gone('namespaces "nicplug-system" not found', status=404)
        return self._keep(body, version=1)

    async def replace(self, resource: Resource, body: Json, *, name: str, namespace: str | None = None) -> Json:
        self.requests.append("update")
        assert self.ledger is not None
        if body["metadata"]["resourceVersion"] != self.ledger["metadata"]["resourceVersion"]:
            raise Stale("the object has been modified", status=409)
        return self._keep(body, version=int(body["metadata"]["resourceVersion"]) + 1)

    def _keep(self, body: Json, *, version: int) -> Json:
        self.ledger = {**body, "metadata": {**body["metadata"], "resourceVersion": str(version), "managedFields": []}}
        return self.ledger


class Process:
    """One operator's caches and keeper; it looks at a migration as a pass of the reconciler does."""

    def __init__(self, api: LedgerApi, *, migrations: int) -> None:
        self.dirty: list[WorkKey] = []
        self.views = 0
        self.caches = Caches(clock=_clock)
        memory = Memory(clock=_clock)
        gatherer = Gatherer(self.caches, memory, PlanSettings())
        self.keeper = SlotKeeper(
            api=api,  # type: ignore[arg-type]
            caches=self.caches,
            gatherer=_Counting(self, gatherer),  # type: ignore[arg-type]
            namespace=NAMESPACE,
            on_dirty=self.dirty.extend,
            clock=_clock,
        )
        self.caches.observe(CachedKind.KUBEVIRT, kubevirt())
        for number in range(migrations):
            name = f"a{number}"
            self.caches.observe(CachedKind.VMI, vmi(name=name, uid=f"vmi-{name}", node=f"n-{name}"))
            self.caches.observe(CachedKind.POD, _pod(name))
            self.hear("Pending", name)

    def hear(self, phase: str, name: str, *, version: int = 10, spec: Json | None = None) -> None:
        meta: Json = {"name": f"job-{name}", "uid": f"uid-{name}", "vmi_name": name, "resourceVersion": str(version)}
        self.caches.observe(CachedKind.MIGRATION, migration(phase, spec=spec, **meta))

    def report(self, name: str, *, version: int, **members: Any) -> list[WorkKey]:
        """The node agents of that VMI say so of its migration; what has to look again."""
        state = migration_state(migration_uid=f"uid-{name}", **members)
        raw = vmi(name=name, uid=f"vmi-{name}", node=f"n-{name}", moving=state, version=version)
        return self.caches.observe(CachedKind.VMI, raw)

    def granted(self) -> set[str]:
        return set(self.caches.slots.entries)


class _Counting:
    """A gatherer that counts."""

    def __init__(self, process: Process, gatherer: Gatherer) -> None:
        self._process, self._gatherer = process, gatherer

    def migration_view(self, key: MigrationKey) -> MigrationView | None:
        self._process.views += 1
        return self._gatherer.migration_view(key)


def _pod(name: str) -> Json:
    body = pod(owner_uid=f"vmi-{name}", name=f"virt-launcher-{name}", uid=f"pod-{name}", node=f"n-{name}")
    body["metadata"]["ownerReferences"][0]["name"] = name
    return body


def _clock() -> datetime:
    return NOW


async def test_a_hundred_are_weighed_in_one_read_and_one_write() -> None:
    api = LedgerApi()
    process = Process(api, migrations=100)
    await process.keeper.reconcile()
    assert api.requests == ["get configmaps", "create"]
    assert len(process.granted()) == 5
    assert len(process.dirty) == 100, "everybody is told"


async def test_an_event_about_one_of_a_hundred_looks_at_no_other() -> None:
    api = LedgerApi()
    process = Process(api, migrations=100)
    await process.keeper.reconcile()
    process.views = 0
    api.requests.clear()
    process.dirty.clear()
    ended = sorted(process.granted())[0].removeprefix("uid-")
    process.hear("Succeeded", ended, version=11)
    await process.keeper.reconcile()
    assert process.views == 0
    assert api.requests == ["update"], "release and grant are one write"
    assert len(process.granted()) == 5
    assert len(process.dirty) < 20


async def test_when_nothing_has_changed_nothing_is_asked_or_written() -> None:
    """Only who has a slot and has not begun is told again: he may have found the ledger too old to begin."""
    api = LedgerApi()
    process = Process(api, migrations=9)
    await process.keeper.reconcile()
    api.requests.clear()
    process.dirty.clear()
    assert await process.keeper.reconcile() is None
    assert api.requests == []
    assert {f"uid-{key.name.removeprefix('job-')}" for key in process.dirty} == process.granted()  # type: ignore[union-attr]


async def test_of_two_leaders_one_writes_and_the_other_reads_again() -> None:
    api = LedgerApi()
    first, second = Process(api, migrations=9), Process(api, migrations=9)
    await first.keeper.reconcile()
    await second.keeper.reconcile()
    assert first.granted() == second.granted()
    gone = sorted(first.granted())
    for process, name in ((first, gone[0]), (second, gone[1])):
        process.hear("Failed", name.removeprefix("uid-"), version=11)
    await first.keeper.reconcile()
    with pytest.raises(Stale):
        await second.keeper.reconcile()
    assert len(second.granted()) == 5
    api.requests.clear()
    await second.keeper.reconcile()
    assert api.requests[0] == "get configmaps"
    assert gone[1] not in second.granted()
    assert len(second.granted()) == 5


async def test_a_slot_is_kept_while_the_node_agents_still_copy() -> None:
    """The migration has ended, and they have not heard of it: whoever had its slot would be one too many."""
    process = Process(LedgerApi(), migrations=9)
    await process.keeper.reconcile()
    (first, *_), before = sorted(process.granted()), process.granted()
    name = first.removeprefix("uid-")
    process.report(name, version=11, startTimestamp="2026-01-02T03:04:00Z")
    process.hear("Failed", name, version=12)
    await process.keeper.reconcile()
    assert process.granted() == before
    assert SLOTS in process.report(name, version=13, failed=True, completed=True), "their word frees it"
    await process.keeper.reconcile()
    assert first not in process.granted()
    assert len(process.granted()) == 5


def _delete(_ledger: Json) -> None:
    return None


def _empty(ledger: Json) -> Json:
    return {**ledger, "data": None}


def _take_one_out(ledger: Json) -> Json:
    return {**ledger, "data": {name: value for name, value in ledger["data"].items() if name != "uid-a0"}}


@pytest.mark.parametrize("edit", [_delete, _empty, _take_one_out])
async def test_a_slot_that_others_took_out_of_the_ledger_is_not_given_to_anybody_else(
    edit: Callable[[Json], Json | None],
) -> None:
    """Whoever had it may be making his target pod just now: what this process remembers counts."""
    api = LedgerApi()
    process = Process(api, migrations=9)
    await process.keeper.reconcile()
    before = process.granted()
    assert "uid-a0" in before
    assert api.ledger is not None
    api.ledger = edit(api.ledger)
    process.hear("Pending", "a8", version=11, spec={"priority": "system-critical"})
    process.caches.slots.drop(MigrationKey("default", "job-a8"))
    process.caches.slots.doubt()
    await process.keeper.reconcile()
    assert process.granted() == before
    assert api.ledger is not None
    assert set(api.ledger["data"]) == before | {"checksum"}, "and it is written down again"


async def test_a_slot_that_another_leader_released_is_free() -> None:
    """It is only of a ledger that was edited that our own memory is worth more."""
    api = LedgerApi()
    first, second = Process(api, migrations=9), Process(api, migrations=9)
    await first.keeper.reconcile()
    await second.keeper.reconcile()
    first.hear("Failed", "a0", version=11)
    await first.keeper.reconcile()
    second.caches.slots.doubt()
    await second.keeper.reconcile()
    assert second.granted() == first.granted()
    assert "uid-a0" not in second.granted()


async def test_a_namespace_that_is_missing_is_said() -> None:
    api = LedgerApi()
    api.has_namespace = False
    process = Process(api, migrations=1)
    with pytest.raises(Denied, match='there is no namespace "nicplug-system": make it') as caught:
        await process.keeper.reconcile()
    process.keeper.note_refusal(SLOTS, caught.value, seconds=1)
    slot = process.caches.slots.slot_of("uid-a0", now=NOW)
    assert (slot.is_granted, slot.reason) == (False, "SlotLedgerRefused")
    assert "there is no namespace" in slot.message


async def test_a_refusal_leaves_those_that_have_a_slot_alone() -> None:
    api = LedgerApi()
    process = Process(api, migrations=1)
    await process.keeper.reconcile()
    process.keeper.note_refusal(SLOTS, Rejected("immutable", status=422), seconds=1)
    assert process.caches.slots.slot_of("uid-a0", now=NOW).is_granted


async def test_what_somebody_else_put_on_the_ledger_stays() -> None:
    api = LedgerApi()
    process = Process(api, migrations=1)
    api.ledger = {
        "metadata": {"name": LEDGER_NAME, "namespace": NAMESPACE, "resourceVersion": "7", "labels": {"a": "b"}}
    }
    await process.keeper.reconcile()
    assert api.ledger["metadata"]["labels"] == {"a": "b", **OPERATOR_LABELS}
    assert process.granted() == {"uid-a0"}
