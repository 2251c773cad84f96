"""The gate and the body of a request to add or remove a NIC: the checks before any object is looked at, in KubeVirt's
order and words.

Source: KubeVirt 1.0 `pkg/virt-api/rest/interfacehotplug.go` and `encoding/json` of Go, whose errors are passed on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from nicplug.model.interface_requests import (
    NAME_OPTION,
    NETWORK_OPTION,
    AddInterface,
    InterfaceRequest,
    RemoveInterface,
)
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.plan.subresources.answers import Answer, bad_request

GATE_IS_OFF = 'Unable to Add Interface because the "HotplugNICs" feature gate is not enabled.'
NO_BODY = "no request body, unable to decode options"
_UNREADABLE = "cannot unmarshal Request body to struct, error: "


class Verb(Enum):
    """The subresource; the value is its name in the path."""

    ADD = "addinterface"
    REMOVE = "removeinterface"


@dataclass(frozen=True, slots=True)
class NoBody:
    """The request has no body at all. One of no bytes is read as `{}`."""


@dataclass(frozen=True, slots=True)
class UnreadableBody:
    """The body is neither JSON nor YAML.

    Attributes:
        error: the words of the parser.
    """

    error: str


Body = NoBody | UnreadableBody | Mapping[str, Any] | list[Any] | str | float | bool | None
"""The value that the body holds, or why there is none."""


def read_request(verb: Verb, body: Body, *, config: KubevirtConfig | None) -> InterfaceRequest | Answer:
    """What is asked for; or the answer, when nobody need look at any object for it.

    Args:
        config: the KubeVirt CR; None when there is none, and then no gate is on.
    """
    if config is None or not config.hotplug_enabled:
        return bad_request(GATE_IS_OFF)  # KubeVirt says Add to a removal as well
    if isinstance(body, NoBody):
        return bad_request(NO_BODY)
    struct = "AddInterfaceOptions" if verb is Verb.ADD else "RemoveInterfaceOptions"
    if problem := _problem(body, struct, (NETWORK_OPTION, NAME_OPTION) if verb is Verb.ADD else (NAME_OPTION,)):
        return bad_request(f"{_UNREADABLE}{problem}")
    options = body if isinstance(body, Mapping) else {}
    name = options.get(NAME_OPTION) or ""
    network = options.get(NETWORK_OPTION) or ""
    request = AddInterface(name=name, network=network) if verb is Verb.ADD else RemoveInterface(name=name)
    return bad_request(request.problem) if request.problem else request


def _problem(body: Body, struct: str, members: tuple[str, ...]) -> str:
    """In the words of Go's decoder; "" when the body fits. null is no value, of the body as of a member."""
    if isinstance(body, UnreadableBody):
        return body.error
    if body is None:
        return ""
    if not isinstance(body, Mapping):
        return f"json: cannot unmarshal {_go_type(body)} into Go value of type v1.{struct}"
    for member, value in body.items():
        if member in members and value is not None and not isinstance(value, str):
            return f"json: cannot unmarshal {_go_type(value)} into Go struct field {struct}.{member} of type string"
    return ""


def _go_type(value: Any) -> str:
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
