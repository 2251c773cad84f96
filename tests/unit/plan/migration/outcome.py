"""What a plan for a migration says, in the words of a test."""

from typing import Any

from tests.build import Json

from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import Action, Kind, PatchMigrationState, PatchStatus
from nicplug.plan.outcome import Plan


def status(plan: Plan) -> Json:
    """The members of the migration's status that the plan writes; empty when it writes none."""
    found: Json = {}
    for action in plan.actions:
        if isinstance(action, PatchStatus) and action.kind is Kind.MIGRATION:
            found |= thaw(action.wanted)
    return found


def progressing(plan: Plan) -> Json:
    """The condition `Progressing` as the plan writes it."""
    return condition(plan, "Progressing")


def condition(plan: Plan, type_: str) -> Json:
    """A condition as the plan writes it; empty when it does not."""
    return next((row for row in status(plan).get("conditions", []) if row["type"] == type_), {})


def migration_state(plan: Plan) -> Json:
    """What the plan writes into the VMI's `migrationState`."""
    found = [action for action in plan.actions if isinstance(action, PatchMigrationState)]
    return dict(thaw(found[0].wanted)["migrationState"]) if found else {}


def events(plan: Plan) -> list[tuple[str, str]]:
    """Reason and message of each event."""
    return [(str(item.reason), item.message) for item in plan.announcements]


def others(plan: Plan) -> list[Action]:
    """Everything but status writes."""
    return [action for action in plan.actions if not isinstance(action, PatchStatus)]


def names(plan: Plan) -> list[str]:
    """The kinds of the actions, in order."""
    return [_name(action) for action in plan.actions]


def _name(action: Any) -> str:
    kind = action.kind.value if hasattr(action, "kind") else ""
    return f"{type(action).__name__} {kind}".strip()
