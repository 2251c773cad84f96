"""Facts about creating and replacing objects."""

from typing import Any

import pytest
from tests.conformance.target import (
    EVENTS_PATH,
    LEASES_PATH,
    NAMESPACE,
    PODS_PATH,
    VMIS,
    Target,
    event_body,
    lease_body,
    path_of,
    pod_body,
    unique,
    vmi_spec,
)

from nicplug.kube.api import Resource
from nicplug.kube.errors import AlreadyExists, Gone, Rejected, Stale, Unavailable
from nicplug.kube.resources import CONTROLLER_REVISIONS, EVENTS, LEASES, PODS, VIRTUAL_MACHINE_INSTANCES

VMI = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance"}


async def test_the_server_sets_uid_version_generation_and_time(target: Target) -> None:
    vmi = await target.vmi(uid="mine", generation=7)
    metadata = vmi["metadata"]
    assert metadata["uid"] != "mine"
    assert len(metadata["uid"]) == 36
    assert int(metadata["resourceVersion"]) > 0
    assert metadata["generation"] == 1
    assert metadata["creationTimestamp"].endswith("Z")
    assert metadata["namespace"] == NAMESPACE


async def test_generate_name_is_completed_by_five_characters(target: Target) -> None:
    vmi = await target.vmi(name=None, generateName="vmi-generated-")
    prefix, _, suffix = vmi["metadata"]["name"].rpartition("-")
    assert prefix == "vmi-generated"
    assert len(suffix) == 5


async def test_versions_of_one_server_grow(target: Target) -> None:
    first, second = await target.vmi(), await target.pod()
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])


@pytest.mark.parametrize("resource", [VIRTUAL_MACHINE_INSTANCES, PODS], ids=["custom", "pod"])
async def test_status_is_dropped_at_creation(target: Target, resource: Resource) -> None:
    body = pod_body() if resource is PODS else {"metadata": {"name": unique("vmi")}, "spec": vmi_spec()}
    created = await target.api.create(resource, {**body, "status": {"phase": "Running"}}, namespace=NAMESPACE)
    assert created.get("status", {}).get("phase") == ("Pending" if resource is PODS else None)


async def test_a_taken_name_is_409_already_exists(target: Target) -> None:
    vmi = await target.vmi()
    name = vmi["metadata"]["name"]
    answer = await target.send("POST", VMIS, {**VMI, "metadata": {"name": name}, "spec": vmi_spec()})
    assert answer.error == (409, "AlreadyExists", f'virtualmachineinstances.kubevirt.io "{name}" already exists')
    with pytest.raises(AlreadyExists):
        await target.vmi(name=name)


async def test_a_missing_namespace_is_404(target: Target) -> None:
    answer = await target.send(
        "POST", VMIS.replace(NAMESPACE, "missing"), {**VMI, "metadata": {"name": "x"}, "spec": vmi_spec()}
    )
    assert answer.error == (404, "NotFound", 'namespaces "missing" not found')


async def test_another_namespace_in_the_body_is_400(target: Target) -> None:
    with pytest.raises(Rejected) as raised:
        await target.vmi(namespace="kube-system")
    assert raised.value.status == 400
    assert "does not match the namespace sent" in str(raised.value)


async def test_a_name_is_required(target: Target) -> None:
    answer = await target.send("POST", VMIS, {**VMI, "metadata": {}, "spec": vmi_spec()})
    assert answer.code == 422
    assert answer.causes == {("FieldValueRequired", "metadata.name")}


async def test_a_version_must_not_be_set_at_creation(target: Target) -> None:
    with pytest.raises(Unavailable) as raised:
        await target.vmi(resourceVersion="5")
    assert (raised.value.status, raised.value.reason) == (500, "")


async def test_custom_resources_must_say_their_kind_and_pods_need_not(target: Target) -> None:
    answer = await target.send("POST", VMIS, {"metadata": {"name": unique("vmi")}, "spec": vmi_spec()})
    assert answer.error[:2] == (400, "BadRequest")
    body = {key: value for key, value in pod_body().items() if key in ("metadata", "spec")}
    assert (await target.send("POST", PODS_PATH, body)).code == 201


async def test_the_wrong_kind_is_422_for_custom_resources_and_400_for_pods(target: Target) -> None:
    wrong = {**VMI, "kind": "VirtualMachine", "metadata": {"name": unique("vmi")}, "spec": vmi_spec()}
    answer = await target.send("POST", VMIS, wrong)
    assert (answer.code, answer.causes) == (422, {("FieldValueInvalid", "kind")})
    assert (await target.send("POST", PODS_PATH, {**pod_body(), "kind": "Node"})).code == 400


async def test_no_json_is_400(target: Target) -> None:
    assert (await target.send("POST", VMIS, raw=b"{not json")).error[:2] == (400, "BadRequest")


async def test_schema_violations_are_422_with_causes(target: Target) -> None:
    bodies: dict[tuple[str, str], dict[str, Any]] = {
        ("FieldValueTypeInvalid", "spec.domain"): {"spec": {"domain": 5}},
        ("FieldValueRequired", "spec"): {},
        ("FieldValueDuplicate", "spec.networks[1]"): {
            "spec": {
                "domain": {"devices": {"interfaces": [{"name": "n", "bridge": {}}]}},
                "networks": [{"name": "n", "multus": {"networkName": "n"}}] * 2,
            }
        },
    }
    for cause, body in bodies.items():
        answer = await target.send("POST", VMIS, {**VMI, "metadata": {"name": unique("vmi")}, **body})
        assert (answer.code, answer.causes) == (422, {cause})


async def test_unknown_fields_are_pruned_without_a_word(target: Target) -> None:
    body = {**VMI, "metadata": {"name": unique("vmi")}, "spec": vmi_spec(), "unknown": 1}
    answer = await target.send("POST", VMIS, body)
    assert answer.code == 201
    assert "unknown" not in answer.body


async def test_a_put_with_the_latest_version_replaces_and_bumps_the_generation(target: Target) -> None:
    vmi = await target.vmi()
    vmi["spec"]["terminationGracePeriodSeconds"] = 5
    replaced = await target.api.replace(
        VIRTUAL_MACHINE_INSTANCES, vmi, name=vmi["metadata"]["name"], namespace=NAMESPACE
    )
    assert replaced["metadata"]["generation"] == 2
    assert int(replaced["metadata"]["resourceVersion"]) > int(vmi["metadata"]["resourceVersion"])


async def test_a_put_with_an_old_version_is_409_conflict(target: Target) -> None:
    vmi = await target.vmi()
    name = vmi["metadata"]["name"]
    answer = await target.send("PUT", path_of(VIRTUAL_MACHINE_INSTANCES, vmi), _with(vmi, resourceVersion="1"))
    text = "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on virtualmachineinstances.kubevirt.io "{name}": {text}'
    assert answer.error == (409, "Conflict", message)
    with pytest.raises(Stale):
        await target.api.replace(
            VIRTUAL_MACHINE_INSTANCES, _with(vmi, resourceVersion="1"), name=name, namespace=NAMESPACE
        )


async def test_a_put_without_a_version_is_422_for_custom_resources_and_leases_not_for_pods(
    target: Target,
) -> None:
    vmi, pod = await target.vmi(), await target.pod()
    lease = await target.api.create(LEASES, lease_body(), namespace=NAMESPACE)
    expected = {VIRTUAL_MACHINE_INSTANCES: 422, LEASES: 422, PODS: 200}
    found = {
        resource: (await target.send("PUT", path_of(resource, body), _with(body, resourceVersion=None))).code
        for resource, body in ((VIRTUAL_MACHINE_INSTANCES, vmi), (LEASES, lease), (PODS, pod))
    }
    assert found == expected


async def test_a_put_for_another_uid_is_409(target: Target) -> None:
    vmi = await target.vmi()
    answer = await target.send("PUT", path_of(VIRTUAL_MACHINE_INSTANCES, vmi), _with(vmi, uid="other"))
    assert answer.error[:2] == (409, "Conflict")
    assert "UID in precondition: other" in answer.error[2]


async def test_a_put_for_another_name_is_400(target: Target) -> None:
    vmi = await target.vmi()
    answer = await target.send("PUT", path_of(VIRTUAL_MACHINE_INSTANCES, vmi), _with(vmi, name="other"))
    assert answer.error[:2] == (400, "BadRequest")


async def test_a_put_that_changes_nothing_writes_nothing(target: Target) -> None:
    vmi = await target.vmi()
    same = await target.api.replace(VIRTUAL_MACHINE_INSTANCES, vmi, name=vmi["metadata"]["name"], namespace=NAMESPACE)
    assert same["metadata"]["resourceVersion"] == vmi["metadata"]["resourceVersion"]


async def test_a_put_of_a_missing_object_creates_leases_only(target: Target) -> None:
    lease, vmi = lease_body(), {**VMI, "metadata": {"name": unique("vmi"), "resourceVersion": "1"}, "spec": vmi_spec()}
    assert (await target.send("PUT", f"{LEASES_PATH}/{lease['metadata']['name']}", lease)).code == 201
    assert (await target.send("PUT", path_of(VIRTUAL_MACHINE_INSTANCES, vmi), vmi)).error[:2] == (404, "NotFound")


async def test_a_put_of_a_lease_that_was_deleted_is_409(target: Target) -> None:
    lease = lease_body(uid="5e6a4a3c-0000-4000-8000-000000000000", resourceVersion="1")
    with pytest.raises(Stale):
        await target.api.replace(LEASES, lease, name=lease["metadata"]["name"], namespace=NAMESPACE)


async def test_a_lease_can_be_released_and_has_no_generation(target: Target) -> None:
    lease = await target.api.create(LEASES, lease_body(), namespace=NAMESPACE)
    assert "generation" not in lease["metadata"]
    lease["spec"] |= {"holderIdentity": "", "renewTime": None, "leaseDurationSeconds": 1}
    released = await target.api.replace(LEASES, lease, name=lease["metadata"]["name"], namespace=NAMESPACE)
    assert not released["spec"].get("holderIdentity")
    assert released["spec"].get("renewTime") is None


async def test_events_are_as_the_recorder_writes_them(target: Target) -> None:
    assert (await target.send("POST", EVENTS_PATH, event_body())).code == 201


async def test_an_event_takes_a_series_by_patch(target: Target) -> None:
    event = await target.api.create(EVENTS, event_body(), namespace=NAMESPACE)
    series = {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}
    patched = await target.api.patch(
        EVENTS,
        [{"op": "add", "path": "/series", "value": series}],
        name=event["metadata"]["name"],
        namespace=NAMESPACE,
    )
    assert patched["series"] == series


async def test_labels_and_annotations_do_not_count_as_a_generation(target: Target) -> None:
    vmi = await target.vmi()
    patched = await target.api.patch(
        VIRTUAL_MACHINE_INSTANCES,
        [{"op": "add", "path": "/metadata/labels", "value": {"kubevirt.io/nodeName": "node01"}}],
        name=vmi["metadata"]["name"],
        namespace=NAMESPACE,
    )
    assert patched["metadata"]["generation"] == 1
    assert patched["metadata"]["resourceVersion"] != vmi["metadata"]["resourceVersion"]


async def test_the_spec_of_a_pod_cannot_be_changed(target: Target) -> None:
    pod = await target.pod()
    answer = await target.patch(path_of(PODS, pod), [{"op": "add", "path": "/spec/hostname", "value": "x"}])
    assert (answer.code, answer.causes) == (422, {("FieldValueForbidden", "spec")})


async def test_finalizers_cannot_be_added_to_what_is_being_deleted(target: Target) -> None:
    vmi = await target.vmi(finalizers=["nicplug.io/test"])
    await target.api.delete(VIRTUAL_MACHINE_INSTANCES, name=vmi["metadata"]["name"], namespace=NAMESPACE)
    path = path_of(VIRTUAL_MACHINE_INSTANCES, vmi)
    answer = await target.patch(path, [{"op": "add", "path": "/metadata/finalizers/-", "value": "nicplug.io/b"}])
    assert (answer.code, answer.causes) == (422, {("FieldValueForbidden", "metadata.finalizers")})
    await target.patch(path, [{"op": "remove", "path": "/metadata/finalizers"}])


async def test_a_resource_that_is_not_served_is_404_without_a_status(target: Target) -> None:
    unknown = Resource(group="kubevirt.io", version="v1", plural="nonsense", kind="Nonsense")
    answer = await target.send("GET", unknown.path(namespace=NAMESPACE))
    assert (answer.code, answer.text.strip()) == (404, "404 page not found")
    with pytest.raises(Gone):
        await target.api.list(unknown, namespace=NAMESPACE)


def _with(body: dict[str, object], **metadata: str | None) -> dict[str, object]:
    """A copy with other metadata; None removes."""
    old = body["metadata"]
    assert isinstance(old, dict)
    merged = {**old, **metadata}
    return {**body, "metadata": {key: value for key, value in merged.items() if value is not None}}


async def test_metadata_of_a_revision_can_be_patched_although_its_data_may_never_change(target: Target) -> None:
    """The data is compared as text: sent in Python's JSON, every patch but a deletion would be refused for ever."""
    data = {"spec": {"b": 1, "a": {"text": "<é>", "list": [1, {"z": None, "y": 0.5}]}}}
    body = {"metadata": {"name": unique("revision"), "labels": {"a": "1"}}, "data": data, "revision": 1}
    made = await target.api.create(CONTROLLER_REVISIONS, body, namespace=NAMESPACE)
    # As the garbage collector does when an owner is deleted and its dependents are to stay.
    path, patch = path_of(CONTROLLER_REVISIONS, made), {"metadata": {"labels": {"a": None}}}
    answer = await target.patch(path, patch, content_type="application/merge-patch+json")
    assert answer.code == 200, answer.text
    assert answer.body["data"] == data
    assert not answer.body["metadata"].get("labels")
