"""What people and controllers write into the annotations of a launcher pod, and into a status, on a real API server.

Other bad input, and where each kind is tested: `test_bad_input`. Also elsewhere: elements of others survive
(`test_hotplug.test_elements_of_others...`), a pod with our labels and another owner
(`test_pod_life.test_a_pod_with_our_labels...`, `test_hotplug.test_a_forged_launcher_pod...`).
"""

import json
from datetime import UTC, datetime, timedelta

import pytest
from tests.integration.user import NAD, POD, VMI, Json, User
from tests.integration.waiting import until
from tests.manifests import nad, plug, vmi

from nicplug.model.networks_annotation import hashed_interface_name

pytestmark = pytest.mark.usefixtures("unharmed")
NETWORKS, NETWORK_STATUS = "k8s.v1.cni.cncf.io/networks", "k8s.v1.cni.cncf.io/network-status"
LAN = hashed_interface_name("good")


def annotate(user: User, name: str, key: str, value: str | None) -> None:
    """Somebody edits the pod by hand."""
    user.merge(POD, user.pod_of(name)["metadata"]["name"], {"metadata": {"annotations": {key: value}}})


def network_status(user: User, name: str) -> str:
    """As it stands on the pod."""
    return str(user.pod_of(name)["metadata"]["annotations"][NETWORK_STATUS])


@pytest.fixture
def running(user: User) -> User:
    """Two VMIs that run; only `a` meets anything bad."""
    for name in ("a", "b"):
        user.create(VMI, vmi(name))
    for name in ("a", "b"):
        user.until_running(name)
    return user


def neighbour_is_served(user: User) -> None:
    """Nobody else notices."""
    user.change(VMI, "b", plug("good"))
    user.until_ready("b", "good")


def test_an_annotation_that_is_no_json_is_left_alone_told_and_read_again_when_it_is_mended(running: User) -> None:
    broken = '[{"name": "lan",'
    annotate(running, "a", NETWORKS, broken)
    running.change(VMI, "a", plug("good"))
    until(lambda: running.record("a", "good").get("reason") == "AnnotationUnreadable")
    assert NETWORKS in running.record("a", "good")["message"]
    assert running.record("a", "good")["phase"] == "Blocked"
    neighbour_is_served(running)
    assert running.annotation("a") == broken
    annotate(running, "a", NETWORKS, None)
    running.until_ready("a", "good")


FOREIGN = {
    "the name eth0": '{"name":"foreign","namespace":"nowhere","interface":"eth0"}',
    "no interface": '{"name":"foreign","namespace":"nowhere"}',
    "members of other types": '{"name":5,"namespace":{"a":1},"interface":["x"]}',
    "half a surrogate pair": '{"name":"foreign","namespace":"nowhere","interface":"x\\ud800"}',
}


@pytest.mark.parametrize("title", FOREIGN)
def test_an_element_of_somebody_else_s_is_kept_as_it_is_and_its_removal_heals(running: User, title: str) -> None:
    """While it fails, the dynamic networks controller may serve nothing behind it; the operator may not touch it."""
    annotate(running, "a", NETWORKS, f"[{FOREIGN[title]}]")
    running.change(VMI, "a", plug("good"))
    until(lambda: LAN in (running.annotation("a") or ""))
    kept = [item for item in json.loads(running.annotation("a") or "") if item.get("interface") != LAN]
    assert kept == [json.loads(FOREIGN[title])]
    until(lambda: running.record("a", "good").get("phase"))
    neighbour_is_served(running)
    own = [item for item in json.loads(running.annotation("a") or "") if item.get("interface") == LAN]
    annotate(running, "a", NETWORKS, json.dumps(own))
    running.until_ready("a", "good")


def test_the_short_form_of_the_annotation_is_read_and_its_networks_are_kept(running: User) -> None:
    annotate(running, "a", NETWORKS, "lan@net7")
    running.change(VMI, "a", plug("good"))
    running.until_ready("a", "good")
    elements = json.loads(running.annotation("a") or "")
    assert {"name": "lan", "interface": "net7"} in elements


def test_an_element_that_takes_the_nic_s_place_is_replaced_and_comes_back_when_removed(running: User) -> None:
    running.change(VMI, "a", plug("good", attachment="slow"))
    until(lambda: running.record("a", "good").get("reason") == "NetworkAttachmentDefinitionMissing")
    forged = f'[{{"name":"other","namespace":"nowhere","interface":"{LAN}"}}]'
    annotate(running, "a", NETWORKS, forged)
    running.create(NAD, nad("slow"))
    running.until_ready("a", "good")
    assert "nowhere" not in (running.annotation("a") or "")
    annotate(running, "a", NETWORKS, None)
    until(lambda: LAN in (running.annotation("a") or ""))
    # The controller may have taken the interface out first, or not have seen it missing.
    running.until_ready("a", "good")


SILENT = {
    "no JSON": "x",
    "an object": "{}",
    "250 KiB of no JSON": "x" * 250 * 1024,
    "nested too deeply": "[" * 20_000,
}


@pytest.mark.parametrize("title", SILENT)
def test_a_network_status_that_says_nothing_is_told_takes_nothing_away_and_heals(running: User, title: str) -> None:
    running.change(VMI, "a", plug("first"))
    running.until_ready("a", "first")
    good = network_status(running, "a")
    annotate(running, "a", NETWORK_STATUS, SILENT[title])
    # It is not asked for before the silence is seen: else the controller would mend the annotation itself.
    running.change(VMI, "a", plug("good", attachment="later"))
    until(lambda: running.record("a", "good").get("phase"))
    neighbour_is_served(running)
    assert running.row("a", "first")["infoSource"] == "domain, multus-status"
    assert hashed_interface_name("first") in (running.annotation("a") or "")
    annotate(running, "a", NETWORK_STATUS, good)
    running.create(NAD, nad("later"))
    running.until_ready("a", "good")


def lies(namespace: str) -> dict[str, list[object]]:
    """Network-statuses that say too much."""
    entry = {"name": f"{namespace}/lan", "interface": "net9"}
    return {
        "unknown interfaces": [{"name": "x/y", "interface": f"i{index}", "mac": ""} for index in range(3000)],
        "an interface twice": [entry, entry],
        "no default entry": [],
        "nulls": [None, 5, [], {"name": None, "interface": None, "default": "yes"}],
        "half a surrogate pair": [{"name": "x\ud800", "interface": "y\ud800"}],
    }


@pytest.mark.parametrize("title", lies(""))
def test_a_network_status_that_lies_makes_no_rows_and_the_nic_is_served(running: User, title: str) -> None:
    good = network_status(running, "a")
    annotate(running, "a", NETWORK_STATUS, json.dumps(lies(running.namespace)[title]))
    running.change(VMI, "a", plug("good", attachment="later"))
    until(lambda: running.record("a", "good").get("phase"))
    neighbour_is_served(running)
    rows = (running.get(VMI, "a") or {})["status"]["interfaces"]
    assert [row.get("name") for row in rows] == ["main"]
    annotate(running, "a", NETWORK_STATUS, good)
    running.create(NAD, nad("later"))
    running.until_ready("a", "good")


def test_an_interface_that_the_pod_has_from_somebody_else_is_told_by_its_network(running: User) -> None:
    """Also when the text cannot be written as it stands."""
    good = network_status(running, "a")
    running.change(VMI, "a", plug("good", attachment="later"))
    until(lambda: running.record("a", "good").get("phase") == "Blocked")
    annotate(running, "a", NETWORK_STATUS, json.dumps([{"name": "x/\ud800<&", "interface": LAN}]))
    until(lambda: running.record("a", "good").get("reason") == "PodInterfaceNameTaken")
    assert "x/?<&" in running.record("a", "good")["message"]
    neighbour_is_served(running)
    assert LAN not in (running.annotation("a") or "")
    annotate(running, "a", NETWORK_STATUS, good)
    running.create(NAD, nad("later"))
    running.until_ready("a", "good")


def test_a_clock_that_was_a_minute_ahead_neither_holds_up_nor_fires_for_ever(running: User) -> None:
    running.change(VMI, "a", plug("good", attachment="later"))
    until(lambda: running.record("a", "good").get("phase") == "Blocked")
    ahead = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def shift(body: Json) -> None:
        times = dict.fromkeys(("startTime", "lastTransitionTime", "lastAttemptTime"), ahead)
        for row in body["status"]["interfaceOperations"]:
            row.update(times, attempts=3, observedGeneration=body["metadata"]["generation"])
        for row in body["status"]["conditions"]:
            row["lastTransitionTime"] = f"{ahead[:19]}Z"

    running.change(VMI, "a", shift, status=True)
    running.create(NAD, nad("later"))
    running.until_ready("a", "good")
    assert running.record("a", "good")["attempts"] <= 4
    assert running.record("a", "good")["startTime"] < ahead
    running.change(VMI, "a", plug("next"))
    running.until_ready("a", "next")
