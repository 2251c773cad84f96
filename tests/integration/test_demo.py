"""`make demo` as people run it, in a cache of its own, on a real control plane."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tests.slow import slow

from nicplug_sandbox import build, controlplane, demo
from nicplug_sandbox.cache import cache_directory
from nicplug_sandbox.go_programs import CONTROL_PLANE
from nicplug_sandbox.screen import screen
from nicplug_sandbox.story.sight import PHASES

# A run takes 27 s where nothing else runs, and several times that beside other tests.
pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "nicplug", "sandbox", "demo"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A cache of its own that has nothing but the built control plane: what is left in it is left by the demo."""
    build.binary(CONTROL_PLANE, progress=print)
    (tmp_path / "controlplane").symlink_to(cache_directory() / "controlplane")
    path = os.pathsep.join(str(ROOT / folder) for folder in ("operator", "sandbox"))
    return {**os.environ, "NICPLUG_CACHE_DIR": str(tmp_path), "PYTHONPATH": path, "NO_COLOR": "1", "COLUMNS": "100"}


def left_running(directory: Path) -> list[str]:
    """Processes that were started for something below `directory`."""
    lines = (" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
    return [line for line in lines if str(directory / "sandboxes") in line]


def test_demo_shows_the_nic_in_the_guest_and_leaves_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    pictures = tmp_path / "images"
    done = subprocess.run(
        [*COMMAND, "--pictures", str(pictures)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = done.stdout
    assert "$ kubectl get vmi vmi-fedora -o jsonpath='{.status.interfaces}'" in shown
    in_place, second = shown.split("A second virtual machine, on a node without a dynamic networks controller")
    by_migration, third = second.split("A NIC on a network that does not exist")
    blocked, given_back = third.split("And out again")
    for asked in (
        "$ nicplug plan vmi-fedora --add dyniface1=new-fancy-net",
        "$ virtctl addinterface vmi-fedora --network-attachment-definition-name new-fancy-net --name dyniface1",
        "$ nicplug status vmi-fedora",
    ):
        assert asked in in_place, asked
    assert "kubectl patch" not in shown, "nobody has to type a patch"
    assert in_place.count('"infoSource": "domain, multus-status"') == 1
    assert "InterfacePlugged" in in_place
    assert "in place, the guest keeps running where it is" in in_place
    assert re.search(r"dyniface1 +new-fancy-net +bridge +Dynamic +Ready", in_place)
    assert "by a live migration of the VM" in by_migration
    assert "does not run on node" in by_migration
    assert by_migration.count('"infoSource": "domain, multus-status"') == 1
    assert 'NIC "dyniface2" on new-fancy-net: Plug Ready, path Migration' in by_migration
    assert re.search(r"blue +blue +bridge +- +Blocked .* NetworkAttachmentDefinitionMissing", blocked)
    assert "waits for  the VM's owner" in blocked
    assert "record: path Migration, NoDynamicController" in by_migration
    for told in (*(f"vmim {phase}" for phase in PHASES), "target pod virt-launcher-vm-fedora-", "the copy begins"):
        assert told in by_migration, told
    assert re.search(r"kubevirt-workload-update-\w+ +Succeeded +vm-fedora", by_migration), "as kubectl shows it"
    assert "domain, multus-status" not in given_back
    took = re.search(r"in place: request -> NIC in the guest +(\d+) ms \(nicplug: \d+ ms\)", shown)
    assert took is not None
    assert re.search(r"by migration: request -> NIC in the guest +\d+\.\d s \(copy of the guest: \d+\.\d s\)", shown)
    # Done-when 4 in small: the budget of one hot-plug on a bare VMI, counted by the API server.
    writes = re.search(r"nicplug's writes, by the audit log +(.*?) *│", shown)
    assert writes is not None
    counts = dict(part.rsplit(" ", 1) for part in writes.group(1).split(", "))
    assert int(counts.pop("pods")) == 1
    # A NIC that takes its time is reported on the way, by one report in 0.3 s at most.
    assert int(counts.pop("virtualmachineinstances/status")) <= 2 + int(took[1]) // 300
    assert set(counts) <= {"events"}
    named = {path.name: path.read_text() for path in pictures.iterdir()}
    assert set(named) == {"demo.svg", "plan.svg", "status.svg", "why.svg"}
    assert all("font-face" not in text for text in named.values())
    assert "dyniface1" in named["demo.svg"]
    assert list((tmp_path / "sandboxes").iterdir()) == []
    assert left_running(tmp_path) == []


def test_interrupted_demo_ends_what_it_started(environment: dict[str, str], tmp_path: Path) -> None:
    demo = subprocess.Popen(
        COMMAND, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 60
    while not left_running(tmp_path) and time.monotonic() < deadline and demo.poll() is None:
        time.sleep(0.05)
    demo.send_signal(signal.SIGTERM)
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130, output
    assert "everything that was started has been ended" in output
    assert left_running(tmp_path) == []
    assert list((tmp_path / "sandboxes").iterdir()) == []


@slow
def test_scenario_runs_on_a_cluster_that_is_not_ours(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What tests/e2e does on kind, with another control plane in the place of kind."""
    monkeypatch.setenv("NICPLUG_CACHE_DIR", environment["NICPLUG_CACHE_DIR"])
    foreign = controlplane.start(directory=tmp_path / "foreign", progress=print)
    try:
        with demo.set_up(screen=screen(), existing=foreign.kubeconfig) as stage:
            figures = stage.play(screen())
        plugged = "domain, multus-status"
        assert figures.sources("vmi-fedora") == {"defaultnetwork": "domain", "dyniface1": plugged}
        assert figures.sources("vm-fedora") == {"defaultnetwork": "domain", "dyniface2": plugged}
        assert figures.plug_writes is None
        assert left_running(tmp_path) == []
        assert controlplane.status(directory=foreign.directory).is_healthy, "not ours to end"
    finally:
        controlplane.stop(directory=foreign.directory)


@slow
def test_failed_demo_says_why_and_keeps_the_logs(environment: dict[str, str], tmp_path: Path) -> None:
    broken = {**environment, "NICPLUG_LOG_LEVEL": "loud"}  # the operator refuses to start
    done = subprocess.run(COMMAND, cwd=tmp_path, env=broken, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 1
    assert "✗ nicplug" in done.stdout
    assert "NICPLUG_LOG_LEVEL" in done.stderr, "the operator's own words"
    (directory,) = (tmp_path / "sandboxes").iterdir()
    assert f"Everything was ended; the logs are in {directory / 'logs'}" in done.stderr
    assert (directory / "logs" / "operator.log").exists()
    assert left_running(tmp_path) == []


def test_beside_kubevirt_nicplug_does_not_wait_for_its_timer(environment: dict[str, str], tmp_path: Path) -> None:
    command = [*COMMAND, "--companion"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    alone, beside = done.stdout.split("nicplug beside it")
    made = r"\+(\d+) ms  migration (\S+)"
    (by_updater,) = re.findall(made, alone)
    (by_nicplug,) = re.findall(made, beside)
    assert int(by_updater[0]) > 15_000  # KubeVirt's timer
    assert by_updater[1].startswith("kubevirt-workload-update-")
    assert by_nicplug[1].startswith("nicplug-")
    assert "interfacereport.nicplug.io/vm-fedora condition met" in beside
    assert re.search(r"vm-fedora +3/3 +True", beside)
    assert not left_running(tmp_path)
