"""Documents have the members that docs/cli.md lists, all of them and no other."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from tests.build import CONTROLLER, NOW, a_migration, a_vmi, migration, nic, operation, primary, row, vmi
from tests.unit.plan.nic.path.evidence import evidence

from nicplug.cli.asking import FROM_API
from nicplug.cli.doctor.command import Diagnosis
from nicplug.cli.doctor.finding import problem
from nicplug.cli.migrations import QueueDocument
from nicplug.cli.overview import OverviewDocument
from nicplug.cli.plan_document import PlanDocument
from nicplug.cli.schema import SCHEMAS
from nicplug.cli.status import StatusDocument
from nicplug.cli.version import VersionDocument
from nicplug.cli.why import StoryDocument
from nicplug.insight.coming import Next
from nicplug.insight.evidence import Target, Unknown
from nicplug.insight.forecast_json import forecast_json
from nicplug.insight.moments import Moment
from nicplug.insight.nics import describe
from nicplug.insight.outcome import NicForecast, Otherwise, Outcome, VmForecast
from nicplug.insight.queue import MigrationQueue, in_order
from nicplug.insight.story import Story
from nicplug.insight.story_json import story_json
from nicplug.model.hotplug_policy import HotplugPolicy
from nicplug.model.keys import VmKey
from nicplug.model.migration_configuration import MigrationLimits
from nicplug.model.pci import PciBudget

UNKNOWN = [Unknown(kind="nodes", why="denied", remedy="ask")]
BUDGET = PciBudget(total=4, used=1, reserved=1)


def members(value: Any, path: str = "") -> Iterator[str]:
    """Every path to something that is no object and no list."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from members(item, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for item in value:
            yield from members(item, f"{path}[]")
    else:
        yield path


def check(document: dict[str, Any]) -> None:
    """A full document has every member of its kind."""
    kind = document["kind"]
    assert set(members({key: value for key, value in document.items() if key != "kind"})) == set(SCHEMAS[kind])


def test_status() -> None:
    raw = vmi(primary(), nic("blue"), rows=[row("default", "domain")], operations=[operation("blue")])
    raw["status"]["pciBudget"] = BUDGET.to_row()
    moving = a_migration(migration("Running"))
    found = describe(namespace="n", name="a", vm=None, vmi=a_vmi(raw), migrations=[moving], now=NOW)
    document = StatusDocument(found, NOW).to_json()
    document["inFlight"]["requests"] = ["add"]
    document["lostAtRestart"] = ["blue"]
    check(document)


def test_overview() -> None:
    raw = vmi(primary(), nic("blue"), rows=[row("default", "domain")], operations=[operation("blue")])
    found = describe(namespace="n", name="a", vm=None, vmi=a_vmi(raw), now=NOW)
    check(OverviewDocument([found], "n").to_json())


def test_plan() -> None:
    then = Otherwise(after=timedelta(seconds=10), outcome=Outcome.BY_MIGRATION, reason="r", message="m")
    gathered = evidence(controller=CONTROLLER)
    told = NicForecast(
        name="blue",
        operation="Plug",
        network="n",
        binding="bridge",
        outcome=Outcome.IN_PLACE,
        path="Dynamic",
        phase="Pending",
        reason="r",
        message="m",
        evidence=gathered,
        otherwise=then,
    )
    found = VmForecast(
        kind="VirtualMachine",
        key=VmKey("n", "a"),
        node="node01",
        policy=HotplugPolicy(),
        nics=(told,),
        slots_before=BUDGET,
        slots_after=BUDGET,
        restart_fields=("domain.memory",),
        refusals=("no",),
    )
    document = forecast_json(found, unknown=UNKNOWN, slots=(1, 5))
    document["nics"][0]["evidence"]["candidates"]["nodes"] = ["node02"]
    document["policyProblems"] = ["no"]
    check(PlanDocument({"apiVersion": "x", **document}, FROM_API).to_json())


def test_story() -> None:
    raw = vmi(primary(), nic("blue"), operations=[operation("blue")])
    found = describe(namespace="n", name="a", vm=None, vmi=a_vmi(raw), now=NOW)
    story = Story(
        nic=found.nics[1],
        meaning="m",
        waits_for="w",
        since=NOW,
        todo="t",
        next=(Next(at=NOW, what="n"),),
        moments=(Moment(at=NOW, source="record", what="w"),),
    )
    told = story_json(story, target=Target(namespace="n", name="a"), unknown=UNKNOWN)
    check(StoryDocument(told, FROM_API, NOW).to_json())


def test_queue() -> None:
    rows = in_order([a_migration(migration("Running"))], entries={})
    found = MigrationQueue(limits=MigrationLimits(), taken=1, migrations=rows, unknown=("x",))
    check(QueueDocument(found, True, NOW).to_json())


def test_version() -> None:
    check(VersionDocument(served={"gitVersion": "v1"}, problem="no", kubernetes={"gitVersion": "v1"}).to_json())


def test_every_kind_is_checked() -> None:
    """NicStoryList has no members to compare."""
    checked = {"NicStatus", "NicStatusList", "Plan", "NicStory", "MigrationQueue", "Version", "Diagnosis"}
    assert set(SCHEMAS) == checked | {"NicStoryList"}


def test_diagnosis() -> None:
    check(Diagnosis([problem("gate", "off", "list it")]).to_json())
