"""Run strategies and requests as people make them, on a real API server with the operator's own rights."""

import json

import pytest
from tests.integration.conftest import Lift
from tests.integration.kubectl import Kubectl
from tests.integration.user import VM, VMI, Json, User
from tests.integration.waiting import until
from tests.manifests import vm


def _ask(user: User, name: str, *requests: Json) -> None:
    """The patch of `status.stateChangeRequests` that the start, stop and restart subresources make."""
    kubectl = Kubectl(kubeconfig=user.kubeconfig, namespace=user.namespace)
    patch = [{"op": "add", "path": "/status/stateChangeRequests", "value": list(requests)}]
    kubectl("patch", "vm", name, "--subresource=status", "--type=json", f"--patch={json.dumps(patch)}")


def _uid(user: User, name: str) -> str:
    found = user.get(VMI, name)
    return str(found["metadata"]["uid"]) if found else ""


def _printable(user: User, name: str) -> str:
    return str(_status(user, VM, name).get("printableStatus", ""))


def _status(user: User, plural: str, name: str) -> Json:
    status: Json = (user.get(plural, name) or {}).get("status") or {}
    return status


def _vm(strategy: str) -> Json:
    body = vm("a")
    body["spec"]["runStrategy"] = strategy
    return body


def test_manual_starts_restarts_and_stops_on_request(user: User) -> None:
    user.create(VM, _vm("Manual"))
    until(lambda: _printable(user, "a") == "Stopped")
    _ask(user, "a", {"action": "Start"})
    until(lambda: _printable(user, "a") == "Running")
    first = _uid(user, "a")
    until(lambda: not _status(user, VM, "a").get("stateChangeRequests"))
    _ask(user, "a", {"action": "Stop", "uid": first}, {"action": "Start"})
    until(lambda: _uid(user, "a") not in ("", first) and _printable(user, "a") == "Running")
    _ask(user, "a", {"action": "Stop", "uid": _uid(user, "a")})
    until(lambda: _uid(user, "a") == "" and _printable(user, "a") == "Stopped")


@pytest.mark.parametrize("strategy", ["Always", "RerunOnFailure", "Once"])
def test_a_strategy_that_starts_by_itself(user: User, strategy: str) -> None:
    user.create(VM, _vm(strategy))
    until(lambda: _printable(user, "a") == "Running")
    status = _status(user, VM, "a")
    assert status["runStrategy"] == strategy
    assert _status(user, VMI, "a")["virtualMachineRevisionName"].endswith("-1")


def test_once_is_once(user: User) -> None:
    user.create(VM, _vm("Once"))
    until(lambda: _printable(user, "a") == "Running")
    user.delete(VMI, "a")
    until(lambda: _uid(user, "a") == "" and _printable(user, "a") == "Stopped")


def test_requests_that_are_none_are_dropped(user: User) -> None:
    user.create(VM, _vm("Always"))
    until(lambda: _printable(user, "a") == "Running")
    first = _uid(user, "a")
    strange = {"action": "Dance", "more": {"deep": [None]}}
    _ask(user, "a", {"action": "Stop"}, strange, {}, {"action": "Stop", "uid": "x"})
    until(lambda: not _status(user, VM, "a").get("stateChangeRequests"))
    assert _uid(user, "a") == first


def test_both_ways_to_say_it_are_none(user: User, before_rules: Lift) -> None:
    body = _vm("Always")
    body["spec"]["running"] = True
    with before_rules():
        user.create(VM, body)
    until(lambda: user.condition("a", "Failure", plural=VM).get("reason") == "FailedCreate")
    message = user.condition("a", "Failure", plural=VM)["message"]
    assert message.startswith("running and runstrategy are mutually exclusive")
    assert _uid(user, "a") == ""
