"""What goes wrong, on demand: before the commit, after it, or instead of an answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.fakes.kinds import Json

When = Literal["before", "after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as the fake understood it, and what it answered.

    Attributes:
        verb: get, list, watch, create, patch, update or delete.
        resource: plural; "" for discovery and probes.
        body: parsed JSON, None when there was none or it was not JSON.
        code: HTTP status sent; 0 when the connection was dropped instead.
        committed: it changed something.
    """

    verb: str
    resource: str
    path: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    user_agent: str = ""
    content_type: str = ""
    body: Any = None
    code: int = 0
    committed: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class Fault:
    """One rule; `times` counts down, the first rule that matches a request is used.

    Attributes:
        when: before the commit nothing is stored; after it, the write has happened whatever the answer says.
        status: HTTP status to answer; None leaves the answer alone (only the delay or `then` counts).
        drop: break the connection instead of answering.
        delay_seconds: wait first.
        then: called just before the commit, to let somebody else win the race.
    """

    verb: str | None = None
    resource: str | None = None
    name: str | None = None
    namespace: str | None = None
    subresource: str | None = None
    user_agent: str | None = None
    times: int = 1
    when: When = "before"
    status: int | None = None
    body: Json | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False
    delay_seconds: float = 0.0
    then: Callable[[], None] | None = None

    def matches(self, request: Request) -> bool:
        """Whether the rule is about this request."""
        wanted = ("verb", "resource", "name", "namespace", "subresource", "user_agent")
        return self.times > 0 and all(getattr(self, part) in (None, getattr(request, part)) for part in wanted)


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Put a rule behind the others; its `times` tells later how often it was not yet used."""
        self._rules.append(fault)
        return fault

    def take(self, request: Request) -> Fault | None:
        """The rule for this request, used up by one."""
        for rule in self._rules:
            if rule.matches(request):
                rule.times -= 1
                return rule
        return None

    def clear(self) -> None:
        """Everything works again."""
        self._rules.clear()
