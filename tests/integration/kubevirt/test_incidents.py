"""What happens to KubeVirt while nicplug works beside it: evacuations, a virt-controller that is down, upgrades."""

import json
from collections.abc import Iterator

import pytest
import structlog
from click.testing import CliRunner
from tests.integration.evictions import evict
from tests.integration.kubevirt.companion import Companion, companion_of, ready, record, report
from tests.integration.kubevirt.conftest import Cluster, status_of
from tests.integration.kubevirt.guests import in_guest, plug, started, until_final
from tests.integration.kubevirt.settings import be, configure, methods
from tests.integration.user import MIGRATION, POD, POLICY, VMI, Json, User
from tests.integration.waiting import until

from nicplug.cli.main import main

NODES = ("node02", "node03")
"""Where no dynamic networks controller runs."""


@pytest.fixture(scope="module")
def companion(cluster: Cluster) -> Iterator[Companion]:
    """One for all tests."""
    with companion_of(cluster) as found:
        yield found
        assert "Traceback" not in found.log()


@pytest.fixture
def restarted(companion: Companion) -> Iterator[Companion]:
    """One that a test may stop; it runs again at the end."""
    yield companion
    if companion.operator is None:
        companion.start()


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command silences the logs of its process, which here is that of the next test."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def networks(user: User, name: str) -> int:
    """How many the instance has in its spec."""
    return len((user.get(VMI, name) or {})["spec"]["networks"])


def pod_is_asked(user: User) -> bool:
    """Whether virt-controller has asked the only pod for the NIC."""
    (pod,) = user.items(POD)
    return "lan" in pod["metadata"]["annotations"].get("k8s.v1.cni.cncf.io/networks", "")


def test_a_migration_that_waits_gives_way_to_an_evacuation_which_brings_the_nic(
    cluster: Cluster, user: User, restarted: Companion, kubevirt_cr: User
) -> None:
    configure(kubevirt_cr, configuration={"evictionStrategy": "LiveMigrate"})
    restarted.stop()
    node = started(user, "vm1", *NODES)["status"]["nodeName"]
    plug(user, "vm1")
    until(lambda: networks(user, "vm1") == 2 and pod_is_asked(user))
    cluster.end("controller")  # so that nicplug's migration waits
    try:
        restarted.start()
        (made,) = until(lambda: user.items(MIGRATION))
        assert made["metadata"]["name"].startswith("nicplug-")
        assert evict(user, user.items(POD)[0]["metadata"]["name"])[0] == 429
        until(lambda: record(user, "vm1", "lan").get("reason") == "EvacuationFirst")
        (left,) = user.items(MIGRATION)
        assert left["metadata"]["deletionTimestamp"]
    finally:
        cluster.start("controller")
    (evacuation,) = until(lambda: [item for item in user.items(MIGRATION) if "evacuation" in item["metadata"]["name"]])
    until(lambda: in_guest(user, "vm1") and ready(user, "vm1").get("status") == "True")
    assert until_final(user, evacuation)["status"]["phase"] == "Succeeded"
    assert user.items(MIGRATION) == [user.get(MIGRATION, evacuation["metadata"]["name"])]
    assert status_of(user.get(VMI, "vm1"))["nodeName"] != node


def test_while_virt_controller_is_down_its_vms_wait_and_the_report_says_so(
    cluster: Cluster, user: User, companion: Companion
) -> None:
    started(user, "vm1", *NODES)
    cluster.end("controller")
    try:
        plug(user, "vm1")
        until(lambda: status_of(report(user, "vm1")).get("reason") == "VirtControllerSilent", seconds=20)
        row = record(user, "vm1", "lan")
        assert row["message"].startswith("KubeVirt's virt-controller has not acted on it since ")
        assert "-l kubevirt.io=virt-controller" in row["remedy"]
        assert ready(user, "vm1")["status"] == "False"
        assert user.items(MIGRATION) == [], "it would wait too"
    finally:
        cluster.start("controller")
    until(lambda: in_guest(user, "vm1") and status_of(report(user, "vm1")).get("ready") == "2/2")
    (made,) = user.items(MIGRATION)
    assert made["metadata"]["name"].startswith("nicplug-")
    assert "reason" not in status_of(report(user, "vm1"))


@pytest.fixture
def whatever_the_methods_say(user: User, kubevirt_cr: User) -> Iterator[None]:
    """nicplug alone migrates: an upgrade of KubeVirt makes its updater migrate every VM."""
    configure(kubevirt_cr, workloadUpdateStrategy=methods())
    body = {"apiVersion": "nicplug.io/v1alpha1", "kind": "HotplugPolicy", "metadata": {"name": "default"}}
    user.create(POLICY, body | {"spec": {"companion": {"ignoreWorkloadUpdateMethods": True}}})
    yield
    user.delete(POLICY, "default")


def finding(user: User) -> Json:
    """What `nicplug doctor` says of the version of KubeVirt."""
    done = CliRunner().invoke(main, ["doctor", f"--kubeconfig={user.kubeconfig}", "-o", "json"])
    (found,) = [item for item in json.loads(done.stdout)["findings"] if item["check"] == "kubevirt"]
    return dict(found)


def planned(user: User, name: str) -> str:
    """What `nicplug plan` expects of a NIC to be added."""
    options = [f"--kubeconfig={user.kubeconfig}", "--namespace", user.namespace, "-o", "json"]
    done = CliRunner().invoke(main, ["plan", name, "--add", "more=lan", *options])
    (nic,) = [item for item in json.loads(done.stdout)["nics"] if item["name"] == "more"]
    return str(nic["outcome"])


@pytest.mark.usefixtures("whatever_the_methods_say")
def test_beside_an_unknown_newer_kubevirt_it_only_reports_until_that_is_known_again(
    user: User, companion: Companion, kubevirt_cr: User
) -> None:
    started(user, "vm1", *NODES)
    be(kubevirt_cr, "v1.10.0")
    plug(user, "vm1")
    until(lambda: record(user, "vm1", "lan").get("reason") == "MigrationForbidden", seconds=20)
    assert "KubeVirt 1.10 is newer than 1.9" in record(user, "vm1", "lan")["message"]
    assert planned(user, "vm1") == "Stuck"
    assert (finding(user)["severity"], user.items(MIGRATION)) == ("warning", [])
    be(kubevirt_cr, "v1.9.0")
    until(lambda: in_guest(user, "vm1") and ready(user, "vm1").get("status") == "True")
    (made,) = user.items(MIGRATION)
    assert made["metadata"]["name"].startswith("nicplug-")


@pytest.mark.usefixtures("whatever_the_methods_say")
def test_allowed_to_it_acts_beside_a_newer_kubevirt_and_commands_know_that(
    user: User, restarted: Companion, kubevirt_cr: User
) -> None:
    be(kubevirt_cr, "v1.10.0")
    started(user, "vm1", *NODES)
    restarted.stop()
    restarted.start("--allow-kubevirt-version=1.10")
    try:
        assert planned(user, "vm1") == "ByMigration"
        assert finding(user)["severity"] == "ok"
        plug(user, "vm1")
        until(lambda: in_guest(user, "vm1") and ready(user, "vm1").get("status") == "True")
        (made,) = user.items(MIGRATION)
        assert made["metadata"]["name"].startswith("nicplug-")
    finally:
        restarted.stop()
