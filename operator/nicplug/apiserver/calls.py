"""A subresource call, as the handlers of the aggregated API receive and answer it.

Knows nothing of HTTP: the caller is authenticated and authorized before a handler sees the call.
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

# The kinds that may have subresources, by the plural in the path.
KINDS: Mapping[str, str] = {
    "virtualmachines": "VirtualMachine",
    "virtualmachineinstances": "VirtualMachineInstance",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The user who sent the request, as authenticated by the front proxy.

    Attributes:
        extra: further fields from the authenticator, sorted by key, each with its values.
    """

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subresource:
    """A subresource that can be served: `addinterface` of `virtualmachines`.

    Attributes:
        verb: the RBAC verb it is served for.
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
        verb: the RBAC verb; `update` for PUT.
        namespace: a valid namespace name.
        name: a valid object name.
        query: names and values of the query string, in their order.
        body: the raw body, JSON or YAML, possibly empty; `bodies.decode` parses it.
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
        """Return the kind of the object that the subresource belongs to."""
        return KINDS[self.subresource.resource]


@dataclass(frozen=True, slots=True)
class Accepted:
    """Done, or recorded for later: 202 with an empty body."""


@dataclass(frozen=True, slots=True)
class Found:
    """The requested answer: 200 with JSON."""

    content: Mapping[str, Any]


Answer = Accepted | Found | Status


class Handler(Protocol):
    """Handles calls of one subresource. An exception is answered with 500 and logged as a bug."""

    async def __call__(self, call: Call, /) -> Answer:
        """Handle one call, within the time limit of a request."""
        ...


# The served subresources: routes and discovery contain exactly these.
Handlers = Mapping[Subresource, Handler]
