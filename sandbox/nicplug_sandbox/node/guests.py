"""Which guests run where, as libvirt on the nodes would answer: shared by the roles that hold guests."""

from dataclasses import dataclass

from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.domain import Domain
from nicplug_sandbox.node.migration import NODE_LABEL, is_migrating, is_reported, label_of, migration_uid, state_of


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrival:
    migration: str
    domain: Domain


class Guests:
    """The guests by the uid of their VMI. Empty after a restart: the rows of the VMI tell the same then."""

    def __init__(self) -> None:
        self._domains: dict[str, Domain] = {}
        self._arrivals: dict[str, _Arrival] = {}

    def get(self, vmi: Json) -> Domain | None:
        """The guest, None when this process has not seen it yet."""
        return self._domains.get(vmi["metadata"]["uid"])

    def put(self, vmi: Json, domain: Domain) -> None:
        """The guest is like this now."""
        self._domains[vmi["metadata"]["uid"]] = domain

    def forget(self, vmi: Json) -> None:
        """The guest has ended."""
        self._domains.pop(vmi["metadata"]["uid"], None)
        self._arrivals.pop(vmi["metadata"]["uid"], None)

    def arrive(self, vmi: Json, domain: Domain) -> None:
        """The guest has moved to the target of its migration, which has not told so yet."""
        self._arrivals[vmi["metadata"]["uid"]] = _Arrival(migration=migration_uid(vmi), domain=domain)

    def has_arrived(self, vmi: Json) -> bool:
        """Whether the guest has moved in the migration that the VMI is in."""
        arrival = self._arrivals.get(vmi["metadata"]["uid"])
        return arrival is not None and is_migrating(vmi) and arrival.migration == migration_uid(vmi)

    def settle(self, vmi: Json) -> None:
        """Everybody may know now that the guest has moved."""
        if (arrival := self._arrivals.pop(vmi["metadata"]["uid"], None)) is not None:
            self._domains[vmi["metadata"]["uid"]] = arrival.domain

    def node_of(self, vmi: Json) -> str:
        """The node on which the guest runs: ahead of the label between a cut-over and its report."""
        if self.has_arrived(vmi) or is_reported(vmi):
            return str(state_of(vmi).get("targetNode") or "")
        return label_of(vmi, NODE_LABEL)
