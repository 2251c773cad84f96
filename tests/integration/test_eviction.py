"""Evictions of launcher pods on a real API server, whose disruption controller judges them by the budgets."""

import pytest
from tests.integration.conftest import Sandbox
from tests.integration.evictions import BUDGETS, budgets, evict, protected, until_protected
from tests.integration.user import MIGRATION, POD, VM, VMI, Refused, User
from tests.integration.waiting import until
from tests.manifests import vm, vmi

COPY = "sandbox.nicplug.io/migration-copy"
JOB = "kubevirt.io/migrationJobUID"


def test_a_guest_that_is_to_be_migrated_is_not_evicted_whether_or_not_nicplug_runs(
    user: User, sandbox: Sandbox
) -> None:
    user.create(VM, protected(vm("a")))
    user.until_running("a")
    pod, budget = user.pod_of("a")["metadata"], until_protected(user)
    assert budget["spec"]["minAvailable"] == 1
    assert budget["metadata"]["ownerReferences"][0]["uid"] == (user.get(VMI, "a") or {})["metadata"]["uid"]
    code, message = evict(user, pod["name"])
    assert (code, "disruption budget" in message) == (429, True), message
    sandbox.stop(grace_seconds=0)
    try:
        assert evict(user, pod["name"])[0] == 429
    finally:
        sandbox.start()
    assert user.pod_of("a")["metadata"]["uid"] == pod["uid"]
    assert user.phase("a") == "Running"
    # Deleted, it comes back; with its VM it goes.
    user.delete(BUDGETS, budget["metadata"]["name"])
    until(lambda: [row["metadata"]["uid"] for row in budgets(user)] not in ([], [budget["metadata"]["uid"]]))
    user.delete(VM, "a")
    user.until_gone(VMI, "a")
    until(lambda: not budgets(user))


def test_both_pods_of_a_guest_that_moves_are_protected(user: User, unharmed: None) -> None:
    body = protected(vmi("a"), "LiveMigrateIfPossible")
    body["metadata"]["annotations"] = {COPY: "3s"}
    user.create(VMI, body)
    user.until_running("a")
    until_protected(user)
    job = {"kind": "VirtualMachineInstanceMigration", "apiVersion": "kubevirt.io/v1", "metadata": {"name": "job"}}
    user.create(MIGRATION, {**job, "spec": {"vmiName": "a"}})
    uid = (user.get(MIGRATION, "job") or {})["metadata"]["uid"]
    # Healthy is a target pod only once the guest has arrived; and a pod that has not run may be evicted any time.
    until(lambda: (user.get(MIGRATION, "job") or {}).get("status", {}).get("phase") == "Running", seconds=60)
    (budget,) = budgets(user)
    assert budget["spec"]["minAvailable"] == 2
    assert budget["metadata"]["labels"][JOB] == uid
    pods = user.items(POD, selector="kubevirt.io=virt-launcher")
    assert [evict(user, pod["metadata"]["name"])[0] for pod in pods] == [429, 429]
    until(lambda: (user.get(MIGRATION, "job") or {}).get("status", {}).get("phase") == "Succeeded", seconds=60)
    until(lambda: [row["spec"]["minAvailable"] for row in budgets(user)] == [1])
    until(lambda: len(user.items(POD, selector="kubevirt.io=virt-launcher")) == 1)
    (budget,) = budgets(user)
    assert JOB not in budget["metadata"]["labels"]
    assert evict(user, user.pod_of("a")["metadata"]["name"])[0] == 429


@pytest.mark.parametrize("plural", [VM, VMI])
def test_a_strategy_that_does_not_exist_is_refused_with_those_that_do(user: User, plural: str) -> None:
    body = protected(vm("a") if plural == VM else vmi("a"), "livemigrate")
    with pytest.raises(Refused, match=r"evictionStrategy: Unsupported value: .*LiveMigrateIfPossible"):
        user.create(plural, body)
