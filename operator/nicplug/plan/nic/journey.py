"""A migration of the VMI that has not ended, as its NICs see it: who comes with it, and who has to wait for its end."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from nicplug.model.operations import OperationType


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """One migration on its way.

    Attributes:
        name: of the migration.
        is_own: nicplug made it for this very VMI.
        waits_for: what it waits for, in its own words; "" when it says nothing.
        next_try: until when it keeps still, after others have failed or have been many; None when it need not. The
            moment may be past.
        is_stuck: it can do nothing about that.
        remedy: what a person can do about that; "" when it may go on by itself.
        foreign_phase: a phase that nobody here carries on; "" while it is in one of ours.
        has_target: its target pod was made, from the spec as it was then.
        is_renewable: another one takes the place of that pod for a NIC that it lacks.
        target: name of that pod; "" while it is not in sight.
        made_for: the NICs that it was made for; None for somebody else's, which brings what there is.
        networks: what that pod was made with: NIC name -> `<namespace>/<definition>`; None while it is not in sight.
    """

    name: str
    is_own: bool
    waits_for: str = ""
    next_try: datetime | None = None
    is_stuck: bool = False
    remedy: str = ""
    foreign_phase: str = ""
    has_target: bool = False
    is_renewable: bool = False
    target: str = ""
    made_for: frozenset[str] | None = None
    networks: Mapping[str, str] | None = None

    @property
    def leaves_pod(self) -> bool:
        """Nothing more is asked of the pod that runs the guest."""
        return self.has_target and not self.is_renewable

    def takes(self, name: str) -> bool:
        """Its target pod has a NIC also if that has to be tried apart from others."""
        return self.made_for is None or name in self.made_for

    def brings(self, operation: OperationType, *, name: str, network: str, unless_seen: bool = True) -> bool:
        """The guest will be as asked for when it has arrived.

        Args:
            network: `<namespace>/<definition>` that the NIC is to be on.
            unless_seen: what to believe while the target pod is not in sight.
        """
        if self.networks is None:
            return unless_seen
        if operation is OperationType.UNPLUG:
            return name not in self.networks
        return self.networks.get(name) == network
