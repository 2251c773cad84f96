"""Check for NICs and requests that have waited for long, in all VMs that the user can read."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from nicplug.cli.connection import Session
from nicplug.cli.doctor.finding import Finding, ok, unknown, warning
from nicplug.insight.nic_rows import NicRow
from nicplug.insight.nics import describe
from nicplug.insight.queue import read_all
from nicplug.insight.reports import overlay
from nicplug.kube.errors import Denied
from nicplug.kube.resources import VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.mode import Mode
from nicplug.model.vmi import VmiPhase, parse_vmi

LONG = timedelta(minutes=2)
_MOST_LISTED = 5


async def check_waiting(session: Session, *, at: datetime, mode: Mode = Mode.STANDALONE) -> list[Finding]:
    """Report NICs without a record, NICs that have not been ready for long, and requests that are not processed."""
    try:
        vmis: Iterable[Mapping[str, Any]] = await read_all(session.api, VIRTUAL_MACHINE_INSTANCES, None)
        vms = await read_all(session.api, VIRTUAL_MACHINES, None)
    except Denied as error:
        return [unknown("nics", str(error))]
    if mode is Mode.COMPANION:
        by_name = {parse_vmi(raw).key: dict(raw) for raw in vmis}
        named = {(key.namespace, key.name): raw for key, raw in by_name.items()}
        vmis = (await overlay(session.api, named, namespace=None)).values()
    rows: list[tuple[str, NicRow]] = []
    for raw in vmis:
        vmi = parse_vmi(raw)
        if vmi.phase is not VmiPhase.RUNNING:
            continue
        described = describe(namespace=vmi.key.namespace, name=vmi.key.name, vm=None, vmi=vmi, now=at)
        rows += [(str(vmi.key), nic) for nic in described.nics]
    pending = [
        str(mapping(raw.get("metadata")).get("namespace")) + "/" + text(mapping(raw.get("metadata")).get("name"))
        for raw in vms
        if objects(mapping(raw.get("status")).get("interfaceRequests"))
    ]
    return list(_judge(rows, pending, at=at))


def _judge(rows: list[tuple[str, NicRow]], pending: list[str], *, at: datetime) -> Iterator[Finding]:
    waiting = [(vm, nic) for vm, nic in rows if not nic.is_ready]
    unseen = [f"{vm} {nic.name}" for vm, nic in waiting if not nic.operation]
    long = [(vm, nic) for vm, nic in waiting if nic.since is not None and at - nic.since > LONG]
    if unseen:
        message = f"{_counted(len(unseen), 'NIC has', 'NICs have')} no record: {_listed(unseen)}"
        remedy = (
            "Resolve a problem of the check leader. If there is none, the guest has lost them: run nicplug why VM NIC."
        )
        yield warning("nics", message, remedy)
    if long:
        names = _listed([f"{vm} {nic.name} ({nic.reason})" for vm, nic in long])
        message = f"{_counted(len(long), 'NIC has', 'NICs have')} not been ready for more than 2 minutes: {names}"
        yield warning("nics", message, "Run nicplug why VM NIC.")
    if pending:
        message = f"{_counted(len(pending), 'VM has', 'VMs have')} unprocessed requests: {_listed(pending)}"
        yield warning(
            "nics", message, "Enable the feature gate HotplugNICs if it is off; otherwise see the check leader."
        )
    if not (unseen or long or pending):
        yield ok("nics", f"{len(rows)} NICs of running VMs, {len(waiting)} not ready")


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_MOST_LISTED]) + (", ..." if len(names) > _MOST_LISTED else "")
