"""Facts about watches."""

from tests.conformance.target import NAMESPACE, Target, path_of, unique

from nicplug.kube.resources import PODS, VIRTUAL_MACHINE_INSTANCES


async def test_a_watch_continues_from_a_version(target: Target) -> None:
    first = await target.vmi()
    second = await target.vmi()
    version = first["metadata"]["resourceVersion"]
    async with target.watch(VIRTUAL_MACHINE_INSTANCES, resourceVersion=version) as stream:
        type_, found = await stream.next()
    assert (type_, found) == ("ADDED", second)


async def test_a_watch_without_a_version_begins_with_what_exists(target: Target) -> None:
    label = unique("watch")
    vmi = await target.vmi(labels={"watch": label})
    async with target.watch(VIRTUAL_MACHINE_INSTANCES, labelSelector=f"watch={label}") as stream:
        assert await stream.next() == ("ADDED", vmi)


async def test_changes_arrive_with_kind_and_in_order(target: Target) -> None:
    pod = await target.pod(labels={"watch": "order"}, annotations={"a": "0"})
    version = pod["metadata"]["resourceVersion"]
    selector = f"metadata.name={pod['metadata']['name']}"
    for number in "12":
        await target.patch(path_of(PODS, pod), [{"op": "replace", "path": "/metadata/annotations/a", "value": number}])
    await target.send("DELETE", path_of(PODS, pod), {"gracePeriodSeconds": 0})
    async with target.watch(PODS, resourceVersion=version, fieldSelector=selector) as stream:
        found: list[tuple[str, str]] = []
        while not found or found[-1][0] != "DELETED":
            type_, body = await stream.next()
            assert (body["kind"], body["apiVersion"]) == ("Pod", "v1")
            found.append((type_, body["metadata"]["annotations"]["a"]))
    # The scheduler of a real cluster writes a condition in between.
    assert [item for index, item in enumerate(found) if index == 0 or item != found[index - 1]][-3:] == [
        ("MODIFIED", "1"),
        ("MODIFIED", "2"),
        ("DELETED", "2"),
    ]


async def test_the_last_event_of_an_object_has_a_version_of_its_own(target: Target) -> None:
    vmi = await target.vmi()
    version = vmi["metadata"]["resourceVersion"]
    await target.send("DELETE", path_of(VIRTUAL_MACHINE_INSTANCES, vmi))
    async with target.watch(VIRTUAL_MACHINE_INSTANCES, resourceVersion=version) as stream:
        type_, found = await stream.next()
    assert type_ == "DELETED"
    assert int(found["metadata"]["resourceVersion"]) > int(version)
    assert found["metadata"]["uid"] == vmi["metadata"]["uid"]


async def test_what_begins_or_ceases_to_match_is_added_or_deleted(target: Target) -> None:
    label = unique("watch")
    vmi = await target.vmi(labels={"other": "x"})
    version = vmi["metadata"]["resourceVersion"]
    path = path_of(VIRTUAL_MACHINE_INSTANCES, vmi)
    await target.patch(path, [{"op": "add", "path": "/metadata/labels/watch", "value": label}])
    await target.patch(path, [{"op": "add", "path": "/metadata/labels/other", "value": "y"}])
    await target.patch(path, [{"op": "remove", "path": "/metadata/labels/watch"}])
    query = {"labelSelector": f"watch={label}", "resourceVersion": version}
    async with target.watch(VIRTUAL_MACHINE_INSTANCES, **query) as stream:
        assert [(await stream.next())[0] for _ in range(3)] == ["ADDED", "MODIFIED", "DELETED"]


async def test_writes_that_change_nothing_are_not_seen(target: Target) -> None:
    label = unique("watch")
    vmi = await target.vmi(labels={"watch": label})
    query = {"labelSelector": f"watch={label}", "resourceVersion": vmi["metadata"]["resourceVersion"]}
    await target.patch(path_of(VIRTUAL_MACHINE_INSTANCES, vmi), [])
    async with target.watch(VIRTUAL_MACHINE_INSTANCES, timeoutSeconds="1", **query) as stream:
        assert await stream.ends()


async def test_a_version_that_is_too_old_is_an_error_410_inside_the_stream(target: Target) -> None:
    await target.vmi()
    target.forget_history()
    async with target.watch(VIRTUAL_MACHINE_INSTANCES, resourceVersion="1") as stream:
        type_, status = await stream.next()
        assert type_ == "ERROR"
        assert (status["code"], status["reason"]) == (410, "Expired")
        assert status["message"].startswith("too old resource version: 1 (")
        assert await stream.ends()


async def test_the_server_ends_a_watch_in_time(target: Target) -> None:
    vmi = await target.vmi()
    version = vmi["metadata"]["resourceVersion"]
    async with target.watch(VIRTUAL_MACHINE_INSTANCES, resourceVersion=version, timeoutSeconds="1") as stream:
        assert await stream.ends()


async def test_initial_events_end_with_a_marked_bookmark(target: Target) -> None:
    label = unique("watch")
    vmi = await target.vmi(labels={"watch": label})
    query = {
        "labelSelector": f"watch={label}",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
    }
    async with target.watch(VIRTUAL_MACHINE_INSTANCES, **query) as stream:
        assert (await stream.next())[0] == "ADDED"
        type_, bookmark = await stream.next()
    assert type_ == "BOOKMARK"
    assert bookmark["kind"] == "VirtualMachineInstance"
    assert bookmark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(bookmark["metadata"]["resourceVersion"]) >= int(vmi["metadata"]["resourceVersion"])


async def test_namespaces_are_kept_apart(target: Target) -> None:
    vmi = await target.vmi()
    body = {"metadata": {"name": unique("vmi")}, "spec": vmi["spec"]}
    await target.api.create(VIRTUAL_MACHINE_INSTANCES, body, namespace="default")
    mine = await target.vmi()
    version = vmi["metadata"]["resourceVersion"]
    async with target.watch(VIRTUAL_MACHINE_INSTANCES, resourceVersion=version) as stream:
        _, found = await stream.next()
    assert found["metadata"]["namespace"] == NAMESPACE
    assert found["metadata"]["name"] == mine["metadata"]["name"]


async def test_a_pod_that_loses_its_label_is_deleted_at_the_very_version_that_a_get_finds(target: Target) -> None:
    """Nothing in the line tells it from a pod that is gone: only a GET does."""
    label = unique("watch")
    pod = await target.pod(labels={"watch": label})
    version = pod["metadata"]["resourceVersion"]
    await target.patch(path_of(PODS, pod), [{"op": "remove", "path": "/metadata/labels/watch"}])
    async with target.watch(PODS, resourceVersion=version, labelSelector=f"watch={label}") as stream:
        type_, line = await stream.next()
        while type_ != "DELETED":  # the scheduler of a real cluster writes a condition in between
            type_, line = await stream.next()
    found = await target.api.get(PODS, name=pod["metadata"]["name"], namespace=NAMESPACE)
    assert "deletionTimestamp" not in line["metadata"]
    assert int(line["metadata"]["resourceVersion"]) <= int(found["metadata"]["resourceVersion"])
    assert found["metadata"]["uid"] == line["metadata"]["uid"]
