"""Rows of `status.interfaces` and their `infoSource` tokens.

Source: KubeVirt `pkg/network/vmispec/infosource.go`: tokens joined by comma and one space, in
order of addition. Rows are plain dicts, since the node agent owns most of their members.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from nicplug.model.metadata import text

Row = dict[str, Any]

DOMAIN = "domain"
MULTUS_STATUS = "multus-status"
_SEPARATOR = ", "


def info_sources(row: Mapping[str, Any]) -> list[str]:
    """Return the tokens of a row."""
    value = text(row.get("infoSource"))
    return value.split(_SEPARATOR) if value else []


def has_source(row: Mapping[str, Any] | None, token: str) -> bool:
    """Report whether the row exists and has the token."""
    if row is None:
        return False
    value = row.get("infoSource")
    return value == token or token in info_sources(row)


def has_go_ahead(row: Mapping[str, Any] | None) -> bool:
    """Report whether the guest has the NIC, or the row tells the node agent to plug it."""
    return has_source(row, DOMAIN) or has_source(row, MULTUS_STATUS)


def add_source(row: Mapping[str, Any], token: str) -> Row:
    """Return the row with the token appended, unless it is there."""
    tokens = info_sources(row)
    if token in tokens:
        return dict(row)
    return {**row, "infoSource": _SEPARATOR.join([*tokens, token])}


def remove_source(row: Mapping[str, Any], token: str) -> Row:
    """Return the row without the token; removing the last one drops the member, as `omitempty` does."""
    tokens = [item for item in info_sources(row) if item != token]
    rest = {key: value for key, value in row.items() if key != "infoSource"}
    return {**rest, "infoSource": _SEPARATOR.join(tokens)} if tokens else rest


def rows_by_name(rows: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the rows that have a name; guest-made ones do not."""
    return {name: row for row in rows if (name := text(row.get("name")))}


def same_rows(one: Iterable[Mapping[str, Any]], other: Iterable[Mapping[str, Any]]) -> bool:
    """Report whether the rows are equal, in any order: the node agent orders them differently (kubevirt#14442)."""

    def key(row: Mapping[str, Any]) -> str:
        return repr(sorted(row.items(), key=lambda item: item[0]))

    return sorted(map(key, one)) == sorted(map(key, other))
