"""Helm and kubectl as an admin types them, on one cluster."""

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.kubectl import Kubectl
from tests.integration.waiting import until

from nicplug_sandbox.controlplane import ControlPlane

NAMESPACE = "nicplug-system"
RELEASE = "nicplug"
# What a cluster writes by itself all the time, or for each namespace.
_BY_ITSELF = ("componentstatuses", "endpoints", "events", "events.events.k8s.io", "leases.coordination.k8s.io")
_OF_NAMESPACES = re.compile(r"(ConfigMap \S+ kube-root-ca\.crt|ServiceAccount \S+ default)")

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One control plane.

    Attributes:
        chart: the archive.
        helm: the program.
    """

    plane: ControlPlane
    chart: Path
    helm: Path

    @property
    def kubectl(self) -> Kubectl:
        """As cluster admin."""
        return Kubectl(kubeconfig=self.plane.kubeconfig)

    def run_helm(
        self, *arguments: str | Path, namespace: str = NAMESPACE, seconds: float = 120
    ) -> "subprocess.CompletedProcess[str]":
        """The finished process, whatever its exit code."""
        folders = {f"HELM_{name}_HOME": str(self.plane.directory / "helm") for name in ("CACHE", "CONFIG", "DATA")}
        return subprocess.run(
            [self.helm, *arguments, f"--namespace={namespace}"],
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds,
            env={**os.environ, **folders, "KUBECONFIG": str(self.plane.kubeconfig)},
        )

    def succeed(self, *arguments: str | Path, seconds: float = 120) -> str:
        """The output of a Helm command that must succeed."""
        done = self.run_helm(*arguments, seconds=seconds)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refuse(self, *arguments: str | Path, namespace: str = NAMESPACE) -> str:
        """The error of a Helm command that must fail."""
        done = self.run_helm(*arguments, namespace=namespace)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def install(self, *options: str, chart: Path | None = None) -> str:
        """`helm install`; its notes."""
        return self.succeed("install", RELEASE, chart or self.chart, "--create-namespace", *options)

    def upgrade(self, *options: str, chart: Path | None = None) -> str:
        """`helm upgrade`, which installs where nothing is; its notes."""
        return self.succeed("upgrade", "--install", "--create-namespace", RELEASE, chart or self.chart, *options)

    def uninstall(self) -> str:
        """`helm uninstall`; what it says."""
        return self.succeed("uninstall", RELEASE)

    def objects(self) -> set[str]:
        """All that the cluster keeps but what it writes by itself: `resource namespace/name`."""
        resources = until(self._resources)
        wanted = ",".join(resource for resource in resources if resource not in _BY_ITSELF)
        columns = "custom-columns=KIND:.kind,NS:.metadata.namespace,NAME:.metadata.name"
        lines = self.kubectl("get", wanted, "--all-namespaces", "--no-headers", "-o", columns).splitlines()
        found = {" ".join(line.split()) for line in lines}
        return {line for line in found if not _OF_NAMESPACES.fullmatch(line)}

    def _resources(self) -> list[str]:
        """Every kind that can be listed; none while discovery fails."""
        done = self.kubectl.run("api-resources", "--verbs=list", "-o", "name")
        return done.stdout.split() if done.returncode == 0 else []

    def get(self, *arguments: str) -> Object:
        """One object. Warnings about an API that nobody serves are passed over."""
        done = self.kubectl.run("get", *arguments, "-o", "json")
        assert done.returncode == 0, done.stderr
        found: Object = json.loads(done.stdout)
        return found
