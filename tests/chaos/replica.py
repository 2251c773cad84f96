"""Run a module as a pod of a machine that can be tampered with: `python -P replica.py DIRECTORY MODULE [ARGUMENT...]`.

DIRECTORY has what kubelet mounts, `token` and `ca.crt`, and `machine.json`, which is read again at SIGUSR2:
`{"clock_seconds": 3600, "disk_is_full": true}`. The clock of the process, and of nothing else, then goes an hour
ahead, by `time.time` and `datetime.now`, and whatever is written to stderr meets ENOSPC.

faketime would shift the clock below Python, but has to be installed by root, and shifts the monotonic clock, too.
"""

import ctypes
import gc
import json
import os
import runpy
import signal
import sys
import time
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

FULL = "/dev/full"
MACHINE = "machine.json"


class Machine:
    """What the process believes of the machine that it runs on."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / MACHINE
        self._shift = 0.0
        self._log = os.dup(2)
        self._time, self._now = time.time, datetime.now

    def listen(self) -> None:
        """Have the file looked at when the signal comes; a system call that it interrupts goes on by itself."""
        signal.signal(signal.SIGUSR2, lambda *_: self._look())
        signal.siginterrupt(signal.SIGUSR2, False)
        time.time = self.time
        # A class of C: its attributes cannot be set, but the dictionary behind them can. A subclass in its place
        # would be another class to everybody who compares types.
        members: dict[str, Any] = gc.get_referents(datetime.__dict__)[0]
        members["now"] = classmethod(lambda cls, tz=None: self.now(tz))
        ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime))
        if self._file.exists():
            self._set_clock()  # the machine's, whatever runs on it; the log has to say first where the process listens

    def time(self) -> float:
        """`time.time`."""
        return self._time() + self._shift

    def now(self, tz: tzinfo | None = None) -> datetime:
        """`datetime.now`."""
        return self._now(tz) + timedelta(seconds=self._shift)

    def _look(self) -> None:
        if self._set_clock()["disk_is_full"]:
            full = os.open(FULL, os.O_WRONLY)
            os.dup2(full, 2)
            os.close(full)
        else:
            os.dup2(self._log, 2)

    def _set_clock(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self._file.read_text())
        self._shift = float(told["clock_seconds"])
        return told


def _mount(directory: Path) -> None:
    """Let the directory be what a pod has as /var/run/secrets/kubernetes.io/serviceaccount."""
    from nicplug.cli.imports import leave_out_unused

    leave_out_unused()  # before anything imports Kubernetes' client, as the program does it
    from kubernetes.aio.config import incluster_config

    from nicplug.kube import credentials

    credentials.SERVICE_ACCOUNT = directory
    incluster_config.SERVICE_TOKEN_FILENAME = str(directory / "token")
    incluster_config.SERVICE_CERT_FILENAME = str(directory / "ca.crt")


def main() -> None:
    """Run the module named on the command line as if it were run with `python -m`."""
    directory, module = Path(sys.argv[1]), sys.argv[2]
    sys.argv = [module, *sys.argv[3:]]
    Machine(directory).listen()
    _mount(directory)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
