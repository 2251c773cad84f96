"""Who has which IP: the IPAM of NADs, and the cluster network's pod addresses.

In memory, as the kernel and host-local's files are on a node; rebuilt from network-status and pod
status after a restart. Ranges are never enumerated: an IPv6 /64 is as cheap as a /29.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from nicplug_sandbox.node.api import Json

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

CLUSTER_PREFIX = 10
FIRST_CLUSTER_OCTET = 128


class AddressError(Exception):
    """No address can be given; the text is what the IPAM plugin would say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Addresses from `first` to `last`, both included, without the excluded networks."""

    first: Address
    last: Address
    excluded: tuple[Network, ...] = ()

    def addresses(self) -> Iterator[Address]:
        """In order, lazily."""
        make = type(self.first)
        for number in range(int(self.first), int(self.last) + 1):
            address = make(number)
            if not any(address in network for network in self.excluded):
                yield address

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address):
            return False
        if address.version != self.first.version:
            return False
        return int(self.first) <= int(address) <= int(self.last)


def _range(*, subnet: str, start: str, end: str, gateway: str, exclude: Iterable[str] = ()) -> Range:
    """`subnet` may also be whereabouts' `first-last/prefix`."""
    bounds, _, prefix = subnet.partition("/")
    low, dash, high = bounds.partition("-")
    network = ipaddress.ip_network(f"{low}/{prefix}" if dash else subnet, strict=False)
    first: Address = network.network_address + 1
    last: Address = network.broadcast_address
    if network.version == 4 and network.num_addresses > 2:
        last = last - 1
    if dash:
        first, last = ipaddress.ip_address(low), ipaddress.ip_address(high)
    excluded = [ipaddress.ip_network(item, strict=False) for item in exclude]
    if gateway:
        excluded.append(ipaddress.ip_network(gateway))
    return Range(
        first=ipaddress.ip_address(start) if start else first,
        last=ipaddress.ip_address(end) if end else last,
        excluded=tuple(excluded),
    )


def _host_local(ipam: Json) -> list[Range]:
    sets = ipam.get("ranges") or [[ipam]]
    found = []
    for alternatives in sets:
        item = alternatives[0]
        subnet = ipaddress.ip_network(item["subnet"], strict=False)
        # host-local keeps the first address for the gateway unless one is named.
        gateway = item.get("gateway") or str(subnet.network_address + 1)
        found.append(
            _range(
                subnet=item["subnet"],
                start=item.get("rangeStart", ""),
                end=item.get("rangeEnd", ""),
                gateway=gateway,
            )
        )
    return found


def _whereabouts(ipam: Json) -> list[Range]:
    return [
        _range(
            subnet=item["range"],
            start=item.get("range_start", ""),
            end=item.get("range_end", ""),
            gateway=item.get("gateway", ""),
            exclude=item.get("exclude") or (),
        )
        for item in (ipam.get("ipRanges") or [ipam])
    ]


def ranges_of(ipam: Json) -> list[Range]:
    """The ranges from which one address each is given.

    Raises:
        AddressError: the configuration is incomplete or no addresses.
    """
    try:
        match ipam["type"]:
            case "host-local":
                return _host_local(ipam)
            case "whereabouts":
                return _whereabouts(ipam)
            case _:
                return []
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise AddressError(f"invalid IPAM configuration of type {ipam['type']!r}: {error!r}") from error


@dataclass(slots=True)
class _Leases:
    taken: dict[Address, str] = field(default_factory=dict)
    """Address to the uid of the pod that has it."""
    hints: dict[Range, int] = field(default_factory=dict)
    """Every address of the range below it is taken: without it, 1,000 pods would cost 1,000² steps."""


class AddressBook:
    """Leases per scope: a NAD, a NAD on a node, or a node's share of the cluster network."""

    def __init__(self) -> None:
        self._scopes: dict[str, _Leases] = {}
        self._held: dict[str, set[tuple[str, Address]]] = {}

    def take(self, *, scope: str, wanted: Range, owner: str) -> Address:
        """The lowest free address of a range.

        Raises:
            AddressError: the range is exhausted.
        """
        leases = self._scopes.setdefault(scope, _Leases())
        start = max(int(wanted.first), leases.hints.get(wanted, 0))
        rest = Range(first=type(wanted.first)(start), last=wanted.last, excluded=wanted.excluded)
        for address in rest.addresses():
            if address not in leases.taken:
                leases.hints[wanted] = int(address) + 1
                self._record(scope=scope, leases=leases, address=address, owner=owner)
                return address
        raise AddressError(f"no IP addresses available in range {wanted.first}-{wanted.last}")

    def reserve(self, *, scope: str, address: str, owner: str) -> None:
        """Record an address that an object already has; nonsense is ignored."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return
        leases = self._scopes.setdefault(scope, _Leases())
        self._record(scope=scope, leases=leases, address=parsed, owner=owner)

    def release(self, *, owner: str, scope: str | None = None) -> None:
        """Give back what a pod holds, in one scope or everywhere."""
        held = self._held.get(owner, set())
        for entry in [entry for entry in held if scope in (None, entry[0])]:
            held.discard(entry)
            leases = self._scopes[entry[0]]
            if leases.taken.get(entry[1]) == owner:
                del leases.taken[entry[1]]
                for known in leases.hints:
                    if entry[1] in known:
                        leases.hints[known] = min(leases.hints[known], int(entry[1]))
        if not held:
            self._held.pop(owner, None)

    def _record(self, *, scope: str, leases: _Leases, address: Address, owner: str) -> None:
        leases.taken[address] = owner
        self._held.setdefault(owner, set()).add((scope, address))


def cluster_range(node_number: int) -> Range:
    """Node n's share of the cluster network: 10.(127+n).0.0/16, nodes counted from 1.

    Beyond 127 nodes the shares repeat from the start, which only makes addresses ambiguous.
    """
    octet = FIRST_CLUSTER_OCTET + (node_number - 1) % (256 - FIRST_CLUSTER_OCTET)
    base = f"{CLUSTER_PREFIX}.{octet}"
    return Range(first=ipaddress.ip_address(f"{base}.0.2"), last=ipaddress.ip_address(f"{base}.255.254"))
