"""The question that `plan` answers: a change of the NICs of one VM, from a command line or a request body. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nicplug.model.metadata import mapping, objects, text
from nicplug.model.networks import Network, parse_network, parse_networks
from nicplug.model.requests import NAME_OPTION, NETWORK_OPTION

MOST_CHANGES = 100
"""Limit per question: more than any guest has slots for."""

_MEMBERS = ("add", "remove", "persist", "interfaces", "networks")


class BadQuestion(ValueError):
    """The question is invalid; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """A NIC to plug; an empty `name` lets nicplug choose one."""

    name: str
    network: str

    def to_network(self) -> Network:
        """Return the entry of `networks`."""
        return parse_network({"name": self.name, "multus": {"networkName": self.network}})


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeSpec:
    """Both lists as they would be after the change, as in a manifest."""

    interfaces: tuple[Mapping[str, Any], ...]
    networks: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanQuestion:
    """A change under consideration; without any, the question is what comes next for the NICs in progress.

    Attributes:
        persist: True to change the VM's template, False to change its instance.
        spec: both lists instead of single changes.
    """

    additions: tuple[Addition, ...] = ()
    removals: tuple[str, ...] = ()
    persist: bool = False
    spec: WholeSpec | None = None

    @property
    def networks(self) -> tuple[Network, ...]:
        """The networks in the question; the VM may have some of them already."""
        listed = parse_networks({"networks": list(self.spec.networks)}) if self.spec is not None else ()
        return (*(item.to_network() for item in self.additions), *listed)

    @property
    def names(self) -> frozenset[str]:
        """The NICs that the question names."""
        listed = self.spec.interfaces if self.spec is not None else ()
        added = (item.name for item in self.additions if item.name)
        return frozenset((*added, *self.removals, *(text(item.get("name")) for item in listed)))

    def to_json(self) -> dict[str, Any]:
        """Return the body of a request."""
        body: dict[str, Any] = {
            "add": [{NAME_OPTION: item.name, NETWORK_OPTION: item.network} for item in self.additions],
            "remove": [{NAME_OPTION: name} for name in self.removals],
            "persist": self.persist,
        }
        if self.spec is not None:
            body |= {"interfaces": list(self.spec.interfaces), "networks": list(self.spec.networks)}
        return {member: value for member, value in body.items() if value or member in ("interfaces", "networks")}


def parse_question(body: object) -> PlanQuestion:
    """Parse the body of a request.

    Raises:
        BadQuestion: it has a member that is unknown or of the wrong type, or too many changes.
    """
    if not isinstance(body, Mapping):
        raise BadQuestion("the body must be an object")
    if unknown := sorted(str(member)[:64] for member in body if member not in _MEMBERS):
        raise BadQuestion(f"unknown member {unknown[0]!r}; known are {', '.join(_MEMBERS)}")
    additions, removals = _rows(body, "add"), _rows(body, "remove")
    if len(additions) + len(removals) > MOST_CHANGES:
        raise BadQuestion(f"{len(additions) + len(removals)} changes; at most {MOST_CHANGES} can be asked about")
    persist = body.get("persist", False)
    if not isinstance(persist, bool):
        raise BadQuestion("persist must be true or false")
    spec = _spec(body)
    if spec is not None and (additions or removals):
        raise BadQuestion("either single changes by add and remove, or both lists by interfaces and networks")
    return PlanQuestion(
        additions=tuple(
            Addition(name=_text(row, NAME_OPTION, optional=True), network=_text(row, NETWORK_OPTION))
            for row in additions
        ),
        removals=tuple(_text(row, NAME_OPTION) for row in removals),
        persist=persist,
        spec=spec,
    )


def _spec(body: Mapping[str, Any]) -> WholeSpec | None:
    if not {"interfaces", "networks"} & set(body):
        return None
    if not {"interfaces", "networks"} <= set(body):
        raise BadQuestion("interfaces and networks must be given together")
    return WholeSpec(interfaces=tuple(_rows(body, "interfaces")), networks=tuple(_rows(body, "networks")))


def _rows(body: Mapping[str, Any], member: str) -> list[Mapping[str, Any]]:
    value = body.get(member, [])
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise BadQuestion(f"{member} must be a list of objects")
    return value


def _text(row: Mapping[str, Any], member: str, *, optional: bool = False) -> str:
    value = row.get(member, "")
    if not isinstance(value, str) or not (value or optional):
        raise BadQuestion(f"{member} must be a text" + ("" if optional else " that is not empty"))
    return value


def question_of(raw: Mapping[str, Any]) -> PlanQuestion:
    """Return the NICs of a VM, or of a VMI, as a manifest would leave them; ignores its other changes."""
    spec = mapping(raw.get("spec"))
    is_vm = "template" in spec
    spec = mapping(mapping(spec.get("template")).get("spec")) if is_vm else spec
    devices = mapping(mapping(spec.get("domain")).get("devices"))
    lists = WholeSpec(
        interfaces=tuple(objects(devices.get("interfaces"))), networks=tuple(objects(spec.get("networks")))
    )
    return PlanQuestion(persist=is_vm, spec=lists)
