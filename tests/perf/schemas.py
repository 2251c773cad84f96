"""What a status patch of a VirtualMachineInstance costs kube-apiserver, under several schemas of its CRD.

Each schema is installed side by side in an API group of its own, with the same object, and the patches go round the
groups in blocks: a machine that gets slower gets slower for all. The object is one that nicplug has made: a running VM
with four secondary NICs. Its operator is stopped before anything is measured.
"""

import asyncio
import copy
import json
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from tests.perf import resources, scenarios
from tests.perf.results import summary
from tests.perf.world import NAMESPACE, VIRTUAL_MACHINES, Cluster, Say, World, cluster, connected, make_network

from nicplug_sandbox import operator_process
from nicplug_sandbox.node.api import JSON_PATCH, VIRTUAL_MACHINE_INSTANCES, Json, Resource
from nicplug_sandbox.operator_process import ROOT

CRD = ROOT / "crds" / "virtualmachineinstances.yaml"
CRDS = Resource(prefix="/apis/apiextensions.k8s.io/v1", plural="customresourcedefinitions", namespaced=False)
APISERVER = "kube-apiserver"
_VM = "schemas"
_PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 0.2
_PRESERVED = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaShape:
    """How much of everything.

    Attributes:
        nics: secondary ones of the VM.
        rounds: how often each schema has its turn.
        patches: of each turn.
    """

    nics: int = 4
    rounds: int = 7
    patches: int = 60


QUICK = SchemaShape(rounds=1, patches=5)
Schema = dict[str, Any]


def as_installed(schema: Schema) -> Schema:
    """The CRD as it is."""
    return schema


def with_merged_status(schema: Schema) -> Schema:
    """The status is no atomic map: managedFields lists each of its members, as before 0.1.0."""
    schema["properties"]["status"].pop("x-kubernetes-map-type", None)
    return schema


def with_untyped_status(schema: Schema) -> Schema:
    """The status is stored as it comes, still as one piece."""
    schema["properties"]["status"] = {**_PRESERVED, "x-kubernetes-map-type": "atomic"}
    return schema


def without_rules(schema: Schema) -> Schema:
    """No CEL rule at all."""
    bare: Schema = _without(schema, member="x-kubernetes-validations")
    return bare


def without_schema(_schema: Schema) -> Schema:
    """Nothing is typed, and nothing pruned."""
    return dict(_PRESERVED)


def _without(value: Any, *, member: str) -> Any:
    if isinstance(value, list):
        return [_without(item, member=member) for item in value]
    if isinstance(value, dict):
        return {key: _without(item, member=member) for key, item in value.items() if key != member}
    return value


VARIANTS: Mapping[str, Callable[[Schema], Schema]] = {
    "installed": as_installed,
    "merged": with_merged_status,
    "untyped": with_untyped_status,
    "ruleless": without_rules,
    "none": without_schema,
}


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
        async with asyncio.timeout(_PATIENCE_SECONDS):
            targets = {name: await _install(world, name, vmi) for name in VARIANTS}
        milliseconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
        cpu: dict[str, list[float]] = {name: [] for name in VARIANTS}
        for turn in range(shape.rounds):
            for name, target in targets.items():
                took, used = await _patch(world, target, vmi["status"], shape=shape, turn=turn)
                milliseconds[name] += took
                cpu[name].append(used)
            say(f"schemas: round {turn + 1} of {shape.rounds}")
        sizes = {name: await _sizes(world, target) for name, target in targets.items()}
    rows = {
        name: {
            "cpu_ms": round(statistics.median(cpu[name]), 2),
            "p50_ms": summary(milliseconds[name])["p50"],
            **sizes[name],
        }
        for name in VARIANTS
    }
    return {"shape": asdict(shape), "patch": rows, "objects": {"VM": _weigh(vm), "VMI": _weigh(vmi)}}


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


async def _install(world: World, variant: str, vmi: Json) -> Resource:
    """The CRD in a group of its own, and the object in it."""
    group = f"{variant}.schemas.test"
    crd = yaml.safe_load(CRD.read_text())
    crd["metadata"] = {"name": f"virtualmachineinstances.{group}"}
    crd["spec"]["group"] = group
    for version in crd["spec"]["versions"]:
        schema = copy.deepcopy(version["schema"]["openAPIV3Schema"])
        version["schema"]["openAPIV3Schema"] = VARIANTS[variant](schema)
    await world.api.create(CRDS, crd)
    while True:
        if _is_served(await world.api.get(CRDS, name=crd["metadata"]["name"])):
            break
        await asyncio.sleep(_POLL_SECONDS)
    resource = Resource(prefix=f"/apis/{group}/v1", plural="virtualmachineinstances")
    kept = {name: vmi["metadata"].get(name) for name in ("name", "labels", "annotations", "finalizers")}
    body = {"apiVersion": f"{group}/v1", "kind": vmi["kind"], "metadata": kept, "spec": vmi["spec"]}
    await world.api.create(resource, body, namespace=NAMESPACE)
    status = [{"op": "add", "path": "/status", "value": vmi["status"]}]
    await _send(world, resource, status)
    return resource


def _is_served(crd: Json) -> bool:
    conditions = crd.get("status", {}).get("conditions") or []
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)


async def _send(world: World, resource: Resource, operations: list[Json]) -> Json:
    return await world.api.patch(
        resource, operations, name=_VM, namespace=NAMESPACE, subresource="status", content_type=JSON_PATCH
    )


async def _patch(
    world: World, target: Resource, status: Json, *, shape: SchemaShape, turn: int
) -> tuple[list[float], float]:
    """One turn: how many seconds each patch took, and the CPU milliseconds of kube-apiserver for one."""
    clock = asyncio.get_running_loop().time
    took = []
    seen = (await world.api.get(target, name=_VM, namespace=NAMESPACE))["status"]["conditions"]
    before = resources.snapshot(world.processes)
    for number in range(shape.patches):
        wanted = [{**item, "message": f"turn {turn}, patch {number}"} for item in status["conditions"]]
        began = clock()
        await _send(
            world,
            target,
            [
                {"op": "test", "path": "/status/conditions", "value": seen},
                {"op": "add", "path": "/status/conditions", "value": wanted},
            ],
        )
        took.append(clock() - began)
        seen = wanted
    used = resources.spent(before, resources.snapshot(world.processes))[APISERVER].cpu_seconds
    return took, used * 1000 / shape.patches


async def _sizes(world: World, target: Resource) -> dict[str, int]:
    return _weigh(await world.api.get(target, name=_VM, namespace=NAMESPACE))


def _weigh(body: Json) -> dict[str, int]:
    """Bytes of the object as compact JSON, and of its managedFields in it."""

    def size(value: Any) -> int:
        return len(json.dumps(value, separators=(",", ":")))

    return {"bytes": size(body), "managed_fields": size(body["metadata"].get("managedFields") or [])}


def show(found: dict[str, Any], *, console: Console) -> None:
    """The table of the schemas, and the sizes of the objects."""
    nics = found["shape"]["nics"]
    table = Table(title=f"One status patch of a VMI with {nics} secondary NICs, by schema", title_justify="left")
    for heading in ("schema", "kube-apiserver CPU", "p50", "object", "of it managedFields"):
        table.add_column(heading, justify="left" if heading == "schema" else "right")
    for name, row in found["patch"].items():
        what = (VARIANTS[name].__doc__ or name).splitlines()[0]
        sizes = (f"{row['bytes']:,} B", f"{row['managed_fields']:,} B")
        table.add_row(what, f"{row['cpu_ms']:.1f} ms", f"{row['p50_ms']:.1f} ms", *sizes)
    console.print(table)
    for kind, one in found["objects"].items():
        console.print(f"{kind} as nicplug leaves it: {one['bytes']:,} B, {one['managed_fields']:,} B of managedFields")
