"""virt-controller and virt-api end at any moment, by SIGTERM or SIGKILL, and the next ones go on where they were."""

import signal

import pytest
from tests.integration.kubevirt.conftest import Cluster, conditions, status_of
from tests.integration.kubevirt.guests import in_guest, migrate, plug, started, until_final
from tests.integration.user import MIGRATION, POD, VM, VMI, User
from tests.integration.waiting import until
from tests.manifests import vm

SIGNALS = (signal.SIGTERM, signal.SIGKILL)


def restart(cluster: Cluster, number: signal.Signals) -> None:
    cluster.end("controller", number)
    cluster.start("controller")


@pytest.mark.parametrize("number", SIGNALS, ids=lambda item: item.name)
@pytest.mark.parametrize("phase", ["Pending", "Scheduling", "PreparingTarget", "Running"])
def test_a_migration_goes_on(cluster: Cluster, user: User, phase: str, number: signal.Signals) -> None:
    started(user, "vm1", "node02", "node03", copy_seconds=2)
    plug(user, "vm1")
    until(lambda: len((user.get(VMI, "vm1") or {})["spec"]["networks"]) == 2)
    assert migrate(user, "vm1")[0] == 201
    (made,) = user.items(MIGRATION)
    name = made["metadata"]["name"]

    def has_come_to_it() -> bool:
        times = status_of(user.get(MIGRATION, name)).get("phaseTransitionTimestamps") or ()
        return any(item["phase"] == phase for item in times)

    until(has_come_to_it)
    restart(cluster, number)
    assert until_final(user, made)["status"]["phase"] == "Succeeded"
    until(lambda: in_guest(user, "vm1"))
    until(lambda: len([pod for pod in user.items(POD) if status_of(pod)["phase"] == "Running"]) == 1)


def test_the_timer_runs_while_nobody_looks(cluster: Cluster, user: User) -> None:
    """It is in the condition's time, not in the process; while the process is down nothing moves."""
    started(user, "vm1", "node02", "node03")
    plug(user, "vm1")
    until(lambda: conditions(user.get(VMI, "vm1") or {}).get("MigrationRequired") == "False")
    restart(cluster, signal.SIGKILL)
    until(lambda: conditions(user.get(VMI, "vm1") or {}).get("MigrationRequired") == "True", seconds=40)
    until(lambda: in_guest(user, "vm1"), seconds=30)


def test_vms_wait_while_virt_controller_is_down(cluster: Cluster, user: User) -> None:
    cluster.end("controller", signal.SIGKILL)
    try:
        user.create(VM, vm("vm1"))
        started_meanwhile = user.get(VMI, "vm1")
    finally:
        cluster.start("controller")
    assert started_meanwhile is None
    until(lambda: status_of(user.get(VM, "vm1")).get("printableStatus") == "Running")


@pytest.mark.parametrize("number", SIGNALS, ids=lambda item: item.name)
def test_without_virt_api_migrations_are_refused_until_the_next_one_serves(
    cluster: Cluster, user: User, number: signal.Signals
) -> None:
    started(user, "vm1", "node02", "node03")
    cluster.end("api", number)
    try:
        code, answer = migrate(user, "vm1")
    finally:
        cluster.start("api")
    assert code == 500
    assert "failed calling webhook" in answer["message"]
    assert migrate(user, "vm1")[0] == 201
    until_final(user, user.items(MIGRATION)[0])
