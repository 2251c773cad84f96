"""What an event makes worth another look, and whose pod is whose."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.build import (
    NAME,
    NAMESPACE,
    NOW,
    POD_UID,
    TARGET_NODE,
    VM_UID,
    VMI_UID,
    Json,
    a_migration,
    a_pod,
    a_vmi,
    kubevirt,
    migration,
    migration_state,
    nic,
    pod,
    target_pod,
    vm,
    vmi,
)

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.cache.store import Store
from nicplug.model.keys import VmiKey, VmKey
from nicplug.model.migration_configuration import migration_configuration
from nicplug.model.pod import parse_pod
from nicplug.model.trusted_namespaces import DEFAULT_TRUSTED_NAMESPACES

VM, VMI = VmKey(NAMESPACE, NAME), VmiKey(NAMESPACE, NAME)
MIGRATION = a_migration(migration("Failed")).key


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def _caches(*objects: tuple[CachedKind, Json], clock: Clock | None = None) -> Caches:
    caches = Caches(clock=clock or Clock())
    for kind, raw in objects:
        caches.observe(kind, raw)
    return caches


def test_a_vm_is_looked_at_with_its_vmi() -> None:
    """The VMI's records tell about NICs that are only in the template."""
    assert _caches().observe(CachedKind.VM, vm()) == [VM, VMI]


@pytest.mark.parametrize(
    ("members", "is_woken"),
    [
        pytest.param({}, False, id="one that goes on asks for nothing that it says"),
        pytest.param({"deleting": True}, True, id="one that goes waits until the VM has written down its start"),
        pytest.param({"phase": "Failed"}, True, id="and one that has ended"),
    ],
)
def test_the_status_of_a_vm_cost_a_pass_of_its_vmi(members: Json, is_woken: bool) -> None:
    caches = _caches((CachedKind.VMI, vmi(**members)), (CachedKind.VM, vm(version=11)))
    status = {"ready": True}
    assert caches.observe(CachedKind.VM, vm(version=12, status=status)) == ([VM, VMI] if is_woken else [VM])
    assert caches.observe(CachedKind.VM, vm(nic("blue"), version=13, generation=2, status=status)) == [VM, VMI]


def test_a_vmi_is_looked_at_with_the_vm_of_its_name() -> None:
    assert _caches().observe(CachedKind.VMI, vmi()) == [VMI, VM]


def test_a_migration_that_has_ended_is_looked_at_when_its_vmi_goes() -> None:
    """It is deleted some time after that, and nobody else would have it looked at."""
    caches = _caches((CachedKind.VMI, vmi()), (CachedKind.MIGRATION, migration("Failed", finalizers=[])))
    assert MIGRATION not in caches.observe(CachedKind.VMI, vmi(version=11, generation=2))
    assert MIGRATION in caches.forget(CachedKind.VMI, vmi(version=12, generation=2))


def test_a_failed_migration_kept_its_finalizer_when_the_guest_that_it_brought_had_ended() -> None:
    """Found by the simulation: seed 6400014 of "migrations fail"."""
    caches = _caches((CachedKind.VMI, vmi()), (CachedKind.MIGRATION, migration("Failed")))
    assert MIGRATION in caches.observe(CachedKind.VMI, vmi(version=11, generation=2))


def test_a_migration_that_has_ended_is_looked_at_with_a_pod_that_it_may_have_left_behind() -> None:
    """Its target pod may be heard of after its end."""
    caches = _caches((CachedKind.VMI, vmi()), (CachedKind.MIGRATION, migration("Failed")))
    assert MIGRATION not in caches.observe(CachedKind.POD, pod())
    assert MIGRATION in caches.observe(CachedKind.POD, target_pod())


def test_a_pod_makes_its_vmi_worth_a_look() -> None:
    assert _caches().observe(CachedKind.POD, pod()) == [VMI]


def test_what_changes_nothing_makes_no_work() -> None:
    caches = _caches((CachedKind.VMI, vmi(version=1)))
    assert caches.observe(CachedKind.VMI, vmi(version=2)) == []


def test_a_kubevirt_cr_makes_everything_worth_a_look() -> None:
    caches = _caches((CachedKind.VM, vm()), (CachedKind.VMI, vmi(name="b", uid="b")))
    assert set(caches.observe(CachedKind.KUBEVIRT, kubevirt())) == {VM, VmiKey(NAMESPACE, "b")}
    assert caches.observe(CachedKind.KUBEVIRT, kubevirt()) == []


def test_without_a_kubevirt_cr_there_is_no_configuration() -> None:
    assert _caches().config() is None


def test_of_two_kubevirt_crs_the_oldest_counts() -> None:
    """Whichever came first, so that two replicas agree."""
    on, off = kubevirt(name="b"), kubevirt("Other", name="a")
    off["metadata"]["creationTimestamp"] = "2030-01-01T00:00:00Z"
    for order in ((on, off), (off, on)):
        config = _caches(*((CachedKind.KUBEVIRT, raw) for raw in order)).config()
        assert config is not None
        assert config.hotplug_enabled
    caches = _caches((CachedKind.KUBEVIRT, on), (CachedKind.KUBEVIRT, off))
    caches.forget(CachedKind.KUBEVIRT, on)
    config = caches.config()
    assert config is not None
    assert not config.hotplug_enabled


@pytest.mark.parametrize("created", ["2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z", None], ids=str)
def test_a_kubevirt_cr_of_another_namespace_has_no_effect_however_old_it_is(created: str | None) -> None:
    """Anyone who may make one in a namespace of his own took over the policy of the cluster by making the oldest."""
    theirs = kubevirt("", hotplug={"trustedNamespaces": ["tenant"]})
    theirs["metadata"] |= {"namespace": "tenant", "uid": "theirs", "creationTimestamp": created}
    caches = _caches((CachedKind.VM, vm()))
    assert caches.observe(CachedKind.KUBEVIRT, theirs) == [], "nothing looks again"
    assert caches.config() is None
    assert caches.trusted_namespaces() == DEFAULT_TRUSTED_NAMESPACES
    caches.observe(CachedKind.KUBEVIRT, kubevirt())
    config = caches.config()
    assert config is not None
    assert str(config.key) == "kubevirt/kubevirt"
    assert [str(item.key) for item in caches.kubevirts.ignored()] == ["tenant/kubevirt"]
    assert caches.forget(CachedKind.KUBEVIRT, theirs) == []
    assert caches.kubevirts.ignored() == ()
    assert caches.config() == config


@pytest.mark.parametrize(
    ("hotplug", "by_default"),
    [({}, True), ({"trustedNamespaces": [*DEFAULT_TRUSTED_NAMESPACES]}, False), ({"trustedNamespaces": "nets"}, True)],
    ids=["not written", "the default, written out", "no list"],
)
def test_the_controllers_are_known_by_default_until_the_admin_names_their_namespaces(
    hotplug: dict[str, Any], by_default: bool
) -> None:
    caches = _caches()
    assert caches.controllers.trusts_by_default()
    caches.observe(CachedKind.KUBEVIRT, kubevirt(hotplug=hotplug))
    assert caches.controllers.trusts_by_default() is by_default


def test_of_a_kubevirt_cr_that_cannot_count_only_the_name_is_kept() -> None:
    """Nobody fills the memory of the operator with what has no effect."""
    caches = _caches()
    theirs = kubevirt(hotplug={"trustedNamespaces": [f"n{number}" for number in range(30)]})
    theirs["spec"]["configuration"]["migrations"] = {"a": "x" * 1000}
    theirs["metadata"]["namespace"] = "tenant"
    caches.observe(CachedKind.KUBEVIRT, theirs)
    (ignored,) = caches.kubevirts.ignored()
    assert ignored.migration_configuration == migration_configuration({})
    assert ignored.trusted_namespaces == DEFAULT_TRUSTED_NAMESPACES


def test_a_thousand_kubevirt_crs_of_tenants_are_not_all_looked_at_at_each_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at = 0
    iterate = Store.__iter__

    def counted(store: Store[Any]) -> Iterator[Any]:
        nonlocal looked_at
        looked_at += len(store)
        return iterate(store)

    monkeypatch.setattr(Store, "__iter__", counted)
    caches = _caches((CachedKind.KUBEVIRT, kubevirt()))
    looked_at = 0
    for number in range(1000):
        theirs = kubevirt(name=f"k{number}")
        theirs["metadata"] |= {"namespace": "tenant", "uid": f"uid-{number}"}
        assert caches.observe(CachedKind.KUBEVIRT, theirs) == []
        assert len(caches.kubevirts._here) == 1
    assert looked_at == 0
    assert len(caches.kubevirts.ignored()) == 1000


def test_a_kubevirt_cr_that_changes_nothing_still_counts() -> None:
    """An equal one takes its place in the store."""
    caches = _caches((CachedKind.KUBEVIRT, kubevirt()))
    newer = kubevirt()
    newer["metadata"]["resourceVersion"] = "99"
    assert caches.observe(CachedKind.KUBEVIRT, newer) == []
    assert caches.kubevirts.ignored() == ()


def test_the_namespace_of_the_kubevirt_cr_is_a_setting() -> None:
    caches = Caches(clock=Clock(), kubevirt_namespace="openshift-cnv")
    caches.observe(CachedKind.KUBEVIRT, kubevirt())
    assert caches.config() is None
    here = kubevirt()
    here["metadata"] |= {"namespace": "openshift-cnv", "uid": "here"}
    caches.observe(CachedKind.KUBEVIRT, here)
    assert caches.config() is not None


class TestPodsOf:
    """The owner's uid alone decides; labels and names prove nothing (CVE-2025-64435)."""

    def _names(self, *pods: Json) -> set[str]:
        caches = _caches(*((CachedKind.POD, raw) for raw in pods))
        return {found.key.name for found in caches.launchers.of(a_vmi(vmi()))}

    def test_its_own(self) -> None:
        assert self._names(pod(name="a")) == {"a"}

    def test_a_pod_with_our_labels_and_another_owner(self) -> None:
        forged = pod(name="b", owner_uid="other")
        forged["metadata"]["labels"]["kubevirt.io/created-by"] = VMI_UID
        assert self._names(forged) == set()

    def test_a_pod_with_our_labels_and_no_owner(self) -> None:
        assert self._names(pod(name="b", ownerReferences=[])) == set()

    def test_a_pod_owned_by_another_kind_of_that_uid(self) -> None:
        raw = pod(name="b")
        raw["metadata"]["ownerReferences"][0]["kind"] = "ReplicaSet"
        assert self._names(raw) == set()

    def test_a_pod_of_a_former_vmi_of_that_name(self) -> None:
        assert self._names(pod(name="b", owner_uid="former")) == set()

    def test_a_pod_of_another_namespace_enters_no_view(self) -> None:
        assert self._names(pod(name="b", namespace="attacker")) == set()

    def test_a_pod_whose_owner_of_that_uid_has_another_name(self) -> None:
        raw = pod(name="b")
        raw["metadata"]["ownerReferences"][0]["name"] = "whatever"
        assert self._names(raw) == set()

    def test_a_pod_that_has_changed_hands(self) -> None:
        """An orphaning delete takes the ownerReferences away: the pod must not be deleted as ours."""
        assert self._names(pod(name="a", version=1), pod(name="a", version=2, ownerReferences=[])) == set()
        assert self._names(pod(name="a", version=1), pod(name="a", version=2, owner_uid="other")) == set()

    def test_a_pod_that_is_gone(self) -> None:
        caches = _caches((CachedKind.POD, pod()))
        assert caches.forget(CachedKind.POD, pod()) == [VMI]
        assert caches.launchers.of(a_vmi(vmi())) == ()

    def test_a_pod_whose_name_was_taken_again(self) -> None:
        caches = _caches((CachedKind.POD, pod(version=1)), (CachedKind.POD, pod(version=2, uid="b", owner_uid="other")))
        assert caches.launchers.of(a_vmi(vmi())) == ()

    def test_it_is_replaced_not_doubled(self) -> None:
        caches = _caches((CachedKind.POD, pod(version=1)), (CachedKind.POD, pod(version=2, phase="Failed")))
        (found,) = caches.launchers.of(a_vmi(vmi()))
        assert found.phase == "Failed"

    def test_an_old_line_does_not_bring_an_old_pod_back(self) -> None:
        caches = _caches((CachedKind.POD, pod(version=2, phase="Failed")), (CachedKind.POD, pod(version=1)))
        (found,) = caches.launchers.of(a_vmi(vmi()))
        assert found.phase == "Failed"


class TestPodless:
    """Whether a VMI has no pod, or only none in sight."""

    def _after(self, *lines: Json) -> bool:
        caches = _caches((CachedKind.VMI, vmi()), (CachedKind.POD, pod(version=1)))
        for line in lines:
            caches.forget(CachedKind.POD, line)
        assert caches.launchers.of(a_vmi(vmi())) == ()
        return caches.launchers.podless_since(a_vmi(vmi())) is not None

    def test_a_pod_that_was_asked_to_go_and_has_ended(self) -> None:
        assert self._after(pod(version=2, deleting=True, phase="Succeeded"))

    def test_a_pod_that_never_had_a_node(self) -> None:
        caches = _caches((CachedKind.VMI, vmi()), (CachedKind.POD, pod(version=1, node="")))
        caches.forget(CachedKind.POD, pod(version=2, node="", deleting=True))
        assert caches.launchers.podless_since(a_vmi(vmi())) is not None

    def test_a_pod_that_vanished_may_have_lost_its_label(self) -> None:
        assert not self._after(pod(version=2))

    def test_so_may_one_on_its_way_out_whose_guest_still_runs(self) -> None:
        assert not self._after(pod(version=2, deleting=True))

    def test_a_pod_that_is_read_again_is_back(self) -> None:
        caches = _caches((CachedKind.VMI, vmi()), (CachedKind.POD, pod(version=1)))
        caches.forget(CachedKind.POD, pod(version=2))
        assert caches.observe(CachedKind.POD, pod(version=2)) == [], "a late line"
        assert caches.launchers.put(parse_pod(pod(version=2)), lives=True) == [VMI]
        assert len(caches.launchers.of(a_vmi(vmi()))) == 1

    @pytest.mark.parametrize("name", ["vmi-fedora", "whatever"])
    def test_a_pod_of_another_namespace_takes_nothing_back(self, name: str) -> None:
        caches = _caches((CachedKind.VMI, vmi()), (CachedKind.VMI, vmi(namespace="attacker", uid="theirs")))
        caches.launchers.confirm_podless(VMI, uid=VMI_UID)
        evil = pod(uid="evil", namespace="attacker")
        evil["metadata"]["ownerReferences"][0]["name"] = name
        caches.observe(CachedKind.POD, evil)
        assert caches.launchers.podless_since(a_vmi(vmi())) is not None
        caches.forget(CachedKind.POD, evil)
        assert caches.launchers.podless_since(a_vmi(vmi())) is not None

    def test_what_was_asked_is_true_until_there_is_a_pod(self) -> None:
        caches = _caches((CachedKind.VMI, vmi()))
        assert caches.launchers.confirm_podless(VMI, uid="another") == []
        assert caches.launchers.podless_since(a_vmi(vmi())) is None
        assert caches.launchers.confirm_podless(VMI, uid=VMI_UID) == [VMI]
        assert caches.launchers.podless_since(a_vmi(vmi())) is not None
        caches.observe(CachedKind.POD, pod())
        assert caches.launchers.podless_since(a_vmi(vmi())) is None

    def test_the_end_of_the_pod_that_a_guest_has_left_may_be_heard_of_before_the_one_that_it_has_moved_to(self) -> None:
        """The running guest was failed, and a second one started."""
        moved = vmi(moving=migration_state(completed=True), node=TARGET_NODE)
        caches = _caches((CachedKind.VMI, moved), (CachedKind.POD, pod(version=1)))
        caches.forget(CachedKind.POD, pod(version=2, deleting=True, phase="Succeeded"))
        assert caches.launchers.podless_since(a_vmi(moved)) is None

    def test_so_may_that_of_a_pod_whose_guest_is_to_be_moved(self) -> None:
        caches = _caches((CachedKind.VMI, vmi()), (CachedKind.MIGRATION, migration()), (CachedKind.POD, pod(version=1)))
        caches.forget(CachedKind.POD, pod(version=2, deleting=True, phase="Succeeded"))
        assert caches.launchers.podless_since(a_vmi(vmi())) is None

    def test_what_was_asked_is_old_when_a_pod_goes_out_of_sight(self) -> None:
        caches = _caches((CachedKind.VMI, vmi()), (CachedKind.POD, pod(version=1)))
        caches.launchers.confirm_podless(VMI, uid=VMI_UID)
        caches.forget(CachedKind.POD, pod(version=2))
        assert caches.launchers.podless_since(a_vmi(vmi())) is None

    def test_one_pod_of_two_is_not_all(self) -> None:
        caches = _caches((CachedKind.VMI, vmi()), (CachedKind.POD, pod()), (CachedKind.POD, pod(name="b", uid="b")))
        caches.forget_uid(CachedKind.POD, key=a_pod(pod()).key, uid=POD_UID)
        assert caches.launchers.podless_since(a_vmi(vmi())) is None


class TestSpecSeenAt:
    def test_the_first_sight_of_a_generation_counts(self) -> None:
        clock = Clock()
        caches = _caches((CachedKind.VMI, vmi(version=1)), clock=clock)
        clock.now += timedelta(seconds=5)
        caches.observe(CachedKind.VMI, vmi(version=2, phase="Failed"))
        assert caches.specs.seen_at(a_vmi(vmi())) == NOW
        caches.observe(CachedKind.VMI, vmi(nic("blue"), version=3, generation=2))
        assert caches.specs.seen_at(a_vmi(vmi())) == NOW + timedelta(seconds=5)

    def test_a_late_line_about_a_vmi_that_is_gone_leaves_no_trace(self) -> None:
        """Each would have stayed for ever: nobody forgets what is already forgotten."""
        clock = Clock()
        caches = _caches((CachedKind.VMI, vmi()), clock=clock)
        caches.forget(CachedKind.VMI, vmi())
        caches.observe(CachedKind.VMI, vmi(version=99))
        clock.now += timedelta(hours=1)
        assert caches.specs.seen_at(a_vmi(vmi())) == clock.now


def test_a_new_leader_looks_at_everything() -> None:
    caches = _caches((CachedKind.VM, vm()), (CachedKind.VMI, vmi(owner_uid=VM_UID)), (CachedKind.POD, pod()))
    assert caches.all_keys() == [VM, VMI]
