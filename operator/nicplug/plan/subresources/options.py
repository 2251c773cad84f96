"""The options in the body of a request, as Go's decoder reads them, and the gate before it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from nicplug.model.kubevirt import KubevirtConfig
from nicplug.model.requests import NAME_OPTION, NETWORK_OPTION, AddInterface, InterfaceRequest, RemoveInterface
from nicplug.plan.subresources.answers import Answer, bad_request

# Options in the body of a request, checked like Go's decoder and with its words.
#
# Like that decoder it accepts the name of a member in any case.
#
# Source: `encoding/json` of Go, whose errors KubeVirt's API server passes on.

DRY_RUN_OPTION = "dryRun"
_LARGEST_INT64 = 2**63


@dataclass(frozen=True, slots=True)
class UnreadableBody:
    """The body is neither JSON nor YAML.

    Attributes:
        error: the parser's error.
    """

    error: str


Body = UnreadableBody | Mapping[str, Any] | list[Any] | str | float | bool | None
"""The value in the body, or why there is none."""


class GoType(Enum):
    """The types of members; the value is Go's name."""

    STRING = "string"
    BOOL = "bool"
    INT64 = "int64"
    STRINGS = "[]string"
    STRING_MAP = "map[string]string"


def problem_of(body: Body, *, struct: str, members: Mapping[str, GoType]) -> str:
    """Return why the body cannot be decoded into the struct, "" if it can. null counts as absent, even as the body."""
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
    """Return those of the members that were sent, without null; none if the body is not an object.

    If one was sent in several spellings, the last counts.
    """
    return dict(_given(body, members)) if isinstance(body, Mapping) else {}


def _given(body: Mapping[str, Any], members: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Yield members by their own names, in the order in which they were sent."""
    by_fold = {member.casefold(): member for member in members}
    for name, value in body.items():
        member = by_fold.get(name.casefold())
        # Go folds single characters only: a ligature does not equal its letters.
        if member is not None and len(name) == len(member) and value is not None:
            yield member, value


def is_dry_run(options: Mapping[str, Any]) -> bool:
    """Report whether nothing may be written. True for any content of `dryRun`, not only All: no change is intended."""
    return bool(options.get(DRY_RUN_OPTION))


def _misfits(value: Any, type_: GoType) -> Iterator[tuple[str, str]]:
    """Yield what does not fit, and the type that it should have."""
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


# The gate and the body of a request to add or remove a NIC: the checks before any object is read, in KubeVirt's order
# and words.
#
# Source: KubeVirt 1.0 `pkg/virt-api/rest/interfacehotplug.go`.

GATE_IS_OFF = 'Unable to Add Interface because the "HotplugNICs" feature gate is not enabled.'
_UNREADABLE = "cannot unmarshal Request body to struct, error: "


class Verb(Enum):
    """The subresource; the value is its name in the path."""

    ADD = "addinterface"
    REMOVE = "removeinterface"


def read_request(verb: Verb, body: Body, *, config: KubevirtConfig | None) -> InterfaceRequest | Answer:
    """Return the request; or the answer, if it depends on no object.

    Args:
        config: the KubeVirt CR; None if there is none, and then no gate is on.
    """
    if config is None or not config.hotplug_enabled:
        return bad_request(GATE_IS_OFF)  # KubeVirt says Add for a removal as well
    # KubeVirt's next check, "no request body, unable to decode options", never fails over HTTP: Go's server passes on
    # an empty body if there is none, and KubeVirt reads that as `{}`.
    struct = "AddInterfaceOptions" if verb is Verb.ADD else "RemoveInterfaceOptions"
    names = (NETWORK_OPTION, NAME_OPTION) if verb is Verb.ADD else (NAME_OPTION,)
    if problem := problem_of(body, struct=struct, members=dict.fromkeys(names, GoType.STRING)):
        return bad_request(f"{_UNREADABLE}{problem}")
    options = options_of(body, names)
    name = options.get(NAME_OPTION) or ""
    network = options.get(NETWORK_OPTION) or ""
    request = AddInterface(name=name, network=network) if verb is Verb.ADD else RemoveInterface(name=name)
    return bad_request(request.problem) if request.problem else request
