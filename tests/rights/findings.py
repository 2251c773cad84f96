"""What one pytest process has seen of the accounts' calls, and what is wrong with all of it together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.rights.calls import Call
from tests.rights.roles import Right

# What was refused may be tried once more.
_AFTERMATH_SECONDS = 2.0
# Of an API server that has just started and does not know its own roles yet, those of the system included.
_WITHOUT_ROLES = 'clusterrole.rbac.authorization.k8s.io "system:discovery" not found'


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When a test ran.

    Attributes:
        test: its node id.
        start: seconds since the epoch.
        end: the same, its fixtures' teardown included.
        reason: why it provokes refusals; "" for a test that must not.
    """

    test: str
    start: float
    end: float
    reason: str


def used(rights: Iterable[Right], calls: Iterable[Call]) -> frozenset[Right]:
    """The rights by which one of the calls was allowed."""
    # A few hundred kinds of calls among a hundred thousand.
    kinds = {
        (call.account, call.namespace, call.group, call.resource, call.name, call.verb): call
        for call in calls
        if call.is_allowed
    }
    return frozenset(right for right in rights if any(map(right.covers, kinds.values())))


def unexpected(calls: Iterable[Call], windows: Sequence[Window], *, rights: Iterable[Right]) -> list[str]:
    """Every refused call that no test has announced, with the test that ran, a line each.

    A call for which there is a right is refused while an API server starts, or a test has taken the right away: that
    says nothing of the manifests. Admission is another matter.
    A write that was refused while a test had announced it is repeated until its object goes, also in later tests.
    """
    announced = [window for window in windows if window.reason]
    known = list(rights)
    answered = [call for call in calls if call.refusal and _WITHOUT_ROLES not in call.refusal]
    refused = [call for call in answered if call.is_allowed or not _is_granted(call, known)]
    expected = [call for call in refused if any(_is_within(call, window) for window in announced)]
    repeated = {_write(call) for call in expected if call.namespace and call.name}
    found = []
    for call in refused:
        if call not in expected and _write(call) not in repeated:
            before = [window for window in windows if window.start <= call.at]
            test = max(before, key=lambda window: window.start).test if before else "the start"
            found.append(f"{call} (during {test})")
    return found


def _is_granted(call: Call, rights: Iterable[Right]) -> bool:
    return any(right.covers(call) for right in rights)


def _write(call: Call) -> tuple[str, ...]:
    return (call.account, call.verb, call.group, call.resource, call.namespace, call.name)


def _is_within(call: Call, window: Window) -> bool:
    return window.start <= call.at <= window.end + _AFTERMATH_SECONDS
