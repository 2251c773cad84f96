"""The same value may be elided in one object and not in another: what stands beside it counts too."""

import copy
import json
import sys
from typing import Any

import pytest
from tests.build import VM_UID, Json, a_config, a_revision, a_vm, a_vmi, kubevirt, nic, primary, revision, vm, vmi

from nicplug.elided import ELIDED, ELIDED_MEMBERS, aligned, has_elided
from nicplug.kube.object_text import ObjectText
from nicplug.plan.vm.live_changes import patch_placement
from nicplug.plan.vm.restart_required import fields_that_need_a_restart

VOLUMES = [{"name": f"v{number}", "cloudInitNoCloud": {"userData": "<&>é\n" + "u" * 2_000}} for number in range(15)]
TOLERATIONS = [{"key": f"k{number}", "operator": "Exists", "effect": "NoSchedule"} for number in range(120)]
CONFIG = a_config(kubevirt())


def go(value: Any) -> bytes:
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").encode()


def a_started_vm(members: Json) -> tuple[Json, Json, Json]:
    """The VM, its VMI and its revision."""
    raw, running = vm(primary(), nic("blue")), vmi(primary(), nic("blue"), owner_uid=VM_UID)
    raw["spec"]["template"]["spec"] |= members
    running["spec"] |= members
    return raw, running, revision(raw)


def fields(raw: Json, running: Json, started: Json) -> tuple[str, ...]:
    found = fields_that_need_a_restart(
        vm=a_vm(ObjectText("virtualmachines").read(go(raw))),
        vmi=a_vmi(ObjectText("virtualmachineinstances").read(go(running))),
        revision=a_revision(ObjectText("controllerrevisions").read(go(started))),
        config=CONFIG,
    )
    return tuple(map(str, found))


FILLINGS: dict[str, Json] = {
    "one large member": {"volumes": VOLUMES},
    "many small members": {f"x{number}": {"b": ["<é>"], "a": "y" * 100} for number in range(200)},
    "large members at several places": {
        "volumes": VOLUMES,
        "affinity": {"nodeAffinity": {"x": "<é>" * 3_000}, "podAffinity": {"x": "y" * 15_000}},
        "dnsConfig": {"x": "y" * 3_000},
    },
}


@pytest.mark.parametrize("filling", FILLINGS.values(), ids=list(FILLINGS))
@pytest.mark.parametrize("number", [2, 60, 120, 1_200])
def test_tolerations_beside_large_members_that_stay_as_they_are_need_no_restart(filling: Json, number: int) -> None:
    raw, running, started = a_started_vm(filling)
    raw = copy.deepcopy(raw)
    raw["spec"]["template"]["spec"]["tolerations"] = (TOLERATIONS * (number // len(TOLERATIONS) + 1))[:number]
    read = ObjectText("virtualmachines").read(go(raw))
    assert number < 120 or has_elided(read)
    assert fields(raw, running, started) == ()
    raw["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 7
    assert "terminationGracePeriodSeconds" in fields(raw, running, started)


def test_a_nic_more_beside_nics_with_much_to_say_makes_no_other_nic_need_a_restart() -> None:
    """With it the list is long enough for what the others say to be elided."""
    raw, running, started = a_started_vm({})
    for spec in (raw["spec"]["template"]["spec"], running["spec"], started["data"]["spec"]["template"]["spec"]):
        interfaces, networks = spec["domain"]["devices"]["interfaces"], spec["networks"]
        interfaces[1]["x"] = "<é>" * 5_000
        networks[1]["x"] = {"b": 1, "a": "y" * 20_000}
    interface, network = nic("red")
    spec = raw["spec"]["template"]["spec"]
    spec["domain"]["devices"]["interfaces"].append({**interface, "x": "z" * 60_000})
    spec["networks"].append({**network, "x": "z" * 60_000})
    assert has_elided(ObjectText("virtualmachines").read(go(raw))["spec"]["template"]["spec"]["networks"][1])
    assert not has_elided(ObjectText("virtualmachineinstances").read(go(running))["spec"]["networks"][1])
    assert fields(raw, running, started) == ()


def test_equal_tolerations_are_not_patched_where_the_vmi_is_large_enough_to_have_them_elided() -> None:
    raw, running, _ = a_started_vm({"volumes": VOLUMES[:11], "tolerations": TOLERATIONS})
    running["spec"] |= {"accessCredentials": [{"x": "y" * 3_900}], "hostname": "h" * 63}
    a_raw = a_vm(ObjectText("virtualmachines").read(go(raw)))
    a_running = a_vmi(ObjectText("virtualmachineinstances").read(go(running)))
    assert a_raw.placement != a_running.placement
    assert patch_placement(vm=a_raw, vmi=a_running, config=CONFIG) is None
    raw["spec"]["template"]["spec"]["tolerations"] = TOLERATIONS[1:]
    a_raw = a_vm(ObjectText("virtualmachines").read(go(raw)))
    assert patch_placement(vm=a_raw, vmi=a_running, config=CONFIG) is not None


def test_a_value_of_other_content_is_never_taken_for_the_one_that_is_elided() -> None:
    one, other = {ELIDED: "0/0"}, {"a": 1}
    assert aligned(one, other) == (one, other)
    assert aligned({ELIDED_MEMBERS: "0/0", "a": 1}, {"a": 1, "b": 2}) == (
        {ELIDED_MEMBERS: "0/0", "a": 1},
        {"a": 1, "b": 2},
    )


def test_a_tower_of_lists_is_not_searched_for_marks_at_each_of_its_levels() -> None:
    def tower(bottom: Any) -> Any:
        for _ in range(100):
            bottom = [[1] * 3, [[2]] * 20, bottom]
        return bottom

    calls = 0

    def count(frame: Any, event: str, _: Any) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_globals["__name__"] == "nicplug.elided"

    one, other = tower([{ELIDED: "0/0"}, 1]), tower([{ELIDED: "0/0"}, 2])
    sys.setprofile(count)
    try:
        assert aligned(one, other) == (one, other)
    finally:
        sys.setprofile(None)
    lists = 2 * 100 * (1 + 1 + 1 + 20 + 20)
    assert calls < 2 * lists
