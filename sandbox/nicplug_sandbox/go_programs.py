"""The programs that are compiled from Go modules, once per machine: what each is made of.

A module of its own for each, with its own pins: a new release of Helm must not rebuild the control plane.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from nicplug_sandbox.errors import SandboxError

MODULES = Path(__file__).parent / "go"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoProgram:
    """One binary and the Go module that pins everything in it.

    Attributes:
        name: for people, as it stands in a sentence.
        binary: name of the file.
        cache: folder in the user's cache, shared by all clones.
        folder: has go.mod, go.sum and the sources, if there are any.
        package: what is compiled: `.`, or the import path of a main package of another module.
        release: the module whose version is the program's.
        download: how much a first build fetches, for people.
        modules_gib: what that needs on disk.
        tags: build tags: what is left out.
        stamps: string variables that the linker sets, by their qualified names, so that it knows its own version.
        offline: the remedy where the modules cannot be fetched.
    """

    name: str
    binary: str
    cache: str
    folder: Path
    package: str
    release: str
    download: str
    modules_gib: float
    stamps: Callable[["GoProgram"], Mapping[str, str]] = field(repr=False)
    tags: tuple[str, ...] = ()
    offline: str = "Connect once (GOPROXY chooses a mirror)."

    @property
    def sources(self) -> list[Path]:
        """Every file that decides what the binary is."""
        return [self.folder / "go.mod", self.folder / "go.sum", *sorted(self.folder.glob("*.go"))]

    @property
    def version(self) -> str:
        """The release that go.mod pins, with its leading `v`."""
        return self.version_of(self.release)

    def version_of(self, module: str) -> str:
        """The version of one required module.

        Raises:
            SandboxError: go.mod does not require it.
        """
        text = (self.folder / "go.mod").read_text()
        match = re.search(rf"^\s*(?:require\s+)?{re.escape(module)} (v\S+)", text, re.MULTILINE)
        if match is None:
            raise SandboxError(f"{self.folder / 'go.mod'} does not require {module}", remedy="Restore the file.")
        return match[1]


def _version_fields(version: str) -> dict[str, str]:
    major, minor, *_ = version.removeprefix("v").split(".")
    return {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}


def _stamps_of_kubernetes(program: GoProgram) -> Mapping[str, str]:
    # Without it the server calls itself `v0.0.0-master+$Format:%H$`, and `kubectl version` fails on that.
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    fields = _version_fields(program.version)
    return {f"{package}.{name}": value for package in packages for name, value in fields.items()}


def _stamps_of_helm(program: GoProgram) -> Mapping[str, str]:
    # As Helm's own Makefile does. Without the release of Kubernetes, `helm template` takes every cluster for 1.20.
    module = program.release
    _, minor, *_ = program.version_of("k8s.io/client-go").split(".")
    kubernetes = {
        f"{module}/pkg/{package}.k8sVersion{part}": value
        for package in ("lint/rules", "chartutil")
        for part, value in (("Major", "1"), ("Minor", minor))
    }
    return {
        f"{module}/internal/version.version": program.version,
        f"{module}/internal/version.gitTreeState": "clean",
        **kubernetes,
    }


def _stamps_of_promtool(program: GoProgram) -> Mapping[str, str]:
    # Go modules of Prometheus 3 are v0.3xx: a major version of 3 would be another import path.
    _, release, patch = program.version.split(".")
    return {"github.com/prometheus/common/version.Version": f"3.{int(release) - 300}.{patch}"}


CONTROL_PLANE = GoProgram(
    name="the control plane",
    binary="nicplug-controlplane",
    cache="controlplane",
    folder=MODULES,
    package=".",
    release="k8s.io/kubernetes",
    download="about 140, 85 MB",
    modules_gib=0.7,
    stamps=_stamps_of_kubernetes,
    offline="Connect once (GOPROXY chooses a mirror), or point KUBEBUILDER_ASSETS to a directory with etcd, "
    "kube-apiserver, kube-scheduler and kube-controller-manager.",
)
KUBERNETES = "NICPLUG_SANDBOX_KUBERNETES"
"""Variable: the minor version of the control plane; unset, the newest one."""
_OLDER = {
    "1.31": replace(CONTROL_PLANE, name="the control plane of Kubernetes 1.31", folder=MODULES / "kubernetes-1.31"),
}


def control_plane() -> GoProgram:
    """The control plane of the version that NICPLUG_SANDBOX_KUBERNETES names.

    Raises:
        SandboxError: it cannot be built here.
    """
    wanted = os.environ.get(KUBERNETES, "")
    newest = ".".join(CONTROL_PLANE.version.removeprefix("v").split(".")[:2])
    known = {"": CONTROL_PLANE, newest: CONTROL_PLANE, **_OLDER}
    if wanted not in known:
        versions = ", ".join(sorted(filter(None, known)))
        raise SandboxError(f"{KUBERNETES} is {wanted!r}", remedy=f"Set it to one of {versions}, or unset it.")
    return known[wanted]


HELM = GoProgram(
    name="Helm",
    binary="helm",
    cache="helm",
    folder=MODULES / "helm",
    package="helm.sh/helm/v3/cmd/helm",
    release="helm.sh/helm/v3",
    download="about 120, 60 MB",
    modules_gib=0.5,
    stamps=_stamps_of_helm,
)
PROMTOOL = GoProgram(
    name="promtool",
    binary="promtool",
    cache="promtool",
    folder=MODULES / "promtool",
    package="github.com/prometheus/prometheus/cmd/promtool",
    release="github.com/prometheus/prometheus",
    download="about 130, 60 MB",
    modules_gib=0.8,
    stamps=_stamps_of_promtool,
    # Of the 25 ways to discover targets, with the libraries of as many clouds; promtool tests rules without them.
    tags=("remove_all_sd",),
)
PROMQL = replace(PROMTOOL, name="the query engine of Prometheus", binary="promql", cache="promql", package=".")
"""Answers range queries over kept scrapes, for the picture of the dashboard; its source lies beside promtool's pins."""

ACTIONLINT = GoProgram(
    name="actionlint",
    binary="actionlint",
    cache="actionlint",
    folder=MODULES / "actionlint",
    package="github.com/rhysd/actionlint/cmd/actionlint",
    release="github.com/rhysd/actionlint",
    download="12, 2 MB",
    modules_gib=0.1,
    # Built as a module it knows its version by itself.
    stamps=lambda _: {},
)
PROGRAMS = {
    "control-plane": CONTROL_PLANE,
    "helm": HELM,
    "promtool": PROMTOOL,
    "promql": PROMQL,
    "actionlint": ACTIONLINT,
}
"""By the names that `nicplug sandbox build` takes."""
