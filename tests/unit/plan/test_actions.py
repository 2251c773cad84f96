"""Each write carries its own guard, and is harmless when it is sent twice."""

import copy
import json
from typing import Any

import pytest
from tests.build import NODE, Json, a_pod, a_vm, a_vmi, element, nic, pod, primary_row, row, vm, vmi
from tests.fakes.patches import JSON_PATCH, patched
from tests.fakes.status import ApiFailure

from nicplug.plan.actions import (
    CheckNics,
    Patch,
    PatchFinalizers,
    PatchLabels,
    PatchNetworksAnnotation,
    check_nics,
    escape_pointer,
    patch_finalizers,
    patch_label,
)
from nicplug.plan.nic.template_sync import Devices, patch_devices


def _apply(raw: Json, action: Patch) -> Json:
    content = json.dumps([dict(operation) for operation in action.json_patch()]).encode()
    return patched(copy.deepcopy(raw), content_type=JSON_PATCH, content=content)


def _annotation(raw: Json, wanted: str, **members: Any) -> PatchNetworksAnnotation:
    record = a_pod(raw)
    seen = {"seen": record.networks_annotation, "has_annotations": record.has_annotations}
    return PatchNetworksAnnotation(key=record.key, uid=record.uid, wanted=wanted, **seen | members)


def _label(raw: Json) -> PatchLabels:
    return patch_label(a_vmi(raw), "kubevirt.io/nodeName", NODE)


def _finalizers(raw: Json, *wanted: str) -> PatchFinalizers:
    return patch_finalizers(a_vm(raw), wanted)


class TestAnnotation:
    KEY = "k8s.v1.cni.cncf.io/networks"

    @pytest.mark.parametrize("seen", [None, "", "[]"])
    def test_it_is_replaced(self, seen: str | None) -> None:
        raw = pod(networks=seen)
        assert _apply(raw, _annotation(raw, "[1]"))["metadata"]["annotations"][self.KEY] == "[1]"

    def test_the_key_stays_with_the_last_nic(self) -> None:
        raw = pod(networks="[]")
        assert _apply(raw, _annotation(raw, ""))["metadata"]["annotations"][self.KEY] == ""

    @pytest.mark.parametrize(
        "changed",
        [pod(networks="[2]"), pod(uid="namesake"), pod()],
        ids=["somebody was faster", "a namesake", "somebody took it away"],
    )
    def test_what_has_changed_is_not_overwritten(self, changed: Json) -> None:
        action = _annotation(pod(networks="[]"), "[1]")
        with pytest.raises(ApiFailure):
            _apply(changed, action)

    def test_churn_of_the_pod_does_not_fail_it(self) -> None:
        raw = pod(networks="[]")
        busy = pod(networks="[]", phase="Failed", version=999)
        busy["metadata"]["annotations"]["other"] = "x"
        assert _apply(busy, _annotation(raw, "[1]"))["metadata"]["annotations"][self.KEY] == "[1]"

    def test_while_the_controller_attaches_what_is_to_go_it_stays(self) -> None:
        """Else the guest plugs what the pod is about to lose."""
        raw, attached = pod(networks=[element("blue")], attached=[]), pod(networks=[element("blue")], attached=["blue"])
        action = _annotation(raw, "", takes_out=True, seen_status=a_pod(raw).network_status_annotation)
        assert _apply(raw, action)["metadata"]["annotations"][self.KEY] == ""
        with pytest.raises(ApiFailure):
            _apply(attached, action)
        adds = _annotation(raw, "[1]")
        assert _apply(attached, adds)["metadata"]["annotations"][self.KEY] == "[1]"

    def test_sent_twice_it_is_done_once(self) -> None:
        raw = pod(networks="[]")
        action = _annotation(raw, "[1]")
        once = _apply(raw, action)
        with pytest.raises(ApiFailure):
            _apply(once, action)

    def test_a_pod_without_annotations(self) -> None:
        raw = pod()
        del raw["metadata"]["annotations"]
        action = _annotation(raw, "[1]")
        assert _apply(raw, action)["metadata"]["annotations"] == {self.KEY: "[1]"}
        with pytest.raises(ApiFailure):
            _apply(pod(), action)


class TestLabel:
    def test_the_first_label(self) -> None:
        raw = vmi(phase="Scheduling")
        assert _apply(raw, _label(raw))["metadata"]["labels"] == {"kubevirt.io/nodeName": NODE}

    def test_beside_others(self) -> None:
        raw = vmi(phase="Scheduling", labels={"app": "x"})
        assert _apply(raw, _label(raw))["metadata"]["labels"] == {"app": "x", "kubevirt.io/nodeName": NODE}

    def test_another_node(self) -> None:
        raw = vmi(labels={"kubevirt.io/nodeName": "old"})
        assert _apply(raw, _label(raw))["metadata"]["labels"]["kubevirt.io/nodeName"] == NODE

    def test_an_empty_one(self) -> None:
        """It was taken for a missing one, and every patch failed."""
        raw = vmi(labels={"kubevirt.io/nodeName": ""})
        assert _apply(raw, _label(raw))["metadata"]["labels"]["kubevirt.io/nodeName"] == NODE

    def test_labels_that_came_meanwhile_stay(self) -> None:
        with pytest.raises(ApiFailure):
            _apply(vmi(phase="Scheduling", labels={"app": "x"}), _label(vmi(phase="Scheduling")))


class TestFinalizers:
    def test_the_first(self) -> None:
        raw = vm(finalizers=None)
        assert _apply(raw, _finalizers(raw, "a/b"))["metadata"]["finalizers"] == ["a/b"]

    def test_the_last(self) -> None:
        raw = vm(finalizers=["a/b"])
        assert _apply(raw, _finalizers(raw))["metadata"]["finalizers"] == []

    def test_one_that_came_meanwhile_is_not_lost(self) -> None:
        with pytest.raises(ApiFailure):
            _apply(vm(finalizers=["a/b", "c/d"]), _finalizers(vm(finalizers=["a/b"])))


def test_pointers_are_escaped() -> None:
    assert escape_pointer("a/b~c") == "a~1b~0c"


def test_equal_effects_are_equal() -> None:
    raw = pod(networks="[]")
    assert _annotation(raw, "x") == _annotation(copy.deepcopy(raw), "x")
    assert len({_annotation(raw, "x"), _annotation(raw, "x"), _annotation(raw, "y")}) == 2


@pytest.mark.parametrize(
    ("deep", "is_comparable"),
    [
        ([None], False),
        ([1, [None]], False),
        ({"a": [{"b": [None]}]}, False),
        ({"a": None}, True),
        ([{"a": None}], True),
    ],
    ids=str,
)
def test_a_null_in_a_list_is_guarded_by_the_version_of_the_object(deep: Any, is_comparable: bool) -> None:
    """The API server crashes when it compares one; another write in between is still noticed."""
    raw = vmi(nic("blue"), version=7)
    raw["spec"]["domain"]["devices"]["interfaces"][0]["unknown"] = deep
    record = a_vmi(raw)
    patch = patch_devices(record, Devices((), ()))
    assert patch is not None
    tests = {item["path"]: item["value"] for item in patch.json_patch() if item["op"] == "test"}
    assert ("/spec/domain/devices/interfaces" in tests) is is_comparable
    assert tests.get("/metadata/resourceVersion") == (None if is_comparable else "7")
    assert "/spec/networks" in tests


class TestCheckOfTheNics:
    ROWS = (primary_row(), row("blue", "multus-status"))

    def _check(self) -> CheckNics:
        return check_nics(a_vmi(vmi(rows=self.ROWS, generation=3)))

    def test_a_vmi_without_a_status(self) -> None:
        """A `test` below a missing member fails for ever."""
        raw = vmi(phase="", generation=3)
        check = check_nics(a_vmi(raw))
        assert _apply(raw, check) == raw
        with pytest.raises(ApiFailure):
            _apply(vmi(generation=3), check)

    def test_other_reports_do_not_matter_and_nothing_is_changed(self) -> None:
        busy = vmi(rows=self.ROWS, generation=3, version=999, conditions=[{"type": "Ready", "status": "True"}])
        assert _apply(busy, self._check()) == busy

    @pytest.mark.parametrize(
        "changed",
        [
            vmi(rows=ROWS, generation=4),
            vmi(rows=ROWS, generation=3, uid="namesake"),
            vmi(rows=[primary_row(), row("blue", "domain", "multus-status")], generation=3),
            vmi(generation=3),
        ],
        ids=["another spec", "a namesake", "the guest has plugged it", "nothing is reported any more"],
    )
    def test_what_has_changed_fails_it(self, changed: Json) -> None:
        with pytest.raises(ApiFailure):
            _apply(changed, self._check())
