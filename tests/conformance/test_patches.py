"""Facts about JSON patch, on which every guard of nicplug rests, and about other patch types."""

from typing import Any

import pytest
from tests.conformance.target import NAMESPACE, Target, path_of, unique

from nicplug.kube.errors import Gone, Rejected, Stale, Unavailable
from nicplug.kube.resources import PODS, VIRTUAL_MACHINE_INSTANCES

# What a patch that does not fit answers, whatever the cause.
NOT_APPLICABLE = (422, "Invalid", "the server rejected our request due to an error in our request")


async def test_a_failed_test_is_422_and_does_not_say_why(target: Target) -> None:
    vmi = await target.vmi()
    answer = await target.patch(
        path_of(VIRTUAL_MACHINE_INSTANCES, vmi), [{"op": "test", "path": "/metadata/uid", "value": "x"}]
    )
    assert answer.error == NOT_APPLICABLE
    assert answer.body["details"] == {}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/metadata/labels/a", "value": "2"},
        {"op": "test", "path": "/metadata/labels/missing", "value": ""},
        {"op": "test", "path": "/metadata/labels/a", "value": None},
        {"op": "test", "path": "/missing/deep", "value": None},
        {"op": "test", "path": "/metadata/generation", "value": 2},
        {"op": "add", "path": "/metadata/annotations/a", "value": "no annotations yet"},
        {"op": "add", "path": "/spec/networks/-", "value": {"name": "no networks yet"}},
        {"op": "remove", "path": "/metadata/annotations"},
        {"op": "remove", "path": "/spec/domain/devices/missing"},
        {"op": "bogus", "path": "/metadata/labels/a"},
    ],
    ids=lambda operation: f"{operation['op']} {operation['path']} {operation.get('value')}",
)
async def test_whatever_does_not_fit_looks_like_a_failed_test(target: Target, operation: dict[str, Any]) -> None:
    vmi = await target.vmi(labels={"a": "1"})
    assert (await target.patch(path_of(VIRTUAL_MACHINE_INSTANCES, vmi), [operation])).error == NOT_APPLICABLE
    with pytest.raises(Stale):
        await _patch(target, vmi, operation)


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/metadata/annotations", "value": None},
        {"op": "test", "path": "/metadata/labels/missing", "value": None},
        {"op": "test", "path": "/metadata/labels", "value": {"a": "1", "b": "2"}},
        {"op": "test", "path": "/spec/networks", "value": None},
        {"op": "test", "path": "/metadata/generation", "value": 1},
    ],
    ids=lambda operation: f"{operation['path']} {operation['value']}",
)
async def test_tests_that_hold(target: Target, operation: dict[str, Any]) -> None:
    """A `test` for null passes on a missing key, against RFC 6902: so absence can be guarded."""
    vmi = await target.vmi(labels={"b": "2", "a": "1"})
    same = await _patch(target, vmi, operation)
    assert same["metadata"]["resourceVersion"] == vmi["metadata"]["resourceVersion"]


async def test_replace_adds_a_missing_key(target: Target) -> None:
    vmi = await target.vmi(labels={"a": "1"})
    patched = await _patch(target, vmi, {"op": "replace", "path": "/metadata/labels/new", "value": "x"})
    assert patched["metadata"]["labels"] == {"a": "1", "new": "x"}


async def test_a_patch_is_all_or_nothing(target: Target) -> None:
    vmi = await target.vmi(labels={"a": "1"})
    with pytest.raises(Stale):
        await _patch(
            target,
            vmi,
            {"op": "add", "path": "/metadata/labels/b", "value": "2"},
            {"op": "test", "path": "/metadata/labels/a", "value": "9"},
        )
    found = await target.api.get(VIRTUAL_MACHINE_INSTANCES, name=vmi["metadata"]["name"], namespace=NAMESPACE)
    assert found["metadata"]["labels"] == {"a": "1"}


async def test_operations_see_what_came_before_them(target: Target) -> None:
    vmi = await target.vmi()
    patched = await _patch(
        target,
        vmi,
        {"op": "test", "path": "/metadata/annotations", "value": None},
        {"op": "add", "path": "/metadata/annotations", "value": {}},
        {"op": "add", "path": "/metadata/annotations/k8s.v1.cni.cncf.io~1networks", "value": "[]"},
    )
    assert patched["metadata"]["annotations"] == {"k8s.v1.cni.cncf.io/networks": "[]"}


async def test_an_empty_patch_reads_and_writes_nothing(target: Target) -> None:
    vmi = await target.vmi()
    same = await _patch(target, vmi)
    assert same["metadata"]["resourceVersion"] == vmi["metadata"]["resourceVersion"]


async def test_a_patch_to_the_same_values_writes_nothing(target: Target) -> None:
    vmi = await target.vmi(labels={"a": "1"})
    same = await _patch(target, vmi, {"op": "add", "path": "/metadata/labels/a", "value": "1"})
    assert same["metadata"]["resourceVersion"] == vmi["metadata"]["resourceVersion"]


async def test_an_object_that_breaks_the_schema_is_422_with_causes(target: Target) -> None:
    vmi = await target.vmi()
    operation = {"op": "replace", "path": "/spec/domain", "value": 7}
    answer = await target.patch(path_of(VIRTUAL_MACHINE_INSTANCES, vmi), [operation])
    assert (answer.code, answer.causes) == (422, {("FieldValueTypeInvalid", "spec.domain")})
    with pytest.raises(Rejected):
        await _patch(target, vmi, operation)


async def test_the_uid_cannot_be_patched(target: Target) -> None:
    vmi = await target.vmi()
    operation = {"op": "replace", "path": "/metadata/uid", "value": "other"}
    answer = await target.patch(path_of(VIRTUAL_MACHINE_INSTANCES, vmi), [operation])
    assert (answer.code, answer.causes) == (422, {("FieldValueInvalid", "metadata.uid")})


async def test_the_name_cannot_be_patched(target: Target) -> None:
    vmi = await target.vmi()
    operation = {"op": "replace", "path": "/metadata/name", "value": "other"}
    assert (await target.patch(path_of(VIRTUAL_MACHINE_INSTANCES, vmi), [operation])).error[:2] == (400, "BadRequest")


async def test_a_version_in_a_patch_guards_it(target: Target) -> None:
    vmi = await target.vmi()
    with pytest.raises(Stale) as raised:
        await _patch(target, vmi, {"op": "replace", "path": "/metadata/resourceVersion", "value": "1"})
    assert raised.value.status == 409


async def test_a_patch_of_a_missing_object_is_404_even_if_it_would_not_fit(target: Target) -> None:
    missing = {"metadata": {"name": unique("vmi")}}
    with pytest.raises(Gone):
        await _patch(target, missing, {"op": "test", "path": "/metadata/uid", "value": "x"})


@pytest.mark.parametrize("content", [b"{nope", b'{"op": "add"}'], ids=["no JSON", "an object"])
async def test_a_json_patch_that_is_none_is_400(target: Target, content: bytes) -> None:
    vmi = await target.vmi()
    answer = await target.patch(path_of(VIRTUAL_MACHINE_INSTANCES, vmi), None, raw=content)
    assert answer.error[:2] == (400, "BadRequest")


async def test_status_and_the_rest_are_separate(target: Target) -> None:
    vmi = await target.vmi(labels={"a": "1"})
    status = await target.api.patch(
        VIRTUAL_MACHINE_INSTANCES,
        [
            {"op": "add", "path": "/status", "value": {"phase": "Scheduled"}},
            {"op": "add", "path": "/metadata/labels/b", "value": "2"},
            {"op": "add", "path": "/spec/hostname", "value": "x"},
        ],
        name=vmi["metadata"]["name"],
        namespace=NAMESPACE,
        subresource="status",
    )
    assert status["status"] == {"phase": "Scheduled"}
    assert status["metadata"]["labels"] == {"a": "1"}
    assert "hostname" not in status["spec"]
    assert status["metadata"]["generation"] == 1
    main = await _patch(target, vmi, {"op": "add", "path": "/status/phase", "value": "Failed"})
    assert main["status"] == {"phase": "Scheduled"}
    assert main["metadata"]["resourceVersion"] == status["metadata"]["resourceVersion"]


async def test_the_status_schema_is_checked(target: Target) -> None:
    vmi = await target.vmi()
    path = path_of(VIRTUAL_MACHINE_INSTANCES, vmi, subresource="status")
    answer = await target.patch(path, [{"op": "add", "path": "/status", "value": {"phase": 4}}])
    assert (answer.code, answer.causes) == (422, {("FieldValueTypeInvalid", "status.phase")})


async def test_a_first_status_is_added_whole_because_there_is_none_to_add_to(target: Target) -> None:
    vmi = await target.vmi()
    path = path_of(VIRTUAL_MACHINE_INSTANCES, vmi, subresource="status")
    answer = await target.patch(path, [{"op": "add", "path": "/status/phase", "value": "Pending"}])
    assert answer.error == NOT_APPLICABLE
    whole = [
        {"op": "test", "path": "/status", "value": None},
        {"op": "add", "path": "/status", "value": {"phase": "Pending"}},
    ]
    assert (await target.patch(path, whole)).code == 200


async def test_pod_status_takes_annotations_and_labels_but_no_owners(target: Target) -> None:
    """So Multus can write its network-status there."""
    pod = await target.pod(annotations={"a": "1"}, labels={"a": "1"})
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "u"}
    patched = await target.api.patch(
        PODS,
        [
            {"op": "add", "path": "/metadata/annotations/net", "value": "x"},
            {"op": "add", "path": "/metadata/labels/net", "value": "x"},
            {"op": "add", "path": "/metadata/ownerReferences", "value": [owner]},
            {"op": "add", "path": "/status/phase", "value": "Running"},
        ],
        name=pod["metadata"]["name"],
        namespace=NAMESPACE,
        subresource="status",
    )
    assert patched["metadata"]["annotations"]["net"] == "x"
    assert patched["metadata"]["labels"]["net"] == "x"
    assert "ownerReferences" not in patched["metadata"]
    assert patched["status"]["phase"] == "Running"


async def test_merge_patch_removes_by_null(target: Target) -> None:
    vmi = await target.vmi(labels={"a": "1", "b": "2"})
    answer = await target.patch(
        path_of(VIRTUAL_MACHINE_INSTANCES, vmi),
        {"metadata": {"labels": {"a": None, "c": "3"}}},
        content_type="application/merge-patch+json",
    )
    assert answer.body["metadata"]["labels"] == {"b": "2", "c": "3"}


@pytest.mark.parametrize("content_type", ["application/strategic-merge-patch+json", "application/json"])
async def test_other_patch_types_are_415_for_custom_resources(target: Target, content_type: str) -> None:
    vmi = await target.vmi()
    answer = await target.patch(path_of(VIRTUAL_MACHINE_INSTANCES, vmi), {"metadata": {}}, content_type=content_type)
    assert answer.error[:2] == (415, "UnsupportedMediaType")


async def _patch(target: Target, vmi: dict[str, Any], *operations: dict[str, Any]) -> dict[str, Any]:
    return await target.api.patch(
        VIRTUAL_MACHINE_INSTANCES, operations, name=vmi["metadata"]["name"], namespace=NAMESPACE
    )


AWKWARD = "ü <b> & \u2028"


async def test_a_test_compares_the_text_that_go_writes_not_the_value(target: Target) -> None:
    """Python escapes other characters than Go: with its JSON a guard on such text fails for ever."""
    vmi = await target.vmi(annotations={"note": AWKWARD})
    operation = {"op": "test", "path": "/metadata/annotations/note", "value": AWKWARD}
    path = path_of(VIRTUAL_MACHINE_INSTANCES, vmi)
    assert (await target.patch(path, [operation])).error == NOT_APPLICABLE
    same = await _patch(target, vmi, operation)
    assert same["metadata"]["annotations"]["note"] == AWKWARD


async def test_a_pod_condition_is_appended_once_behind_a_test_of_the_whole_list(target: Target) -> None:
    """The kubelet's rows have null times and are compared as they are; a second append finds another list."""
    pod = await target.pod()
    status = f"{path_of(PODS, pod)}/status"
    theirs = [{"type": "Ready", "status": "False", "lastProbeTime": None, "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    seen = await target.patch(status, [{"op": "add", "path": "/status/conditions", "value": theirs}])
    assert seen.code == 200
    before = seen.body["status"]["conditions"]
    row = {"type": "example.com/gate", "status": "True", "lastProbeTime": None, "lastTransitionTime": None}
    patch = [
        {"op": "test", "path": "/status/conditions", "value": before},
        {"op": "add", "path": "/status/conditions/-", "value": row},
    ]
    answer = await target.patch(status, patch)
    assert [item["type"] for item in answer.body["status"]["conditions"]] == ["Ready", "example.com/gate"]
    assert (await target.patch(status, patch)).error == NOT_APPLICABLE


@pytest.mark.parametrize("deep", [[None], [1, None], [[None]]], ids=str)
async def test_a_test_of_a_null_in_a_list_is_never_answered_but_the_version_guards_as_well(
    target: Target, deep: Any
) -> None:
    """The server's patch library crashes on it (evanphx/json-patch); nulls in objects are compared like anything."""
    vmi = await target.vmi()
    disks = "/spec/domain/devices/disks"
    value = [{"name": "a", "deep": deep, "fine": {"b": None}}]
    vmi = await _patch(target, vmi, {"op": "add", "path": disks, "value": value})
    assert vmi["spec"]["domain"]["devices"]["disks"] == value
    with pytest.raises(Unavailable):
        await _patch(target, vmi, {"op": "test", "path": disks, "value": value})
    name, version = vmi["metadata"]["name"], vmi["metadata"]["resourceVersion"]
    guarded = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "add", "path": disks, "value": [{"name": "b"}]},
    ]
    changed = await target.api.patch(VIRTUAL_MACHINE_INSTANCES, guarded, name=name, namespace=NAMESPACE)
    assert changed["spec"]["domain"]["devices"]["disks"] == [{"name": "b"}]
    with pytest.raises(Stale):
        await target.api.patch(VIRTUAL_MACHINE_INSTANCES, guarded, name=name, namespace=NAMESPACE)
