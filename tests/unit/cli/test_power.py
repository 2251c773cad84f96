"""`start`, `stop` and `restart`: KubeVirt's words, and what to do instead."""

import pytest
from tests.unit.cli.played import ACCEPTED, CommandLine, PlayedServer, refusal

from nicplug.cli.exits import Exit

VM = "PUT /apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/V"


@pytest.mark.parametrize(
    ("command", "words", "remedy"),
    [
        (
            "restart",
            "RunStategy Halted does not support manual restart requests",
            "Start it with: nicplug start V --namespace default",
        ),
        ("restart", "VM is not running", "Start it with: nicplug start V --namespace default"),
        (
            "start",
            "VM is already running",
            "To restart the guest, for example one that was started paused: nicplug restart V --namespace default",
        ),
    ],
)
def test_a_refusal_had_no_remedy(
    nicplug: CommandLine, server: PlayedServer, command: str, words: str, remedy: str
) -> None:
    server.answers[f"{VM}/{command}"] = refusal(409, "Conflict", words)
    done = nicplug(command, "V")
    assert (done.exit_code, done.stdout) == (Exit.REFUSED, "")
    assert done.stderr.startswith(f"Error: {words}\n  ")
    assert remedy in done.stderr


def test_stopping_a_stopped_vm_recommended_to_start_it(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers[f"{VM}/stop"] = refusal(409, "Conflict", "VM is not running")
    assert nicplug("stop", "V").stderr == "Error: VM is not running\n"


def test_another_conflict_gets_no_remedy(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers[f"{VM}/stop"] = refusal(409, "Conflict", "stop/start already underway")
    assert nicplug("stop", "V").stderr == "Error: stop/start already underway\n"


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (("start",), b'{"dryRun":["All"]}'),
        (("start", "--paused"), b'{"paused":true,"dryRun":["All"]}'),
        (("stop",), b'{"dryRun":["All"]}'),
        (("stop", "--force", "--grace-period=0"), b'{"gracePeriod":0,"dryRun":["All"]}'),
        (("restart",), b'{"dryRun":["All"]}'),
        (("restart", "--force", "--grace-period=0"), b'{"gracePeriodSeconds":0,"dryRun":["All"]}'),
        (("migrate",), b'{"dryRun":["All"]}'),
    ],
    ids=str,
)
def test_a_dry_run_of_virtctl_was_wrong_use(
    nicplug: CommandLine, server: PlayedServer, arguments: tuple[str, ...], body: bytes
) -> None:
    """As virtctl sends it, with its two lines; nothing waits, so nobody looks for an operator."""
    what, *options = arguments
    server.answers[f"{VM}/{what}"] = ACCEPTED
    done = nicplug(what, "V", "--dry-run", *options)
    assert (done.exit_code, done.stdout) == (0, f"Dry Run execution\nVM V was scheduled to {what}\n")
    (sent,) = server.put()
    assert sent.body == body
    assert done.stderr == ""
    assert not [item for item in server.requests if "leases" in item.path]


def test_a_guest_that_was_started_paused_had_no_way_back(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers[f"{VM}/start"] = ACCEPTED
    done = nicplug("start", "V", "--paused")
    assert (done.exit_code, done.stdout) == (0, "VM V was scheduled to start\n")
    assert "`nicplug restart V` starts it again without --paused" in done.stderr
    assert "paused" not in nicplug("start", "V").stderr
