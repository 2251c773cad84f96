"""Replicas as processes: one is replaced, crashes or stands still while NICs are asked for.

Nothing is lost, and nothing is done twice.

How long a hand-over takes is printed by `make bench ARGS=--only-hand-over`.
"""

import signal
import time
from collections.abc import Iterator

import pytest
from tests.integration.conftest import Sandbox
from tests.integration.replicas import Asking, Replicas, asking, created, pod_patches
from tests.integration.user import User
from tests.integration.waiting import until

VMS = 6


@pytest.fixture
def replicas(sandbox: Sandbox) -> Iterator[Replicas]:
    """Two, in place of the sandbox's single one, which is there again afterwards."""
    sandbox.stop()
    found = Replicas(sandbox=sandbox)
    try:
        found.start()
        found.leader()
        found.start()
        yield found
    finally:
        for replica in list(found.running):
            replica.send(signal.SIGCONT)
            found.end(replica)
        sandbox.start()


def _nothing_is_lost_or_doubled(sandbox: Sandbox, user: User, somebody: Asking) -> None:
    assert set(created(sandbox, user).values()) == {1}
    patches = pod_patches(sandbox, user)
    for name, wanted in somebody.wanted.items():
        guest = sandbox.guests()[f"{user.namespace}/{name}"]
        assert sorted(nic["name"] for nic in guest["nics"]) == sorted(["main", *wanted])
        # One for each change at most: two that come at once share one. And the readiness gate.
        assert patches[user.pod_of(name)["metadata"]["name"]] <= somebody.changes[name] + 1


def test_a_rolling_update_under_load_loses_nothing(user: User, sandbox: Sandbox, replicas: Replicas) -> None:
    """As the Deployment does it: a new pod has to be ready before an old one is ended."""
    with asking(user, vms=VMS) as somebody:
        somebody.until_more(5)
        for old in sorted(replicas.running, key=lambda replica: not replica.leads):
            replicas.start()
            replicas.end(old)
            somebody.until_more(5)
    assert replicas.leader().operator.metric("nicplug_bugs_total") == 0
    _nothing_is_lost_or_doubled(sandbox, user, somebody)


def test_a_crash_of_the_leader_under_load_loses_nothing(user: User, sandbox: Sandbox, replicas: Replicas) -> None:
    with asking(user, vms=VMS) as somebody:
        somebody.until_more(5)
        replicas.end(replicas.leader(), grace_seconds=0)
        replicas.leader()
        somebody.until_more(5)
    _nothing_is_lost_or_doubled(sandbox, user, somebody)


def test_a_leader_that_stood_still_writes_nothing_when_it_wakes(
    user: User, sandbox: Sandbox, replicas: Replicas
) -> None:
    with asking(user, vms=VMS) as somebody:
        somebody.until_more(5)
        frozen = replicas.leader()
        frozen.send(signal.SIGSTOP)
        replicas.running.remove(frozen)
        try:
            heir = replicas.leader()
            somebody.until_more(5)
            before = len(frozen.writes(sandbox))
            assert before > 0, "it had worked"
        finally:
            replicas.running.append(frozen)
            frozen.send(signal.SIGCONT)
        until(lambda: frozen.operator.get("/readyz")[0] == 200)
        somebody.until_more(5)
        assert heir.leads
        assert not frozen.leads
        time.sleep(1)
        assert len(frozen.writes(sandbox)) == before
    _nothing_is_lost_or_doubled(sandbox, user, somebody)
