"""How a story names things: NICs, records, values, in short form.

Knows the wire formats alone, nothing of the operator.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.sim.cluster import KINDS, Json

RECORDS = "interfaceOperations"
SHORT_KINDS = {
    "VirtualMachine": "VM",
    "VirtualMachineInstance": "VMI",
    "VirtualMachineInstanceMigration": "VMIM",
    "PodDisruptionBudget": "PDB",
}
_LONGEST = 160
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
# Bookkeeping of the API server, and moments that say nothing beside the time of the line.
SILENT = frozenset(
    {
        "resourceVersion",
        "generation",
        "uid",
        "creationTimestamp",
        "lastTransitionTime",
        "lastProbeTime",
        "lastUpdateTime",
        "startTime",
        "phaseTransitionTimestamps",
        "observedGeneration",
        "ownerReferences",
        "checksum",
    }
)


def as_time(moment: datetime, *, since: datetime) -> str:
    """Seconds since then."""
    return f"{(moment - since).total_seconds():.3f}"


def short(value: object) -> str:
    """A value as a person would note it down."""
    match value:
        case None:
            return "none"
        case str():
            text = value or '""'
        case dict():
            text = ", ".join(f"{key}={short(item)}" for key, item in sorted(value.items()) if key not in SILENT)
            text = f"{{{text}}}"
        case list():
            text = f"[{', '.join(map(short, value))}]"
        case _:
            text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def in_time(value: object, *, now: datetime) -> object:
    """A value in which each moment that lies ahead says how far; the others are only set."""
    match value:
        case str() if _MOMENT.fullmatch(value):
            left = (datetime.fromisoformat(value.replace("Z", "+00:00")) - now).total_seconds()
            return f"in {left:.0f} s" if left > 1 else "set"
        case dict():
            return {key: in_time(item, now=now) for key, item in value.items()}
        case list():
            return [in_time(item, now=now) for item in value]
    return value


def nic_text(interface: Mapping[str, Any], networks: Sequence[Mapping[str, Any]]) -> str:
    """A NIC of a spec: its name, and what is not as usual about it."""
    name = interface["name"]
    network = next((item for item in networks if item.get("name") == name), {})
    source = network.get("multus", {}).get("networkName", "" if "pod" in network else "no network")
    binding = next((key for key in interface if key not in ("name", "state", "macAddress", "model")), "no binding")
    usual = "bridge" if source else "masquerade"
    words = [source, "" if binding == usual else binding, interface.get("macAddress", ""), interface.get("state", "")]
    said = ", ".join(word for word in words if word and word != f"{name}-net")
    return f"{name} ({said})" if said else str(name)


def nics_of(spec: Mapping[str, Any]) -> dict[str, str]:
    """The NICs of a VMI's spec, or of a template's."""
    interfaces = spec.get("domain", {}).get("devices", {}).get("interfaces") or []
    networks = spec.get("networks") or []
    return {item.get("name", "?"): nic_text(item, networks) for item in interfaces}


def record_text(row: Mapping[str, Any], *, now: datetime) -> str:
    """A NIC's record: what is done, by which path, how far it is, and why."""
    path = "" if row["path"] == "None" else f" via {row['path']}"
    words = [f"{row['name']}: {row['operation']}{path}, {row['phase']}", row.get("reason", "")]
    words += [f"attempt {row['attempts']}"] if row.get("attempts", 0) > 1 else []
    if "nextAttemptTime" in row:
        left = datetime.fromisoformat(row["nextAttemptTime"].replace("Z", "+00:00")) - now
        words.append(f"next attempt in {left.total_seconds():.1f} s")
    return ", ".join(filter(None, words))


def said_of(row: Mapping[str, Any]) -> Iterator[str]:
    """The sentences of a record."""
    for member, intro in (("message", ""), ("remedy", "remedy: "), ("lastError", "last error: ")):
        if row.get(member):
            yield f'{intro}"{row[member]}"'


@dataclass(frozen=True, slots=True)
class Decision:
    """A record that has changed.

    Attributes:
        said: its sentences, in quotation marks.
        message: the first of them, as it is.
    """

    name: str
    text: str
    said: Sequence[str] = ()
    message: str = ""


def decisions(before: Json | None, after: Json, *, now: datetime) -> Iterator[Decision]:
    """The records that a change of a VMI has changed."""
    old, new = (_by_name(((body or {}).get("status") or {}).get(RECORDS)) for body in (before, after))
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield Decision(name, f"{name}: no record any more")
        elif name not in old or _told_by(old[name], now=now) != _told_by(new[name], now=now):
            text, said = _told_by(new[name], now=now)
            yield Decision(name, text, said, new[name].get("message", ""))


def _told_by(row: Json, *, now: datetime) -> tuple[str, list[str]]:
    return record_text(row, now=now), [*said_of(row)]


def _by_name(rows: object) -> dict[str, Json]:
    return {row["name"]: row for row in rows} if isinstance(rows, list) else {}


def title(plural: str, body: Json) -> str:
    """Kind and name, as kubectl shortens them."""
    kind = KINDS.get(plural, plural)
    return f"{SHORT_KINDS.get(kind, kind)} {body['metadata']['name']}"
