"""What a status patch costs kube-apiserver, under several schemas of its CRD and in several forms.

Each schema is installed side by side in an API group of its own, with the same objects, and the patches go round the
groups in blocks: a machine that gets slower gets slower for all. The objects are those that nicplug has made: a
running VM with four secondary NICs, and its instance. Its operator is stopped before anything is measured.
"""

import asyncio
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tests.perf import resources, rules, scenarios
from tests.perf.results import summary
from tests.perf.rules import RulesShape
from tests.perf.schema_variants import BEFORE, VARIANTS, definition
from tests.perf.world import NAMESPACE, VIRTUAL_MACHINES, Cluster, Say, World, cluster, connected, make_network

from nicplug_sandbox import operator_process
from nicplug_sandbox.node import go_json
from nicplug_sandbox.node.api import APPLY_PATCH, JSON_PATCH, VIRTUAL_MACHINE_INSTANCES, Json, Resource

CRDS = Resource(prefix="/apis/apiextensions.k8s.io/v1", plural="customresourcedefinitions", namespaced=False)
APISERVER = "kube-apiserver"
MERGE_PATCH = "application/merge-patch+json"
_VM = "schemas"
_PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaShape:
    """How much of everything.

    Attributes:
        nics: secondary ones of the VM.
        rounds: how often each schema has its turn.
        patches: of each turn.
        against: a commit, whose schemas are measured as well.
        rules: of the comparison with and without rules of admission.
    """

    nics: int = 4
    rounds: int = 7
    patches: int = 60
    against: str = ""
    rules: RulesShape = field(default_factory=RulesShape)


QUICK = SchemaShape(rounds=1, patches=5, rules=rules.QUICK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A way to ask for the same change of a status.

    Attributes:
        body: made from the target, what its conditions are, and what they shall be.
        query: of the request.
    """

    what: str
    content_type: str
    body: Callable[["_Target", list[Json], list[Json]], Any]
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    resource: Resource
    kind: str
    status: Json


@dataclass(slots=True)
class _Figures:
    cpu: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    allocated: list[float] = field(default_factory=list)


def _json_patch(_target: _Target, seen: list[Json], wanted: list[Json]) -> list[Json]:
    return [
        {"op": "test", "path": "/status/conditions", "value": seen},
        {"op": "add", "path": "/status/conditions", "value": wanted},
    ]


def _merge_patch(_target: _Target, _seen: list[Json], wanted: list[Json]) -> Json:
    return {"status": {"conditions": wanted}}


def _applied(target: _Target, _seen: list[Json], wanted: list[Json]) -> Json:
    version = target.resource.prefix.removeprefix("/apis/")
    status = {**target.status, "conditions": wanted}
    return {"apiVersion": version, "kind": target.kind, "metadata": {"name": _VM}, "status": status}


APPLY = "apply"
_UNCHECKED = {"fieldValidation": "Ignore"}
# The first is how nicplug asks.
FORMS: Mapping[str, Form] = {
    "unchecked": Form(
        what="JSON patch, fieldValidation=Ignore", content_type=JSON_PATCH, body=_json_patch, query=_UNCHECKED
    ),
    "json": Form(what="JSON patch", content_type=JSON_PATCH, body=_json_patch),
    "merge": Form(what="merge patch", content_type=MERGE_PATCH, body=_merge_patch),
    # Last of all: from then on the status has another owner.
    APPLY: Form(
        what="server-side apply of the whole status",
        content_type=APPLY_PATCH,
        body=_applied,
        query={"fieldManager": "bench", "force": "true"},
    ),
}
USUAL = FORMS["unchecked"]


def run(*, directory: Path, shape: SchemaShape, say: Say) -> dict[str, Any]:
    """Measure in a sandbox of its own.

    Raises:
        SandboxError: something did not start.
        TimeoutError: it did not come to its end.
    """
    with cluster(directory=directory, nodes=1, say=say) as found:
        return asyncio.run(_measure(found, shape, say=say))


async def _measure(found: Cluster, shape: SchemaShape, *, say: Say) -> dict[str, Any]:
    async with connected(found) as world:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            vm, vmi = await _running_vm(world, shape)
        operator_process.stop_operator(found.operator)
        say(f"schemas: a running VM with {shape.nics} secondary NICs")
        variants = [*VARIANTS, *([BEFORE] if shape.against else [])]
        bodies = {"VMI": ("virtualmachineinstances", vmi), "VM": ("virtualmachines", vm)}
        async with asyncio.timeout(_PATIENCE_SECONDS):
            targets = {
                (kind, variant): await _install(world, plural, body, variant=variant, against=shape.against)
                for kind, (plural, body) in bodies.items()
                for variant in variants
            }
        figures, forms = await _take_turns(world, targets, shape, say=say)
        patch = {
            kind: {name: {**_row(figures[kind, name]), **await _sizes(world, targets[kind, name])} for name in variants}
            for kind in bodies
        }
        cost = await rules.measure(world, found.admin, vm, vmi, shape.rules, say=say)
    return {
        "shape": asdict(shape),
        "patch": patch,
        "forms": {name: _row(forms[name]) for name in FORMS},
        "rules": cost,
        "objects": {kind: _weigh(body) for kind, (_, body) in bodies.items()},
    }


async def _take_turns(
    world: World, targets: Mapping[tuple[str, str], _Target], shape: SchemaShape, *, say: Say
) -> tuple[dict[tuple[str, str], _Figures], dict[str, _Figures]]:
    """The figures of each kind and schema, and those of each form of the request."""
    figures = {key: _Figures() for key in targets}
    forms = {name: _Figures() for name in FORMS}
    installed = targets["VMI", "installed"]
    for turn in range(shape.rounds):
        for key, target in targets.items():
            await _patch(world, target, USUAL, figures[key], shape=shape, turn=turn)
        for name, form in FORMS.items():
            if name != APPLY:
                await _patch(world, installed, form, forms[name], shape=shape, turn=turn)
        say(f"schemas: round {turn + 1} of {shape.rounds}")
    for turn in range(shape.rounds):
        await _patch(world, installed, FORMS[APPLY], forms[APPLY], shape=shape, turn=turn)
    return figures, forms


def _row(found: _Figures) -> dict[str, float]:
    return {
        "cpu_ms": round(statistics.median(found.cpu), 2),
        "p50_ms": summary(found.seconds)["p50"],
        "allocated_kb": round(statistics.median(found.allocated)),
    }


async def _running_vm(world: World, shape: SchemaShape) -> tuple[Json, Json]:
    """A VM with its NICs in the guest, and its instance, as the API server has them."""
    body = scenarios.vm_body(_VM)
    spec = body["spec"]["template"]["spec"]
    await world.api.create(VIRTUAL_MACHINES, body, namespace=NAMESPACE)
    await _wait(world, VIRTUAL_MACHINE_INSTANCES, lambda vmi: vmi.get("status", {}).get("phase") == "Running")
    names = [f"nic{number}" for number in range(shape.nics)]
    for name in names:
        await make_network(world.api, name=name)
    operations = [
        {"op": "add", "path": "/spec/template/spec/domain/devices/interfaces",
         "value": [*spec["domain"]["devices"]["interfaces"], *({"name": name, "bridge": {}} for name in names)]},
        {"op": "add", "path": "/spec/template/spec/networks",
         "value": [*spec["networks"], *({"name": name, "multus": {"networkName": name}} for name in names)]},
    ]  # fmt: skip
    await world.api.patch(VIRTUAL_MACHINES, operations, name=_VM, namespace=NAMESPACE, content_type=JSON_PATCH)

    def is_ready(vmi: Json) -> bool:
        records = vmi.get("status", {}).get("interfaceOperations") or []
        return [item["phase"] for item in records] == ["Ready"] * shape.nics

    vmi = await _wait(world, VIRTUAL_MACHINE_INSTANCES, is_ready)
    return await world.api.get(VIRTUAL_MACHINES, name=_VM, namespace=NAMESPACE), vmi


async def _wait(world: World, resource: Resource, is_right: Callable[[Json], bool]) -> Json:
    while True:
        found = {item["metadata"]["name"]: item for item in (await world.api.list(resource, params={}))["items"]}
        if _VM in found and is_right(found[_VM]):
            body: Json = found[_VM]
            return body
        await asyncio.sleep(_POLL_SECONDS)


async def _install(world: World, plural: str, body: Json, *, variant: str, against: str) -> _Target:
    """The CRD in a group of its own, and the object in it."""
    group = f"{variant}.schemas.test"
    crd = definition(plural, variant=variant, against=against)
    crd["metadata"] = {"name": f"{plural}.{group}"}
    crd["spec"]["group"] = group
    await world.api.create(CRDS, crd)
    while True:
        if _is_served(await world.api.get(CRDS, name=crd["metadata"]["name"])):
            break
        await asyncio.sleep(_POLL_SECONDS)
    target = _Target(
        resource=Resource(prefix=f"/apis/{group}/v1", plural=plural), kind=body["kind"], status=body["status"]
    )
    kept = {name: body["metadata"].get(name) for name in ("name", "labels", "annotations", "finalizers")}
    created = {"apiVersion": f"{group}/v1", "kind": body["kind"], "metadata": kept, "spec": body["spec"]}
    await world.api.create(target.resource, created, namespace=NAMESPACE)
    await _send(world, target, FORMS["json"], [{"op": "add", "path": "/status", "value": body["status"]}])
    return target


def _is_served(crd: Json) -> bool:
    conditions = crd.get("status", {}).get("conditions") or []
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)


async def _send(world: World, target: _Target, form: Form, body: Any) -> Json:
    path = target.resource.path(namespace=NAMESPACE, name=_VM, subresource="status")
    return await world.api.request("PATCH", path, params=form.query, body=body, content_type=form.content_type)


async def _patch(
    world: World, target: _Target, form: Form, figures: _Figures, *, shape: SchemaShape, turn: int
) -> None:
    """One turn: how many seconds each patch took, and the CPU milliseconds and KB of kube-apiserver for one."""
    clock = asyncio.get_running_loop().time
    seen = (await world.api.get(target.resource, name=_VM, namespace=NAMESPACE))["status"]["conditions"]
    # Asking allocates, too: as much again is taken off.
    first = await _allocated(world)
    asking = (second := await _allocated(world)) - first
    before = resources.snapshot(world.processes)
    for number in range(shape.patches):
        message = f"turn {turn}, patch {number}, {form.what}"
        wanted = [{**item, "message": message} for item in target.status["conditions"]]
        began = clock()
        await _send(world, target, form, form.body(target, seen, wanted))
        figures.seconds.append(clock() - began)
        seen = wanted
    used = resources.spent(before, resources.snapshot(world.processes))[APISERVER].cpu_seconds
    figures.cpu.append(used * 1000 / shape.patches)
    figures.allocated.append((await _allocated(world) - second - asking) / 1024 / shape.patches)


async def _allocated(world: World) -> float:
    """Bytes that kube-apiserver has allocated since its start: steadier than CPU time, of which they are the cause."""
    found = re.search(rb"^go_memstats_alloc_bytes_total (\S+)$", await world.api.text("/metrics"), re.MULTILINE)
    return float(found[1]) if found is not None else 0.0


async def _sizes(world: World, target: _Target) -> dict[str, int]:
    return _weigh(await world.api.get(target.resource, name=_VM, namespace=NAMESPACE))


def _weigh(body: Json) -> dict[str, int]:
    """Bytes of the object as compact JSON, and of its managedFields in it."""
    managed = body["metadata"].get("managedFields") or []
    return {"bytes": len(go_json.encode(body)), "managed_fields": len(go_json.encode(managed))}


def show(found: dict[str, Any], *, console: Console) -> None:
    """The tables of the schemas and of the forms, and the sizes of the objects."""
    nics = found["shape"]["nics"]
    for kind, rows in found["patch"].items():
        title = f"One status patch of a {kind} with {nics} secondary NICs, by schema"
        _show_rows(title, ((_name(found, name), row) for name, row in rows.items()), console=console)
    forms = ((FORMS[name].what, row) for name, row in found["forms"].items())
    _show_rows("The same change of a VMI, by the form of the request", forms, console=console)
    rules.show(found["rules"], console=console)
    for kind, one in found["objects"].items():
        console.print(f"{kind} as nicplug leaves it: {one['bytes']:,} B, {one['managed_fields']:,} B of managedFields")


def _name(found: dict[str, Any], variant: str) -> str:
    if variant == BEFORE:
        return f"The CRD of commit {found['shape']['against']}."
    return (VARIANTS[variant].__doc__ or variant).splitlines()[0]


_SIZES: Sequence[tuple[str, str]] = (("object", "bytes"), ("of it managedFields", "managed_fields"))


def _show_rows(title: str, rows: Iterable[tuple[str, Mapping[str, Any]]], *, console: Console) -> None:
    rows = list(rows)
    sizes = [(heading, member) for heading, member in _SIZES if member in rows[0][1]]
    table = Table(title=title, title_justify="left")
    for heading in ("", "kube-apiserver CPU", "allocated", "p50", *(heading for heading, _ in sizes)):
        table.add_column(heading, justify="right" if heading else "left")
    for what, row in rows:
        figures = (f"{row['cpu_ms']:.1f} ms", f"{row['allocated_kb']:,.0f} KB", f"{row['p50_ms']:.1f} ms")
        table.add_row(what, *figures, *(f"{row[member]:,} B" for _, member in sizes))
    console.print(table)
