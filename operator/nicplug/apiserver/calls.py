"""One call of a subresource, as the handlers of the aggregated API get and answer it.

Knows nothing of HTTP: who called has been authenticated and may do it before a handler sees the call.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from nicplug.apiserver.statuses import Status

GROUP = "subresources.kubevirt.io"
# The first one is preferred.
VERSIONS = ("v1", "v1alpha3")
UPDATE = "update"
READ = "get"
METHODS: Mapping[str, str] = {UPDATE: "PUT", READ: "GET"}
"""The HTTP method of each verb that a subresource may have."""

# The kinds that subresources may belong to, by the plural of the path.
KINDS: Mapping[str, str] = {
    "virtualmachines": "VirtualMachine",
    "virtualmachineinstances": "VirtualMachineInstance",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, as the front proxy has authenticated it.

    Attributes:
        extra: more of what the authenticator said, sorted by key, each with its values.
    """

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subresource:
    """A subresource that can be served: `addinterface` of `virtualmachines`.

    Attributes:
        verb: by which it is served, as RBAC names it.
    """

    resource: str
    name: str
    verb: str = field(default=UPDATE, compare=False)

    def __str__(self) -> str:
        return f"{self.resource}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request for one object.

    Attributes:
        verb: as RBAC names it; PUT is `update`.
        namespace: valid as the name of a namespace.
        name: valid as the name of an object.
        query: names and values behind the `?`, in their order.
        body: as it was sent, JSON or YAML, possibly empty; `bodies.decode` reads it.
    """

    verb: str
    version: str
    subresource: Subresource
    namespace: str
    name: str
    caller: Caller
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)

    @property
    def kind(self) -> str:
        """The kind of the object that the subresource belongs to."""
        return KINDS[self.subresource.resource]


@dataclass(frozen=True, slots=True)
class Accepted:
    """Done, or recorded to be done: 202 with an empty body."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was asked for: 200 with JSON."""

    content: Mapping[str, Any]


Answer = Accepted | Found | Status


class Handler(Protocol):
    """Carries out calls of one subresource. What it raises is answered with 500 and logged as a bug."""

    async def __call__(self, call: Call, /) -> Answer:
        """Carry out one call, within the time limit of a request."""
        ...


# What is served: routes and discovery have these subresources and no others.
Handlers = Mapping[Subresource, Handler]
