"""Cache of the HotplugPolicy in effect, filled by an optional watch."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nicplug.cache.nodes import ignore_change
from nicplug.cache.optional_watch import Absence
from nicplug.model.hotplug_policy import POLICY_NAME, PolicyObject, parse_policy_object


@dataclass(slots=True)
class HotplugPolicies:
    """The HotplugPolicy `default`; a `Sink` of `OptionalWatch`. Objects of other names have no effect.

    Attributes:
        on_change: called when the policy was created, deleted or changed.
        current: None if there is none.
    """

    on_change: Callable[[], None] = ignore_change
    current: PolicyObject | None = None

    def project(self, item: Mapping[str, Any]) -> PolicyObject | None:
        """Parse a policy from a LIST; None if it has no effect."""
        policy = parse_policy_object(item)
        return policy if policy.name == POLICY_NAME else None

    def replace(self, items: Iterable[PolicyObject]) -> None:
        """Replace the policy after a LIST."""
        self._become(next(iter(items), None))

    def change(self, type_: str, item: Mapping[str, Any]) -> None:
        """Apply one watch event."""
        if (policy := self.project(item)) is not None:
            self._become(None if type_ == "DELETED" else policy)

    def lose(self, absence: Absence) -> None:
        """Discard the policy if its CRD is gone; if it cannot be read, keep what was read: it may forbid migrations."""
        if absence is Absence.NOT_SERVED:
            self._become(None)

    def _become(self, policy: PolicyObject | None) -> None:
        before, self.current = self.current, policy
        if before != policy:
            self.on_change()
