"""Facts about deleting, reading and listing."""

import pytest
from tests.conformance.target import NAMESPACE, PODS_PATH, VMIS, Target, path_of, unique

from nicplug.kube.errors import Gone, Rejected, Stale
from nicplug.kube.resources import NETWORK_ATTACHMENT_DEFINITIONS, PODS, VIRTUAL_MACHINE_INSTANCES


async def test_a_missing_object_is_404(target: Target) -> None:
    name = unique("vmi")
    answer = await target.send("GET", f"{VMIS}/{name}")
    assert answer.error == (404, "NotFound", f'virtualmachineinstances.kubevirt.io "{name}" not found')
    for request in (
        target.api.get(VIRTUAL_MACHINE_INSTANCES, name=name, namespace=NAMESPACE),
        target.api.delete(VIRTUAL_MACHINE_INSTANCES, name=name, namespace=NAMESPACE),
    ):
        with pytest.raises(Gone):
            await request


async def test_deleting_without_finalizers_removes_at_once_and_answers_success(target: Target) -> None:
    vmi = await target.vmi()
    answer = await target.send("DELETE", path_of(VIRTUAL_MACHINE_INSTANCES, vmi))
    assert answer.body["status"] == "Success"
    assert answer.body["details"] == {
        "name": vmi["metadata"]["name"],
        "group": "kubevirt.io",
        "kind": "virtualmachineinstances",
        "uid": vmi["metadata"]["uid"],
    }
    assert (await target.send("GET", path_of(VIRTUAL_MACHINE_INSTANCES, vmi))).code == 404


async def test_finalizers_keep_the_object_until_the_last_is_removed(target: Target) -> None:
    vmi = await target.vmi(finalizers=["nicplug.io/a", "nicplug.io/b"])
    path = path_of(VIRTUAL_MACHINE_INSTANCES, vmi)
    marked = (await target.send("DELETE", path)).body
    assert marked["metadata"]["deletionTimestamp"]
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 0
    assert marked["metadata"]["generation"] == 2
    first = await target.patch(path, [{"op": "remove", "path": "/metadata/finalizers/0"}])
    assert first.body["metadata"]["finalizers"] == ["nicplug.io/b"]
    last = await target.patch(path, [{"op": "remove", "path": "/metadata/finalizers"}])
    assert last.code == 200
    assert (await target.send("GET", path)).code == 404


async def test_deleting_twice_changes_nothing(target: Target) -> None:
    vmi = await target.vmi(finalizers=["nicplug.io/a"])
    path = path_of(VIRTUAL_MACHINE_INSTANCES, vmi)
    first, second = (await target.send("DELETE", path)).body, (await target.send("DELETE", path)).body
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    await target.patch(path, [{"op": "remove", "path": "/metadata/finalizers"}])


async def test_deleting_for_another_uid_is_409_and_deletes_nothing(target: Target) -> None:
    vmi = await target.vmi()
    name, uid = vmi["metadata"]["name"], vmi["metadata"]["uid"]
    answer = await target.send("DELETE", path_of(VIRTUAL_MACHINE_INSTANCES, vmi), {"preconditions": {"uid": "other"}})
    message = (
        f'Operation cannot be fulfilled on VirtualMachineInstance.kubevirt.io "{name}": '
        f"the UID in the precondition (other) does not match the UID in record ({uid}). "
        "The object might have been deleted and then recreated"
    )
    assert answer.error == (409, "Conflict", message)
    with pytest.raises(Gone):
        await target.api.delete(VIRTUAL_MACHINE_INSTANCES, name=name, namespace=NAMESPACE, uid="other")
    await target.api.delete(VIRTUAL_MACHINE_INSTANCES, name=name, namespace=NAMESPACE, uid=uid)


async def test_deleting_another_version_is_a_conflict_but_not_for_the_uid(target: Target) -> None:
    vmi = await target.vmi()
    path = path_of(VIRTUAL_MACHINE_INSTANCES, vmi)
    answer = await target.send("DELETE", path, {"preconditions": {"resourceVersion": "1"}})
    assert answer.error[:2] == (409, "Conflict")
    assert "the ResourceVersion in the precondition (1)" in answer.error[2]


async def test_a_pod_without_a_node_is_removed_at_once_and_answered(target: Target) -> None:
    pod = await target.pod()
    answer = await target.send("DELETE", path_of(PODS, pod))
    assert answer.body["kind"] == "Pod"
    assert answer.body["metadata"]["deletionGracePeriodSeconds"] == 0
    assert (await target.send("GET", path_of(PODS, pod))).code == 404


async def test_items_of_built_in_lists_have_no_kind_and_custom_ones_have(target: Target) -> None:
    await target.vmi()
    await target.pod()
    pods = await target.api.list(PODS, namespace=NAMESPACE)
    vmis = await target.api.list(VIRTUAL_MACHINE_INSTANCES, namespace=NAMESPACE)
    assert pods["kind"] == "PodList"
    assert "kind" not in pods["items"][0]
    assert vmis["kind"] == "VirtualMachineInstanceList"
    assert vmis["items"][0]["kind"] == "VirtualMachineInstance"
    assert int(vmis["metadata"]["resourceVersion"]) >= int(vmis["items"][0]["metadata"]["resourceVersion"])


async def test_lists_are_ordered_by_name_and_cut_into_pages(target: Target) -> None:
    label = unique("page")
    for letter in "cab":
        await target.vmi(name=f"{letter}-{label}", labels={"page": label})
    names: list[str] = []
    token: str | None = None
    versions: set[str] = set()
    while token is None or token:
        page = await target.api.list(
            VIRTUAL_MACHINE_INSTANCES,
            namespace=NAMESPACE,
            label_selector=f"page={label}",
            limit=1,
            continue_token=token,
        )
        names += [item["metadata"]["name"] for item in page["items"]]
        versions.add(page["metadata"]["resourceVersion"])
        # There may be a token after the last match, and then an empty page: what follows is not looked at.
        token = page["metadata"].get("continue", "")
    assert names == [f"a-{label}", f"b-{label}", f"c-{label}"]
    assert len(versions) == 1


async def test_later_pages_show_the_collection_as_it_was(target: Target) -> None:
    label = unique("snapshot")
    for letter in "ac":
        await target.vmi(name=f"{letter}-{label}", labels={"page": label})
    first = await target.api.list(
        VIRTUAL_MACHINE_INSTANCES, namespace=NAMESPACE, label_selector=f"page={label}", limit=1
    )
    await target.vmi(name=f"b-{label}", labels={"page": label})
    rest = await target.api.list(
        VIRTUAL_MACHINE_INSTANCES,
        namespace=NAMESPACE,
        label_selector=f"page={label}",
        limit=10,
        continue_token=first["metadata"]["continue"],
    )
    assert [item["metadata"]["name"] for item in rest["items"]] == [f"c-{label}"]


@pytest.mark.parametrize("query", ["continue=abc", "limit=x", "fieldSelector=spec.x%3D1"])
async def test_a_query_that_makes_no_sense_is_400(target: Target, query: str) -> None:
    assert (await target.send("GET", f"{VMIS}?{query}")).error[:2] == (400, "BadRequest")
    with pytest.raises(Rejected):
        await target.api.list(VIRTUAL_MACHINE_INSTANCES, namespace=NAMESPACE, continue_token="abc")


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("test={t}", "abc"),
        ("test={t},tier=1", "a"),
        ("test={t},tier!=1", "bc"),
        ("test={t},tier", "ab"),
        ("test={t},!tier", "c"),
        ("test={t},tier in (1, 2)", "ab"),
        ("test={t},tier notin (1)", "bc"),
        ("test=={t},tier==2", "b"),
    ],
)
async def test_label_selectors(target: Target, selector: str, expected: str) -> None:
    test = unique("labels")
    for letter, tier in (("a", {"tier": "1"}), ("b", {"tier": "2"}), ("c", {})):
        await target.vmi(name=f"{letter}-{test}", labels={"test": test, **tier})
    found = await target.api.list(
        VIRTUAL_MACHINE_INSTANCES, namespace=NAMESPACE, label_selector=selector.format(t=test)
    )
    assert "".join(item["metadata"]["name"][0] for item in found["items"]) == expected


async def test_field_selectors_of_pods(target: Target) -> None:
    pod = await target.pod()
    name = pod["metadata"]["name"]
    for selector, count in (
        (f"metadata.name={name},spec.nodeName=,status.phase=Pending", 1),
        (f"metadata.name={name},status.phase!=Pending", 0),
    ):
        answer = await target.send("GET", f"{PODS_PATH}?fieldSelector={selector.replace('=', '%3D')}")
        assert len(answer.body["items"]) == count


async def test_metadata_only_lists(target: Target) -> None:
    label = unique("metadata")
    await target.vmi(labels={"test": label})
    found = await target.api.list(
        VIRTUAL_MACHINE_INSTANCES, namespace=NAMESPACE, label_selector=f"test={label}", metadata_only=True
    )
    assert (found["kind"], found["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
    (item,) = found["items"]
    assert item["kind"] == "PartialObjectMetadata"
    assert item["metadata"]["uid"]
    assert "spec" not in item


async def test_a_patch_is_answered_with_the_metadata_alone(target: Target) -> None:
    """And the object is changed as by any other."""
    vmi = await target.vmi()
    name, path = vmi["metadata"]["name"], path_of(VIRTUAL_MACHINE_INSTANCES, vmi)
    label = [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    answer = await target.send("PATCH", path, label, content_type="application/json-patch+json", accept=accept)
    assert (answer.code, answer.body["kind"], answer.body["apiVersion"]) == (
        200,
        "PartialObjectMetadata",
        "meta.k8s.io/v1",
    )
    assert (answer.body["metadata"]["labels"], "spec" in answer.body) == ({"a": "b"}, False)
    await target.api.patch_unread(
        VIRTUAL_MACHINE_INSTANCES,
        [{"op": "replace", "path": "/metadata/labels/a", "value": "c"}],
        name=name,
        namespace=NAMESPACE,
    )
    found = await target.api.get(VIRTUAL_MACHINE_INSTANCES, name=name, namespace=NAMESPACE)
    assert (found["metadata"]["labels"], "spec" in found) == ({"a": "c"}, True)
    guard = [{"op": "test", "path": "/metadata/labels/a", "value": "b"}]
    with pytest.raises(Stale):
        await target.api.patch_unread(VIRTUAL_MACHINE_INSTANCES, guard, name=name, namespace=NAMESPACE)


async def test_an_unknown_representation_is_406(target: Target) -> None:
    answer = await target.send("GET", VMIS, accept="application/json;as=Nonsense;g=meta.k8s.io;v=v1")
    assert answer.code == 406


async def test_a_kind_without_status_subresource_answers_404_for_it(target: Target) -> None:
    body = {"metadata": {"name": unique("nad")}, "spec": {"config": "{}"}}
    nad = await target.api.create(NETWORK_ATTACHMENT_DEFINITIONS, body, namespace=NAMESPACE)
    path = path_of(NETWORK_ATTACHMENT_DEFINITIONS, nad, subresource="status")
    assert (await target.send("GET", path)).code == 404


async def test_discovery_names_the_kind_and_its_subresource(target: Target) -> None:
    group = next(
        group for group in (await target.send("GET", "/apis")).body["groups"] if group["name"] == "kubevirt.io"
    )
    assert group["preferredVersion"]["version"] == "v1"
    rows = {row["name"]: row for row in (await target.send("GET", "/apis/kubevirt.io/v1")).body["resources"]}
    vmis = rows["virtualmachineinstances"]
    assert (vmis["kind"], vmis["namespaced"], vmis["shortNames"]) == (
        "VirtualMachineInstance",
        True,
        ["vmi", "vmis"],
    )
    assert {"list", "watch", "patch"} <= set(vmis["verbs"])
    assert "virtualmachineinstances/status" in rows
    assert (await target.send("GET", "/version")).body["minor"] == "37"


async def test_an_expired_continue_token_is_stale(target: Target) -> None:
    """On the fake only: a real one keeps its history for five minutes."""
    if target.name != "fake":
        pytest.skip("the history of a real API server cannot be cut short through its API")
    for _ in range(2):
        await target.vmi()
    page = await target.api.list(VIRTUAL_MACHINE_INSTANCES, namespace=NAMESPACE, limit=1)
    target.forget_history()
    with pytest.raises(Stale) as raised:
        await target.api.list(
            VIRTUAL_MACHINE_INSTANCES,
            namespace=NAMESPACE,
            limit=1,
            continue_token=page["metadata"]["continue"],
        )
    assert (raised.value.status, raised.value.reason) == (410, "Expired")
