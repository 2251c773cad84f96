"""The bench works, and what a hot-plug costs: counted on a real API server, by its own audit log.

Only counts are asserted, never times. The operator runs with the longest report delay, so that the counts do
not depend on the speed of the machine: with the default of 0.3 s they are the same wherever a hot-plug is
through within that time.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from tests.perf import report
from tests.perf.audit import without_lease
from tests.perf.bench import QUICK, run
from tests.perf.budgets import judge
from tests.perf.growth import point
from tests.perf.milestones import Milestone
from tests.perf.results import result
from tests.perf.scenarios import Phase, vm_names
from tests.perf.timeline import STEPS, timelines
from tests.slow import slow

from nicplug_sandbox import controlplane

pytestmark = slow
LONGEST_REPORT_DELAY_SECONDS = 5
# What was withheld would be written during the rest.
SHAPE = replace(QUICK, vms=4, idle_hotplugs=8, rest_seconds=LONGEST_REPORT_DELAY_SECONDS + 2)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a sandbox of the bench's own."""
    directory = tmp_path_factory.mktemp("bench")
    yield directory
    controlplane.stop(directory=directory)


@pytest.fixture(scope="module")
def phases(sandbox: Path) -> dict[str, Phase]:
    """One whole run of the bench."""
    variables = {"NICPLUG_REPORT_DELAY_SECONDS": str(LONGEST_REPORT_DELAY_SECONDS)}
    return run(directory=sandbox, shape=SHAPE, variables=variables, say=print)


def count(phase: Phase, *, vm: str, verb: str, resources: tuple[str, ...]) -> int:
    """Writes to one VM, its VMI and its pod, the refused ones too."""
    return sum(
        write.verb == verb
        and write.resource in resources
        and (write.name == vm or write.name.startswith(f"virt-launcher-{vm}-"))
        for write in phase.writes
    )


@pytest.mark.parametrize("name", ["idle", "burst"])
def test_hotplug_costs_one_spec_patch_one_pod_patch_and_two_status_patches(phases: dict[str, Phase], name: str) -> None:
    """Exactly one of the first two, else nothing was plugged; at most three of the last, VM and VMI together."""
    phase = phases[name]
    per_vm = phase.operations // SHAPE.vms
    assert per_vm >= 1
    for vm in vm_names(SHAPE.vms):
        assert count(phase, vm=vm, verb="patch", resources=("virtualmachineinstances",)) == per_vm
        assert count(phase, vm=vm, verb="patch", resources=("pods",)) == per_vm
        status = ("virtualmachineinstances/status", "virtualmachines/status")
        # And one of the VM, for the generation that its condition is about.
        assert count(phase, vm=vm, verb="patch", resources=status) <= 3 * per_vm
        assert count(phase, vm=vm, verb="patch", resources=("virtualmachines",)) == 0


@pytest.mark.parametrize("name", ["idle", "burst"])
def test_hotplug_writes_nothing_else_but_events(phases: dict[str, Phase], name: str) -> None:
    budgeted = {
        "virtualmachineinstances",
        "pods",
        "virtualmachineinstances/status",
        "virtualmachines/status",
    }
    others = [write for write in without_lease(phases[name].writes) if write.resource not in budgeted]
    assert {write.resource for write in others} <= {"events"}
    # On the VM: the NIC is in the guest.
    assert len(others) <= phases[name].operations


def test_rest_costs_nothing(phases: dict[str, Phase]) -> None:
    """All VMs run, all NICs are in, nobody asks for anything: only the Lease is written."""
    assert without_lease(phases["rest"].writes) == []
    assert phases["rest"].writes, "the Lease is renewed, or the log is not that of the operator"


def test_start_makes_one_vmi_and_one_pod(phases: dict[str, Phase]) -> None:
    created = [write.resource for write in phases["starts"].writes if write.verb == "create"]
    assert created.count("virtualmachineinstances") == SHAPE.vms
    assert created.count("pods") == SHAPE.vms
    assert created.count("controllerrevisions") == SHAPE.vms


def test_start_costs_nine_writes_and_two_events(phases: dict[str, Phase]) -> None:
    """Three creations, finalizer, node label, readiness gate, two VMI status patches and one of the VM.

    A VM whose start takes longer than a report waits costs one report more, on the VMI or on the VM.
    """
    writes = without_lease(phases["starts"].writes)
    events = [write for write in writes if write.resource == "events"]
    assert len(events) <= 2 * SHAPE.vms
    assert len(writes) - len(events) <= 10 * SHAPE.vms
    for resource in ("virtualmachines", "virtualmachineinstances", "pods/status"):
        assert sum(write.verb == "patch" and write.resource == resource for write in writes) == SHAPE.vms


def test_every_nic_passes_every_milestone_in_order(phases: dict[str, Phase]) -> None:
    """Watches of VMIs and of pods are two streams: only those of one of them have an order."""
    for hotplug in (*phases["idle"].hotplugs, *phases["burst"].hotplugs):
        assert hotplug.seen.keys() == set(Milestone)
        rows = [hotplug.seen[one] for one in (Milestone.IN_STATUS, Milestone.IN_GUEST, Milestone.READY)]
        assert rows == sorted(rows)
        assert hotplug.sent < hotplug.answered


def test_every_hotplug_has_a_time_line(phases: dict[str, Phase]) -> None:
    found = [steps for vm in vm_names(SHAPE.vms) for steps in timelines(phases["idle"].all_writes, vm=vm)]
    assert len(found) == SHAPE.idle_hotplugs
    assert all(timing.served > 0 for steps in found for timing in steps)
    assert {len(steps) for steps in found} == {len(STEPS)}


def test_result_is_json_and_can_be_shown_and_compared(phases: dict[str, Phase]) -> None:
    found = json.loads(json.dumps(result(shape=SHAPE, phases=phases)))
    assert found["usage"]["idle"]["operator"]["rss_mib"] > 0
    assert found["writes"]["idle"]["total"] > 0
    shown = io.StringIO()
    report.show(found, baseline=found, console=Console(file=shown, width=110))
    text = shown.getvalue()
    for verdict in judge(found):
        assert verdict.budget.name in text
    assert "1.00" in text, "a result is its own baseline"


def test_a_point_of_growth_is_what_the_phases_tell(phases: dict[str, Phase]) -> None:
    found = point(vms=SHAPE.vms, phases=phases)
    writes = len(without_lease(phases["idle"].writes))
    assert found.writes_per_hotplug == pytest.approx(writes / SHAPE.idle_hotplugs, abs=0.01)
    assert min(found.annotation_p50_ms, found.operator_ms_per_hotplug, found.operator_ms_per_start, found.rss_mib) > 0
