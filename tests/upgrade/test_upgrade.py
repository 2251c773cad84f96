"""From the last release to this version and back, as docs/install.md says, with VMs on every stage of their way.

The steps depend on each other and run in the order of the file. Minutes, so only `make upgrade-test` runs them.
"""

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.conftest import CONTROLLER
from tests.integration.user import MIGRATION, NAD, POD, VM, VMI, User
from tests.integration.waiting import until
from tests.manifests import nad, nics, plug, unplug, vm
from tests.upgrade import release
from tests.upgrade.release import VARIABLE, Release
from tests.upgrade.world import LAUNCHERS, ON_NODE_01, QUIET, World, job_of, populate, standing, stored

from nicplug_sandbox import controlplane, lifecycle, processes
from nicplug_sandbox.apply import apply_manifests
from nicplug_sandbox.operator_process import service_account_kubeconfig

pytestmark = [
    pytest.mark.skipif(not os.environ.get("NICPLUG_TEST_UPGRADE"), reason="takes minutes: make upgrade-test"),
    pytest.mark.timeout(600),
]
OLD, NEW = "old", "new"


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Release:
    name = release.previous_name()
    if not release.has(name) or shutil.which("env") is None:
        pytest.skip(
            f"UPGRADE TEST NOT RUN: this clone does not have commit {name}: `git fetch --unshallow`, "
            f"or name another one in {VARIABLE}"
        )
    return release.unpack(name, folder=tmp_path_factory.mktemp("previous"))


@pytest.fixture(scope="module")
def current() -> Release:
    return release.this()


@pytest.fixture(scope="module")
def world(previous: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A cluster as the previous version's manifests make it, with its operator and VMs."""
    directory = tmp_path_factory.mktemp("upgraded")
    with contextlib.ExitStack() as stack:
        stack.callback(controlplane.stop, directory=directory)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(lifecycle, "DEFINITIONS", previous.crds)
        status = lifecycle.up(directory=directory, nodes=3, existing=None, progress=print)
        assert status.kubeconfig is not None
        made = World(directory=directory, admin=status.kubeconfig, account=directory / "operator.kubeconfig")
        made.apply_rights_and_policies(previous)
        apply_manifests(kubeconfig=made.admin, paths=[previous.root / "examples" / "kubevirt.yaml"])
        service_account_kubeconfig(admin=made.admin, path=made.account)
        admin = made.user("")
        admin.merge("nodes", "node03", {"metadata": {"annotations": {CONTROLLER: "absent"}}})
        made.start(previous)
        made.lead(previous)
        yield made
        for name in tuple(made.running):
            processes.end([made.running.pop(name).process], grace_seconds=0)


@pytest.fixture(scope="module")
def user(world: World) -> User:
    somebody = world.user("owner")
    somebody.create("namespaces", {"metadata": {"name": "owner"}})
    until(lambda: somebody.get("serviceaccounts", "default"))
    somebody.create(NAD, nad())
    return somebody


@pytest.fixture(scope="module")
def before(world: World, user: User) -> dict[str, Any]:
    """What stands still, as the previous version has left it."""
    populate(user, tag=OLD)
    return standing(world, user, tag=OLD)


@contextlib.contextmanager
def nics_asked_for_meanwhile(user: User, name: str, *, prefix: str) -> Iterator[list[str]]:
    """One NIC after the other while the block runs, in and out again; all that were asked for arrive."""
    asked: list[str] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set() and len(asked) < 3:
            nic = f"{prefix}{len(asked)}"
            user.change(VM, name, plug(nic))
            asked.append(nic)
            ended.wait(2.0)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        ended.set()
        thread.join(30)
    assert asked
    for nic in asked:
        user.until_ready(name, nic)
    user.change(VM, name, unplug(*asked))
    until(lambda: not set(asked) & set(nics(user.get(VMI, name))))


def hand_over(world: World, user: User, *, first: Release, then: Release, tag: str) -> None:
    """A rolling update: the next replica is ready before the last one ends, while NICs are asked for."""
    name = f"{tag}-rolled"
    user.create(VM, vm(name, nodeSelector=ON_NODE_01))
    user.until_running(name)
    pod = user.pod_of(name)["metadata"]["uid"]
    with nics_asked_for_meanwhile(user, name, prefix="roll"):
        world.start(then)
        world.calm()
        world.stop(first)
        world.lead(then)
    assert [item["metadata"]["uid"] for item in user.items(POD, selector=LAUNCHERS) if _is_of(item, name)] == [pod]
    assert [item["metadata"]["name"] for item in user.items(MIGRATION) if item["spec"]["vmiName"] == name] == []
    world.calm()


def _is_of(pod: dict[str, Any], name: str) -> bool:
    return bool(pod["metadata"]["ownerReferences"][0]["name"] == name)


def until_settled(user: User, *, tag: str) -> None:
    """What was under way has ended once, what waited has come, and what had failed comes once it can."""
    until(lambda: user.record(f"{tag}-failed", "blue").get("phase") == "Failed")
    name = f"{tag}-migrating"
    until(lambda: job_of(user, name)["status"]["phase"] == "Succeeded", seconds=120)
    user.until_ready(name, "blue")
    until(lambda: len([pod for pod in user.items(POD, selector=LAUNCHERS) if _is_of(pod, name)]) == 1)
    user.create(NAD, nad(f"{tag}-later"))
    user.until_ready(f"{tag}-waiting", "blue")
    user.merge(NAD, f"{tag}-broken", {"metadata": {"annotations": {"sandbox.nicplug.io/cni": None}}})
    user.merge(NAD, f"{tag}-broken", {"spec": {"config": nad(f"{tag}-broken")["spec"]["config"] + " "}})
    user.until_ready(f"{tag}-failed", "blue")


def until_served(user: User, *, tag: str, nic: str) -> None:
    """Every VM takes one more NIC, and gives it back; the halted one starts with what it has."""
    names = [f"{tag}-{name}" for name in (*QUIET, "migrating")]
    for name in names:
        kind = VMI if name.endswith("-bare") else VM
        user.change(kind, name, plug(nic))
    for name in names:
        user.until_ready(name, nic)
        assert [row["name"] for row in (user.get(VMI, name) or {})["status"]["interfaces"]].count(nic) == 1
    for name in names:
        user.change(VMI if name.endswith("-bare") else VM, name, unplug(nic))
    for name in names:
        until(lambda name=name: nic not in nics(user.get(VMI, name)))  # type: ignore[misc]
    user.merge(VM, f"{tag}-halted", {"spec": {"runStrategy": "Always"}})
    user.until_running(f"{tag}-halted")
    user.merge(VM, f"{tag}-halted", {"spec": {"runStrategy": "Halted"}})
    user.until_gone(VMI, f"{tag}-halted")


def test_new_crds_keep_what_is_stored_and_the_new_operator_waits_for_them(
    world: World, user: User, before: dict[str, Any], previous: Release, current: Release
) -> None:
    waiting = world.spawn(current)
    until(lambda: "is older than this nicplug" in waiting.log.read_text())
    world.stop(previous)
    was = stored(user)
    world.apply_crds(current)
    assert stored(user) == was
    # With the rights of the previous version, until those are applied too.
    world.until_ready(current, waiting)
    world.lead(current)
    world.start(previous)
    world.stop(current)
    world.lead(previous)
    until(lambda: standing(world, user, tag=OLD) == before)


def test_the_old_operator_works_with_the_new_crds_and_policies(
    world: World, user: User, before: dict[str, Any], previous: Release, current: Release
) -> None:
    world.apply_rights_and_policies(current)
    name = f"{OLD}-plugged"
    user.change(VM, name, plug("green"))
    user.until_ready(name, "green")
    user.change(VM, name, unplug("green"))
    until(lambda: nics(user.get(VMI, name)) == ["main", "blue"])
    until(lambda: standing(world, user, tag=OLD) == before)
    world.calm()


def test_the_new_operator_takes_everything_over_as_it_is(
    world: World, user: User, before: dict[str, Any], previous: Release, current: Release
) -> None:
    hand_over(world, user, first=previous, then=current, tag="up")
    found = standing(world, user, tag=OLD)
    assert {name: found[name] for name in before} == before
    assert job_of(user, f"{OLD}-migrating")["status"]["phase"] in ("Running", "Succeeded")


def test_the_new_operator_finishes_what_the_old_one_has_begun(world: World, user: User) -> None:
    until_settled(user, tag=OLD)
    until_served(user, tag=OLD, nic="red")
    world.calm()


def test_the_old_operator_takes_over_what_the_new_one_has_made(
    world: World, user: User, previous: Release, current: Release
) -> None:
    """With the new CRDs and policies, as the way back leaves them."""
    populate(user, tag=NEW)
    now = standing(world, user, tag=NEW)
    hand_over(world, user, first=current, then=previous, tag="down")
    assert standing(world, user, tag=NEW) == now
    until_settled(user, tag=NEW)
    until_served(user, tag=NEW, nic="red")
    world.calm()


def test_the_old_crds_take_nothing_away_that_the_old_operator_needs(
    world: World, user: User, previous: Release, current: Release
) -> None:
    """As `helm rollback` leaves a cluster: with the CRDs of the chart that it goes back to."""
    both = {tag: standing(world, user, tag=tag) for tag in (OLD, NEW)}
    world.apply_crds(previous)
    for tag in (OLD, NEW):
        until_served(user, tag=tag, nic="green")
        assert standing(world, user, tag=tag) == both[tag]
    world.apply_crds(current)


def test_the_new_operator_takes_over_after_a_crash_of_the_old_one(
    world: World, user: User, previous: Release, current: Release
) -> None:
    both = {tag: standing(world, user, tag=tag) for tag in (OLD, NEW)}
    world.start(current)
    world.stop(previous, grace_seconds=0)
    world.lead(current)
    for tag in (OLD, NEW):
        until_served(user, tag=tag, nic="last")
        assert standing(world, user, tag=tag) == both[tag]
    world.calm()
