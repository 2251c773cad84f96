"""Cache of the VMIs' PodDisruptionBudgets, filled by an optional watch and by the answers to writes."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nicplug.cache.optional_watch import Absence
from nicplug.model.eviction import AT_REST, DisruptionBudget, EvictionStrategy, budget_key, is_protected, parse_budget
from nicplug.model.keys import BudgetKey, DisruptionBudgetKey, WorkKey
from nicplug.model.metadata import mapping, resource_version, text
from nicplug.model.vmi import VirtualMachineInstance

# Outlives every answer that may still be in flight.
_REMEMBERED_DELETIONS = 1024


def _ignore_change(_: "list[WorkKey] | None") -> None:
    """Ignore the change: the default `on_change`."""


@dataclass(slots=True)
class Budgets:
    """All budgets of VMIs; a `Sink` of `OptionalWatch`. Holds one small record per protected VMI.

    Attributes:
        on_change: called with the keys of changed budgets; None when budgets have become readable.
    """

    on_change: "Callable[[list[WorkKey] | None], None]" = _ignore_change
    _budgets: dict[DisruptionBudgetKey, DisruptionBudget] | None = None
    _deleted: OrderedDict[str, int] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._budgets or {})

    @property
    def is_readable(self) -> bool:
        """True if budgets can be read and have been listed."""
        return self._budgets is not None

    def of(self, vmi: VirtualMachineInstance) -> DisruptionBudget | None:
        """Return the budget owned by this VMI (same uid), or None."""
        if not self._budgets:
            return None
        found = self._budgets.get(budget_key(vmi.key, uid=vmi.uid))
        return found if found is not None and found.owner_uid == vmi.uid else None

    def is_due(self, vmi: VirtualMachineInstance, *, default: EvictionStrategy) -> bool:
        """True if the budget is missing, raised, modified, or no longer wanted.

        Args:
            default: the cluster's strategy for VMIs that have none.
        """
        if vmi.deleting or not self.is_readable:
            return False
        budget, strategy = self.of(vmi), vmi.eviction_strategy or default
        wants = not vmi.is_final and is_protected(strategy, is_migratable=vmi.is_migratable)
        if budget is None or not wants:
            return wants != (budget is not None)
        return (budget.min_available, budget.migration_uid) != (AT_REST, None) or not budget.is_labelled

    # -- watch events ------------------------------------------------------------------------------

    def project(self, item: Mapping[str, Any]) -> DisruptionBudget | None:
        """Parse a budget from a LIST."""
        return parse_budget(item)

    def replace(self, items: Iterable[DisruptionBudget]) -> None:
        """Replace all budgets after a LIST."""
        before, self._budgets = self._budgets, {item.key: item for item in items}
        if before is None:
            self.on_change(None)
            return
        keys = before.keys() | self._budgets.keys()
        changed = (before.get(key) or self._budgets[key] for key in keys if before.get(key) != self._budgets.get(key))
        self.on_change([_work_key(item) for item in changed])

    def change(self, type_: str, item: Mapping[str, Any]) -> None:
        """Apply one watch event."""
        keys = self._drop(item) if type_ == "DELETED" else self.observe(item)
        if keys:
            self.on_change(keys)

    def lose(self, absence: Absence) -> None:
        """Discard all budgets: permission to read them is missing."""
        self._budgets = None

    # -- answers to requests -----------------------------------------------------------------------

    def observe(self, raw: Mapping[str, Any], *, lives: bool = False) -> list[WorkKey]:
        """Store the current version of a budget; returns the key to reconcile if it is news.

        Args:
            lives: the budget was read by name: it exists, even if the watch no longer matches it.
        """
        fresh = parse_budget(raw)
        if fresh is None or self._budgets is None:
            return []
        if fresh.resource_version <= self._deleted.get(fresh.uid, -1) and not lives:
            return []
        before = self._budgets.get(fresh.key)
        if before is not None and fresh.resource_version < before.resource_version:
            return []
        self._deleted.pop(fresh.uid, None)
        self._budgets[fresh.key] = fresh
        return [_work_key(fresh)] if before != fresh else []

    def forget(self, key: DisruptionBudgetKey, *, uid: str) -> list[WorkKey]:
        """Remove a deleted budget; returns the key to reconcile."""
        before = (self._budgets or {}).get(key)
        if before is None or before.uid != uid or self._budgets is None:
            return []
        del self._budgets[key]
        return [_work_key(before)]

    def _drop(self, item: Mapping[str, Any]) -> list[WorkKey]:
        """Apply a DELETED event, which a budget that lost the watched label causes as well."""
        metadata = mapping(item.get("metadata"))
        key = DisruptionBudgetKey(text(metadata.get("namespace")), text(metadata.get("name")))
        uid, version = text(metadata.get("uid")), resource_version(metadata)
        before = (self._budgets or {}).get(key)
        if before is not None and before.uid == uid and before.resource_version > version:
            return []
        self._deleted[uid] = version
        if len(self._deleted) > _REMEMBERED_DELETIONS:
            self._deleted.popitem(last=False)
        return self.forget(key, uid=uid)


def _work_key(budget: DisruptionBudget) -> BudgetKey:
    return BudgetKey(budget.owner.namespace, budget.owner.name)
