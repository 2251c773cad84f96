"""What a controller decides, as values: writes in order, what is said about each, and when to look again. Pure."""

from dataclasses import dataclass
from typing import Literal

from nicplug_sandbox.kubevirt.objects import Json, name_of, namespace_of, uid_of

Kind = Literal[
    "VirtualMachine",
    "VirtualMachineInstance",
    "VirtualMachineInstanceMigration",
    "KubeVirt",
    "Pod",
]
Verb = Literal["create", "update", "update-status", "patch", "patch-status", "delete"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One request.

    Attributes:
        name: of the object, or its generateName when it is created.
        body: the object, or the JSON patch; an update carries the resourceVersion that was read.
        said: the event when it succeeds.
        failed: the event when it is refused.
    """

    verb: Verb
    kind: Kind
    namespace: str
    name: str
    uid: str = ""
    body: Json | list[Json] | None = None
    said: Event | None = None
    failed: Event | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do now.

    Attributes:
        writes: in order; the first refused one ends the pass, which is repeated with back-off.
        events: that no write stands behind.
        again: after how many seconds to look again, besides at every change.
        error: why the pass failed; it is repeated with back-off.
    """

    writes: tuple[Write, ...] = ()
    events: tuple[Event, ...] = ()
    again: float | None = None
    error: str = ""


NOTHING = Decision()


def write(
    verb: Verb,
    kind: Kind,
    obj: Json,
    *,
    body: Json | list[Json] | None = None,
    said: Event | None = None,
    failed: Event | None = None,
) -> Write:
    """A write of an object that exists; an update sends the object itself unless a body is given."""
    wanted = obj if body is None and verb.startswith("update") else body
    return Write(
        verb=verb, kind=kind, namespace=namespace_of(obj), name=name_of(obj), uid=uid_of(obj),
        body=wanted, said=said, failed=failed,
    )  # fmt: skip


def create(kind: Kind, obj: Json, *, said: Event | None = None, failed: Event | None = None) -> Write:
    """A write of a new object."""
    metadata = obj["metadata"]
    name = metadata.get("name") or metadata["generateName"]
    return Write(
        verb="create", kind=kind, namespace=metadata["namespace"], name=name, body=obj, said=said, failed=failed
    )


def change(path: str, *, old: object, new: object) -> list[Json]:
    """A guarded change in a JSON patch: `test` what was read, null for missing, then `add`."""
    return [{"op": "test", "path": path, "value": old}, {"op": "add", "path": path, "value": new}]


def pointer(key: str) -> str:
    """A key as one step of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")
