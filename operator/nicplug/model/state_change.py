"""`status.stateChangeRequests` of a VM: what the start, stop and restart subresources ask for.

Source: KubeVirt 1.9 `vm.go` (`hasStartRequest`, `hasStopRequestForVMI`, `hasStartPausedRequest`). A restart is a Stop
with the uid of the VMI, and a Start.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from nicplug.model.frozen_json import FrozenJson, freeze, thaw
from nicplug.model.metadata import mapping, objects, sequence, text

# Own: tells a start that the operator remembers from one that a person asked for.
_MADE_BY = "nicplug.io/made-by"
_RERUN_ON_FAILURE = "RerunOnFailure"


class StateChange(StrEnum):
    """The actions that KubeVirt knows."""

    START = "Start"
    STOP = "Stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChangeRequest:
    """One request.

    Attributes:
        vmi_uid: the VMI that is to stop; "" for a start.
        is_paused: the guest shall be started paused.
        is_rerun: the operator's own note that a failed VMI is to be recreated.
        raw: the request as it stands in the status.
    """

    action: StateChange
    vmi_uid: str
    is_paused: bool
    is_rerun: bool
    raw: FrozenJson

    def to_row(self) -> Any:
        """As it shall stand in the status."""
        return thaw(self.raw)


def parse_requests(value: Any) -> tuple[StateChangeRequest, ...]:
    """The requests that can be acted on, in order; what is no object, has no known action or stops nothing is none."""
    parsed = (_parse(row) for row in objects(value))
    return tuple(request for request in parsed if request is not None)


def unreadable_requests(value: Any) -> tuple[str, ...]:
    """The requests that nobody can act on, as JSON."""
    rows = [row for row in sequence(value) if not isinstance(row, Mapping) or _parse(row) is None]
    return tuple(str(freeze(row)) for row in rows)


def _parse(row: Mapping[str, Any]) -> StateChangeRequest | None:
    action, uid, data = row.get("action"), text(row.get("uid")), mapping(row.get("data"))
    if action == StateChange.STOP and uid:
        return StateChangeRequest(
            action=StateChange.STOP, vmi_uid=uid, is_paused=False, is_rerun=False, raw=freeze(row)
        )
    if action == StateChange.START:
        return StateChangeRequest(
            action=StateChange.START,
            vmi_uid="",
            is_paused=data.get("paused") == "true",
            is_rerun=data.get(_MADE_BY) == _RERUN_ON_FAILURE,
            raw=freeze(row),
        )
    return None


RERUN = parse_requests([{"action": "Start", "data": {_MADE_BY: _RERUN_ON_FAILURE}}])[0]
"""The note that a failed VMI is to be recreated."""
