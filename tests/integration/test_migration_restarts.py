"""Migrations on a real control plane while the node simulator is killed, and many at once."""

import asyncio
import os
from pathlib import Path

import psutil
import pytest
from tests.integration.kubectl import install_crds
from tests.integration.node_process import simulator
from tests.integration.played_migration import PlayedMigration
from tests.integration.played_operator import PlayedOperator, element, vmi_body

from nicplug_sandbox.controlplane import ControlPlane
from nicplug_sandbox.node.api import MERGE_PATCH

MASS = int(os.environ.get("NICPLUG_TEST_MIGRATIONS", "12"))
"""100 measures what `docs/node-simulator.md` says; the default keeps the suite fast."""
CPU_SECONDS = 0.5
"""Of the simulator, per migration: about fifty times what it takes."""
BLUE = {"blue": "blue"}


@pytest.fixture
def kubeconfig(control_plane: ControlPlane) -> Path:
    """A control plane with the CRDs and without nodes."""
    install_crds(control_plane.kubeconfig)
    return control_plane.kubeconfig


async def prepared(operator: PlayedOperator, name: str, *, copy: str) -> PlayedMigration:
    """A running VM, and a target pod for it."""
    body = vmi_body(name, nics=("blue",), annotations={"sandbox.nicplug.io/migration-copy": copy})
    _, source = await operator.run(body, elements=[element("blue")])
    return await PlayedMigration.with_target(operator, vmi=name, source=source, nics=BLUE)


@pytest.mark.parametrize(
    ("member", "copy", "held"),
    [
        pytest.param("startTimestamp", "2s", None, id="in the copy"),
        pytest.param("startTimestamp", "0s", "broken=silent", id="after the cut-over"),
    ],
)
async def test_a_simulator_that_is_killed_during_a_migration_completes_it(
    kubeconfig: Path, member: str, copy: str, held: str | None
) -> None:
    async with PlayedOperator.connect(kubeconfig) as operator:
        await operator.create_nad("blue")
        with simulator(kubeconfig, "--nodes", "2") as (process, _):
            migration = await prepared(operator, "vm", copy=copy)
            note = {"metadata": {"annotations": {"sandbox.nicplug.io/migration-target": held}}}
            await operator.patch_vmi("vm", note, content_type=MERGE_PATCH)
            await migration.hand_off()
            await migration.until(member)
            process.kill()
            process.wait()
        note = {"metadata": {"annotations": {"sandbox.nicplug.io/migration-target": None}}}
        await operator.patch_vmi("vm", note, content_type=MERGE_PATCH)
        with simulator(kubeconfig, "--nodes", "2", "--deregister"):
            state = await migration.until("completed")
            assert "failed" not in state
            await operator.until(lambda: operator.pod(migration.source)["status"]["phase"] == "Succeeded")
            assert operator.vmi("vm")["status"]["nodeName"] == migration.node_of(migration.target)
            assert operator.phase("vm") == "Running"


async def test_many_migrations_at_once_cost_the_simulator_little(
    kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with PlayedOperator.connect(kubeconfig) as operator:
        await operator.create_nad("blue")
        with simulator(kubeconfig, "--nodes", "2", "--deregister") as (process, _):
            names = [f"vm{number}" for number in range(MASS)]
            migrations = await asyncio.gather(*(prepared(operator, name, copy="300ms") for name in names))
            loop, used = asyncio.get_running_loop(), psutil.Process(process.pid)
            cpu, began = sum(used.cpu_times()[:2]), loop.time()
            await asyncio.gather(*(migration.hand_off() for migration in migrations))
            await operator.until(lambda: all(item.state().get("completed") for item in migrations), seconds=120)
            seconds, cpu = loop.time() - began, sum(used.cpu_times()[:2]) - cpu
            assert not any(item.state().get("failed") for item in migrations)
    with capsys.disabled():
        print(f"\n{MASS} migrations at once: {seconds:.2f} s, {1000 * cpu / MASS:.1f} ms of CPU each")
    assert cpu / MASS < CPU_SECONDS
