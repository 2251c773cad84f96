"""Objects as large as the API server stores them: nobody is stopped, and they work like any other."""

import json

import pytest
from tests.integration.conftest import Sandbox
from tests.integration.user import VM, VMI, Json, User, plug, vm
from tests.integration.waiting import until
from tests.large import ON_A_SERVER, text_of
from tests.perf.large_objects import create, peak_rss_mib

from nicplug_sandbox import processes

COUNT = 16
# 200 of them may take 300 MiB, of which an operator without any has up to 110. A share of the rest for each, and once
# what a page takes; parsed as a whole these are three times as much.
GROWTH_MIB = COUNT * 190 / 200 + 25
PATIENCE_SECONDS = 90


def large(name: str, shape: str, *, strategy: str = "Halted") -> Json:
    body = vm(name)
    body["spec"]["runStrategy"] = strategy
    body["spec"].pop("running", None)
    # Where a user has a large script; nicplug never looks into it.
    body["spec"]["template"]["spec"]["domain"]["x"] = json.loads(text_of(shape, ON_A_SERVER[shape]))
    return body


@pytest.mark.timeout(300)
def test_large_vms_of_one_tenant_end_no_replica_by_memory(user: User, sandbox: Sandbox) -> None:
    """13 stopped VMs of 1.2 MB ended both replicas, and every one that came after them."""
    sandbox.stop()
    operator = sandbox.start()
    empty = peak_rss_mib(operator)
    for number in range(COUNT):
        create(user, VM, large(f"large-{number}", list(ON_A_SERVER)[number % len(ON_A_SERVER)]))
    user.create(VM, vm("small"))
    user.until_running("small")
    assert peak_rss_mib(operator) - empty < GROWTH_MIB
    sandbox.stop()
    operator = sandbox.start()
    user.change(VM, "small", plug("blue"))
    user.until_ready("small", "blue")
    assert peak_rss_mib(operator) - empty < GROWTH_MIB
    assert processes.is_alive(operator.process)
    assert "Traceback" not in operator.log.read_text()
    for number in range(COUNT):
        user.delete(VM, f"large-{number}")


def x_of(user: User) -> object:
    return (user.get(VMI, "a") or {})["spec"]["domain"]["x"]


@pytest.mark.usefixtures("unharmed")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("shape", ["random", "dicts"])
def test_a_large_vm_starts_whole_and_its_nics_are_plugged(user: User, shape: str) -> None:
    body = large("a", shape, strategy="Always")
    create(user, VM, body)
    until(lambda: user.condition("a", "InterfacesReady").get("status") == "True", seconds=PATIENCE_SECONDS)
    x = body["spec"]["template"]["spec"]["domain"]["x"]
    assert x_of(user) == x
    user.change(VM, "a", plug("blue"))
    until(lambda: user.record("a", "blue").get("phase") == "Ready", seconds=PATIENCE_SECONDS)
    assert x_of(user) == x
    assert not user.condition("a", "RestartRequired", plural=VM)
    user.change(VM, "a", lambda written: written["spec"]["template"]["spec"]["domain"].update(x="another"))
    until(lambda: user.condition("a", "RestartRequired", plural=VM), seconds=PATIENCE_SECONDS)
