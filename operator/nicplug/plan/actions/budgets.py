"""Effects on the PodDisruptionBudget of a VMI."""

from dataclasses import dataclass, field

from nicplug.model.disruption_budget import budget_labels, budget_spec
from nicplug.model.keys import DisruptionBudgetKey
from nicplug.model.names import MIGRATION_JOB_LABEL
from nicplug.plan.actions.json_patch import JsonPatch, add, escape_pointer, test
from nicplug.plan.actions.objects import Kind

_JOB = f"/metadata/labels/{escape_pointer(MIGRATION_JOB_LABEL)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchBudget:
    """Raise or lower a budget, or put back what somebody else has changed in it.

    The generation is tested with the migration that it was last raised for: a leader that is behind must not lower
    the budget of a migration that it has not heard of, also where that found the budget raised already.

    Attributes:
        generation: of the budget as seen; part of no comparison of plans.
        seen_migration: value of the label as seen, None when there is none; part of no comparison either.
        migration_uid: of the migration that it is raised for; None for a guest that stays where it is.
        has_labels: False when it has no label at all, so that there is no map to patch.
    """

    key: DisruptionBudgetKey
    uid: str
    vmi_uid: str
    generation: int = field(compare=False)
    seen_migration: str | None = field(compare=False)
    min_available: int
    migration_uid: str | None
    has_labels: bool = True

    kind = Kind.BUDGET
    subresource = None

    def json_patch(self) -> JsonPatch:
        """The guarded patch."""
        return [
            test("/metadata/uid", self.uid),
            test("/metadata/generation", self.generation),
            *self._label(),
            add("/spec", budget_spec(vmi_uid=self.vmi_uid, min_available=self.min_available)),
        ]

    def _label(self) -> JsonPatch:
        labels = budget_labels(self.migration_uid)
        if not self.has_labels:
            return [test("/metadata/labels", None), add("/metadata/labels", labels)]
        operations = [test(_JOB, self.seen_migration)]
        if self.seen_migration is not None and self.migration_uid is None:
            operations.append({"op": "remove", "path": _JOB})
        return [*operations, *(add(f"/metadata/labels/{escape_pointer(name)}", labels[name]) for name in labels)]
