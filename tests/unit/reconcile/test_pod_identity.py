"""Whose pod it is, between POST and record: answers that are lost, leaders that die, two leaders, squatters."""

import pytest
from tests.build import NAMESPACE, NOW, Json, migration, pod, target_pod, vmi
from tests.sim.cluster import PODS, VMIS
from tests.unit.reconcile.bench import NAME, VMI, Bench, fail

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.kube.errors import Stale, Unavailable
from nicplug.model.keys import BudgetKey, MigrationKey, VmiKey
from nicplug.plan.views import PlanSettings
from nicplug.plan.vmi.launcher_pod import launcher_pod_key
from nicplug.plan.vmi.plan_vmi import plan_vmi
from nicplug.reconcile.gather import Gatherer
from nicplug.reconcile.memory import Memory

DIGEST = {"nicplug.io/pod-spec": "0123456789abcdef"}


class Starting(Bench):
    """A VMI that waits for its pod, and a tenant."""

    def __init__(self) -> None:
        super().__init__()
        self.make_vmi()
        self.watch()
        vmi = self.caches.vmis.get(VMI)
        assert vmi is not None
        self.name = launcher_pod_key(vmi).name
        self.owner = {
            "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": NAME, "uid": vmi.uid,
            "controller": True,
        }  # fmt: skip

    def squat(self, *, labels: Json | None = None, annotations: Json | None = None, owned: bool = True) -> str:
        """Take the name of the launcher pod; the pod's uid."""
        metadata: Json = {"name": self.name, "labels": labels or {}, "annotations": annotations or {}}
        metadata |= {"ownerReferences": [self.owner]} if owned else {}
        return str(self.cluster.create(PODS, {"metadata": metadata, "spec": {}}, by="tenant")["metadata"]["uid"])

    async def settle(self, *, passes: int = 12) -> Json:
        """Passes, with everything heard in between, until the VMI has a phase with a pod; its status."""
        for _ in range(passes):
            self.watch()
            try:
                await self.reconciler.reconcile(VMI)
            except Stale:
                continue
            status = self.status()
            if status.get("phase") not in (None, "Pending"):
                return status
            self.cluster.pass_time(1)
        raise AssertionError("no pod")

    def status(self) -> Json:
        found = self.cluster.get(VMIS, NAME)
        assert found is not None
        return found.get("status") or {}

    def restarted(self) -> "Starting":
        """Another process on the same cluster: nothing that this one remembers."""
        other = Starting.__new__(Starting)
        Bench.__init__(other)
        other.cluster, other.name, other.owner = self.cluster, self.name, self.owner
        other.api.cluster = self.cluster
        other.hear()
        other._watched = len(self.cluster.history)
        return other


LABELS = {"kubevirt.io": "virt-launcher"}


@pytest.mark.parametrize(
    ("labels", "annotations", "owned"),
    [
        pytest.param({}, {}, False, id="nobody's pod"),
        pytest.param({}, {}, True, id="owned by the VMI, out of sight"),
        pytest.param(LABELS, {}, True, id="owned and labelled"),
        pytest.param(LABELS, DIGEST, True, id="forged in everything"),
    ],
)
async def test_a_squatter_of_the_first_name_blocks_no_start(labels: Json, annotations: Json, owned: bool) -> None:
    bench = Starting()
    evil = bench.squat(labels=labels, annotations=annotations, owned=owned)
    status = await bench.settle()
    (row,) = status["launcherPods"]
    assert row["uid"] != evil
    assert row["uid"] == _made(bench)["metadata"]["uid"]
    assert evil not in status["activePods"]


@pytest.mark.parametrize("owner", [{"kind": "ReplicaSet"}, {"name": "whatever"}], ids=["of a kind", "of a name"])
async def test_a_squatter_whose_owner_is_not_quite_the_vmi_blocks_no_start(owner: Json) -> None:
    """It is not among the VMI's pods, so that its name has to be remembered."""
    bench = Starting()
    bench.owner |= owner
    evil = bench.squat(labels=LABELS, annotations=DIGEST)
    status = await bench.settle()
    assert [row["uid"] for row in status["launcherPods"]] == [_made(bench)["metadata"]["uid"]]
    assert evil not in status["activePods"]


async def test_a_look_alike_beside_a_running_guest_raised_its_disruption_budget() -> None:
    """It was raised for a migration that nobody had asked for, and stayed so as long as the pod did."""
    bench = Starting()
    await bench.settle()
    bench.name = "virt-launcher-look-alike"
    evil = bench.squat(labels=LABELS, annotations=DIGEST)
    bench.watch()
    vmi = bench.caches.vmis.get(VMI)
    assert vmi is not None
    assert evil in {pod.uid for pod in bench.caches.launchers.of(vmi)}
    view = bench.reconciler.gatherer.budget_view(BudgetKey(VMI.namespace, VMI.name))
    assert view is not None
    assert not view.is_moving


def _made(bench: Bench) -> Json:
    """The living pod of the operator's."""
    pods = [pod for pod in bench.cluster.all(PODS) if pod["metadata"]["uid"] in bench.cluster.made]
    living = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    assert len(living) == 1
    return living[0]


async def test_one_look_alike_a_second_does_not_keep_a_vm_from_starting() -> None:
    bench = Starting()
    for number in range(30):
        bench.name = f"x{number}"
        bench.squat(labels=LABELS, annotations=DIGEST)
        bench.watch()
        await bench.reconciler.reconcile(VMI)
        bench.cluster.pass_time(1)
    status = bench.status()
    assert [row["uid"] for row in status["launcherPods"]] == [_made(bench)["metadata"]["uid"]]
    assert bench.api.writes.count(("create", PODS)) == 1


async def test_a_pod_whose_answer_was_lost_is_replaced_not_believed() -> None:
    bench = Starting()
    bench.api.after = [fail(Unavailable("time-out after the write"))]
    with pytest.raises(Unavailable):
        await bench.reconciler.reconcile(VMI)
    (lost,) = bench.cluster.all(PODS)
    status = await bench.settle()
    assert [row["uid"] for row in status["launcherPods"]] == [_made(bench)["metadata"]["uid"]]
    assert lost["metadata"]["uid"] not in status["activePods"]


@pytest.mark.parametrize("annotations", [DIGEST, {}], ids=["may be ours", "is foreign"])
async def test_a_lost_answer_makes_no_second_pod_when_the_first_name_has_become_free(annotations: Json) -> None:
    """Found by the simulation: the repeated POST went to the first name again, and two pods ran."""
    bench = Starting()
    bench.squat(labels=LABELS, annotations=annotations)
    bench.watch()
    assert bench.reconciler.gatherer.vmi_view(VMI) is not None
    bench.cluster.pass_time(6)

    def lose_answer_to_creation() -> None:
        if bench.cluster.made:
            raise Unavailable("time-out after the write")

    bench.api.after = [lose_answer_to_creation] * 3
    with pytest.raises(Unavailable):
        await bench.reconciler.reconcile(VMI)
    bench.api.after = []
    if any(item["metadata"]["name"] == bench.name for item in bench.cluster.all(PODS)):
        bench.cluster.delete(PODS, bench.name, by="tenant")
    ended = [body for plural, change, body in bench.cluster.history if (plural, change) == (PODS, "DELETED")]
    bench.caches.forget(CachedKind.POD, ended[-1])  # and no line of the pod whose answer was lost
    with pytest.raises(Stale):
        await bench.reconciler.reconcile(VMI)
    assert len(bench.cluster.all(PODS)) == 1


async def test_a_lost_answer_makes_no_second_pod_when_the_name_of_an_earlier_one_has_become_free() -> None:
    """Neither has the first name, which somebody else's pod has: the repeated POST would go to the earlier one's."""
    bench = Starting()
    bench.squat(labels=LABELS)
    bench.watch()
    bench.api.after = [fail(Unavailable("time-out after the write"))]
    with pytest.raises(Unavailable):
        await bench.reconciler.reconcile(VMI)
    bench.watch()
    (earlier,) = bench.cluster.made
    await bench.reconciler.reconcile(VMI)
    bench.cluster.pass_time(6)

    def lose_answer_to_creation() -> None:
        if len(bench.cluster.made) > 1:
            raise Unavailable("time-out after the write")

    bench.api.after = [lose_answer_to_creation] * 3
    with pytest.raises(Unavailable):
        await bench.reconciler.reconcile(VMI)
    bench.api.after = []
    ended = [body for plural, change, body in bench.cluster.history if (plural, change) == (PODS, "DELETED")]
    assert [body["metadata"]["uid"] for body in ended] == [earlier]
    bench.caches.forget(CachedKind.POD, ended[0])  # and no line of the pod whose answer was lost
    with pytest.raises(Stale):
        await bench.reconciler.reconcile(VMI)
    assert len(bench.cluster.made) == 2


async def test_names_of_look_alikes_that_are_given_no_time_are_not_kept() -> None:
    """A tenant may make as many as he likes."""
    bench = Starting()
    names = [f"x{number}" for number in range(5)]
    for name in names:
        bench.name = name
        bench.squat(labels=LABELS, annotations=DIGEST)
    bench.watch()
    assert bench.reconciler.gatherer.vmi_view(VMI) is not None
    view = bench.reconciler.gatherer.vmi_view(VMI)
    assert view is not None
    assert {key.name for key in view.taken} == set(names[:3])


async def test_a_pod_whose_maker_died_before_its_record_is_replaced() -> None:
    first = Starting()
    await first.reconciler.reconcile(VMI)
    (lost,) = first.cluster.all(PODS)
    second = first.restarted()
    status = await second.settle()
    assert [row["uid"] for row in status["launcherPods"]] == [_made(second)["metadata"]["uid"]]
    assert lost["metadata"]["uid"] not in {pod["metadata"]["uid"] for pod in second.cluster.all(PODS)}


async def test_of_two_leaders_the_one_that_records_first_has_the_guest() -> None:
    first = Starting()
    second = first.restarted()
    await first.reconciler.reconcile(VMI)
    with pytest.raises(Stale):
        await second.reconciler.reconcile(VMI)
    await second.reconciler.reconcile(VMI)
    status = await first.settle()
    second.watch()
    await second.reconciler.reconcile(VMI)
    (pod,) = first.cluster.all(PODS)
    assert [row["uid"] for row in status["launcherPods"]] == [pod["metadata"]["uid"]]
    assert second.api.writes == [("create", PODS)], "the second one has deleted or recorded nothing"


async def test_a_record_that_comes_after_the_end_of_its_pod_does_not_fail_a_vmi() -> None:
    """A leader is held up between POST and record; the next one has deleted the pod, which nobody had recorded."""
    first = Starting()
    second = first.restarted()
    await first.reconciler.reconcile(VMI)
    (lost,) = first.cluster.all(PODS)
    for _ in range(7):
        second.watch()
        await second.reconciler.reconcile(VMI)
        if lost["metadata"]["uid"] not in {pod["metadata"]["uid"] for pod in first.cluster.all(PODS)}:
            break
        first.cluster.pass_time(1)
    for _ in range(2):  # a report waits for company; it has heard of nothing since
        await first.reconciler.reconcile(VMI)
        first.cluster.pass_time(1)
    assert [row["uid"] for row in first.status()["launcherPods"]] == [lost["metadata"]["uid"]]
    for _ in range(6):
        second.watch()
        await second.reconciler.reconcile(VMI)
        first.cluster.pass_time(1)
    status = second.status()
    assert status["phase"] not in ("", "Pending", "Failed")
    assert "reason" not in status
    assert [row["uid"] for row in status["launcherPods"]] == [_made(second)["metadata"]["uid"]]


async def test_a_pod_that_a_tenant_puts_in_place_of_ours_before_the_record_does_not_count() -> None:
    bench = Starting()
    await bench.reconciler.reconcile(VMI)
    (pod,) = bench.cluster.all(PODS)
    bench.cluster.delete(PODS, pod["metadata"]["name"], by="tenant", force=True)
    evil = bench.squat(labels=pod["metadata"]["labels"], annotations=pod["metadata"]["annotations"])
    status = await bench.settle()
    assert evil not in {row["uid"] for row in status["launcherPods"]} | status["activePods"].keys()


async def test_a_pod_that_lost_its_labels_before_the_record_is_still_ours() -> None:
    bench = Starting()
    await bench.reconciler.reconcile(VMI)
    bench.watch()
    (pod,) = bench.cluster.all(PODS)
    pod["metadata"]["labels"] = {}
    bench.cluster.replace(PODS, pod["metadata"]["name"], pod, by="somebody")
    status = await bench.settle()
    assert [row["uid"] for row in status["launcherPods"]] == [pod["metadata"]["uid"]]


@pytest.mark.parametrize("labels", [{}, LABELS], ids=["out of sight", "in sight"])
async def test_a_pod_that_a_tenant_puts_in_place_of_a_recorded_one_is_not_the_guests(labels: Json) -> None:
    """It is read by name, since the recorded one may only have lost its labels."""
    bench = Starting()
    await bench.settle()
    (pod,) = bench.cluster.all(PODS)
    pod["spec"]["nodeName"] = "node01"
    bench.cluster.replace(PODS, pod["metadata"]["name"], pod, by="scheduler")
    bench.cluster.delete(PODS, pod["metadata"]["name"], by="tenant", force=True)
    bench.squat(labels=labels, annotations=pod["metadata"]["annotations"])
    for _ in range(2):
        bench.watch()
        await bench.reconciler.reconcile(VMI)
    assert bench.status()["phase"] == "Failed"


async def test_a_pod_that_was_heard_of_before_its_vmi_is_given_time_too() -> None:
    """Watches of pods and VMIs keep no order between them; another leader may be about to record it."""
    first = Starting()
    second = first.restarted()
    second.caches = Caches(clock=second._clock)
    await first.reconciler.reconcile(VMI)
    (pod,) = first.cluster.all(PODS)
    gatherer = Gatherer(second.caches, Memory(clock=second._clock), PlanSettings())
    second.caches.observe(CachedKind.POD, pod)
    second.caches.observe(CachedKind.VMI, first.cluster.all(VMIS)[0])
    view = gatherer.vmi_view(VMI)
    assert view is not None
    plan = plan_vmi(view, now=second._clock())
    assert plan.is_empty
    assert plan.again_at == second._clock() + PlanSettings().record_patience


def test_only_who_waits_for_a_pod_gives_look_alikes_time() -> None:
    """Each need has its few; what is no need of a pod's, or is served, takes none of them."""
    caches = Caches(clock=lambda: NOW)
    for item in (
        target_pod(uid="target", annotations={**DIGEST}),
        pod(uid="first", annotations={**DIGEST}),
        target_pod(uid="bare", name="bare"),
    ):
        caches.observe(CachedKind.POD, item)
    gatherer = Gatherer(caches, Memory(clock=lambda: NOW), PlanSettings())
    running = vmi()
    running["status"]["launcherPods"] = [{"name": "ours", "uid": "ours"}]
    caches.observe(CachedKind.VMI, running)
    caches.observe(CachedKind.MIGRATION, migration("Pending"))
    key = MigrationKey(NAMESPACE, migration("Pending")["metadata"]["name"])
    view = gatherer.migration_view(key)
    assert view is not None
    assert view.unrecorded == {"target": NOW}
    guest = gatherer.vmi_view(VmiKey(NAMESPACE, running["metadata"]["name"]))
    assert guest is not None
    assert (len(guest.foreign_pods), guest.unrecorded) == (3, {}), "it has its pod"
    reported = migration("Scheduling", version=11, status={"targetPod": {"name": "t", "uid": "t"}})
    caches.observe(CachedKind.MIGRATION, reported)
    served = gatherer.migration_view(key)
    assert served is not None
    assert (len(served.foreign_pods), served.unrecorded) == (3, {})
