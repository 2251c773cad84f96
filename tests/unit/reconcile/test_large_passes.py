"""What a whole pass over the largest objects costs: gathering and executing as well as planning, in counted steps."""

from collections.abc import Callable
from functools import partial

import pytest
from tests import many_nics
from tests.build import NOW
from tests.steps import count_steps
from tests.whole_pass import WHOLE_PASSES, WholePass

from nicplug.plan.migration.plan_migration import plan_migration
from nicplug.plan.outcome import Plan
from nicplug.plan.views import MigrationView, VmiView, VmView
from nicplug.plan.vm.plan_vm import plan_vm
from nicplug.plan.vmi.plan_vmi import plan_vmi

View = VmView | VmiView | MigrationView
Build = Callable[[int, int], WholePass]
BuildView = Callable[[int, int], View]

FEW, MANY = 24, 96
LARGE, LARGER = 100_000, 400_000
VIEWS: tuple[BuildView, ...] = (*many_nics.VMI_VIEWS, *many_nics.VM_VIEWS, *many_nics.MIGRATION_VIEWS)


def _plan(view: View) -> Plan:
    match view:
        case VmView():
            return plan_vm(view, now=NOW)
        case VmiView():
            return plan_vmi(view, now=NOW)
        case MigrationView():
            return plan_migration(view, now=NOW)


@pytest.fixture(autouse=True)
def _without_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged is a line for each action, and formatting it is no part of a pass."""
    for module in ("execute", "reconciler"):
        monkeypatch.setattr(f"nicplug.reconcile.{module}.log", Silent())


class Silent:
    def debug(self, *_: object, **__: object) -> None: ...
    def info(self, *_: object, **__: object) -> None: ...


@pytest.mark.parametrize("build", VIEWS, ids=lambda build: build.__name__)
def test_no_step_of_a_plan_is_taken_for_each_value_that_nobody_interprets(build: BuildView) -> None:
    """Two templates with a megabyte of brackets were compared value by value."""
    smaller, larger = (count_steps(partial(_plan, build(FEW, size))) for size in (LARGE, LARGER))
    assert larger <= 1.02 * smaller, f"{larger / smaller:.2f}"


@pytest.mark.parametrize("build", WHOLE_PASSES, ids=lambda build: build.__name__)
def test_no_step_of_a_whole_pass_is_taken_for_each_value_that_nobody_interprets(build: Build) -> None:
    """Whatever a pass does with a megabyte, a function written in C does it: a loop in Python takes half a second."""
    smaller, larger = (count_steps(build(FEW, size).run) for size in (LARGE, LARGER))
    # A value has five bytes, and any loop a dozen steps. How deep a text is, which is read again, is found in blocks.
    assert larger - smaller <= (LARGER - LARGE) / 4, f"{(larger - smaller) / (LARGER - LARGE):.2f} per byte"


@pytest.mark.parametrize("build", WHOLE_PASSES, ids=lambda build: build.__name__)
def test_the_steps_of_a_whole_pass_grow_with_the_nics_and_not_with_their_square(build: Build) -> None:
    few, many = (count_steps(build(count, 0).run) for count in (FEW, MANY))
    assert many <= 4.0 * few, f"{many / few:.2f}"


def test_a_whole_pass_sends_all_that_it_planned() -> None:
    annotation, status = WHOLE_PASSES[0](MANY, 0).run()
    assert annotation > MANY * 60
    assert status > MANY * 400
    revision, vmi = WHOLE_PASSES[1](FEW, LARGE).run()
    assert min(revision, vmi) > LARGE
