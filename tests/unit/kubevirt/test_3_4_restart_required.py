"""Section 3.4: which changes of the template wait for a restart, and say so."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.kubevirt.build import LIVE, NOW, POD_NET, POD_NIC, condition, net, nic, revision, vm, vmi

from nicplug_sandbox.kubevirt.restart_required import is_required, is_required_for_nics
from nicplug_sandbox.kubevirt.run_strategy import View
from nicplug_sandbox.kubevirt.settings import ClusterSettings
from nicplug_sandbox.kubevirt.vm_status import status

NEWEST = ClusterSettings()
OLDER = replace(NEWEST, release=(1, 8))
BLUE, ELSEWHERE = net("blue"), net("blue", "other-nad")


def machine(*nics: Any, networks: list[Any] | None = None, **more: Any) -> Any:
    found = vm(*nics, networks=networks)
    found["spec"]["template"]["spec"] |= more
    return found


def guest(*nics: Any, **more: Any) -> Any:
    return vmi(*nics, conditions=(LIVE,), **more)


@pytest.mark.parametrize(
    ("wanted", "present", "settings", "needed"),
    [
        pytest.param(vm(nic("blue")), guest(nic("blue")), NEWEST, False, id="the same"),
        pytest.param(vm(nic("blue")), guest(), NEWEST, False, id="a new one"),
        pytest.param(vm({"name": "blue", "masquerade": {}}), guest(), NEWEST, False, id="a new one, never plugged"),
        pytest.param(vm(nic("blue", state="absent")), guest(nic("blue")), NEWEST, False, id="absent"),
        pytest.param(vm(nic("blue", state="down")), guest(nic("blue")), NEWEST, False, id="link down"),
        pytest.param(vm(), guest(nic("blue")), NEWEST, True, id="removed without absent"),
        pytest.param(vm(nic("blue", macAddress="02:00:00:00:00:01")), guest(nic("blue")), NEWEST, True, id="MAC"),
        pytest.param(vm(nic("blue"), networks=[ELSEWHERE]), guest(nic("blue")), NEWEST, False, id="another network"),
        pytest.param(vm(nic("blue"), networks=[ELSEWHERE]), vmi(nic("blue")), NEWEST, True, id="cannot migrate"),
        pytest.param(vm(nic("blue"), networks=[ELSEWHERE]), guest(nic("blue")), OLDER, True, id="before 1.9"),
        pytest.param(vm(nic("blue"), nic("red")), guest(nic("red"), nic("blue")), NEWEST, False, id="another order"),
    ],
)
def test_nics(wanted: Any, present: Any, settings: Any, needed: bool) -> None:
    template = wanted["spec"]["template"]["spec"]
    assert is_required_for_nics(template, present, settings=settings) is needed
    before = vm(*(item for item in present["spec"]["domain"]["devices"]["interfaces"] if item != POD_NIC))
    assert is_required(wanted, present, started_from=before["spec"], settings=settings) is needed


def test_a_pod_network_that_the_guest_lacks_needs_one() -> None:
    bare = guest()
    bare["spec"] = {"domain": {"devices": {"interfaces": [POD_NIC]}}, "networks": [{**POD_NET, "pod": None}]}
    del bare["spec"]["networks"][0]["pod"]
    assert is_required_for_nics(vm()["spec"]["template"]["spec"], bare, settings=NEWEST)


@pytest.mark.parametrize(
    ("change", "live", "staged"),
    [
        ({"nodeSelector": {"zone": "a"}}, False, True),
        ({"tolerations": [{"key": "a"}]}, False, True),
        ({"affinity": {"nodeAffinity": {}}}, False, True),
        ({"hostname": "other"}, True, True),
        ({"terminationGracePeriodSeconds": 5}, True, True),
    ],
)
def test_other_fields_by_rollout_strategy(change: Any, live: bool, staged: bool) -> None:
    stage = replace(NEWEST, is_live_update=False)
    for settings, needed in ((NEWEST, live), (stage, staged)):
        assert is_required(machine(**change), guest(), started_from=vm()["spec"], settings=settings) is needed


def with_domain(**more: Any) -> Any:
    found = vm()
    found["spec"]["template"]["spec"]["domain"] |= more
    return found


@pytest.mark.parametrize(
    ("before", "now", "needed"),
    [
        ({"cpu": {"cores": 1, "sockets": 1}}, {"cpu": {"cores": 1, "sockets": 2}}, False),
        ({"cpu": {"cores": 1}}, {"cpu": {"cores": 2}}, True),
        ({}, {"cpu": {"sockets": 2}}, True),
        ({"memory": {"guest": "1Gi"}}, {"memory": {"guest": "2Gi"}}, False),
        ({}, {"memory": {"guest": "2Gi"}}, False),
        ({"memory": {"guest": "1Gi"}}, {"memory": {"guest": "1Gi", "hugepages": {}}}, True),
    ],
)
def test_cpu_and_memory(before: Any, now: Any, needed: bool) -> None:
    started = with_domain(**before)["spec"]
    assert is_required(with_domain(**now), guest(), started_from=started, settings=NEWEST) is needed


def told(view: View) -> Any:
    """The condition as it is written, or None."""
    (written,) = status(view, now=NOW).writes
    assert isinstance(written.body, dict)
    return next((item for item in written.body["status"]["conditions"] if item["type"] == "RestartRequired"), None)


def test_the_condition_has_no_reason() -> None:
    found = told(View(vm=machine(hostname="other"), vmi=guest(), revisions=[revision(1)]))
    assert found["status"] == "True"
    assert found["message"] == "a non-live-updatable field was changed in the template spec"
    assert "reason" not in found


@pytest.mark.parametrize(
    ("present", "revisions", "stays"),
    [(guest(), [revision(1)], False), (None, [revision(1)], True), (guest(), [], True)],
)
def test_it_goes_when_the_guest_is_as_the_template_and_stays_without_one(
    present: Any, revisions: list[Any], stays: bool
) -> None:
    known = {**vm(), "status": {"conditions": [condition("RestartRequired")]}}
    found = told(View(vm=known, vmi=present, revisions=revisions))
    assert (found is not None) is stays
