"""What a change of an object says, a few words for each thing that has changed; records have a form of their own.

Knows the wire formats alone, nothing of the operator.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from tests.sim.cluster import MIGRATIONS, REPORTS, VMIS, VMS, Json
from tests.sim.kubelet import NETWORKS, STATUS
from tests.stories.wording import RECORDS, SILENT, in_time, nics_of, short

_BRIEF = 60
_OF_OWN_FORM = (
    RECORDS,
    "interfaces",
    "conditions",
    "interfaceSummary",
    "pciBudget",
    "migrationState",
    "containerStatuses",
    "activePods",
    "launcherPods",
)
# Of a report: the condition and the records say it, too.
_REPEATED = frozenset({"message", "reason", "interfacesHash"})
# What the hand-off writes beside who is to go where, and agents beside what they have done.
_DETAILS = frozenset({"migrationConfiguration", "targetDirectMigrationNodePorts", "mode", "migrationPolicyName"})


def changes(plural: str, before: Json, after: Json, *, now: datetime) -> list[str]:
    """What has changed, a few words for each; records are `decisions`. A sentence begins with a quotation mark."""
    found = [*_nic_changes(plural, before, after), *_annotation_changes(before, after)]
    for form in (
        _pod_record_changes,
        _row_changes,
        _condition_changes,
        _count_changes,
        _container_changes,
        _slot_changes,
    ):
        found += form(before, after)
    found += _hand_off_changes(plural, before, after, now=now)
    for path, old, new in _differences(_plain(plural, before), _plain(plural, after)):
        found.append(_difference(path, short(in_time(old, now=now)), short(in_time(new, now=now))))
    return found


def _difference(path: str, old: str, new: str) -> str:
    path = path.replace("metadata.annotations.", "annotation ").replace("metadata.labels.", "label ")
    path = path.removeprefix("metadata.").removeprefix("status.")
    is_brief = old != "none" and len(old) + len(new) <= _BRIEF
    return f"{path}: {old} -> {new}" if is_brief else f"{path}: {new}"


def _status(body: Json) -> Json:
    return body.get("status") or {}


def _pod_record_changes(before: Json, after: Json) -> Iterator[str]:
    """`launcherPods` and `activePods`: the pods that count."""
    old, new = (_recorded_pods(_status(body)) for body in (before, after))
    yield from (f"records pod {name} on {node}" for name, node in new.items() if old.get(name) != node)
    yield from (f"records pod {name} no more" for name in old if name not in new)


def _recorded_pods(status: Json) -> dict[str, str]:
    nodes = status.get("activePods") or {}
    rows = status.get("launcherPods") or ()
    return {row["name"]: nodes.get(row["uid"]) or "no node" for row in rows}


def _row_changes(before: Json, after: Json) -> Iterator[str]:
    """Rows of `status.interfaces`."""
    old, new = (_rows(_status(body).get("interfaces")) for body in (before, after))
    for name in [*old, *(name for name in new if name not in old)]:
        if old.get(name) != new.get(name):
            yield f"row {name}: {new.get(name, 'none')}"


def _rows(rows: object) -> dict[str, str]:
    found = {}
    for row in rows if isinstance(rows, list) else ():
        link = ", link down" if row.get("linkState") == "down" else ""
        found[row.get("name", "?")] = f"{row.get('infoSource') or 'no source'}{link}"
    return found


def _condition_changes(before: Json, after: Json) -> Iterator[str]:
    old, new = ({row["type"]: row for row in _status(body).get("conditions") or ()} for body in (before, after))
    for type_ in [*old, *(type_ for type_ in new if type_ not in old)]:
        if type_ not in new:
            yield f"condition {type_}: none"
        elif _condition(old.get(type_, {})) != _condition(new[type_]):
            words, message = _condition(new[type_])
            yield f"condition {type_}: {words}"
            yield from [f'"{message}"'] if message else []


def _condition(row: Json) -> tuple[str, str]:
    return ", ".join(filter(None, (row.get("status"), row.get("reason")))), row.get("message", "")


def _count_changes(before: Json, after: Json) -> Iterator[str]:
    """How many NICs are ready, and the PCI slots."""
    old, new = ((_status(body).get("interfaceSummary") or {}) for body in (before, after))
    if old != new:
        yield f"NICs ready: {', '.join(str(new[key]) for key in sorted(new)) or 'none'}"
    old, new = ((_status(body).get("pciBudget") or {}) for body in (before, after))
    if old != new:
        said = ", ".join(f"{new[key]} {key}" for key in ("total", "used", "reserved", "free") if key in new)
        yield f"PCI slots: {said or 'none'}"


def _container_changes(before: Json, after: Json) -> Iterator[str]:
    old, new = (_status(body).get("containerStatuses") or [] for body in (before, after))
    if old != new:
        states = {row["name"]: row.get("state") or {} for row in new}
        for name, state in states.items():
            what = next(iter(state), "unknown")
            reason = state[what].get("reason", "") if state else ""
            yield f"container {name}: {' '.join(filter(None, (what, reason)))}"


def _slot_changes(before: Json, after: Json) -> Iterator[str]:
    """Entries of the ledger of migration slots."""
    old, new = (dict(body.get("data") or {}) for body in (before, after))
    for uid in [*old, *(uid for uid in new if uid not in old)]:
        if uid != "checksum" and old.get(uid) != new.get(uid):
            yield _slot(new[uid]) if uid in new else f"{_slot(old[uid])}: given back"


def _slot(text: str) -> str:
    entry = json.loads(text)
    target = f" for {entry['targetNode']}" if entry.get("targetNode") else ""
    returning = ", on its way back" if entry.get("returning") else ""
    return f"slot of {entry['migration']}: {entry['vmi']} leaves {entry.get('sourceNode') or '?'}{target}{returning}"


def _hand_off_changes(plural: str, before: Json, after: Json, *, now: datetime) -> Iterator[str]:
    """`migrationState`: of a VMI who is to go where and what has been done, of a migration its copy of that."""
    old, new = (_status(body).get("migrationState") or {} for body in (before, after))
    if old == new:
        return
    if plural == MIGRATIONS:
        yield "migrationState: as the VMI's"
    elif not new:
        yield "migrationState: none"
    elif new.get("migrationUid") != old.get("migrationUid"):
        yield (
            f"migrationState: from {new.get('sourcePod')} on {new.get('sourceNode')} "
            f"to {new.get('targetPod')} on {new.get('targetNode')}"
        )
    else:
        for name in sorted(old.keys() | new.keys()):
            if name not in _DETAILS and old.get(name) != new.get(name):
                yield f"migrationState.{name}: {short(in_time(new.get(name), now=now))}"


def birth(plural: str, body: Json) -> list[str]:
    """What a new object asks for."""
    spec, metadata = body.get("spec") or {}, body["metadata"]
    match plural:
        case "virtualmachines":
            nics = ", ".join(nics_of(spec["template"]["spec"]).values())
            return [f"runStrategy {spec.get('runStrategy')}", f"NICs {nics}"]
        case "virtualmachineinstances":
            return [f"NICs {', '.join(nics_of(spec).values())}"]
        case "pods":
            wanted = ", ".join(_elements(body).values()) or "none"
            where = [f"nodeSelector {short(spec['nodeSelector'])}"] if spec.get("nodeSelector") else []
            job = (metadata.get("annotations") or {}).get("kubevirt.io/migrationJobName")
            return [*([f"target of migration {job}"] if job else []), f"networks {wanted}", *where]
        case "virtualmachineinstancemigrations":
            made_for = (metadata.get("annotations") or {}).get("nicplug.io/interfaces")
            made_for = ", ".join(json.loads(made_for)) if made_for else ""
            rest = [f"{key} {short(value)}" for key, value in spec.items() if key != "vmiName"]
            return [f"of {spec.get('vmiName')}", *([f"for NICs {made_for}"] if made_for else []), *rest]
        case "poddisruptionbudgets":
            return [f"minAvailable {spec.get('minAvailable')}"]
        case "configmaps":
            return [_slot(text) for uid, text in (body.get("data") or {}).items() if uid != "checksum"]
        case "network-attachment-definitions":
            return [short(spec.get("config"))]
        case "kubevirts":
            return [short(spec.get("configuration"))]
    return []


def _plain(plural: str, body: Json) -> Json:
    """Without what has a form of its own."""
    plain = {key: value for key, value in body.items() if key not in ("kind", "apiVersion")}
    metadata = dict(plain.get("metadata") or {})
    annotations = dict(metadata.get("annotations") or {})
    for name in (NETWORKS, STATUS):
        annotations.pop(name, None)
    metadata["annotations"] = annotations
    plain["metadata"] = metadata
    if isinstance(status := plain.get("status"), dict):
        plain["status"] = {key: value for key, value in status.items() if key not in _OF_OWN_FORM}
    if plural == REPORTS:
        plain["status"] = {key: value for key, value in plain.get("status", {}).items() if key not in _REPEATED}
    if plural in (VMS, VMIS):
        plain["spec"] = _without_nics(plain["spec"])
    plain.setdefault("status", {})
    plain.pop("data", None)
    return plain


def _without_nics(spec: Json) -> Json:
    if "template" in spec:
        return {**spec, "template": {**spec["template"], "spec": _without_nics(spec["template"]["spec"])}}
    devices = {key: value for key, value in spec["domain"]["devices"].items() if key != "interfaces"}
    rest = {key: value for key, value in spec.items() if key != "networks"}
    return {**rest, "domain": {**spec["domain"], "devices": devices}}


def _nic_changes(plural: str, before: Json, after: Json) -> Iterator[str]:
    if plural not in (VMS, VMIS):
        return
    old, new = (nics_of(body["spec"].get("template", body)["spec"]) for body in (before, after))
    yield from (f"+ NIC {text}" for name, text in new.items() if name not in old)
    yield from (f"- NIC {name}" for name in old if name not in new)
    yield from (f"NIC {old[name]} -> {text}" for name, text in new.items() if name in old and old[name] != text)


def _annotation_changes(before: Json, after: Json) -> Iterator[str]:
    for what, read in (("networks", _elements), ("network-status", _attached)):
        old, new = read(before), read(after)
        yield from (f"{what} + {text}" for name, text in new.items() if name not in old)
        yield from (f"{what} - {text}" for name, text in old.items() if name not in new)
        yield from (f"{what} {old[name]} -> {text}" for name, text in new.items() if name in old and old[name] != text)


def _elements(body: Json) -> dict[str, str]:
    """The elements of the networks annotation, by interface."""
    return _listed(body, NETWORKS)


def _attached(body: Json) -> dict[str, str]:
    """What the network status lists, without the pod network."""
    return _listed(body, STATUS)


def _listed(body: Json, annotation: str) -> dict[str, str]:
    text = (body["metadata"].get("annotations") or {}).get(annotation) or "[]"
    try:
        items: list[Json] = json.loads(text)
    except ValueError:
        return {"": short(text)}
    found = {}
    for item in items:
        if not item.get("default"):
            network = "/".join(filter(None, (item.get("namespace"), item["name"])))
            mac = f" mac {item['mac']}" if "mac" in item else ""
            found[item.get("interface", "?")] = f"{network} as {item.get('interface', '?')}{mac}"
    return found


def _keyed(rows: object) -> dict[str, Any] | None:
    """Rows by what tells them apart; None when nothing does."""
    if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        for member in ("name", "type", "uid"):
            keys = [row.get(member) for row in rows]
            if all(keys) and len(set(keys)) == len(keys):
                return dict(zip(keys, rows, strict=True))
    return None


def _differences(old: object, new: object, path: str = "") -> Iterator[tuple[str, object, object]]:
    """Path, old and new value of everything that differs; whole rows and members where one side has nothing."""
    if old == new:
        return
    if isinstance(old, list) or isinstance(new, list):
        rows = [_keyed(side or []) for side in (old, new)]
        if None not in rows:
            yield from _row_differences(rows[0] or {}, rows[1] or {}, path)
            return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if key not in SILENT:
                yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        return
    yield path, old, new


def _row_differences(old: Json, new: Json, path: str) -> Iterator[tuple[str, object, object]]:
    for key in [*old, *(key for key in new if key not in old)]:
        before, after = (_row(side.get(key)) for side in (old, new))
        if before != after:
            yield f"{path}[{key}]", before, after


def _row(row: object) -> object:
    """A row without what names it, and without moments."""
    if not isinstance(row, dict):
        return row
    return {name: value for name, value in row.items() if name not in SILENT | {"name", "type"}}
