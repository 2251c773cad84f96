"""How long a key waits: nobody waits for what people wait for, and one pass serves what comes close together."""

from typing import Any

import pytest
from tests.build import NAME, NAMESPACE, NOW, Json, migration, primary, vm, vmi

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.model.keys import SLOTS, MigrationKey, VmiKey, VmKey, WorkKey
from nicplug.reconcile.delays import (
    BUSY_ECHO_SECONDS,
    BUSY_REPORT_SECONDS,
    CARRIED_OUT_SECONDS,
    ECHO_SECONDS,
    NEIGHBOUR_SECONDS,
    REPORT_SECONDS,
    SLOTS_SECONDS,
    delay_seconds,
)

VM, VMI, MIGRATION = VmKey(NAMESPACE, NAME), VmiKey(NAMESPACE, NAME), MigrationKey(NAMESPACE, "m")
READY: Json = {"ready": True}


def caches(
    *,
    instance: dict[str, Any] | None = None,
    machine: dict[str, Any] | None = None,
    has_instance: bool = True,
    moves: Json | None = None,
) -> Caches:
    """A VM that runs and says so, unless something else is asked for."""
    found = Caches(clock=lambda: NOW)
    found.observe(CachedKind.VM, vm(primary(), **{"status": READY, **(machine or {})}))
    if has_instance:
        found.observe(CachedKind.VMI, vmi(primary(), **{"phase": "Running", **(instance or {})}))
    if moves is not None:
        found.observe(CachedKind.MIGRATION, moves)
    return found


def waits(key: WorkKey, *, of: WorkKey, known: Caches, by: WorkKey | None = None, is_busy: bool = False) -> float:
    return delay_seconds(key, of=of, by=by, caches=known, is_busy=is_busy)


class TestAtOnce:
    """What people wait for."""

    @pytest.mark.parametrize("key", [VM, VMI, MIGRATION])
    @pytest.mark.parametrize("by", [None, MIGRATION])
    def test_the_object_that_somebody_has_changed(self, key: WorkKey, by: WorkKey | None) -> None:
        by = None if by == key else by
        assert waits(key, of=key, by=by, known=caches()) == 0.0

    def test_the_instance_whose_spec_the_pass_of_its_vm_has_written(self) -> None:
        assert waits(VMI, of=VMI, by=VM, known=caches()) == 0.0

    @pytest.mark.parametrize(
        "instance",
        [
            pytest.param({"phase": "Scheduled"}, id="that starts"),
            pytest.param({"phase": "Failed"}, id="that has ended"),
            pytest.param({"deleting": True}, id="that is deleted"),
        ],
    )
    def test_an_instance_after_its_own_write(self, instance: dict[str, Any]) -> None:
        """A start is a chain of writes, each by a pass of its own."""
        assert waits(VMI, of=VMI, by=VMI, known=caches(instance=instance)) == 0.0

    def test_an_instance_that_migrates_after_its_own_write(self) -> None:
        assert waits(VMI, of=VMI, by=VMI, known=caches(moves=migration())) == 0.0

    def test_a_stopped_vm_after_its_own_write(self) -> None:
        assert waits(VM, of=VM, by=VM, known=caches(has_instance=False)) == 0.0


class TestInAMoment:
    """A neighbour that has something to do."""

    @pytest.mark.parametrize(
        "world",
        [
            pytest.param({"has_instance": False}, id="its instance is gone: it is started again"),
            pytest.param({"instance": {"phase": "Succeeded"}}, id="or has ended"),
            pytest.param({"instance": {"deleting": True}}, id="or ends"),
            pytest.param({"machine": {"deleting": True}}, id="it ends itself"),
            pytest.param({"machine": {"status": {"ready": False}}}, id="it does not say yet that it runs"),
            pytest.param({"machine": {"status": READY | {"interfaceRequests": [{}]}}}, id="a NIC is asked for"),
            pytest.param({"machine": {"status": READY | {"stateChangeRequests": [{}]}}}, id="a restart is asked for"),
            pytest.param({"moves": migration()}, id="it migrates"),
        ],
    )
    def test_the_vm_of_an_instance(self, world: dict[str, Any]) -> None:
        assert waits(VM, of=VMI, known=caches(**world)) == NEIGHBOUR_SECONDS

    def test_migrations_and_the_ledger_of_slots(self) -> None:
        assert waits(MIGRATION, of=VMI, by=VMI, known=caches()) == NEIGHBOUR_SECONDS
        assert waits(SLOTS, of=VMI, by=VMI, known=caches()) == SLOTS_SECONDS

    def test_the_instance_of_a_vm_that_it_waits_for(self) -> None:
        assert waits(VMI, of=VM, known=caches(instance={"phase": "Failed"})) == NEIGHBOUR_SECONDS


class TestForCompany:
    """A running VM: one pass for what comes close together."""

    def test_the_vm_that_only_repeats_what_its_instance_says(self) -> None:
        assert waits(VM, of=VMI, known=caches()) == REPORT_SECONDS
        assert waits(VM, of=VM, by=VM, known=caches()) == REPORT_SECONDS

    def test_a_migration_that_has_ended_moves_nothing(self) -> None:
        assert waits(VM, of=VMI, known=caches(moves=migration("Succeeded"))) == REPORT_SECONDS

    def test_the_pass_that_only_confirms_what_it_has_written_itself(self) -> None:
        assert waits(VMI, of=VMI, by=VMI, known=caches()) == ECHO_SECONDS

    def test_the_instance_whose_vm_is_about_to_write_it(self) -> None:
        assert waits(VMI, of=VM, known=caches()) == ECHO_SECONDS

    def test_the_vm_whose_instance_carries_out_what_its_pass_has_written(self) -> None:
        assert waits(VM, of=VMI, by=VM, known=caches()) == CARRIED_OUT_SECONDS


class TestWhileOthersWait:
    """More keys than workers: what finds nothing to do keeps others waiting."""

    def test_reports_and_confirmations_wait_longer_for_company(self) -> None:
        assert waits(VM, of=VMI, known=caches(), is_busy=True) == BUSY_REPORT_SECONDS > REPORT_SECONDS
        assert waits(VMI, of=VMI, by=VMI, known=caches(), is_busy=True) == BUSY_ECHO_SECONDS > ECHO_SECONDS

    @pytest.mark.parametrize("key", [VM, VMI, MIGRATION])
    def test_what_people_wait_for_does_not(self, key: WorkKey) -> None:
        assert waits(key, of=key, known=caches(), is_busy=True) == 0.0

    def test_nor_does_a_neighbour_that_has_something_to_do(self) -> None:
        assert waits(VM, of=VMI, known=caches(moves=migration()), is_busy=True) == NEIGHBOUR_SECONDS
