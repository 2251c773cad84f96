"""Options in the body of a request, checked as Go's decoder reads them and with its words.

Like that decoder it takes a member whatever the case of its name.

Source: `encoding/json` of Go, whose errors KubeVirt's API server passes on.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

DRY_RUN_OPTION = "dryRun"
_LARGEST_INT64 = 2**63


@dataclass(frozen=True, slots=True)
class UnreadableBody:
    """The body is neither JSON nor YAML.

    Attributes:
        error: the words of the parser.
    """

    error: str


Body = UnreadableBody | Mapping[str, Any] | list[Any] | str | float | bool | None
"""The value that the body holds, or why there is none."""


class GoType(Enum):
    """The types of members; the value is Go's name."""

    STRING = "string"
    BOOL = "bool"
    INT64 = "int64"
    STRINGS = "[]string"
    STRING_MAP = "map[string]string"


def problem_of(body: Body, *, struct: str, members: Mapping[str, GoType]) -> str:
    """Why the body cannot be decoded into the struct, "" when it can. null is no value, of the body as of a member."""
    if isinstance(body, UnreadableBody):
        return body.error
    if body is None:
        return ""
    if not isinstance(body, Mapping):
        return f"json: cannot unmarshal {_name_of(body)} into Go value of type v1.{struct}"
    for member, value in _given(body, members):
        for wrong, type_ in _misfits(value, members[member]):
            return f"json: cannot unmarshal {wrong} into Go struct field {struct}.{member} of type {type_}"
    return ""


def options_of(body: Body, members: Iterable[str]) -> Mapping[str, Any]:
    """Those of the members that were sent, without null; none, when the body is no object.

    Of one that was sent in several spellings the last counts.
    """
    return dict(_given(body, members)) if isinstance(body, Mapping) else {}


def _given(body: Mapping[str, Any], members: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Members by their own names, in the order in which they were sent."""
    by_fold = {member.casefold(): member for member in members}
    for name, value in body.items():
        member = by_fold.get(name.casefold())
        # Go folds one character to one character: a ligature is not its letters.
        if member is not None and len(name) == len(member) and value is not None:
            yield member, value


def is_dry_run(options: Mapping[str, Any]) -> bool:
    """Nothing is to be written. Also where `dryRun` lists anything but All: what is meant is not a change."""
    return bool(options.get(DRY_RUN_OPTION))


def _misfits(value: Any, type_: GoType) -> Iterator[tuple[str, str]]:
    """What does not fit, and the type that it should have."""
    if type_ in (GoType.STRINGS, GoType.STRING_MAP):
        container = list if type_ is GoType.STRINGS else Mapping
        if not isinstance(value, container):
            yield _name_of(value), type_.value
            return
        inner = value.values() if isinstance(value, Mapping) else value
        yield from ((_name_of(item), "string") for item in inner if not (item is None or isinstance(item, str)))
    elif not _FITS[type_](value):
        is_number = type_ is GoType.INT64 and _name_of(value) == "number"
        yield f"number {value}" if is_number else _name_of(value), type_.value


def _is_int64(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -_LARGEST_INT64 <= value < _LARGEST_INT64


_FITS: Mapping[GoType, Callable[[Any], bool]] = {
    GoType.STRING: lambda value: isinstance(value, str),
    GoType.BOOL: lambda value: isinstance(value, bool),
    GoType.INT64: _is_int64,
}


def _name_of(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "string"
        case Mapping():
            return "object"
        case _:
            return "array"
