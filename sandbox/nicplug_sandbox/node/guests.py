"""Which guests run where, as libvirt on the nodes would answer: shared by the roles that hold guests.

Tests and people may ask for it too: it is the truth that `status.interfaces` is a report of.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.domain import Domain, spec_interfaces
from nicplug_sandbox.node.migration import NODE_LABEL, is_migrating, is_reported, label_of, migration_uid, state_of
from nicplug_sandbox.node.mirror import key_of


@dataclass(frozen=True, slots=True, kw_only=True)
class _Guest:
    vmi: str
    pod: str
    node: str
    domain: Domain
    down: frozenset[str]
    """NICs whose link is down."""

    def told(self) -> Json:
        """For readers of JSON."""
        nics = [
            {
                "name": nic.name, "mac": nic.mac, "podInterface": nic.pod_interface,
                "link": "down" if nic.name in self.down else "up",
            }
            for nic in self.domain.nics
        ]  # fmt: skip
        return {"node": self.node, "pod": self.pod, "nics": nics}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrival:
    migration: str
    guest: _Guest
    due: float
    """On the loop's clock: from then on the guest runs."""


def _guest(vmi: Json, domain: Domain, pod: Json) -> _Guest:
    down = frozenset(item["name"] for item in spec_interfaces(vmi) if item.get("state") == "down")
    return _Guest(
        vmi=str(key_of(vmi)), pod=pod["metadata"]["name"], node=pod["spec"]["nodeName"], domain=domain, down=down
    )


class Guests:
    """The guests by the uid of their VMI. Empty after a restart: the rows of the VMI tell the same then."""

    def __init__(self) -> None:
        self._guests: dict[str, _Guest] = {}
        self._arrivals: dict[str, _Arrival] = {}

    def get(self, vmi: Json) -> Domain | None:
        """The guest, None when this process has not seen it yet."""
        guest = self._guests.get(vmi["metadata"]["uid"])
        return None if guest is None else guest.domain

    def put(self, vmi: Json, domain: Domain, *, pod: Json) -> None:
        """The guest is like this now, in this pod."""
        self._guests[vmi["metadata"]["uid"]] = _guest(vmi, domain, pod)

    def forget(self, vmi: Json) -> None:
        """The guest has ended."""
        self._guests.pop(vmi["metadata"]["uid"], None)
        self._arrivals.pop(vmi["metadata"]["uid"], None)

    def arrive(self, vmi: Json, domain: Domain, *, pod: Json, after: float = 0.0) -> None:
        """The guest has moved to the target of its migration, which has not told so yet; it runs `after` seconds."""
        due = asyncio.get_running_loop().time() + after
        arrival = _Arrival(migration=migration_uid(vmi), guest=_guest(vmi, domain, pod), due=due)
        self._arrivals[vmi["metadata"]["uid"]] = arrival

    def has_arrived(self, vmi: Json) -> bool:
        """Whether the guest has moved in the migration that the VMI is in."""
        arrival = self._arrivals.get(vmi["metadata"]["uid"])
        return arrival is not None and is_migrating(vmi) and arrival.migration == migration_uid(vmi)

    def seconds_to_cut_over(self, vmi: Json) -> float:
        """How long a guest that has moved stands still yet; 0 when it runs."""
        arrival = self._arrivals.get(vmi["metadata"]["uid"])
        return 0.0 if arrival is None else max(arrival.due - asyncio.get_running_loop().time(), 0.0)

    def settle(self, vmi: Json) -> None:
        """Everybody may know now that the guest has moved."""
        if (arrival := self._arrivals.pop(vmi["metadata"]["uid"], None)) is not None:
            self._guests[vmi["metadata"]["uid"]] = arrival.guest

    def node_of(self, vmi: Json) -> str:
        """The node on which the guest runs: ahead of the label between a cut-over and its report."""
        if self.has_arrived(vmi) or is_reported(vmi):
            return str(state_of(vmi).get("targetNode") or "")
        return label_of(vmi, NODE_LABEL)

    def pod_of(self, vmi: Json) -> str:
        """The name of the pod in which the guest runs, empty when this process has not seen it yet."""
        uid = vmi["metadata"]["uid"]
        guest = self._arrivals[uid].guest if self.has_arrived(vmi) else self._guests.get(uid)
        return "" if guest is None else guest.pod

    def told(self) -> Json:
        """Every guest by `namespace/name` of its VMI: node, pod, and NICs with MAC address, pod interface and link."""
        arrived = {uid: arrival.guest for uid, arrival in self._arrivals.items()}
        return {guest.vmi: guest.told() for guest in (self._guests | arrived).values()}


@asynccontextmanager
async def serve_guests(guests: Guests, path: Path | None) -> AsyncIterator[None]:
    """Answer every connection to a Unix socket with `Guests.told` as JSON; without a path, nobody asks.

    Raises:
        OSError: the socket cannot be made; its path may have 107 bytes at most.
    """
    if path is None:
        yield
        return

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps(guests.told()).encode())
        writer.close()

    async with await asyncio.start_unix_server(answer, path=path):
        yield
