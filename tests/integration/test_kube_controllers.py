"""kube-controllers of the sandbox while an API server has started again and is not ready yet."""

import json
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from tests.integration.waiting import until

from nicplug_sandbox import build
from nicplug_sandbox.go_programs import CONTROL_PLANE

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
DISCOVERY: dict[str, dict[str, Any]] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [{"name": "configmaps", "kind": "ConfigMap", "namespaced": True, "verbs": VERBS}],
    },
}


class Server(ThreadingHTTPServer):
    """An API server that has accounts and their tokens, and no other object.

    Attributes:
        ready: what /readyz says.
        probes: how often it was asked.
        discovered: how often somebody asked which kinds there are.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ready = True
        self.probes = self.discovered = 0


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        *_, kind, name = ["", *path.split("/")]
        if path == "/readyz":
            self.server.probes += 1
            self.answer(200 if self.server.ready else 500, {})
        elif path in DISCOVERY:
            self.server.discovered += 1
            self.answer(200, DISCOVERY[path])
        elif kind == "serviceaccounts":
            self.answer(200, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "uid": name}})
        else:
            self.answer(404, {})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status = {"token": "some", "expirationTimestamp": "2100-01-01T00:00:00Z"}
        self.answer(201, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "status": status})

    def answer(self, code: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The server, with kube-controllers at work on it."""
    with Server() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        kubeconfig = tmp_path / "kubeconfig"
        cluster = {"name": "it", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        context = {"name": "it", "context": {"cluster": "it", "user": ""}}
        kubeconfig.write_text(yaml.safe_dump({"clusters": [cluster], "contexts": [context], "current-context": "it"}))
        binary = build.binary(CONTROL_PLANE, progress=print)
        with (tmp_path / "log").open("w") as log:
            command = [str(binary), "kube-controllers", f"--kubeconfig={kubeconfig}"]
            controllers = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield server
            assert controllers.poll() is None, (tmp_path / "log").read_text()
        finally:
            controllers.kill()
            controllers.wait(timeout=10)
            server.shutdown()


def test_kinds_that_a_starting_server_did_not_serve_yet_passed_for_removed(server: Server) -> None:
    """What VMs own was not collected when they were deleted in that moment."""
    # Two controllers ask once, when they begin; then the garbage collector does, every two seconds.
    until(lambda: server.discovered > 3 * len(DISCOVERY))
    server.ready = False
    until_probed(server)
    before = server.discovered
    until_probed(server)
    assert server.discovered == before
    server.ready = True
    until(lambda: server.discovered > before)


def until_probed(server: Server) -> None:
    """More than once: one may have been answered before, and its request come after."""
    probes = server.probes
    until(lambda: server.probes > probes + 2)
