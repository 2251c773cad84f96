"""Pods of a Deployment as processes on this host: what a kubelet would start, and nothing else.

A process gets its container's arguments and environment, and its ServiceAccount's token and the cluster's CA where pods
have them, in a mount namespace of its own. Its pod IP is a loopback address, so ports are as in the manifest.
What a container image adds (user, read-only root, limits) is not played.
"""

import base64
import http.client
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.chart import ROOT
from tests.install.cluster import NAMESPACE, Cluster

from nicplug_sandbox import processes
from nicplug_sandbox.processes import RecordedProcess

# The entry point of the image.
ENTRYPOINT = (sys.executable, "-m", "nicplug")
# Mounts over /run, where /var/run leads: a process of nicplug needs nothing of the host's there.
_IN_POD = """
set -e
mount -t tmpfs none "$(readlink -f /var/run)"
mkdir -p /var/run/secrets/kubernetes.io/serviceaccount
cp "$0"/* /var/run/secrets/kubernetes.io/serviceaccount/
exec "$@"
"""
READY_SECONDS = 60.0


def unshare() -> list[str]:
    """The command that gives a process mounts of its own; empty where that is not possible."""
    found = shutil.which("unshare")
    if found is None:
        return []
    command = [found, "--mount"] if os.geteuid() == 0 else [found, "--map-root-user", "--mount"]
    done = subprocess.run([*command, "true"], capture_output=True, timeout=30, check=False)
    return command if done.returncode == 0 else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One of them.

    Attributes:
        address: its IP.
        spec: as the API server has it.
    """

    process: RecordedProcess
    address: str
    spec: dict[str, Any]

    def probe(self, kind: str) -> int:
        """The status of its `readinessProbe` or another one; 0 when nobody answers."""
        (container,) = self.spec["containers"]
        asked = container[kind]["httpGet"]
        (port,) = [row["containerPort"] for row in container["ports"] if row["name"] == asked["port"]]
        connection = http.client.HTTPConnection(self.address, port, timeout=5)
        try:
            connection.request("GET", asked["path"])
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def wait_until_ready(self) -> None:
        """As a kubelet finds out; fails with the end of its log."""
        deadline = time.monotonic() + READY_SECONDS
        while self.probe("readinessProbe") != http.HTTPStatus.OK:
            assert processes.is_alive(self.process), processes.tail(self.process.log)
            assert time.monotonic() < deadline, processes.tail(self.process.log)
            time.sleep(0.1)


def start(cluster: Cluster, spec: dict[str, Any], *, name: str) -> Pod:
    """Start what a pod of this spec would run.

    Args:
        name: tells pods apart in logs.
    """
    # An address that no other run on this host has.
    address = f"127.{1 + secrets.randbelow(250)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(250)}"
    process = processes.spawn(
        name=name,
        argv=_command(cluster, spec, name=name),
        log=cluster.plane.directory / "logs" / f"{name}.log",
        cwd=cluster.plane.directory,
        variables=_environment(cluster, spec, address=address),
    )
    return Pod(process=process, address=address, spec=spec)


def run(cluster: Cluster, spec: dict[str, Any], *, name: str) -> "subprocess.CompletedProcess[str]":
    """Run what a pod of this spec would run to its end."""
    return subprocess.run(
        _command(cluster, spec, name=name),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **_environment(cluster, spec, address="127.0.0.1")},
    )


def _command(cluster: Cluster, spec: dict[str, Any], *, name: str) -> list[str]:
    (container,) = spec["containers"]
    account = _service_account(cluster, spec["serviceAccountName"], name=name)
    return [*unshare(), "sh", "-c", _IN_POD, str(account), *ENTRYPOINT, *container["args"]]


def _environment(cluster: Cluster, spec: dict[str, Any], *, address: str) -> dict[str, str]:
    (container,) = spec["containers"]
    server = urlsplit(cluster.plane.server)
    found = {
        "PYTHONPATH": str(ROOT / "operator"),
        "KUBERNETES_SERVICE_HOST": str(server.hostname),
        "KUBERNETES_SERVICE_PORT": str(server.port),
        # In a pod, every address is its own.
        **dict.fromkeys(("NICPLUG_METRICS_ADDRESS", "NICPLUG_API_METRICS_ADDRESS", "NICPLUG_API_ADDRESS"), address),
    }
    for row in container.get("env", ()):
        assert row["name"] not in found, "the network of a pod is played here"
        found[row["name"]] = row["value"] if "value" in row else _field(row["valueFrom"]["fieldRef"]["fieldPath"])
    return found


def _field(path: str) -> str:
    assert path == "metadata.namespace", f"{path} is not played here"
    return NAMESPACE


def _service_account(cluster: Cluster, account: str, *, name: str) -> Path:
    """The folder that a kubelet mounts: token, CA, namespace."""
    folder = cluster.plane.directory / "accounts" / name
    folder.mkdir(parents=True, exist_ok=True)
    created = cluster.kubectl.run("create", "token", account, f"--namespace={NAMESPACE}", "--duration=1h")
    assert created.returncode == 0, created.stderr
    view = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    authority = base64.b64decode(view["clusters"][0]["cluster"]["certificate-authority-data"])
    (folder / "token").write_text(created.stdout.strip())
    (folder / "ca.crt").write_bytes(authority)
    (folder / "namespace").write_text(NAMESPACE)
    return folder


def route(cluster: Cluster, pod: Pod) -> None:
    """Lead the API server to a pod of the API: endpoints of Services are on a network that this host does not have."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "nicplug-api", "namespace": NAMESPACE},
        "spec": {"type": "ExternalName", "externalName": pod.address},
    }
    (container,) = pod.spec["containers"]
    (port,) = [row["containerPort"] for row in container["ports"] if row["name"] == "https"]
    done = cluster.kubectl.run("replace", "--force", "-f", "-", stdin=service)
    assert done.returncode == 0, done.stderr
    patch = json.dumps({"spec": {"service": {"port": port}}})
    for version in ("v1", "v1alpha3"):
        name = f"{version}.subresources.kubevirt.io"
        done = cluster.kubectl.run("patch", "apiservice", name, "--type=merge", "-p", patch)
        assert done.returncode == 0, done.stderr
