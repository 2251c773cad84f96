"""ControllerRevisions: the spec that a VM was started from (section 3.5). Pure."""

from nicplug_sandbox.kubevirt.objects import Json, name_of, namespace_of, owner_reference, uid_of
from nicplug_sandbox.kubevirt.writes import Write, create, write


def revision_name(vm: Json) -> str:
    """The name of the revision of a VM's present generation."""
    return f"{_prefix(vm)}-{generation_of(vm)}"


def generation_of(vm: Json) -> int:
    """metadata.generation."""
    return int(vm["metadata"].get("generation", 1))


def revisions_of(vm: Json, revisions: list[Json]) -> list[Json]:
    """The revisions of the VM's starts."""
    prefix = f"{_prefix(vm)}-"
    return [item for item in revisions if namespace_of(item) == namespace_of(vm) and name_of(item).startswith(prefix)]


def _prefix(vm: Json) -> str:
    return f"revision-start-vm-{uid_of(vm)}"


def started_from(vm: Json, revisions: list[Json]) -> Json | None:
    """The VM spec of the last start."""
    found = revisions_of(vm, revisions)
    last = max(found, key=lambda item: int(item["revision"]), default=None)
    return last["data"]["spec"] if last is not None else None


def named(name: str, revisions: list[Json]) -> Json | None:
    """The revision of that name."""
    return next((item for item in revisions if name_of(item) == name), None)


def record(vm: Json, revisions: list[Json]) -> list[Write]:
    """Before a start: away with the revisions of other generations, and one of this."""
    generation, known = generation_of(vm), revisions_of(vm, revisions)
    old = [write("delete", "ControllerRevision", item) for item in known if item["revision"] != generation]
    return old if len(old) < len(known) else [*old, create("ControllerRevision", _new(vm))]


def _new(vm: Json) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": revision_name(vm),
            "namespace": namespace_of(vm),
            "ownerReferences": [owner_reference(vm, "VirtualMachine")],
        },
        "data": {"spec": vm["spec"]},
        "revision": generation_of(vm),
    }
