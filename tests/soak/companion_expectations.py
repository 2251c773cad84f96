"""What must be true beside KubeVirt when everybody has come to rest: NICs, the reports on them, migrations.

Pure. From the API alone; imports nothing of the operator. Every violation is a sentence that names the object.
"""

from collections.abc import Iterable, Iterator, Mapping

from tests.perf.concurrency import FINAL, Concurrency, MigrationSight, Sight
from tests.soak.companion_users import USERS_PREFIX
from tests.soak.expectations import PRIMARY, Found, condition, name_of, owner_of
from tests.soak.users import Declared

from nicplug_sandbox.node.api import Json

OWN_PREFIX = "nicplug-"
_MAKERS = {
    OWN_PREFIX: "nicplug",
    "kubevirt-workload-update-": "updater",
    "kubevirt-evacuation-": "evacuation",
    USERS_PREFIX: "users",
}
# Of a record: somebody else has to act, and has nothing more to do, or all is well.
_NOT_EXPLAINED = ("", "Ready", "Pending")


def companion_violations(found: Found, declared: Mapping[str, Declared]) -> list[str]:
    """What does not hold, object by object; nothing when all is well."""
    vms, vmis, reports = ({name_of(body): body for body in bodies} for bodies in (found.vms, found.vmis, found.reports))
    told = [
        text
        for name, wanted in declared.items()
        for text in _vm_violations(name, wanted, vms.get(name), vmis.get(name), reports.get(name))
    ]
    return [*told, *_unfinished(found.migrations)]


def explained(found: Found, declared: Mapping[str, Declared]) -> list[str]:
    """NICs that are not as declared, and why, by their reports."""
    vmis = {name_of(body): body for body in found.vmis}
    return [
        f"{name}: NIC {row['name']}: {row.get('reason')}: {row.get('message')}"
        for name, report in ((name_of(body), body) for body in found.reports)
        if name in declared and name in vmis
        for row in _rows(report)
        if row["name"] in _astray(declared[name], vmis[name])
    ]


def _vm_violations(
    name: str, wanted: Declared, vm: Json | None, vmi: Json | None, report: Json | None
) -> Iterator[str]:
    if not wanted.exists:
        yield from (
            f"{kind} {name}: the VM was deleted and it is still there"
            for kind, body in (("VM", vm), ("VMI", vmi), ("InterfaceReport", report))
            if body is not None
        )
    elif vm is None:
        yield f"VM {name}: is missing"
    elif not wanted.runs:
        if vmi is not None:
            yield f"VM {name}: is halted and has an instance"
    elif vmi is None or owner_of(vmi) != vm["metadata"]["uid"]:
        yield f"VM {name}: has no instance of its own"
    elif "deletionTimestamp" in vmi["metadata"] or vmi.get("status", {}).get("phase") != "Running":
        yield f"VMI {name}: is not Running"
    elif report is not None:
        yield from _report_violations(name, wanted, vm, vmi, report)
    elif wanted.template or _astray(wanted, vmi):
        yield f"InterfaceReport {name}: is missing"


def _report_violations(name: str, wanted: Declared, vm: Json, vmi: Json, report: Json) -> Iterator[str]:
    status, what = report.get("status") or {}, f"InterfaceReport {name}"
    for member, told, present in (
        ("owner", owner_of(report), vm["metadata"]["uid"]),
        ("vmiUid", status.get("vmiUid"), vmi["metadata"]["uid"]),
        ("observedGeneration", status.get("observedGeneration"), vm["metadata"]["generation"]),
    ):
        if told != present:
            yield f"{what}: {member} is {told}, not {present}"
    astray, rows = _astray(wanted, vmi), {row["name"]: row for row in _rows(report)}
    for nic in sorted(astray):
        row = rows.get(nic, {})
        if row.get("phase", "") in _NOT_EXPLAINED or not row.get("reason"):
            side = "wanted" if nic in wanted.template else "in the guest"
            yield f"{what}: NIC {nic} is only {side}, and its record is {row.get('phase')}, {row.get('reason')}"
    for nic in sorted(rows.keys() - astray):
        if rows[nic].get("phase") != "Ready":
            row = rows[nic]
            yield f"{what}: NIC {nic} is as declared, and its record {row.get('phase')}, {row.get('reason')}"
    ready = condition(status, "InterfacesReady")
    if (ready.get("status") == "True") is bool(astray):
        yield f"{what}: InterfacesReady is {ready.get('status')} ({ready.get('message')}), not as declared: {astray}"


def _astray(wanted: Declared, vmi: Json) -> set[str]:
    """NICs that are wanted and not in the guest, or in the guest and not wanted."""
    rows = (vmi.get("status") or {}).get("interfaces") or []
    guest = {str(row.get("name")) for row in rows if "domain" in str(row.get("infoSource", "")).split(", ")}
    return (guest - {PRIMARY}) ^ wanted.template.keys()


def _rows(report: Json) -> list[Json]:
    found: list[Json] = (report.get("status") or {}).get("interfaceOperations") or []
    return found


def left_behind(found: Found) -> list[str]:
    """What is still there though every VM was deleted; migrations of others stay, as KubeVirt leaves them."""
    kinds = {
        "VM": found.vms,
        "VMI": found.vmis,
        "pod": found.pods,
        "migration": [body for body in found.migrations if name_of(body).startswith(OWN_PREFIX)],
        "InterfaceReport": found.reports,
    }
    return [f"{kind} {name_of(body)}: is left" for kind, bodies in kinds.items() for body in bodies]


def _unfinished(migrations: Iterable[Json]) -> Iterator[str]:
    for body in migrations:
        if (phase := (body.get("status") or {}).get("phase")) not in FINAL:
            yield f"migration {name_of(body)} of {body['spec'].get('vmiName')}: is {phase or 'not accepted'}"


def makers(sights: Iterable[Sight], found: Concurrency) -> dict[str, str]:
    """By the uid of each migration its maker and its last phase."""
    names = {sight.uid: sight.name for sight in sights if isinstance(sight, MigrationSight)}
    return {uid: f"{_maker(name)} {found.phases.get(uid) or 'not accepted'}" for uid, name in names.items()}


def _maker(name: str) -> str:
    return next((maker for prefix, maker in _MAKERS.items() if name.startswith(prefix)), "somebody")


def doubled(found: Concurrency) -> list[str]:
    """Two unfinished migrations of nicplug's of one VMI, at any moment."""
    return [f"two unfinished migrations of nicplug's: {text}" for text in found.doubled if text.count(OWN_PREFIX) > 1]
