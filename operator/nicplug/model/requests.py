"""Requests made through a VM's subresources that are not done yet, in its status."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from nicplug.elided import ELIDED_ENTRIES, said
from nicplug.model.frozen_json import FrozenJson, freeze, thaw
from nicplug.model.metadata import mapping, objects, sequence, text
from nicplug.model.networks import Binding, Interface, Network, parse_interface, parse_network

# `status.interfaceRequests` of a VM: requests of `virtctl addinterface` and `removeinterface` that are not done yet.
#
# Source: KubeVirt 1.0 `VirtualMachineInterfaceRequest`, `AddInterfaceOptions` and `RemoveInterfaceOptions`.

MEMBER = "interfaceRequests"
"""The member of the status that holds the requests."""

ADD_OPTIONS, REMOVE_OPTIONS = "addInterfaceOptions", "removeInterfaceOptions"
NETWORK_OPTION, NAME_OPTION = "networkAttachmentDefinitionName", "name"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddInterface:
    """Plug a bridge NIC.

    Attributes:
        network: the network attachment definition, as the user wrote it: `<name>` or `<namespace>/<name>`.
    """

    name: str
    network: str

    @property
    def problem(self) -> str:
        """The missing option, in KubeVirt's words and order; "" if none is missing."""
        if not self.network:
            return f"AddInterfaceOptions requires `{NETWORK_OPTION}` to be set"
        return "" if self.name else f"AddInterfaceOptions requires `{NAME_OPTION}` to be set"

    def to_row(self) -> dict[str, Any]:
        """Return the row of the status."""
        return {ADD_OPTIONS: {NETWORK_OPTION: self.network, NAME_OPTION: self.name}}

    def to_interface(self) -> Interface:
        """Return the entry of `interfaces`: always a bridge, as KubeVirt's requests cannot select another binding."""
        return parse_interface({"name": self.name, Binding.BRIDGE.value: {}})

    def to_network(self) -> Network:
        """Return the entry of `networks`."""
        return parse_network({"name": self.name, "multus": {"networkName": self.network}})


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveInterface:
    """Unplug a NIC."""

    name: str

    @property
    def problem(self) -> str:
        """The missing option, in KubeVirt's words; "" if none is missing."""
        return "" if self.name else f"RemoveInterfaceOptions requires `{NAME_OPTION}` to be set"

    def to_row(self) -> dict[str, Any]:
        """Return the row of the status."""
        return {REMOVE_OPTIONS: {NAME_OPTION: self.name}}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableRequest:
    """A row with a request that cannot be carried out.

    Attributes:
        problem: what is wrong with it, for a sentence; "" for the mark of rows that are too large to read now.
    """

    problem: str


InterfaceRequest = AddInterface | RemoveInterface


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRequest:
    """One row of the list.

    Attributes:
        raw: the row as written.
    """

    request: InterfaceRequest | UnreadableRequest
    raw: FrozenJson

    def to_row(self) -> Any:
        """Return the row to keep in the status."""
        return thaw(self.raw)


def parse_interface_requests(value: Any) -> tuple[PendingRequest, ...]:
    """Return every row, in order; one that cannot be carried out is an `UnreadableRequest`."""
    return tuple(PendingRequest(request=_parse_interface(row), raw=freeze(row)) for row in sequence(value))


def requested_networks(value: Any) -> tuple[Network, ...]:
    """Return the networks that the rows request, in order; rows that cannot be carried out have none."""
    requests = (row.request for row in parse_interface_requests(value))
    return tuple(request.to_network() for request in requests if isinstance(request, AddInterface))


def _parse_interface(row: Any) -> InterfaceRequest | UnreadableRequest:
    if isinstance(row, Mapping) and ELIDED_ENTRIES in row:
        return UnreadableRequest(problem="")
    if not isinstance(row, Mapping):
        return UnreadableRequest(problem="the request is not an object")
    asked = [name for name in (ADD_OPTIONS, REMOVE_OPTIONS) if row.get(name) is not None]
    if len(asked) != 1:
        found = "both" if asked else "neither"
        return UnreadableRequest(problem=f"the request has {found} of {ADD_OPTIONS} and {REMOVE_OPTIONS}")
    options = mapping(row[asked[0]])
    request: InterfaceRequest = RemoveInterface(name=said(options.get(NAME_OPTION)))
    if asked == [ADD_OPTIONS]:
        request = AddInterface(name=said(options.get(NAME_OPTION)), network=said(options.get(NETWORK_OPTION)))
    return UnreadableRequest(problem=request.problem) if request.problem else request


# `status.stateChangeRequests` of a VM: requests of the start, stop and restart subresources.
#
# Source: KubeVirt 1.9 `vm.go` (`hasStartRequest`, `hasStopRequestForVMI`, `hasStartPausedRequest`). A restart is a Stop
# with the uid of the VMI, and a Start.

# nicplug's own: distinguishes a start that the operator records from one that a user requested.
_MADE_BY = "nicplug.io/made-by"
_RERUN_ON_FAILURE = "RerunOnFailure"


class StateChange(StrEnum):
    """The actions of KubeVirt."""

    START = "Start"
    STOP = "Stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChangeRequest:
    """One request.

    Attributes:
        vmi_uid: the VMI to stop; "" for a start.
        is_paused: True if the guest shall start paused.
        is_rerun: True if the operator recorded that a failed VMI is to be recreated.
        raw: the request as in the status.
    """

    action: StateChange
    raw: FrozenJson
    vmi_uid: str = ""
    is_paused: bool = False
    is_rerun: bool = False

    def to_row(self) -> Any:
        """Return the row of the status."""
        return thaw(self.raw)


def parse_requests(value: Any) -> tuple[StateChangeRequest, ...]:
    """Return the valid requests, in order; omits what is not an object, has an unknown action or stops nothing."""
    parsed = (_parse_state_change(row) for row in objects(value))
    return tuple(request for request in parsed if request is not None)


def unreadable_requests(value: Any) -> tuple[str, ...]:
    """Return the invalid requests, as JSON."""
    rows = [row for row in sequence(value) if not isinstance(row, Mapping) or _parse_state_change(row) is None]
    return tuple(str(freeze(row)) for row in rows)


def _parse_state_change(row: Mapping[str, Any]) -> StateChangeRequest | None:
    action, uid, data = row.get("action"), text(row.get("uid")), mapping(row.get("data"))
    if action == StateChange.STOP and uid:
        return StateChangeRequest(action=StateChange.STOP, vmi_uid=uid, raw=freeze(row))
    if action == StateChange.START:
        return StateChangeRequest(
            action=StateChange.START,
            is_paused=data.get("paused") == "true",
            is_rerun=data.get(_MADE_BY) == _RERUN_ON_FAILURE,
            raw=freeze(row),
        )
    return None


RERUN = parse_requests([{"action": "Start", "data": {_MADE_BY: _RERUN_ON_FAILURE}}])[0]
"""Records that a failed VMI is to be recreated."""
