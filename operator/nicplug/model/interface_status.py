"""Rows of `status.interfaces` and their `infoSource` tokens.

Source: KubeVirt `pkg/network/vmispec/infosource.go`: tokens joined by comma and one space, in
order of addition.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nicplug.model.metadata import text

Row = dict[str, Any]

DOMAIN = "domain"
MULTUS_STATUS = "multus-status"
_SEPARATOR = ", "


@dataclass(frozen=True, slots=True)
class InterfaceRow:
    """A row of `status.interfaces`; the node agent owns most of its members.

    Attributes:
        raw: the whole row.
    """

    raw: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The NIC's name; "" for an interface that the guest made."""
        return text(self.raw.get("name"))

    @property
    def sources(self) -> Sequence[str]:
        """The `infoSource` tokens."""
        return _tokens(self.raw)

    @property
    def pod_interface(self) -> str:
        """The interface of the pod that the NIC uses; "" if unknown."""
        return text(self.raw.get("podInterfaceName"))

    @property
    def link_state(self) -> str:
        """The state of the link, as the node agent reports it; "" if it does not."""
        return text(self.raw.get("linkState"))

    @property
    def mac(self) -> str:
        """The MAC address in the guest."""
        return text(self.raw.get("mac"))

    @property
    def ip_address(self) -> str:
        """The first IP address in the guest."""
        return text(self.raw.get("ipAddress"))


Rows = Mapping[str, InterfaceRow]
"""`status.interfaces` by name."""


def _tokens(row: Mapping[str, Any]) -> list[str]:
    value = text(row.get("infoSource"))
    return value.split(_SEPARATOR) if value else []


def has_source(row: InterfaceRow | None, token: str) -> bool:
    """Report whether the row exists and has the token."""
    if row is None:
        return False
    return row.raw.get("infoSource") == token or token in row.sources


def pod_interface_of(row: InterfaceRow | None) -> str:
    """Return the interface of the pod that the row names; "" if it names none, or does not exist."""
    return row.pod_interface if row is not None else ""


def has_go_ahead(row: InterfaceRow | None) -> bool:
    """Report whether the guest has the NIC, or the row tells the node agent to plug it."""
    return has_source(row, DOMAIN) or has_source(row, MULTUS_STATUS)


def add_source(row: Mapping[str, Any], token: str) -> Row:
    """Return the row with the token appended, unless it is there."""
    tokens = _tokens(row)
    if token in tokens:
        return dict(row)
    return {**row, "infoSource": _SEPARATOR.join([*tokens, token])}


def remove_source(row: Mapping[str, Any], token: str) -> Row:
    """Return the row without the token; removing the last one drops the member, as `omitempty` does."""
    tokens = [item for item in _tokens(row) if item != token]
    rest = {key: value for key, value in row.items() if key != "infoSource"}
    return {**rest, "infoSource": _SEPARATOR.join(tokens)} if tokens else rest


def rows_by_name(rows: Iterable[Mapping[str, Any]]) -> dict[str, InterfaceRow]:
    """Return the rows that have a name; guest-made ones do not."""
    return {name: InterfaceRow(row) for row in rows if (name := text(row.get("name")))}
