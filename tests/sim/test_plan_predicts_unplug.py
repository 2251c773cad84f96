"""`nicplug plan` says what becomes of an unplug beyond the guest's release, on which alone no path is chosen yet."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import structlog
from tests.sim.cluster import NADS, VMIS, VMS, Json
from tests.sim.planning import Stage
from tests.sim.predictions import (
    NAME,
    Deed,
    Row,
    ask_and_change,
    broken_controllers,
    chained,
    cordon_others,
    make_stage,
    mute_controllers,
    no_controllers,
    node_of,
    not_migratable,
    plug,
    policy,
    unplug_red,
    unready_controllers,
    wait,
    workload_updates,
)

from nicplug.insight.outcome import Outcome

NIC = "red"
NOBODY = chained(no_controllers, wait(10))
UNREADY = chained(unready_controllers, wait(10))


def delete_definition(stage: Stage) -> None:
    stage.cluster.delete(NADS, f"{NIC}-net", by="admin")


def unplug_red_and_plug_blue(body: Json) -> None:
    unplug_red(body)
    plug(body, "blue")


@dataclass(frozen=True, kw_only=True)
class Unplug:
    """A cluster in which a NIC of the guest is unplugged.

    Attributes:
        edit: of the VMI, or of the VM's template.
        end: how it ends.
        reason: of its record in the end; "" where the NIC is gone then.
        otherwise: the plan has the end as what happens when the controller does not do its part.
    """

    name: str
    before: Deed = lambda _: None
    edit: Callable[[Json], object] = unplug_red
    end: Outcome
    reason: str = ""
    otherwise: bool = False

    def __str__(self) -> str:
        return self.name


UNPLUGS = (
    Unplug(name="a controller", end=Outcome.IN_PLACE),
    Unplug(name="no controller", before=NOBODY, end=Outcome.BY_MIGRATION),
    Unplug(name="dynamicPath Never", before=policy(dynamicPath="Never"), end=Outcome.BY_MIGRATION),
    Unplug(name="a controller that is not ready", before=UNREADY, end=Outcome.BY_MIGRATION),
    Unplug(
        name="no controller, dynamicPath Always",
        before=chained(policy(dynamicPath="Always"), NOBODY),
        end=Outcome.STUCK,
        reason="NoDynamicController",
    ),
    Unplug(
        name="no controller, migration Never",
        before=chained(policy(migration="Never"), NOBODY),
        end=Outcome.STUCK,
        reason="MigrationForbidden",
    ),
    Unplug(
        name="no controller, no LiveMigrate",
        before=chained(workload_updates(), NOBODY),
        end=Outcome.STUCK,
        reason="WorkloadUpdateForbids",
    ),
    Unplug(
        name="no controller, not migratable",
        before=chained(not_migratable, NOBODY),
        end=Outcome.NEEDS_RESTART,
        reason="NotLiveMigratable",
    ),
    Unplug(
        name="no controller, nowhere to go",
        before=chained(NOBODY, cordon_others),
        end=Outcome.STUCK,
        reason="NoCandidateNode",
    ),
    Unplug(
        name="no controller, nowhere to go, Rollback",
        before=chained(policy(onFailure="Rollback"), NOBODY, cordon_others),
        end=Outcome.STUCK,
        reason="NoCandidateNode",
    ),
    Unplug(
        name="its definition is gone",
        before=delete_definition,
        end=Outcome.STUCK,
        reason="NetworkAttachmentDefinitionMissing",
    ),
    Unplug(
        name="its definition is gone, another NIC is plugged",
        before=delete_definition,
        edit=unplug_red_and_plug_blue,
        end=Outcome.STUCK,
        reason="NetworkAttachmentDefinitionMissing",
    ),
    Unplug(
        name="its definition is gone, no controller",
        before=chained(delete_definition, NOBODY),
        end=Outcome.STUCK,
        reason="NetworkAttachmentDefinitionMissing",
    ),
    Unplug(name="mute controllers", before=mute_controllers, end=Outcome.BY_MIGRATION, otherwise=True),
    Unplug(name="broken controllers", before=broken_controllers, end=Outcome.BY_MIGRATION, otherwise=True),
    *(
        Unplug(
            name=f"{name}, {failure}",
            before=chained(policy(onFailure=failure), deed),
            end=Outcome.STUCK,
            reason=reason,
            otherwise=True,
        )
        for name, deed, reason in (
            ("mute controllers", mute_controllers, "DynamicTimeout"),
            ("broken controllers", broken_controllers, "DetachFailed"),
            ("a controller that is not ready", UNREADY, "DynamicTimeout"),
        )
        for failure in ("Hold", "Rollback")
        if (name, failure) != ("a controller that is not ready", "Rollback")
    ),
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("plural", [VMIS, VMS])
@pytest.mark.parametrize("case", UNPLUGS, ids=str)
async def test_the_plan_of_an_unplug_says_how_it_ends(case: Unplug, plural: str) -> None:
    row = Row(rule="", nic=NIC, born_with=(NIC,), edit=case.edit)
    stage = make_stage(row, plural=plural)
    case.before(stage)
    node = node_of(stage)
    told = await ask_and_change(stage, row, plural=plural)
    stage.settle(seconds=1200)
    record = stage.record(NAME, NIC)
    if case.end.arrives:
        assert record is None
        assert not stage.has_nic(NAME, NIC)
        assert (node_of(stage) != node) is (case.end is Outcome.BY_MIGRATION)
    else:
        assert record is not None
        assert record["reason"] == case.reason
    if not case.otherwise:
        assert told.outcome is case.end
        assert record is None or (told.path, told.reason) == (record["path"], record["reason"])
        return
    assert (told.outcome, told.reason) == (Outcome.IN_PLACE, "WaitingForGuestRelease")
    assert told.otherwise is not None
    assert told.otherwise.outcome is case.end


async def test_the_plan_of_an_unplug_names_its_migration_and_the_guest_s_turn_before_it() -> None:
    row = Row(rule="", nic=NIC, born_with=(NIC,), edit=unplug_red)
    stage = make_stage(row)
    NOBODY(stage)
    told = await stage.plan(NAME, stage.change(VMIS, NAME, row.edit))
    assert told.migration
    assert told.by_name[NIC].message.startswith("once the guest has let the NIC go: ")
    assert told.slots_before is not None
    assert told.slots_after is not None
    assert told.slots_after.used == told.slots_before.used - 1
