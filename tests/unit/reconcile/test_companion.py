"""A pass beside KubeVirt: what it sees, what it sends, and what a refusal means."""

import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from tests.build import (
    NAME,
    NAMESPACE,
    POD_UID,
    TARGET_POD_UID,
    VM_UID,
    VMI_UID,
    Json,
    interface_report,
    kubevirt,
    later,
    nic,
    operation,
    pod,
    primary,
    primary_row,
    row,
    target_pod,
    vm,
    vmi,
)
from tests.sim.cluster import MIGRATIONS, REPORTS, Cluster
from tests.unit.reconcile.bench import PlainApi, Recorded, fail

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.kube.errors import ApiError, Denied, Rejected, Stale, Unavailable
from nicplug.model.interface_report import interfaces_hash
from nicplug.model.keys import SLOTS, BudgetKey, MigrationKey, VmiKey, VmKey, WorkKey
from nicplug.model.mode import Mode
from nicplug.plan.companion.plan_companion import CompanionDecision, decide_companion
from nicplug.plan.companion.view import CompanionView
from nicplug.plan.reasons import Reason
from nicplug.plan.views import PlanSettings
from nicplug.reconcile import companion
from nicplug.reconcile.companion import CompanionReconciler, companion_keys, companion_reconcilers
from nicplug.reconcile.delays import RetryPolicy
from nicplug.reconcile.gather import Gatherer
from nicplug.reconcile.memory import Memory
from nicplug.reconcile.reconciler import Parts, Reconciler, Reconcilers

KEY = VmiKey(NAMESPACE, NAME)
# SR-IOV: it comes by migration whatever runs on the node.
BLUE, RED = nic("blue", binding="sriov"), nic("red", binding="sriov")
IN_FLIGHT = (
    'admission webhook "migration-create-validator.kubevirt.io" denied the request: in-flight migration detected. '
    "Active migration job (uid) is currently already in progress for VMI vmi-fedora."
)


def live_migrate(*, limit: int, version: int = 10) -> Json:
    """The CR of a KubeVirt that migrates VMs for changes."""
    raw = kubevirt()
    raw["metadata"] |= {"resourceVersion": str(version), "generation": version}
    raw["spec"]["workloadUpdateStrategy"] = {"workloadUpdateMethods": ["LiveMigrate"]}
    raw["spec"]["configuration"]["migrations"] = {"parallelMigrationsPerCluster": limit}
    return {**raw, "status": {"observedKubeVirtVersion": "v1.9.0"}}


class Beside:
    """The reconciler of a companion, of which all is real but the wire; KubeVirt's objects come as a watch tells them.

    Attributes:
        clock: the present time.
        woken: the VMIs that were offered a slot.
    """

    def __init__(self) -> None:
        self.clock = later(0)
        self.cluster = Cluster()
        self.cluster.is_kubevirts = True
        self.api, self.recorded = PlainApi(self.cluster), Recorded()
        self.caches = Caches(clock=self.now, mode=Mode.COMPANION)
        self.woken: list[VmiKey] = []
        self.inner: CompanionReconciler | None = None
        settings = PlanSettings().beside_kubevirt()
        self.reconciler = Reconciler(
            api=self.api,
            gatherer=Gatherer(self.caches, Memory(clock=self.now), settings),
            recorder=self.recorded,
            namespace=NAMESPACE,
            on_dirty=lambda _keys, **_: None,
            make=self._make,
        )
        self.hear(CachedKind.KUBEVIRT, live_migrate(limit=5))

    def now(self) -> datetime:
        return self.clock

    def _make(self, parts: Parts) -> Reconcilers:
        made = companion_reconcilers(parts, wake=self.woken.append)
        self.inner = made[VmiKey]  # type: ignore[assignment]
        return made

    def hear(self, kind: CachedKind, raw: Json) -> None:
        self.caches.observe(kind, raw)

    def run_vm(
        self,
        *nics: Any,
        name: str = NAME,
        version: int = 10,
        node: str = "node01",
        has_report: bool = True,
        **members: Any,
    ) -> VmiKey:
        """A VM that runs and can migrate; its guest has none of these NICs.

        Args:
            has_report: its report exists, without any record.
        """
        suffix = "" if name == NAME else f"-{name}"
        vm_uid, vmi_uid, pod_uid = VM_UID + suffix, VMI_UID + suffix, POD_UID + suffix
        raw = vmi(
            primary(),
            *nics,
            name=name,
            uid=vmi_uid,
            owner_uid=vm_uid,
            version=version,
            node=node,
            **{"rows": [primary_row()], "conditions": [{"type": "LiveMigratable", "status": "True"}], **members},
        )
        raw["status"]["activePods"] = {pod_uid: node}
        its_pod = pod(name=f"launcher-{name}", uid=pod_uid, owner_uid=vmi_uid, owner_name=name, node=node)
        self.hear(CachedKind.VM, vm(primary(), *nics, name=name, uid=vm_uid, version=version))
        self.hear(CachedKind.POD, its_pod)
        self.hear(CachedKind.VMI, raw)
        if has_report and not self.report(name):
            body = interface_report(name=name, owner_uid=vm_uid)
            body = self.cluster.create(REPORTS, body, by="operator")
            status = {"vmUid": vm_uid, "vmiUid": vmi_uid}
            self.tell_report({**body, "status": status}, subresource="status")
        return VmiKey(NAMESPACE, name)

    def tell_report(self, body: Json, *, subresource: str | None = None) -> None:
        """Somebody writes a report, and nicplug hears of it."""
        name = body["metadata"]["name"]
        written = self.cluster.replace(REPORTS, name, body, by="user", subresource=subresource)
        self.hear(CachedKind.REPORT, written)

    def reconcile(self, key: VmiKey = KEY, *, after: float = 1.0) -> float | None:
        """A pass, so much later than the last one."""
        self.clock = later((self.clock - later(0)).total_seconds() + after)
        return asyncio.run(self.reconciler.reconcile(key))

    def view(self, key: VmiKey = KEY) -> CompanionView:
        assert self.inner is not None
        found = self.inner.gatherer.view(key)
        assert found is not None
        return found

    def migrations(self) -> list[str]:
        return [item["metadata"]["name"] for item in self.cluster.all(MIGRATIONS)]

    def report(self, name: str = NAME) -> Json:
        return self.cluster.get(REPORTS, name) or {}

    def record(self) -> Json:
        (found,) = self.report()["status"]["interfaceOperations"]
        return dict(found)


@pytest.fixture
def beside() -> Beside:
    return Beside()


def test_vm_vmi_and_report_share_a_key() -> None:
    keys: list[WorkKey] = [
        VmKey("a", "b"),
        VmiKey("a", "b"),
        MigrationKey("a", "c"),
        SLOTS,
        BudgetKey("a", "b"),
        VmiKey("a", "d"),
    ]
    assert companion_keys(keys) == [VmiKey("a", "b"), VmiKey("a", "d")]


def test_report_and_migration_of_a_nic(beside: Beside) -> None:
    beside.run_vm(BLUE, has_report=False)
    for _ in range(4):
        beside.reconcile()
    (name,) = beside.migrations()
    assert name.startswith("nicplug-")
    assert (beside.record()["name"], beside.record()["migration"]) == ("blue", name)
    created = [("create", REPORTS), ("patch", REPORTS), ("create", MIGRATIONS)]
    assert beside.api.writes == [*created, ("patch", REPORTS)]


def test_without_a_report_no_pass_waits_for_an_echo(beside: Beside) -> None:
    """POST, first status, and then the migration: each pass asks for the next one, which would rest for 20 ms."""
    beside.run_vm(BLUE, has_report=False)
    assert beside.reconcile() == pytest.approx(0.001)
    assert beside.api.writes == [("create", REPORTS)]
    assert beside.reconcile(after=0.001) == pytest.approx(0.001)
    assert beside.api.writes[1:] == [("patch", REPORTS)]
    beside.reconcile(after=0.001)
    assert beside.api.writes[2:] == [("create", MIGRATIONS), ("patch", REPORTS)]


@pytest.mark.parametrize("error", [Denied("no", status=403), Rejected("no", status=422)], ids=["rights", "webhook"])
def test_who_cannot_report_does_not_migrate(beside: Beside, error: ApiError) -> None:
    """No records, no count of failures: it would migrate without end."""

    def no_reports(plural: str, body: Json, _: str) -> Json:
        if plural == REPORTS:
            raise error
        return body

    beside.run_vm(BLUE, has_report=False)
    beside.cluster.admit = no_reports
    for _ in range(3):
        with pytest.raises(type(error)):
            beside.reconcile()
    assert beside.migrations() == []


def test_a_report_that_nobody_else_removes_goes_with_its_vm(beside: Beside) -> None:
    """Somebody has removed its owner reference, so that Kubernetes keeps it."""
    beside.run_vm(BLUE)
    beside.reconcile()
    body = beside.report()
    body["metadata"]["ownerReferences"] = []
    beside.tell_report(body)
    beside.caches.forget(CachedKind.VM, vm())
    beside.reconcile()
    assert beside.report(), "a VMI of that name exists"
    beside.tell_report(body)
    beside.caches.forget(CachedKind.VMI, vmi())
    assert KEY in beside.caches.all_keys(), "a new leader finds it as well"
    beside.reconcile()
    assert beside.report() == {}
    before = len(beside.api.writes)
    assert beside.reconcile() is None
    assert len(beside.api.writes) == before


def test_a_report_of_that_name_that_is_not_nicplugs_stays(beside: Beside) -> None:
    beside.run_vm(BLUE)
    body = beside.report()
    body["metadata"] |= {"ownerReferences": [], "labels": {}}
    beside.tell_report(body)
    beside.caches.forget(CachedKind.VM, vm())
    beside.caches.forget(CachedKind.VMI, vmi())
    assert beside.reconcile() is None
    assert beside.report()


def test_an_edit_of_label_and_owner_costs_no_record(beside: Beside) -> None:
    beside.run_vm(BLUE)
    for _ in range(2):
        beside.reconcile()
    before = beside.report()
    edited = {**before, "metadata": {**before["metadata"], "labels": {"team": "a"}, "ownerReferences": []}}
    beside.tell_report(edited)
    beside.reconcile()
    found = beside.report()
    assert found["metadata"]["uid"] == before["metadata"]["uid"]
    assert found["status"] == before["status"]
    assert found["metadata"]["labels"] == {"team": "a", "app.kubernetes.io/managed-by": "nicplug"}
    assert found["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachine",
            "name": NAME,
            "uid": VM_UID,
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]
    assert ("delete", REPORTS) not in beside.api.writes


def test_nothing_is_repeated(beside: Beside) -> None:
    beside.run_vm(BLUE)
    for _ in range(3):
        beside.reconcile()
    before = len(beside.api.writes)
    for _ in range(5):
        beside.reconcile(after=0.1)
    assert len(beside.api.writes) == before
    assert len(beside.migrations()) == 1


def test_the_records_of_a_report_are_those_of_its_vmi(beside: Beside) -> None:
    beside.run_vm(BLUE)
    for _ in range(2):
        beside.reconcile()
    guest = beside.view().guest
    assert guest is not None
    assert list(guest.vmi.status.records(now=beside.now())) == ["blue"]
    assert guest.vmi.generation == 1
    assert beside.view().interfaces_hash == beside.report()["status"]["interfacesHash"]


def test_the_generation_counts_changes_of_the_nics_alone(beside: Beside) -> None:
    beside.run_vm(BLUE)
    for _ in range(2):
        beside.reconcile()
    beside.run_vm(BLUE, version=11, generation=50)
    guest = beside.view().guest
    assert guest is not None
    assert guest.vmi.generation == 1
    beside.run_vm(BLUE, RED, version=12, generation=51)
    guest = beside.view().guest
    assert guest is not None
    assert guest.vmi.generation == 2
    beside.reconcile()
    assert beside.report()["status"]["interfacesGeneration"] == 2


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        ("v1.10.0", "Upgrade nicplug, or let it act beside this version: --allow-kubevirt-version 1.10"),
        ("v1.3.0", "Use a version of KubeVirt beside which nicplug acts (docs/beside-kubevirt.md)"),
    ],
)
def test_beside_a_version_that_it_only_reports_on_it_advised_to_set_the_policy(
    beside: Beside, version: str, remedy: str
) -> None:
    raw = live_migrate(limit=5, version=11)
    beside.hear(CachedKind.KUBEVIRT, {**raw, "status": {"observedKubeVirtVersion": version}})
    beside.run_vm(BLUE)
    for _ in range(2):
        beside.reconcile()
    assert beside.migrations() == []
    assert beside.record()["reason"] == Reason.MIGRATION_FORBIDDEN
    assert beside.record()["remedy"] == f"{remedy}, or restart the VM"


def test_only_pods_that_virt_controller_lists_count(beside: Beside) -> None:
    beside.run_vm(BLUE)
    beside.hear(CachedKind.POD, pod(name="lookalike", uid="lookalike"))
    guest = beside.view().guest
    assert guest is not None
    assert [item.uid for item in guest.pods] == [POD_UID]
    assert [item.uid for item in guest.foreign_pods] == ["lookalike"]
    beside.hear(CachedKind.POD, target_pod())
    raw = vmi(primary(), BLUE, owner_uid=VM_UID, rows=[primary_row()], version=11)
    raw["status"]["activePods"] = {POD_UID: "node01", TARGET_POD_UID: "node02"}
    beside.hear(CachedKind.VMI, raw)
    guest = beside.view().guest
    assert guest is not None
    assert {item.uid for item in guest.pods} == {POD_UID, TARGET_POD_UID}


def test_a_vmi_of_another_owner_is_not_the_vms(beside: Beside) -> None:
    beside.run_vm(BLUE)
    beside.hear(CachedKind.VM, vm(primary(), BLUE, uid="another", version=20))
    view = beside.view()
    assert view.guest is None
    assert view.vm is not None


def test_nothing_is_left_of_one_that_is_gone(beside: Beside) -> None:
    beside.run_vm(BLUE)
    beside.reconcile()
    beside.caches.forget(CachedKind.VM, vm())
    beside.caches.forget(CachedKind.VMI, vmi())
    before = len(beside.api.writes)
    assert beside.reconcile() is None
    assert len(beside.api.writes) == before, "the API server removes the report with its owner"


def refuse(beside: Beside, error: ApiError) -> None:
    """The next write is refused."""
    beside.api.before.append(fail(error))


def retried_in(beside: Beside, key: VmiKey = KEY) -> float:
    """A pass that fails; in how many seconds its key is reconciled again."""
    policy = RetryPolicy()
    with pytest.raises(ApiError) as caught:
        beside.reconcile(key)
    delay = policy.delay_seconds(key, caught.value)
    if policy.must_be_reported(key, caught.value) and beside.reconciler.note_refusal(key, caught.value, seconds=delay):
        return 0.0
    return delay


def test_a_migration_that_virt_api_still_sees_in_flight_is_tried_again_soon(beside: Beside) -> None:
    """Its caches are behind, or nicplug's: nothing may happen any more that would cause a pass."""
    beside.run_vm(BLUE)
    refuse(beside, Rejected(IN_FLIGHT, status=422))
    assert retried_in(beside) < 1
    assert not beside.reconciler.is_refused(KEY)
    assert beside.recorded.events == []
    beside.reconcile(after=0.1)
    assert len(beside.migrations()) == 1


WEBHOOK_DOWN = (
    'Internal error occurred: failed calling webhook "migration-create-validator.kubevirt.io": failed to call webhook: '
    'Post "https://virt-api.kubevirt.svc:443/migration-validate-create?timeout=10s": dial tcp 10.0.0.{}:443: '
    "connect: connection refused"
)


@pytest.mark.parametrize(
    ("errors", "reason", "message", "remedy"),
    [
        (
            [Rejected(IN_FLIGHT, status=422)] * 30,
            Reason.MIGRATION_IN_FLIGHT,
            "in-flight migration detected",
            "Wait for the migration that the message names, or delete it",
        ),
        (
            [Unavailable(WEBHOOK_DOWN.format(number), status=500) for number in range(30)],
            Reason.WEBHOOK_UNAVAILABLE,
            'the webhook "migration-create-validator.kubevirt.io", which has to admit the migration, cannot be called',
            "See whether virt-api runs: kubectl get pods -A -l kubevirt.io=virt-api",
        ),
    ],
    ids=["in flight", "virt-api is down"],
)
def test_a_refusal_that_did_not_pass_was_retried_and_never_reported(
    beside: Beside, errors: list[ApiError], reason: Reason, message: str, remedy: str
) -> None:
    """It is reported from the sixth in a row on, in the report and by one Event, and still retried soon."""
    beside.run_vm(BLUE)
    policy = RetryPolicy()
    for count, error in enumerate(errors, start=1):
        refuse(beside, error)
        with pytest.raises(ApiError) as caught:
            beside.reconcile()
        delay = policy.delay_seconds(KEY, caught.value)
        assert delay <= 30
        is_reported = policy.must_be_reported(KEY, caught.value)
        assert is_reported is (count >= 6)
        if is_reported:
            beside.reconciler.note_refusal(KEY, caught.value, seconds=delay)
            for _ in range(3):
                beside.reconcile(after=delay / 5)
            assert (beside.record()["reason"], beside.record()["remedy"]) == (reason, remedy)
            assert message in beside.record()["message"]
            assert beside.report()["status"]["reason"] == reason
            beside.clock += timedelta(seconds=delay)
    assert [item[2] for item in beside.recorded.events].count(reason) == 1
    beside.reconcile()
    assert len(beside.migrations()) == 1
    for _ in range(2):
        beside.reconcile()
    assert beside.record()["reason"] != reason


def test_a_creation_that_succeeds_starts_the_count_again(beside: Beside) -> None:
    beside.run_vm(BLUE)
    for _ in range(2):
        for _ in range(5):
            refuse(beside, Rejected(IN_FLIGHT, status=422))
            with pytest.raises(Stale):
                beside.reconcile()
        beside.reconcile()
        (job,) = beside.cluster.all(MIGRATIONS)
        beside.cluster.delete(MIGRATIONS, job["metadata"]["name"], by="admin")
        beside.caches.forget(CachedKind.MIGRATION, job)


def test_a_refusal_was_announced_again_at_each_retry(beside: Beside) -> None:
    """Once for each change of the refusal, also if the object is the same."""
    beside.run_vm(BLUE)

    def refused(message: str) -> int:
        refuse(beside, Rejected(message, status=422))
        assert retried_in(beside) == 0.0
        beside.reconcile()
        beside.clock += timedelta(seconds=601)
        return [item[2] for item in beside.recorded.events].count(Reason.FAILED_CREATE)

    assert [refused("no") for _ in range(3)] == [1, 1, 1]
    assert [refused("never") for _ in range(2)] == [2, 2]
    beside.reconcile()
    assert len(beside.migrations()) == 1


@pytest.mark.parametrize(
    "error",
    [
        Rejected('admission webhook "x" denied the request: VMI is not migratable', status=422),
        Denied("migrations is forbidden", status=403),
    ],
    ids=["webhook", "rights"],
)
def test_any_other_refusal_is_reported(beside: Beside, error: ApiError) -> None:
    beside.run_vm(BLUE)
    policy = RetryPolicy()
    for _ in range(2):  # the first denial is nobody's fault
        refuse(beside, error)
        with pytest.raises(ApiError) as caught:
            beside.reconcile()
        delay = policy.delay_seconds(KEY, caught.value)
    assert policy.must_be_reported(KEY, caught.value)
    assert beside.reconciler.note_refusal(KEY, caught.value, seconds=delay)
    for _ in range(2):
        beside.reconcile()
    assert beside.migrations() == [], "not before it is time"
    assert str(error) in str(beside.record())
    assert beside.report()["status"]["reason"] == Reason.FAILED_CREATE
    assert [item[1:] for item in beside.recorded.events if item[2] == Reason.FAILED_CREATE]
    assert str(error) in " ".join(beside.recorded.messages)


def test_a_refusal_ends_with_its_time(beside: Beside) -> None:
    beside.run_vm(BLUE)
    refuse(beside, Rejected("no", status=422))
    assert retried_in(beside) == 0.0
    for _ in range(2):
        beside.reconcile()
    assert beside.migrations() == []
    beside.reconcile(after=601)
    assert len(beside.migrations()) == 1


def test_a_refusal_ends_with_a_change_of_the_nics(beside: Beside) -> None:
    beside.run_vm(BLUE)
    refuse(beside, Rejected("no", status=422))
    assert retried_in(beside) == 0.0
    for _ in range(2):
        beside.reconcile()
    beside.run_vm(BLUE, generation=50, version=11)
    beside.reconcile()
    assert beside.migrations() == [], "only its status has changed"
    beside.run_vm(BLUE, RED, generation=51, version=12)
    beside.reconcile()
    assert len(beside.migrations()) == 1


def test_a_lost_answer_creates_no_second_migration(beside: Beside) -> None:
    beside.run_vm(BLUE)
    beside.api.after.append(fail(Unavailable("time-out")))
    with pytest.raises(Unavailable):
        beside.reconcile()
    beside.reconcile()
    beside.reconcile()
    assert len(beside.migrations()) == 1


def fill(beside: Beside, *, limit: int) -> list[VmiKey]:
    """Set the limit, and start VMs with a NIC that needs a migration, two more than there are slots."""
    beside.hear(CachedKind.KUBEVIRT, live_migrate(limit=limit, version=99))
    return [beside.run_vm(BLUE, name=f"vm{number}", node=f"n{number}") for number in range(limit + 2)]


def test_no_more_migrations_than_slots(beside: Beside) -> None:
    keys = fill(beside, limit=2)
    beside.clock = later(60)

    async def everybody() -> None:
        await asyncio.gather(*map(beside.reconciler.reconcile, keys))

    asyncio.run(everybody())
    assert len(beside.migrations()) == 2
    for key in keys:
        beside.reconcile(key)
    waiting = [key for key in keys if WAITS in str(beside.report(key.name))]
    assert waiting == keys[2:]


WAITS = str(Reason.WAITING_FOR_SLOT)


def end_migration(beside: Beside, name: str) -> None:
    """The only migration has brought the NIC to this VM."""
    (job,) = beside.cluster.all(MIGRATIONS)
    job["metadata"]["resourceVersion"] = "999999"
    beside.hear(CachedKind.MIGRATION, {**job, "status": {"phase": "Succeeded"}})
    rows = [primary_row(), row("blue", "domain", "multus-status")]
    beside.run_vm(BLUE, name=name, node="n0", rows=rows, version=11)


def test_the_end_of_a_migration_offers_its_slot(beside: Beside) -> None:
    keys = fill(beside, limit=1)
    for key in keys:
        beside.reconcile(key)
    end_migration(beside, "vm0")
    beside.woken.clear()
    beside.reconcile(keys[0])
    assert beside.woken[0] == keys[1]
    beside.reconcile(keys[1])
    assert len(beside.migrations()) == 2


@pytest.mark.parametrize("error", [Rejected("no", status=422), Unavailable("down")], ids=["refused", "no answer"])
def test_a_creation_that_fails_gives_its_slot_back(beside: Beside, error: ApiError) -> None:
    keys = fill(beside, limit=1)
    refuse(beside, error)
    retried_in(beside, keys[0])
    beside.reconcile(keys[1])
    assert len(beside.migrations()) == 1


def test_a_bug_with_one_vm_does_not_hold_up_the_queue(beside: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is that VM woken at once, again and again."""
    keys = fill(beside, limit=1)
    for key in keys:
        beside.reconcile(key)
    end_migration(beside, "vm0")
    monkeypatch.setattr(companion, "decide_companion", partial(stumble, keys[1]))
    beside.woken.clear()
    with pytest.raises(RuntimeError):
        beside.reconcile(keys[1])
    assert beside.woken == [keys[2]]


def stumble(over: VmiKey, view: CompanionView, *, now: datetime) -> CompanionDecision:
    """A planner with a bug that one VM brings to light."""
    if view.key == over:
        raise RuntimeError("a bug")
    return decide_companion(view, now=now)


def test_a_record_of_hand_is_read(beside: Beside) -> None:
    """Whatever somebody writes into a report, the next pass writes over it."""
    beside.run_vm(BLUE)
    for _ in range(2):
        beside.reconcile()
    lies = {
        "ready": "7/7",
        "interfaceOperations": [operation("ghost"), 7],
        "interfacesGeneration": "x",
        "vmiUid": VMI_UID,
    }
    beside.tell_report({**beside.report(), "status": lies}, subresource="status")
    for _ in range(3):
        beside.reconcile()
    status = beside.report()["status"]
    assert [row["name"] for row in status["interfaceOperations"]] == ["blue"]
    assert status["ready"] == "1/2"
    assert status["interfacesHash"] == interfaces_hash(vmi(primary(), BLUE)["spec"])
    assert len(beside.migrations()) == 1
