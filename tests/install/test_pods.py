"""The chart on a fresh cluster, operator and API as its pods would run them: the demonstration passes on both paths."""

import contextlib
import json
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import yaml
from tests.install import pods
from tests.install.cluster import NAMESPACE, RELEASE, Cluster, Object
from tests.install.pods import Pod
from tests.integration.waiting import until
from tests.rights.calls import read_calls
from tests.rights.findings import used
from tests.rights.roles import granted

from nicplug_sandbox import lifecycle, processes
from nicplug_sandbox.api_process import is_available
from nicplug_sandbox.guests import read_guests
from nicplug_sandbox.kubectl import Kubectl
from nicplug_sandbox.screen import screen
from nicplug_sandbox.shims import BIN
from nicplug_sandbox.story.tell import Figures, tell

NODES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Of the chart, with its pods."""

    cluster: Cluster
    operators: list[Pod]
    api: Pod


@pytest.fixture(scope="module")
def installation(cluster: Cluster) -> Iterator[Installation]:
    """By one command, before anything else of nicplug is there."""
    if not pods.unshare():
        pytest.skip("pods need mounts of their own: no `unshare --mount` for this user")
    # The simulated nodes pull no images: their pods count as running, and what runs in them is started here.
    cluster.install("--set=kubevirt.create=true")
    found = lifecycle.up(directory=cluster.plane.directory, nodes=NODES, existing=None, progress=print)
    assert found.kubeconfig == cluster.plane.kubeconfig
    with contextlib.ExitStack() as stack:
        started = []
        for component, count in (("operator", 2), ("api", 1)):
            name = f"nicplug-{component}"
            spec = cluster.get("deployment", name, f"--namespace={NAMESPACE}")["spec"]["template"]["spec"]
            for number in range(count):
                pod = pods.start(cluster, spec, name=f"{name}-{number}")
                stack.callback(processes.end, [pod.process], grace_seconds=8)
                started.append(pod)
        *operators, api = started
        pods.route(cluster, api)
        for pod in started:
            pod.wait_until_ready()
        until(lambda: is_available(cluster.plane.kubeconfig), seconds=60)
        yield Installation(cluster=cluster, operators=operators, api=api)


@pytest.fixture(scope="module")
def figures(installation: Installation) -> Figures:
    """Of the demonstration."""
    plane = installation.cluster.plane
    admin = Kubectl(kubeconfig=plane.kubeconfig, cache=plane.directory / "kubectl")
    commands = plane.directory / BIN
    return tell(admin=admin, screen=screen(records=False), audit_log=plane.audit_log, commands=commands, has_api=True)


def test_nics_come_in_place_and_by_migration(figures: Figures) -> None:
    assert figures.sources("vmi-fedora")["dyniface1"] == "domain, multus-status"
    assert len(figures.interfaces) == 2
    assert figures.plug_writes is not None
    assert figures.migration_seconds > figures.copy_seconds


def test_helm_test_finds_it_healthy(installation: Installation, figures: Figures) -> None:
    tested = run_test(installation.cluster)
    assert (tested.helm.returncode, tested.pod.returncode) == (0, 0), tested.pod.stdout
    assert "Phase:          Succeeded" in tested.helm.stdout
    # It may look at everything but the Secret with the key.
    unknown = [line for line in tested.pod.stdout.splitlines() if line.startswith("unknown")]
    assert [line.split()[1] for line in unknown] == ["certificate"], tested.pod.stdout


def test_helm_test_says_what_is_wrong(installation: Installation, figures: Figures) -> None:
    """Without the KubeVirt object no NIC is plugged."""
    cluster = installation.cluster
    kept = cluster.get("kubevirt", "kubevirt", "--namespace=kubevirt")
    cluster.kubectl("delete", "kubevirt", "kubevirt", "--namespace=kubevirt")
    try:
        tested = run_test(cluster)
    finally:
        kept["metadata"] = {key: kept["metadata"][key] for key in ("name", "namespace")}
        cluster.kubectl("create", "-f", "-", stdin=kept)
    assert tested.helm.returncode != 0
    assert "no KubeVirt CR in namespace kubevirt" in tested.pod.stdout


def test_the_account_of_helm_test_has_no_right_that_it_does_not_use(
    installation: Installation, figures: Figures
) -> None:
    """By the audit log of the two runs before; it is held to that as those of operator and API are (tests/rights)."""
    cluster = installation.cluster
    account = f"system:serviceaccount:{NAMESPACE}:nicplug-test"
    hooks = [item for item in yaml.safe_load_all(cluster.succeed("get", "hooks", RELEASE)) if item]
    rights = granted(hooks, accounts=[account])
    calls = list(read_calls(cluster.plane.audit_log, accounts=[account], agents=re.compile("nicplug-cli/.*")))
    assert sorted(rights - used(rights, calls)) == []
    # The key of the aggregated API's certificate, and the list of migrations under way: doctor does without.
    assert {(call.verb, call.resource) for call in calls if call.refusal} == {("get", "secrets"), ("get", "configmaps")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A run of `helm test`, and of its pod."""

    helm: "subprocess.CompletedProcess[str]"
    pod: "subprocess.CompletedProcess[str]"


def run_test(cluster: Cluster) -> Outcome:
    """`helm test`, whose pod runs here and ends there with the same exit code."""
    before = pod_of_test(cluster)
    with ThreadPoolExecutor(max_workers=1) as background:
        asking = background.submit(cluster.run_helm, "test", RELEASE, "--timeout=2m")
        made = until(lambda: is_new(pod_of_test(cluster), before), seconds=60)
        done = pods.run(cluster, made["spec"], name="nicplug-test")
        code = f"sandbox.nicplug.io/pod=exit={done.returncode}"
        cluster.kubectl("annotate", "pod", "nicplug-test", f"--namespace={NAMESPACE}", code)
        return Outcome(helm=asking.result(timeout=130), pod=done)


def is_new(found: Object, before: Object) -> Object:
    """The pod, where it is another one; else nothing."""
    return found if found and found["metadata"]["uid"] != (before or {}).get("metadata", {}).get("uid") else {}


def pod_of_test(cluster: Cluster) -> Object:
    """The pod of `helm test`; empty while there is none."""
    done = cluster.kubectl.run("get", "pod", "nicplug-test", f"--namespace={NAMESPACE}", "-o", "json")
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


def test_uninstalling_stops_no_guest(installation: Installation, figures: Figures) -> None:
    cluster = installation.cluster
    guests = read_guests(cluster.plane.directory)
    assert guests
    cluster.uninstall()
    processes.end([pod.process for pod in (*installation.operators, installation.api)], grace_seconds=8)
    launchers = ("pods", "--all-namespaces", "-l", "kubevirt.io=virt-launcher")
    assert len(cluster.get(*launchers)["items"]) == len(guests)
    assert read_guests(cluster.plane.directory) == guests
