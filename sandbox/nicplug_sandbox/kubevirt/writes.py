"""What a controller decides, as values: writes in order, what is said about each, and when to look again. Pure."""

from dataclasses import dataclass, replace
from typing import Literal

from nicplug_sandbox.kubevirt.objects import Json, name_of, namespace_of, uid_of

Kind = Literal[
    "VirtualMachine",
    "VirtualMachineInstance",
    "VirtualMachineInstanceMigration",
    "KubeVirt",
    "Pod",
    "ControllerRevision",
    "Node",
    "NetworkAttachmentDefinition",
]
Verb = Literal["create", "update", "update-status", "patch", "patch-status", "delete", "evict"]


class WriteRefused(Exception):
    """A write was refused, or a pass failed for a reason of its own; it is repeated with back-off.

    Attributes:
        message: the API server's, within the words of the write.
        reason: of the condition that tells of it.
    """

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One sentence about an object.

    Attributes:
        message: may have `{name}`, of the object that was written, and `{error}`.
    """

    about: Json
    kind: Kind
    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"

    def told(self, *, name: str = "", error: str = "") -> "Event":
        """The event with its message complete."""
        return replace(self, message=self.message.replace("{name}", name).replace("{error}", error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One request.

    Attributes:
        name: of the object, or its generateName when it is created.
        body: the object, or the JSON patch; an update carries the resourceVersion that was read.
        said: the event when it succeeds.
        failed: the event when it is refused.
        reason: of the condition that tells of a refusal.
        complaint: what that condition says, with `{error}`.
    """

    verb: Verb
    kind: Kind
    namespace: str
    name: str
    uid: str = ""
    body: Json | list[Json] | None = None
    said: Event | None = None
    failed: Event | None = None
    reason: str = ""
    complaint: str = "{error}"

    def refused(self, error: str) -> WriteRefused:
        """What the refusal of this write is to the pass."""
        return WriteRefused(self.complaint.replace("{error}", error), reason=self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do now.

    Attributes:
        writes: in order; the first refused one ends the pass, which is repeated with back-off.
        events: that no write stands behind.
        again: after how many seconds to look again, besides at every change.
        error: why the pass failed; it is repeated with back-off.
        reason: of the condition that tells of it.
    """

    writes: tuple[Write, ...] = ()
    events: tuple[Event, ...] = ()
    again: float | None = None
    error: str = ""
    reason: str = ""


NOTHING = Decision()


def write(
    verb: Verb,
    kind: Kind,
    obj: Json,
    *,
    body: Json | list[Json] | None = None,
    said: Event | None = None,
    failed: Event | None = None,
    reason: str = "",
    complaint: str = "{error}",
) -> Write:
    """A write of an object that exists; an update sends the object itself unless a body is given."""
    wanted = obj if body is None and verb.startswith("update") else body
    return Write(
        verb=verb, kind=kind, namespace=namespace_of(obj), name=name_of(obj), uid=uid_of(obj),
        body=wanted, said=said, failed=failed, reason=reason, complaint=complaint,
    )  # fmt: skip


def create(
    kind: Kind,
    obj: Json,
    *,
    said: Event | None = None,
    failed: Event | None = None,
    reason: str = "",
    complaint: str = "{error}",
) -> Write:
    """A write of a new object."""
    metadata = obj["metadata"]
    name = metadata.get("name") or metadata["generateName"]
    return Write(
        verb="create", kind=kind, namespace=metadata["namespace"], name=name, body=obj,
        said=said, failed=failed, reason=reason, complaint=complaint,
    )  # fmt: skip


def change(path: str, *, old: object, new: object) -> list[Json]:
    """A guarded change in a JSON patch: `test` what was read, null for missing, then `add`."""
    return [{"op": "test", "path": path, "value": old}, {"op": "add", "path": path, "value": new}]


def pointer(key: str) -> str:
    """A key as one step of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")
