"""One pass: what is sent, what is done with the answer, and what a refusal leaves behind.

The cluster is that of tests/sim: the rules of the API server without its wire.
"""

import pytest
from tests.build import nic, owner, primary, vmi_spec
from tests.build import vm as a_vm
from tests.sim.cluster import MIGRATIONS, NAMESPACE, PODS, VMIS, VMS
from tests.sim.operators import CACHED
from tests.unit.reconcile.bench import NAME, VM, VMI, Bench, fail

from nicplug.kube.errors import Denied, Rejected, Stale, Unavailable
from nicplug.model.keys import SLOTS, MigrationKey, VmiKey, VmKey


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_answer_to_a_write_is_an_event(bench: Bench) -> None:
    """So that the next plan does not act on our own past: no watch line has been heard in between."""
    bench.make_vm()
    await bench.reconciler.reconcile(VM)
    assert bench.caches.vmis.get(VMI) is not None
    assert set(bench.dirty) == {VM, VMI}
    await bench.reconciler.reconcile(VM)
    assert bench.api.writes.count(("create", VMIS)) == 1


async def test_a_vmi_gets_one_pod_however_often_it_is_asked_for(bench: Bench) -> None:
    """The name follows from the uid: a second POST meets the first pod, not a second one.

    Nobody knows whether that one is ours, though (test_pod_identity.py).
    """
    bench.make_vmi()
    bench.hear()
    bench.api.after = [fail(Unavailable("time-out after the write"))]
    with pytest.raises(Unavailable):
        await bench.reconciler.reconcile(VMI)
    with pytest.raises(Stale):
        await bench.reconciler.reconcile(VMI)
    assert bench.api.writes == [("create", PODS), ("create", PODS)]
    assert len(bench.cluster.all(PODS)) == 1
    assert len(bench.caches.launchers.store) == 1


async def test_an_event_is_reported_once_its_action_has_been_done(bench: Bench) -> None:
    bench.make_vm()
    bench.api.before = [fail(Unavailable("refused"))]
    with pytest.raises(Unavailable):
        await bench.reconciler.reconcile(VM)
    assert bench.recorded.events == []
    await bench.reconciler.reconcile(VM)
    assert bench.recorded.events == [("VirtualMachine", "Normal", "SuccessfulCreate")]


async def test_a_key_that_is_gone_is_forgotten(bench: Bench) -> None:
    assert await bench.reconciler.reconcile(VM) is None
    assert bench.api.writes == []


async def test_a_withheld_report_comes_back_for_it(bench: Bench) -> None:
    bench.make_vm()
    await bench.reconciler.reconcile(VM)
    again = await bench.reconciler.reconcile(VM)
    assert again == pytest.approx(0.3)
    bench.cluster.pass_time(0.3)
    assert await bench.reconciler.reconcile(VM) is None
    found = bench.cluster.get(VMS, NAME)
    assert found is not None
    assert found["status"]["printableStatus"] == "Starting"


async def test_a_report_whose_write_fails_does_not_wait_for_company_again(bench: Bench) -> None:
    """That wait passed for a success: three requests a second for each object, for as long as the server failed."""
    bench.make_vm()
    await bench.reconciler.reconcile(VM)
    await bench.reconciler.reconcile(VM)
    bench.cluster.pass_time(0.3)
    bench.api.before = [fail(Unavailable("overloaded")), fail(Unavailable("overloaded"))]
    for _ in range(2):
        with pytest.raises(Unavailable):
            await bench.reconciler.reconcile(VM)
    assert await bench.reconciler.reconcile(VM) is None
    found = bench.cluster.get(VMS, NAME)
    assert found is not None
    assert found["status"]["printableStatus"] == "Starting"


@pytest.mark.parametrize("error", [Rejected("exceeded quota", status=422), Denied("forbidden", status=403)])
async def test_a_refused_create_is_reported_and_not_sent_again(bench: Bench, error: Rejected | Denied) -> None:
    bench.make_vm()
    bench.api.before = [lambda: None, fail(error)]  # the revision before it is accepted
    with pytest.raises(type(error)):
        await bench.reconciler.reconcile(VM)
    assert bench.recorded.events == []
    assert bench.reconciler.note_refusal(VM, error, seconds=600)
    assert bench.recorded.events == [("VirtualMachine", "Warning", "FailedCreate")]
    bench.cluster.pass_time(1)
    await bench.reconciler.reconcile(VM)
    bench.cluster.pass_time(1)
    await bench.reconciler.reconcile(VM)
    assert bench.api.writes.count(("create", VMIS)) == 1
    found = bench.cluster.get(VMS, NAME)
    assert found is not None
    failure = next(row for row in found["status"]["conditions"] if row["type"] == "Failure")
    assert (failure["reason"], failure["message"]) == ("FailedCreate", str(error))


async def test_a_refused_deletion_is_reported_in_kubevirts_words(bench: Bench) -> None:
    bench.make_vm()
    await bench.reconciler.reconcile(VM)
    found = bench.cluster.get(VMS, NAME)
    assert found is not None
    found["spec"]["runStrategy"] = "Halted"
    bench.cluster.replace(VMS, NAME, found, by="user")
    bench.hear()
    bench.api.before = [fail(error := Denied("forbidden", status=403))]
    with pytest.raises(Denied):
        await bench.reconciler.reconcile(VM)
    assert bench.reconciler.note_refusal(VM, error, seconds=600)
    assert bench.recorded.events[-1] == ("VirtualMachine", "Warning", "FailedDelete")
    assert bench.recorded.messages[-1] == f"Error deleting virtual machine instance {NAME}: forbidden"
    bench.cluster.pass_time(1)
    await bench.reconciler.reconcile(VM)
    assert bench.api.writes.count(("delete", VMIS)) == 1


async def test_a_refused_spec_patch_has_kubevirts_reason(bench: Bench) -> None:
    bench.make_vm()
    await bench.reconciler.reconcile(VM)
    found = bench.cluster.get(VMS, NAME)
    assert found is not None
    interface, network = nic("red")
    found["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"].append(interface)
    found["spec"]["template"]["spec"]["networks"].append(network)
    bench.cluster.replace(VMS, NAME, found, by="user")
    bench.hear()
    bench.api.before = [fail(error := Rejected("restricted", status=422))]
    with pytest.raises(Rejected):
        await bench.reconciler.reconcile(VM)
    assert bench.reconciler.note_refusal(VM, error, seconds=600)
    assert bench.recorded.events[-1] == ("VirtualMachine", "Warning", "HotPlugNetworkInterfaceError")
    assert error.reason == "HotPlugNetworkInterfaceError"


async def test_a_refusal_is_of_the_spec_that_was_refused(bench: Bench) -> None:
    """Corrected while the request was on its way: the correction waited for ten minutes with the old refusal."""
    bench.make_vm()
    error = Rejected("no such thing", status=422)

    def corrected_meanwhile() -> None:
        found = bench.cluster.get(VMS, NAME)
        assert found is not None
        found["spec"]["template"]["metadata"] = {"labels": {"app": "corrected"}}
        bench.cluster.replace(VMS, NAME, found, by="user")
        bench.hear()
        raise error

    bench.api.before = [corrected_meanwhile]
    with pytest.raises(Rejected):
        await bench.reconciler.reconcile(VM)
    bench.reconciler.note_refusal(VM, error, seconds=600)
    await bench.reconciler.reconcile(VM)
    assert bench.cluster.get(VMIS, NAME) is not None


async def test_a_namesake_that_nobody_had_heard_of_and_nobody_controls_is_adopted(bench: Bench) -> None:
    bench.make_vm()
    bench.make_vmi()
    with pytest.raises(Rejected) as caught:
        await bench.reconciler.reconcile(VM)
    bench.reconciler.note_refusal(VM, caught.value, seconds=600)
    await bench.reconciler.reconcile(VM)
    found, vm = bench.cluster.get(VMIS, NAME), bench.cluster.get(VMS, NAME)
    assert found is not None
    assert vm is not None
    assert [item["uid"] for item in found["metadata"]["ownerReferences"]] == [vm["metadata"]["uid"]]


async def test_a_namesake_that_nobody_had_heard_of_is_reported(bench: Bench) -> None:
    bench.make_vm()
    bench.make_vmi(owner("VirtualMachine", NAME, "another"))
    with pytest.raises(Rejected) as caught:
        await bench.reconciler.reconcile(VM)
    assert caught.value.reason == "NameTaken"
    assert "belongs to somebody else" in str(caught.value)
    bench.reconciler.note_refusal(VM, caught.value, seconds=600)
    bench.cluster.pass_time(1)
    await bench.reconciler.reconcile(VM)
    bench.cluster.pass_time(1)
    await bench.reconciler.reconcile(VM)
    found = bench.cluster.get(VMS, NAME)
    assert found is not None
    assert "NameTaken" in {row.get("reason") for row in found["status"]["conditions"]}


async def test_a_vm_starts_as_soon_as_its_name_is_free(bench: Bench) -> None:
    """It waited for ten minutes: the refusal was remembered longer than the namesake lived."""
    bench.make_vm()
    bench.make_vmi()
    with pytest.raises(Rejected) as caught:
        await bench.reconciler.reconcile(VM)
    bench.reconciler.note_refusal(VM, caught.value, seconds=600)
    gone = bench.cluster.delete(VMIS, NAME, by="somebody", force=True)
    bench.caches.forget(CACHED[VMIS], gone)
    await bench.reconciler.reconcile(VM)
    found = bench.cluster.get(VMIS, NAME)
    assert found is not None
    assert found["metadata"]["ownerReferences"][0]["kind"] == "VirtualMachine"


async def _running(bench: Bench) -> str:
    """A VMI whose pod is known; its name."""
    bench.make_vmi()
    bench.watch()
    await bench.reconciler.reconcile(VMI)
    bench.watch()
    (pod,) = bench.cluster.all(PODS)
    found = bench.cluster.get(VMIS, NAME)
    assert found is not None
    found["status"] = {"phase": "Scheduled"}
    bench.cluster.replace(VMIS, NAME, found, by="node agent", subresource="status")
    bench.watch()
    return str(pod["metadata"]["name"])


def _phase(bench: Bench) -> str:
    found = bench.cluster.get(VMIS, NAME)
    assert found is not None
    return str(found["status"]["phase"])


async def _until_silent(bench: Bench) -> None:
    for _ in range(5):
        bench.cluster.pass_time(1)
        await bench.reconciler.reconcile(VMI)
        bench.watch()


@pytest.mark.parametrize("labels", [{}, {"kubevirt.io": "virt-nothing"}, {"app": "x"}], ids=["none", "other", "kept"])
async def test_a_pod_that_lost_its_label_is_found_and_gets_it_back(bench: Bench, labels: dict[str, str]) -> None:
    """The watch said that it was deleted, and a running guest was failed."""
    name = await _running(bench)
    pod = bench.cluster.get(PODS, name)
    assert pod is not None
    pod["metadata"]["labels"] = labels
    bench.cluster.replace(PODS, name, pod, by="somebody")
    bench.watch()
    await _until_silent(bench)
    after = bench.cluster.get(PODS, name)
    assert after is not None
    assert after["metadata"]["labels"]["kubevirt.io"] == "virt-launcher"
    assert _phase(bench) == "Scheduled"
    bench.cluster.delete(PODS, name, by="somebody", force=True)
    bench.watch()
    await _until_silent(bench)
    assert _phase(bench) == "Failed", "its end is heard again"


async def test_a_pod_that_is_gone_is_asked_for_once_and_the_vmi_failed(bench: Bench) -> None:
    name = await _running(bench)
    bench.cluster.delete(PODS, name, by="somebody", force=True)
    bench.watch()
    await _until_silent(bench)
    assert _phase(bench) == "Failed"


async def test_a_namesake_of_a_lost_pod_is_no_substitute(bench: Bench) -> None:
    name = await _running(bench)
    bench.cluster.delete(PODS, name, by="somebody", force=True)
    labels = {"kubevirt.io": "virt-launcher"}
    owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": NAME, "uid": "forged"}
    metadata = {"name": name, "labels": labels, "ownerReferences": [{**owner, "controller": True}]}
    bench.cluster.create(PODS, {"metadata": metadata, "spec": {}}, by="somebody")
    bench.watch()
    await _until_silent(bench)
    assert _phase(bench) == "Failed"


async def test_what_is_deleted_already_is_forgotten(bench: Bench) -> None:
    """DELETE names the uid: 404, or a namesake, means that ours is gone."""
    bench.make_vm()
    await bench.reconciler.reconcile(VM)
    found = bench.cluster.get(VMS, NAME)
    assert found is not None
    found["spec"]["runStrategy"] = "Halted"
    bench.cluster.replace(VMS, NAME, found, by="user")
    bench.hear()
    bench.cluster.delete(VMIS, NAME, by="somebody", force=True)
    bench.make_vmi()
    await bench.reconciler.reconcile(VM)
    assert bench.caches.vmis.get(VMI) is None
    assert bench.cluster.get(VMIS, NAME) is not None, "the namesake lives"


async def test_a_stale_plan_changes_nothing(bench: Bench) -> None:
    bench.make_vm()
    found = bench.cluster.get(VMS, NAME)
    assert found is not None
    found["metadata"]["finalizers"] = ["other/one"]
    bench.cluster.replace(VMS, NAME, found, by="somebody")
    bench.hear()
    found["metadata"]["finalizers"] = ["other/one", "other/two"]
    bench.cluster.replace(VMS, NAME, found, by="somebody")
    with pytest.raises(Stale):
        await bench.reconciler.reconcile(VM)
    after = bench.cluster.get(VMS, NAME)
    assert after is not None
    assert after["metadata"]["finalizers"] == ["other/one", "other/two"]


async def test_a_bug_is_reported_on_the_object_it_was_met_on(bench: Bench) -> None:
    bench.make_vmi()
    bench.hear()
    bench.reconciler.note_bug(VMI, ZeroDivisionError("a bug"))
    bench.reconciler.note_bug(VmiKey(NAMESPACE, "gone"), ZeroDivisionError("a bug"))
    assert bench.recorded.events == [("VirtualMachineInstance", "Warning", "InternalError")]


@pytest.mark.parametrize(("nics", "rests"), [(3, False), (200, True)])
def test_only_objects_of_many_nics_rest_after_a_pass(nics: int, rests: bool) -> None:
    """A pass over 255 NICs takes 90 ms, in which nobody else is served."""
    bench = Bench()
    bare = {"metadata": {"name": NAME}, "spec": vmi_spec([primary(), *(nic(f"n{number}") for number in range(nics))])}
    bench.cluster.create(VMIS, bare, by="user")
    template = a_vm(primary(), *(nic(f"n{number}") for number in range(nics)))["spec"]
    bench.cluster.create(VMS, {"metadata": {"name": NAME}, "spec": template}, by="user")
    bench.hear()
    assert [bench.reconciler.rest_seconds(key) > 0 for key in (VM, VMI)] == [rests, rests]
    assert bench.reconciler.rest_seconds(SLOTS) == 0
    assert bench.reconciler.rest_seconds(VmKey(NAMESPACE, "gone")) == 0


@pytest.mark.parametrize(("phase", "rests"), [("Pending", True), ("Scheduling", False), ("Succeeded", False)])
def test_a_migration_that_holds_a_slot_does_not_rest(phase: str, rests: bool) -> None:
    """Others wait for its slot."""
    bench = Bench()
    spec = vmi_spec([primary(), *(nic(f"n{number}") for number in range(200))])
    bench.cluster.create(VMIS, {"metadata": {"name": NAME}, "spec": spec}, by="user")
    job = bench.cluster.create(MIGRATIONS, {"metadata": {"name": "job"}, "spec": {"vmiName": NAME}}, by="user")
    reported = {**job, "status": {"phase": phase}}
    bench.cluster.replace(MIGRATIONS, "job", reported, by="node agent", subresource="status")
    bench.hear()
    assert (bench.reconciler.rest_seconds(MigrationKey(NAMESPACE, "job")) > 0) is rests
