"""`nicplug api` as a process: what it logs, what its probes say, how it ends."""

import json
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.integration.user import User
from tests.integration.waiting import until
from tests.unit.apiserver.played import Authority

from nicplug_sandbox.controlplane import ControlPlane

ROOT = Path(__file__).resolve().parents[2]


@dataclass(slots=True)
class ApiProcess:
    """A running process and its log of JSON lines."""

    process: subprocess.Popen[bytes]
    log: Path

    def line(self, event: str) -> dict[str, Any] | None:
        """The first line of an event."""
        lines = (json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{"))
        return next((line for line in lines if line["event"] == event), None)


def _start(log: Path, *options: str, **variables: str) -> ApiProcess:
    command = [sys.executable, "-m", "nicplug", "api", "--log-format", "json", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator"), **variables}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=log.parent)
    return ApiProcess(process, log)


def _get(url: str) -> tuple[int, str]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=10, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def api(control_plane: ControlPlane, tmp_path: Path) -> Iterator[ApiProcess]:
    admin = User(kubeconfig=control_plane.kubeconfig, namespace="default")
    code, answer = admin.request("POST", "/api/v1/namespaces", {"metadata": {"name": "nicplug-system"}})
    assert code in (201, 409), answer
    options = ["--kubeconfig", str(control_plane.kubeconfig), "--port", "0", "--metrics-port", "0"]
    started = _start(tmp_path / "api.log", *options)
    yield started
    started.process.kill()
    started.process.wait()


def test_it_serves_becomes_ready_and_ends_when_it_is_asked_to(api: ApiProcess) -> None:
    serving = until(lambda: api.line("nicplug api serves")) or {}
    metrics, secure = f"http://127.0.0.1:{serving['metrics_port']}", f"https://127.0.0.1:{serving['port']}"
    until(lambda: _get(f"{metrics}/readyz") == (200, "ok"))
    assert _get(f"{secure}/readyz") == (200, "ok")
    assert _get(f"{secure}/apis")[0] == 401
    assert 'nicplug_subresource_requests_total{code="401",subresource=""} 1.0' in _get(f"{metrics}/metrics")[1]
    api.process.terminate()
    assert api.process.wait(timeout=20) == 0
    assert api.line("nicplug api has ended")
    assert "Traceback" not in api.log.read_text()
    assert "PRIVATE KEY" not in api.log.read_text()


def test_a_port_that_is_taken_is_one_line(api: ApiProcess, control_plane: ControlPlane, tmp_path: Path) -> None:
    serving = until(lambda: api.line("nicplug api serves")) or {}
    options = ["--kubeconfig", str(control_plane.kubeconfig), "--port", str(serving["port"]), "--metrics-port", "0"]
    second = _start(tmp_path / "second.log", *options)
    assert second.process.wait(timeout=60) == 1
    text = second.log.read_text()
    assert "cannot listen" in text
    assert "Traceback" not in text


def test_it_serves_with_the_files_of_a_mounted_secret_and_follows_a_renewal(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    """With the variables of the overlay `cert-manager`; the kubelet renews by exchanging a link to a folder."""
    authority, mount = Authority(), tmp_path / "mount"
    mount.mkdir()
    first = _mounted(authority, mount, "..1")
    started = _start(
        tmp_path / "api.log",
        *("--kubeconfig", str(control_plane.kubeconfig), "--port", "0", "--metrics-port", "0"),
        NICPLUG_API_TLS_CERT_FILE=str(mount / "tls.crt"),
        NICPLUG_API_TLS_PRIVATE_KEY_FILE=str(mount / "tls.key"),
        NICPLUG_API_REFRESH_SECONDS="0.2",
    )
    try:
        address = ("127.0.0.1", int((until(lambda: started.line("nicplug api serves")) or {})["port"]))
        until(lambda: _get(f"https://127.0.0.1:{address[1]}/readyz") == (200, "ok"))
        assert ssl.get_server_certificate(address).encode() == first
        second = _mounted(authority, mount, "..2")
        until(lambda: ssl.get_server_certificate(address).encode() == second)
    finally:
        started.process.kill()
        started.process.wait()
    assert "PRIVATE KEY" not in started.log.read_text()


def _mounted(authority: Authority, mount: Path, version: str) -> bytes:
    """The certificate that is in the folder from now on."""
    pair = authority.issue(host="nicplug-api.nicplug-system.svc")
    (mount / version).mkdir()
    for name, content in {"tls.crt": pair.certificate, "tls.key": pair.key}.items():
        (mount / version / name).write_bytes(content)
        if not (mount / name).is_symlink():
            (mount / name).symlink_to(Path("..data") / name)
    (mount / "..new").symlink_to(version)
    (mount / "..new").rename(mount / "..data")
    return pair.certificate
