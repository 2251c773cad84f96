"""Objects as large as the API server stores them: nobody is stopped, and they work like any other."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.integration.conftest import Sandbox
from tests.integration.user import VM, VMI, Json, User
from tests.integration.waiting import until
from tests.large import ON_A_SERVER, text_of
from tests.manifests import plug, vm
from tests.perf.large_objects import create
from tests.perf.resources import peak_rss_mib
from tests.slow import slow

from nicplug_sandbox import processes

COUNT = 16
# 200 of them may take 300 MiB, of which an operator without any has up to 110. A share of the rest for each, and once
# what a page takes; parsed as a whole these are three times as much.
GROWTH_MIB = COUNT * 190 / 200 + 25
PATIENCE_SECONDS = 90
SIDE_BY_SIDE = 4
# kube-apiserver takes a second for each write of 300 kB of small objects, and there are many until a NIC is plugged.
WITH_MANY_WRITES = {**ON_A_SERVER, "dicts": 100_000}


def large(name: str, shape: str, *, strategy: str = "Halted", size: int = 0) -> Json:
    body = vm(name)
    body["spec"]["runStrategy"] = strategy
    body["spec"].pop("running", None)
    # Where a user has a large script; nicplug never looks into it.
    body["spec"]["template"]["spec"]["domain"]["x"] = json.loads(text_of(shape, size or ON_A_SERVER[shape]))
    return body


@slow
@pytest.mark.timeout(300)
def test_large_vms_of_one_tenant_end_no_replica_by_memory(user: User, sandbox: Sandbox) -> None:
    """13 stopped VMs of 1.2 MB ended both replicas, and every one that came after them."""
    sandbox.stop()
    operator = sandbox.start()
    empty = peak_rss_mib(operator.process)
    bodies = [large(f"large-{number}", list(ON_A_SERVER)[number % len(ON_A_SERVER)]) for number in range(COUNT)]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(lambda body: create(user, VM, body), bodies))
    user.create(VM, vm("small"))
    user.until_running("small")
    assert peak_rss_mib(operator.process) - empty < GROWTH_MIB
    sandbox.stop()
    operator = sandbox.start()
    user.change(VM, "small", plug("blue"))
    user.until_ready("small", "blue")
    assert peak_rss_mib(operator.process) - empty < GROWTH_MIB
    assert processes.is_alive(operator.process)
    assert "Traceback" not in operator.log.read_text()
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(lambda body: user.delete(VM, body["metadata"]["name"]), bodies))


def x_of(user: User) -> object:
    return (user.get(VMI, "a") or {})["spec"]["domain"]["x"]


@pytest.mark.usefixtures("unharmed")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("shape", ["random", "dicts"])
def test_a_large_vm_starts_whole_and_its_nics_are_plugged(user: User, shape: str) -> None:
    body = large("a", shape, strategy="Always", size=WITH_MANY_WRITES[shape])
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
