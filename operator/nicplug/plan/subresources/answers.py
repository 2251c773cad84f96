"""Answers of the subresources: code, reason and text as KubeVirt's API server gives them.

Source: KubeVirt 1.0 `pkg/virt-api/rest/interfacehotplug.go`, and the texts of `k8s.io/apimachinery/pkg/api/errors`.
"""

from dataclasses import dataclass
from enum import Enum

from nicplug.plan.actions import Create, JsonPatch, PatchInterfaces, PatchSpec, PatchStatus
from nicplug.plan.nic.requested import Hint

_GROUP = "kubevirt.io"


class Endpoint(Enum):
    """The two kinds with subresources; the value is the name of the resource in KubeVirt's texts."""

    VM = "virtualmachine"
    VMI = "virtualmachineinstance"

    @property
    def kind(self) -> str:
        """Its kind."""
        return "VirtualMachine" if self is Endpoint.VM else "VirtualMachineInstance"

    @property
    def short(self) -> str:
        """Its name in error texts."""
        return "vm" if self is Endpoint.VM else "vmi"


Write = PatchStatus | PatchInterfaces | PatchSpec | Create


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer, and the writes to send first.

    Attributes:
        code: HTTP status.
        reason: `reason` of the Status object; "" for a success, which has an empty body.
        message: `message` of the Status object; likewise.
        about: kind of the object in the details of the Status; None if they name none.
        name: name of that object.
        cause: the only cause in the details; "" for none.
        hint: for commands, as `reason` of that cause.
        write: sent before 202 is answered; None if nothing changes. If its `test` fails, that is no answer for the
            user: read the object again, and decide again.
        first: sent before `write`, in the same way.
    """

    code: int
    reason: str = ""
    message: str = ""
    about: Endpoint | None = None
    name: str = ""
    cause: str = ""
    hint: Hint = Hint.NONE
    write: Write | None = None
    first: PatchSpec | None = None


def in_order(write: PatchStatus | PatchInterfaces | PatchSpec) -> JsonPatch:
    """Return the operations of a patch in the order of KubeVirt 1.0: every `test` first."""
    return sorted(write.json_patch(), key=lambda operation: operation["op"] != "test")


ACCEPTED = Answer(code=202)
"""No write is needed."""


def bad_request(message: str) -> Answer:
    """Answer that the request is invalid."""
    return Answer(code=400, reason="BadRequest", message=message)


def forbidden(endpoint: Endpoint, name: str, why: str) -> Answer:
    """Answer that a policy forbids it."""
    message = f'{endpoint.value}.{_GROUP} "{name}" is forbidden: {why}'
    return Answer(code=403, reason="Forbidden", message=message, about=endpoint, name=name)


def not_found(endpoint: Endpoint, name: str) -> Answer:
    """Answer that the object does not exist."""
    message = f'{endpoint.value}.{_GROUP} "{name}" not found'
    return Answer(code=404, reason="NotFound", message=message, about=endpoint, name=name)


def conflict(endpoint: Endpoint, name: str, why: str, *, hint: Hint = Hint.NONE) -> Answer:
    """Answer that the state of the object does not allow it."""
    message = f'Operation cannot be fulfilled on {endpoint.value}.{_GROUP} "{name}": {why}'
    return Answer(code=409, reason="Conflict", message=message, about=endpoint, name=name, hint=hint)


def invalid(endpoint: Endpoint, name: str, why: str) -> Answer:
    """Answer that the request is not valid for any object."""
    message = f'{endpoint.kind}.{_GROUP} "{name}" is invalid: {why}'
    return Answer(code=422, reason="Invalid", message=message, about=endpoint, name=name, cause=why)


def read_failed(endpoint: Endpoint, name: str, error: str) -> Answer:
    """Answer that the object could not be read, though it may exist."""
    return _internal_error(f"unable to retrieve {endpoint.short} [{name}]: {error}")


def patch_failed(endpoint: Endpoint, *, subresource: str | None, code: int, reason: str, message: str) -> Answer:
    """Answer that the API server rejected the write.

    Args:
        subresource: that of the written object; None for the object itself: a VM's template, or the spec of a VMI.
            KubeVirt 1.0 only writes a VM's status, and elsewhere calls a VM that is written itself "vm".
        code: the API server's answer; 0 for none. For a VM only a 422 is passed on, for a VMI every answer.
    """
    if code == 422 or (code and endpoint is Endpoint.VMI):
        return Answer(code=code, reason=reason, message=message)
    what = " ".join(filter(None, (endpoint.short, subresource)))
    return _internal_error(f"unable to patch {what}: {message}")


def not_written(error: str) -> Answer:
    """Answer that the API server rejected a `start`, `stop`, `restart` or `migrate`; KubeVirt passes on its words."""
    return _internal_error(error)


def not_reviewed(error: str) -> Answer:
    """Answer that the caller's permission could not be checked, and therefore is denied."""
    return _internal_error(f"access to the network cannot be reviewed: {error}")


def _internal_error(why: str) -> Answer:
    return Answer(code=500, reason="InternalError", message=f"Internal error occurred: {why}", cause=why)
