"""What a pass over the largest objects costs, in steps that the interpreter takes and in bytes of JSON.

An API server stores a VMI with 255 NICs and a megabyte of what nobody interprets. Its pass once took 19 s, in which
nothing else happened: the spec was parsed and written out again for each NIC, and each NIC looked for every other.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from tests import many_nics
from tests.build import NOW
from tests.steps import count_steps

from nicplug.model import frozen_json
from nicplug.plan.migration.plan_migration import plan_migration
from nicplug.plan.outcome import Plan
from nicplug.plan.views import MigrationView, VmiView, VmView
from nicplug.plan.vm.plan_vm import plan_vm
from nicplug.plan.vmi.plan_vmi import plan_vmi

View = VmView | VmiView | MigrationView
Build = Callable[[int, int], View]

FEW, MANY = 24, 96
# What is linear grows fourfold at most, as a part of each pass does not depend on the NICs.
MOST_GROWTH = 4.0
LARGE = 100_000

VIEWS: tuple[Build, ...] = (*many_nics.VMI_VIEWS, *many_nics.VM_VIEWS, *many_nics.MIGRATION_VIEWS)


def plan(view: View) -> Plan:
    """One pass."""
    match view:
        case VmView():
            return plan_vm(view, now=NOW)
        case VmiView():
            return plan_vmi(view, now=NOW)
        case MigrationView():
            return plan_migration(view, now=NOW)


@pytest.mark.parametrize("build", VIEWS, ids=lambda build: build.__name__)
def test_the_steps_of_a_pass_grow_with_the_nics_and_not_with_their_square(build: Build) -> None:
    few, many = (count_steps(partial(plan, build(count, 0))) for count in (FEW, MANY))
    assert many <= MOST_GROWTH * few, f"{many / few:.2f}"


@contextmanager
def counted_json() -> Iterator[tuple[list[int], list[int]]]:
    """The sizes of the texts that are parsed, and of those that are written."""
    parsed: list[int] = []
    written: list[int] = []
    thaw, encode = frozen_json.thaw, frozen_json._encode

    def counting_encode(value: Any) -> bytes:
        written.append(len(text := encode(value)))
        return text

    def counting_thaw(text: frozen_json.FrozenJson) -> Any:
        parsed.append(len(text))
        return thaw(text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frozen_json, "thaw", counting_thaw)
        patch.setattr(frozen_json, "_encode", counting_encode)
        yield parsed, written


@pytest.mark.parametrize("build", VIEWS, ids=lambda build: build.__name__)
def test_what_nobody_interprets_is_parsed_once_in_a_pass_at_most(build: Build) -> None:
    view = build(MANY, 3 * LARGE)
    with counted_json() as (parsed, written):
        plan(view)
    large = [size for size in parsed if size > LARGE]
    assert len(large) == len(set(large)) <= 3, large
    assert [size for size in written if size > LARGE] == []


def test_a_vm_at_rest_reads_none_of_its_spec() -> None:
    """Nor of its VMI's, however often they are heard of: placement, NICs and the revision are known without."""
    view = many_nics.resting_vm(MANY, 3 * LARGE)
    with counted_json() as (parsed, written):
        plan(view)
    assert [size for size in (*parsed, *written) if size > LARGE] == []
