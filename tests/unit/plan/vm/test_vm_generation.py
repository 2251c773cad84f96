"""Whether a VMI corresponds to the current generation of its VM."""

from typing import Any

import pytest
from tests.build import (
    NOW,
    VM_UID,
    VMI_UID,
    Json,
    later,
    nic,
    primary,
    primary_row,
    revision,
    vm,
    vm_view,
    vmi,
)

from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import (
    PatchAnnotations,
    PatchStatus,
)
from nicplug.plan.vm.plan_vm import plan_vm

OWN: dict[str, Any] = {"owner_uid": VM_UID}


class TestGeneration:
    """A change that does not concern the VMI does not leave it behind."""

    def _actions(self, raw: Json, started_from: Json, annotation: str | None = "1", *, reported: bool = True) -> Any:
        annotations = {"kubevirt.io/vm-generation": annotation} if annotation is not None else None
        found = vmi(primary(), rows=[primary_row()], annotations=annotations, **OWN)
        found["status"] |= (
            {"virtualMachineRevisionName": revision(started_from)["metadata"]["name"]} if reported else {}
        )
        view = vm_view(raw, vmi=found, started_from=revision(started_from), report_pending_since=later(-9))
        return plan_vm(view, now=NOW).actions

    def _now(self, **members: Any) -> Json:
        return vm(primary(), generation=4, **members)

    def test_the_same_template(self) -> None:
        (action,) = self._actions(self._now(run_strategy="RerunOnFailure"), vm(primary()))
        assert isinstance(action, PatchAnnotations)
        path = "/metadata/annotations/kubevirt.io~1vm-generation"
        assert action.json_patch() == [
            {"op": "test", "path": "/metadata/uid", "value": VMI_UID},
            {"op": "test", "path": path, "value": "1"},
            {"op": "add", "path": path, "value": "4"},
        ]

    def test_another_template(self) -> None:
        (action,) = self._actions(self._now(), vm(primary(), nic("red", state="absent")))
        assert isinstance(action, PatchStatus)

    def test_it_says_so_already(self) -> None:
        (action,) = self._actions(self._now(), vm(primary()), "4")
        assert isinstance(action, PatchStatus)

    def test_not_before_the_status_tells_what_it_was_started_from(self) -> None:
        (action,) = self._actions(self._now(), vm(primary()), reported=False)
        assert isinstance(action, PatchStatus)

    @pytest.mark.parametrize("annotation", [None, "", "four", "9" * 5000])
    def test_a_lost_annotation_is_found_again_in_the_revision(self, annotation: str | None) -> None:
        (action,) = self._actions(self._now(), vm(primary(), nic("red"), generation=3), annotation)
        assert isinstance(action, PatchAnnotations)
        name = "kubevirt.io/vm-generation"
        assert thaw(action.seen) == ({name: annotation} if annotation is not None else None)
        assert thaw(action.wanted) == {name: "3"}

    def test_desired_and_observed_stand_side_by_side(self) -> None:
        (action,) = self._actions(self._now(), vm(primary(), nic("red")))
        wanted = thaw(action.wanted)
        assert (wanted["desiredGeneration"], wanted["observedGeneration"]) == (4, 1)
