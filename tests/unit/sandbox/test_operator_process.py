"""Starting the operator as a process, with a stand-in for nicplug that needs no cluster."""

import sys
from pathlib import Path

import psutil
import pytest

from nicplug_sandbox import processes
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.operator_process import OperatorProcess, start_operator, stop_operator, wait_until_leading

STAND_IN = """
import http.server, json, sys
class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Handler.asked += 1
        # Not ready at first; the leader from the second time on.
        code = 503 if self.path == "/readyz" and Handler.asked < 3 else 200
        self.send_response(code); self.end_headers()
        self.wfile.write(b'# HELP x\\nnicplug_leader %d.0\\nnicplug_bugs_total{kind="a"} 1.0\\n'
                         b'nicplug_bugs_total{kind="b"} 2.0\\nnicplug_bugs_total_other 9.0\\n' % (Handler.asked > 4))
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("not JSON", flush=True)
print(json.dumps({"arguments": sys.argv[1:], "metrics_port": server.server_port}), flush=True)
server.serve_forever()
"""


def command(directory: Path, source: str) -> tuple[str, ...]:
    """A Python program in the place of `python -m nicplug`."""
    script = directory / "stand_in.py"
    script.write_text(source)
    return (sys.executable, str(script))


def start(directory: Path, source: str, *, ready_seconds: float = 20) -> OperatorProcess:
    return start_operator(
        directory=directory,
        kubeconfig=directory / "kubeconfig",
        command=command(directory, source),
        ready_seconds=ready_seconds,
    )


def test_operator_is_ready_then_leads_and_is_ended(tmp_path: Path) -> None:
    operator = start(tmp_path, STAND_IN)
    try:
        assert operator.get("/readyz")[0] == 200
        wait_until_leading(operator, seconds=20)
        assert operator.metric("nicplug_bugs_total") == 3.0
        assert operator.metric("nicplug_nothing") == 0.0
        assert f"--kubeconfig={tmp_path / 'kubeconfig'}" in operator.log.read_text()
    finally:
        stop_operator(operator)
    assert not processes.is_alive(operator.process)
    assert operator.get("/readyz") == (0, "")


def test_operator_that_ends_at_once_is_explained_by_its_log(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"operator ended[\s\S]*no such cluster"):
        start(tmp_path, "import time; print('no such cluster', flush=True); time.sleep(0.2)")


def test_operator_that_never_becomes_ready_is_ended(tmp_path: Path) -> None:
    source = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    with pytest.raises(SandboxError, match="did not say its port") as caught:
        start(tmp_path, source, ready_seconds=1)
    pid = int(caught.value.detail)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
