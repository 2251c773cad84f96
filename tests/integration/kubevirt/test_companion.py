"""nicplug beside the stand-in of KubeVirt, on a real API server."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.integration.kubectl import Kubectl
from tests.integration.kubevirt.companion import (
    REPORTS,
    Companion,
    companion_of,
    ready,
    record,
    report,
)
from tests.integration.kubevirt.conftest import Cluster, status_of
from tests.integration.kubevirt.guests import in_guest, live, migrate, plug, started, until_final
from tests.integration.user import MIGRATION, POD, VM, VMI, Json, User
from tests.integration.waiting import until
from tests.manifests import plug as plug_nics

from nicplug.model.interface_report import interfaces_hash

FINAL = ("Succeeded", "Failed")
NODES = ("node02", "node03")
"""Where no dynamic networks controller runs."""


@pytest.fixture(scope="module")
def companion(cluster: Cluster) -> Iterator[Companion]:
    """One for all tests."""
    with companion_of(cluster) as found:
        yield found


@pytest.fixture(autouse=True)
def unharmed(cluster: Cluster, companion: Companion, user: User) -> Iterator[None]:
    """Nobody meets a bug; what a test has made does not disturb the next."""
    yield
    for machine in user.items(VM):
        user.delete(VM, machine["metadata"]["name"])
    until(lambda: not user.items(VMI) and not user.items(POD) and not user.items(REPORTS))
    assert "Traceback" not in cluster.log("controller") + cluster.log("api") + companion.log()


def ours(user: User) -> list[Json]:
    """The migrations that nicplug has created."""
    return [item for item in user.items(MIGRATION) if item["metadata"]["name"].startswith("nicplug-")]


def unfinished(user: User) -> list[str]:
    """The migrations that are under way."""
    found = (item for item in user.items(MIGRATION) if status_of(item).get("phase") not in FINAL)
    return [item["metadata"]["name"] for item in found]


def is_ready(user: User, name: str) -> bool:
    """The report says that every NIC of the present specs is in the guest."""
    machine, instance, status = user.get(VM, name), user.get(VMI, name), status_of(report(user, name))
    return (
        machine is not None
        and instance is not None
        and status.get("observedGeneration") == machine["metadata"]["generation"]
        and status.get("interfacesHash") == interfaces_hash(instance["spec"])
        and ready(user, name).get("status") == "True"
    )


@contextmanager
def never_two_migrations(user: User) -> Iterator[None]:
    """At no moment are two migrations of the namespace's only VM under way."""
    seen: list[list[str]] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.02):
            seen.append(unfinished(user))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=20)
    assert any(seen), "no migration was seen"
    assert max(map(len, seen)) == 1, [item for item in seen if len(item) > 1]


def test_a_nic_comes_by_migration_at_once(user: User) -> None:
    started(user, "vm1", *NODES)
    began = time.monotonic()
    plug(user, "vm1")
    until(lambda: in_guest(user, "vm1"))
    assert time.monotonic() - began < 10, "KubeVirt's own timer runs for 15 s"
    (made,) = ours(user)
    assert user.items(MIGRATION) == [made]
    assert "priority" not in made["spec"]
    annotations = made["metadata"]["annotations"]
    assert "nicplug.io/interfaces" in annotations
    assert "kubevirt.io/workloadUpdateMigration" not in annotations
    assert until_final(user, made)["status"]["phase"] == "Succeeded"


def test_the_report_says_what_came_and_kubectl_waits_for_it(user: User, cluster: Cluster) -> None:
    started(user, "vm1", *NODES)
    plug(user, "vm1")
    kubectl = Kubectl(kubeconfig=cluster.admin, namespace=user.namespace)
    until(
        lambda: (
            (user.get(VM, "vm1") or {})["metadata"]["generation"]
            == status_of(report(user, "vm1")).get("observedGeneration")
        )
    )
    kubectl("wait", "--for=condition=InterfacesReady", "interfacereport/vm1", "--timeout=30s")
    assert in_guest(user, "vm1")
    found, instance, machine = report(user, "vm1"), user.get(VMI, "vm1"), user.get(VM, "vm1")
    assert instance
    assert machine
    (owner,) = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("VirtualMachine", machine["metadata"]["uid"])
    assert found["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "nicplug"}
    status = found["status"]
    assert (status["vmUid"], status["vmiUid"]) == (machine["metadata"]["uid"], instance["metadata"]["uid"])
    assert status["observedGeneration"] == machine["metadata"]["generation"]
    assert status["interfacesHash"] == interfaces_hash(instance["spec"])
    assert status["ready"] == "2/2"
    assert "reason" not in status
    row = record(user, "vm1", "lan")
    assert (row["path"], row["phase"], row["operation"]) == ("Migration", "Ready", "Plug")
    until(lambda: ("InterfacePlugged", "VirtualMachine") in told_by_nicplug(user))
    assert ("InterfaceMigrating", "VirtualMachineInstance") in told_by_nicplug(user)


def told_by_nicplug(user: User) -> set[tuple[str, str]]:
    """Reason and kind of each event of nicplug's."""
    found = (item for item in user.items("events") if "nicplug" in str(item.get("reportingController")))
    return {(item["reason"], item["regarding"]["kind"]) for item in found}


def test_a_nic_that_comes_in_place_needs_no_migration(user: User) -> None:
    started(user, "vm1", "node01")
    plug(user, "vm1")
    until(lambda: in_guest(user, "vm1") and is_ready(user, "vm1"))
    assert record(user, "vm1", "lan")["path"] == "Dynamic"
    assert user.items(MIGRATION) == []


def test_more_nics_in_mid_flight_never_make_two_migrations(user: User) -> None:
    started(user, "vm1", *NODES, copy_seconds=2)
    with never_two_migrations(user):
        plug(user, "vm1")
        until(lambda: ours(user))
        user.change(VM, "vm1", plug_nics("blue"))
        until(lambda: status_of(report(user, "vm1")).get("ready") == "3/3" and is_ready(user, "vm1"))
    assert all(item["metadata"]["name"].startswith("nicplug-") for item in user.items(MIGRATION))


def test_somebodys_migration_brings_the_nic(user: User) -> None:
    started(user, "vm1", *NODES, copy_seconds=2)
    code, made = migrate(user, "vm1")
    assert code == 201
    plug(user, "vm1")
    until(lambda: record(user, "vm1", "lan"))
    assert ours(user) == []
    with never_two_migrations(user):
        until(lambda: is_ready(user, "vm1"))
    assert until_final(user, made)["status"]["phase"] == "Succeeded"


def test_nothing_is_written_at_rest(user: User, companion: Companion) -> None:
    started(user, "vm1", *NODES)
    plug(user, "vm1")
    until(lambda: is_ready(user, "vm1"))
    time.sleep(2)  # events are sent behind the writes
    since = companion.mark()
    time.sleep(20)
    assert companion.writes(since=since) == []


@pytest.mark.parametrize("grace_seconds", [8.0, 0.0], ids=["ended", "killed"])
def test_a_restart_in_mid_flight_makes_no_second_migration(
    user: User, companion: Companion, grace_seconds: float
) -> None:
    started(user, "vm1", *NODES, copy_seconds=3)
    plug(user, "vm1")
    until(lambda: ours(user))
    companion.stop(grace_seconds=grace_seconds)
    companion.start()
    until(lambda: is_ready(user, "vm1"))
    assert len(user.items(MIGRATION)) == 1


def test_a_vmi_that_is_deleted_in_mid_flight(user: User) -> None:
    before = started(user, "vm1", *NODES, copy_seconds=5)
    plug(user, "vm1")
    until(lambda: ours(user))
    user.delete(VMI, "vm1")
    after = until(lambda: replaced(user, "vm1", before))
    until(lambda: is_ready(user, "vm1") and status_of(report(user, "vm1"))["vmiUid"] == after["metadata"]["uid"])
    status = status_of(report(user, "vm1"))
    assert (status["ready"], status["interfacesGeneration"]) == ("2/2", 1)
    assert unfinished(user) == []


def replaced(user: User, name: str, before: Json) -> Json:
    """The VMI that has taken the place of an earlier one, once it runs."""
    found = live(user, name)
    return found if found and found["metadata"]["uid"] != before["metadata"]["uid"] else {}


def strip_label(body: Json) -> None:
    body["metadata"]["labels"] = {}


def give_away(body: Json) -> None:
    body["metadata"]["ownerReferences"] = []


def falsify(body: Json) -> None:
    body["status"] = {"ready": "7/7", "reason": "Lies", "vmiUid": "another"}


def test_a_report_that_somebody_deletes_or_edits_is_written_again(user: User, companion: Companion) -> None:
    started(user, "vm1", "node01")
    plug(user, "vm1")
    until(lambda: in_guest(user, "vm1") and is_ready(user, "vm1"))
    wanted = meaning(report(user, "vm1"))
    user.delete(REPORTS, "vm1")
    until(lambda: meaning(report(user, "vm1")) == wanted)
    for edit, of_status in ((strip_label, False), (give_away, False), (falsify, True)):
        user.change(REPORTS, "vm1", edit, status=of_status)
        until(lambda: meaning(report(user, "vm1")) == wanted)
    assert user.items(MIGRATION) == []
    since = companion.mark()
    time.sleep(3)
    assert companion.writes(since=since) == []


def meaning(found: Json) -> Json:
    """What a report says, without times and records of NICs that are ready."""
    metadata, status = found.get("metadata", {}), found.get("status") or {}
    members = ("vmUid", "vmiUid", "observedGeneration", "interfacesHash", "ready", "reason")
    return {
        "labels": metadata.get("labels"),
        "owners": [item["uid"] for item in metadata.get("ownerReferences") or ()],
        **{member: status.get(member) for member in members},
    }


def test_a_broken_network_costs_one_migration_and_its_nic_is_blamed(user: User) -> None:
    """virt-controller deletes the target pod after 15 minutes, unless the migration says otherwise."""
    started(user, "vm1", *NODES)
    user.change("network-attachment-definitions", "lan", break_network)
    plug(user, "vm1")
    found = until(lambda: status_of(report(user, "vm1")).get("targetPodFailures"))
    assert found is not None
    assert (found[0]["reason"], found[0]["interfacesAtFault"]) == ("TargetPodNotReady", ["lan"])
    assert "CNI" in record(user, "vm1", "lan")["message"] or "lan" in found[0]["message"]
    (made,) = ours(user)
    assert made["metadata"]["uid"] == found[0]["migrationUid"]
    user.change(MIGRATION, made["metadata"]["name"], hurry)
    failed = until(lambda: record(user, "vm1", "lan").get("phase") == "Failed" and record(user, "vm1", "lan"))
    assert failed
    assert failed["reason"] == "MigrationFailed"
    assert failed["migrationFailures"]["reason"] == "TargetPodNotReady"
    assert found[0]["message"] in failed["message"]
    time.sleep(25)  # the back-off of a failure that a retry may fix is 20 s
    assert len(ours(user)) == 1


def break_network(body: Json) -> None:
    body["metadata"].setdefault("annotations", {})["sandbox.nicplug.io/cni"] = "fails"


def hurry(body: Json) -> None:
    body["metadata"]["annotations"]["kubevirt.io/migrationPendingPodTimeoutSeconds"] = "1"


def test_a_virt_api_that_is_down_is_reported_and_waited_for(user: User, cluster: Cluster, companion: Companion) -> None:
    """Without virt-api, virt-controller copies no NIC from the template either: it goes down after that."""
    started(user, "vm1", *NODES)
    companion.stop()
    plug(user, "vm1")
    until(lambda: '"lan"' in networks_asked_for(user))
    cluster.end("api")
    try:
        companion.start()
        until(lambda: record(user, "vm1", "lan").get("reason") == "WebhookUnavailable")
        found = record(user, "vm1", "lan")
        assert 'webhook "' in found["message"]
        assert "virt-api" in found["remedy"]
        assert status_of(report(user, "vm1"))["reason"] == "WebhookUnavailable"
        assert ours(user) == []
    finally:
        cluster.start("api")
    until(lambda: is_ready(user, "vm1"), seconds=60)
    assert len(user.items(MIGRATION)) == 1
    until(lambda: ("WebhookUnavailable", "VirtualMachineInstance") in told_by_nicplug(user))


def networks_asked_for(user: User) -> str:
    """The networks annotation of the namespace's only launcher pod."""
    (launcher,) = user.items(POD)
    return str((launcher["metadata"].get("annotations") or {}).get("k8s.v1.cni.cncf.io/networks"))


def test_the_report_goes_with_the_last_nic(user: User) -> None:
    started(user, "vm1", "node01")
    plug(user, "vm1")
    until(lambda: in_guest(user, "vm1") and is_ready(user, "vm1"))

    def unplug(body: Json) -> None:
        body["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"][1]["state"] = "absent"

    user.change(VM, "vm1", unplug)
    until(lambda: len((user.get(VMI, "vm1") or {})["spec"]["networks"]) == 1)
    until(lambda: not user.items(REPORTS))
    until(lambda: ("InterfaceUnplugged", "VirtualMachine") in told_by_nicplug(user))


def test_many_vms_share_kubevirts_slots(user: User) -> None:
    names = [f"vm{number}" for number in range(8)]
    for name in names:
        started(user, name, *NODES, copy_seconds=1)
    most = 0
    for name in names:
        plug(user, name)
    for _ in itertools.count():
        most = max(most, len(unfinished(user)))
        if all(is_ready(user, name) for name in names):
            break
    assert 1 < most <= 5
    assert len(user.items(MIGRATION)) == len(names)
    assert len(ours(user)) == len(names)
