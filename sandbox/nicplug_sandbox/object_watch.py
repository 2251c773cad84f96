"""What an API server announces about some objects, each line with the moment at which it arrived.

By `kubectl get --raw ...?watch=1`: it works with whatever credentials a kubeconfig holds, and its
process is already running when the interesting line comes, so that its start costs no time that counts.
"""

import contextlib
import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.kubectl import Kubectl

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a watch.

    Attributes:
        at: when it was read, in seconds of the monotonic clock.
        type: ADDED, MODIFIED, DELETED, or ERROR.
        object: the whole object.
    """

    at: float
    type: str
    object: Object

    @property
    def kind(self) -> str:
        """Pod, VirtualMachineInstance, ..."""
        return str(self.object.get("kind", ""))


class Lines:
    """The lines of all watches that feed it, in the order of their arrival."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Line] = queue.SimpleQueue()

    def put(self, line: Line) -> None:
        """Called by the watches, from their threads."""
        self._queue.put(line)

    def until(self, is_last: Callable[[Line], bool], *, seconds: float, what: str) -> Line:
        """Take lines until one is the last.

        Args:
            is_last: looks at every line; may keep what it wants to remember.
            seconds: bound of the whole.
            what: is waited for, for the error: "the VMI is Running".

        Raises:
            SandboxError: the line did not come in time.
        """
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                line = self._queue.get(timeout=left)
            except queue.Empty:
                break
            if is_last(line):
                return line
        raise SandboxError(f"after {seconds:.0f} s it is still not true that {what}")


@contextlib.contextmanager
def watching(kubectl: Kubectl, path: str, *, into: Lines, **selectors: str) -> Iterator[None]:
    """Feed what exists, then every change, into `into` while the block runs.

    Args:
        path: of the collection, such as `/api/v1/namespaces/default/pods`.
        selectors: `fieldSelector` and `labelSelector`.
    """
    query = urlencode({"watch": "1", **selectors})
    # A session of its own: Ctrl-C shall end the demo in order, not its watches before it.
    process = subprocess.Popen(
        kubectl.command("get", "--raw", f"{path}?{query}"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    reader = threading.Thread(target=_read, args=(process, into), daemon=True)
    reader.start()
    try:
        yield
    finally:
        process.kill()
        process.wait()
        reader.join(timeout=5)


def _read(process: subprocess.Popen[bytes], into: Lines) -> None:
    if process.stdout is None:
        return
    for raw in process.stdout:
        at = time.monotonic()
        with contextlib.suppress(ValueError):  # the last line of a killed kubectl may be half a line
            found = json.loads(raw)
            into.put(Line(at=at, type=str(found.get("type")), object=found.get("object") or {}))
