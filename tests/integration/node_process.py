"""The node simulator as a process."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nicplug_sandbox.node.api import Json


@contextmanager
def simulator(kubeconfig: Path, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", Json]]:
    """The process, and its ready line; it must end well, unless the test kills it."""
    command = [sys.executable, "-m", "nicplug_sandbox.node", "--kubeconfig", str(kubeconfig), *arguments]
    log = (kubeconfig.parent / "node-simulator.log").open("a")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        was_killed = process.poll() is not None
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=10)
        log.close()
        assert code == (-signal.SIGKILL if was_killed else 0)
