"""Waiting ends when the NICs are as wanted, when the time is over, or when somebody has to act."""

from pathlib import Path
from typing import Any

import pytest
from tests.build import nic, operation, primary, vm
from tests.fakes.apiserver import FakeApiServer
from tests.unit.cli.following import BLOCKED, NAME, READY, VMIS, VMS, Following, born, record

from nicplug.cli import wait as module


class Waiting(Following):
    """`nicplug wait`."""

    command = "wait"


async def test_until_the_nic_is_ready(cluster: FakeApiServer, tmp_path: Path) -> None:
    waiting = await Waiting(cluster, tmp_path, NAME, "blue").until_watching()
    record(cluster, READY, rows=("default", "blue"))
    done = await waiting.end()
    assert done.exit_code == 0, done.output
    assert done.stdout == 'NIC "blue" is ready\n'
    assert "blue  Plug Dynamic Ready  Attached" in done.stderr


async def test_until_it_is_gone(cluster: FakeApiServer, tmp_path: Path) -> None:
    waiting = await Waiting(cluster, tmp_path, NAME, "blue", "--for", "gone", "--quiet").until_watching()

    def change(body: dict[str, Any]) -> None:
        body["spec"]["domain"]["devices"]["interfaces"].pop()
        body["spec"]["networks"].pop()

    cluster.modify(VMIS, NAME, change)
    done = await waiting.end()
    assert (done.exit_code, done.output) == (0, "")


async def test_somebody_has_to_act(cluster: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.1)
    waiting = await Waiting(cluster, tmp_path, NAME, "blue").until_watching()
    record(cluster, BLOCKED)
    done = await waiting.end()
    assert done.exit_code == 9
    assert 'NIC "blue" is Blocked (FeatureGateDisabled): off' in done.stderr
    assert f"nicplug why {NAME} blue" in done.stderr


async def test_what_is_blocked_for_a_moment_is_no_end(cluster: FakeApiServer, tmp_path: Path) -> None:
    """A network may be created together with the NIC."""
    waiting = await Waiting(cluster, tmp_path, NAME, "blue").until_watching()
    record(cluster, BLOCKED)
    record(cluster, READY, rows=("default", "blue"))
    assert (await waiting.end()).exit_code == 0


async def test_the_time_is_over(cluster: FakeApiServer, tmp_path: Path) -> None:
    done = await Waiting(cluster, tmp_path, NAME, "--timeout", "0.3s").end()
    assert done.exit_code == 8
    assert 'not ready after 0.3 s: NIC "blue" is Pending' in done.stderr


@pytest.mark.parametrize(("is_ready", "code"), [(True, 0), (False, 8)], ids=["ready", "not ready"])
async def test_a_wait_without_time_never_looked(
    cluster: FakeApiServer, tmp_path: Path, is_ready: bool, code: int
) -> None:
    if is_ready:
        record(cluster, READY, rows=("default", "blue"))
    done = await Waiting(cluster, tmp_path, NAME, "blue", "--timeout", "0s").end()
    assert done.exit_code == code, done.output
    assert "nothing was seen" not in done.stderr


async def test_a_request_that_fails_is_an_answer_and_an_older_failure_is_none(
    cluster: FakeApiServer, tmp_path: Path
) -> None:
    def failed(message: str) -> dict[str, Any]:
        return {"conditions": [{"type": "Failure", "status": "True", "message": message}]}

    cluster.create(VMS, born(vm(primary(), status=failed("before"))))
    waiting = await Waiting(cluster, tmp_path, NAME, "blue").until_watching()
    cluster.modify(VMS, NAME, lambda body: body.update(status=failed("now")), status=True)
    done = await waiting.end()
    assert done.exit_code == 9
    assert "the request could not be carried out: now\n  It is not tried again." in done.stderr


async def test_a_watch_that_ends_is_opened_again(cluster: FakeApiServer, tmp_path: Path) -> None:
    waiting = await Waiting(cluster, tmp_path, NAME, "blue").until_watching()
    cluster.expire_watches()
    record(cluster, READY, rows=("default", "blue"))
    assert (await waiting.end()).exit_code == 0


async def test_gone_needs_a_name(cluster: FakeApiServer, tmp_path: Path) -> None:
    assert (await Waiting(cluster, tmp_path, NAME, "--for", "gone").end()).exit_code == 2


async def test_a_name_that_no_nic_has_was_waited_for(cluster: FakeApiServer, tmp_path: Path) -> None:
    done = await Waiting(cluster, tmp_path, NAME, "blue", "nosuch").end()
    assert done.exit_code == 3
    assert f'VM {NAME} has no NIC "nosuch"' in done.stderr
    assert "It has: default, blue." in done.stderr
    assert cluster.open_watches == []


async def test_a_name_that_somebody_has_asked_for_is_waited_for(cluster: FakeApiServer, tmp_path: Path) -> None:
    options = {"name": "red", "networkAttachmentDefinitionName": "lan"}
    cluster.create(VMS, born(vm(primary(), status={"interfaceRequests": [{"addInterfaceOptions": options}]})))
    assert (await Waiting(cluster, tmp_path, NAME, "red", "--timeout", "0.3s").end()).exit_code == 8


async def test_the_end_of_a_nic_that_never_was_came_silently(cluster: FakeApiServer, tmp_path: Path) -> None:
    """It may have gone before anybody waited."""
    done = await Waiting(cluster, tmp_path, NAME, "nosuch", "--for", "gone").end()
    assert done.exit_code == 0
    assert 'has no NIC "nosuch". It has: default, blue.' in done.stderr


async def test_a_reason_that_is_empty_was_printed(tmp_path: Path) -> None:
    async with FakeApiServer() as server:
        server.create(VMS, born(vm(primary(), nic("blue"), run_strategy="Halted")))
        done = await Waiting(server, tmp_path, NAME, "--timeout", "0.3s").end()
    assert done.exit_code == 8
    assert 'NIC "default" is Pending (GuestNotRunning); NIC "blue" is Pending (GuestNotRunning)\n' in done.stderr
    assert f"The VM is stopped. Start it: nicplug start {NAME}" in done.stderr
    assert "doctor" not in done.stderr


async def test_who_waits_for_the_end_of_a_nic_that_nobody_unplugs(cluster: FakeApiServer, tmp_path: Path) -> None:
    record(cluster, READY, rows=("default", "blue"))
    done = await Waiting(cluster, tmp_path, NAME, "blue", "--for", "gone", "--timeout", "0.3s").end()
    assert done.exit_code == 8
    asked = f'Nobody has asked for NIC "blue" to go: nicplug remove {NAME} blue --namespace default'
    assert asked in done.stderr


async def test_a_nic_that_is_late_was_no_reason_to_ask_why(
    cluster: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def works(*_: object) -> str:
        return ""

    monkeypatch.setattr("nicplug.cli.operator_health.no_operator", works)
    record(cluster, operation("blue", phase="Migrating", path="Migration", reason="WaitingForMigration"))
    done = await Waiting(cluster, tmp_path, NAME, "blue", "--timeout", "0.3s").end()
    assert done.exit_code == 8
    assert f"What holds it up: nicplug why {NAME} blue --namespace default" in done.stderr
