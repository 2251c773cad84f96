"""`nicplug why VM NIC`: the story of one NIC."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from nicplug.cli.completion import complete_machine, complete_nic
from nicplug.cli.connection import Session, on_cluster
from nicplug.cli.exits import CommandError, Exit
from nicplug.cli.output import age, line, with_output, write
from nicplug.cli.plan import target_of, with_kubevirt_namespace, with_operator_namespace

if TYPE_CHECKING:
    from rich.console import Console

    from nicplug.insight.evidence import Evidence
    from nicplug.insight.story import Story


@click.command()
@click.argument("vm", shell_complete=complete_machine)
@click.argument("nic", required=False, shell_complete=complete_nic)
@with_kubevirt_namespace
@with_operator_namespace
@with_output
@on_cluster
async def why(session: Session, *, vm: str, nic: str | None, output: str, **options: Any) -> int | None:
    """Tell the story of NIC: who waits for whom, what to do, what next.

    Put together from the NIC's record, events, migrations, pod and node. Without NIC: of each that is not ready.
    """
    from nicplug.cli.machines import now
    from nicplug.cli.quiet import silence_logs
    from nicplug.insight.evidence import read_evidence

    silence_logs()
    evidence = await read_evidence(session.api, target=target_of(session, vm, options), clock=now)
    if evidence.vm is None and evidence.vmi is None:
        message = f'no VirtualMachine and no VirtualMachineInstance "{vm}" in namespace {session.namespace}'
        raise CommandError(message, remedy="--namespace NAME looks elsewhere.", code=Exit.NOT_FOUND)
    stories = await _stories(session, evidence, nic)
    if not stories and output == "table":
        click.echo(f"every NIC of {vm} is ready")
    for story in stories:
        write(StoryDocument(evidence, story, now()), output)
    return None


async def _stories(session: Session, evidence: "Evidence", name: str | None) -> "list[Story]":
    from nicplug.cli.machines import now
    from nicplug.insight.forecast import forecast
    from nicplug.insight.nics import describe
    from nicplug.insight.story import tell
    from nicplug.model.keys import VmiKey
    from nicplug.model.metadata import objects
    from nicplug.model.operations import parse_operations

    vmi, target = evidence.parsed_vmi, evidence.target
    described = describe(namespace=target.namespace, name=target.name, vm=evidence.parsed_vm, vmi=vmi, now=now())
    known = ", ".join(nic.name for nic in described.nics) or "none"
    chosen = [nic for nic in described.nics if (nic.name == name if name else not nic.is_ready)]
    if name and not chosen:
        raise CommandError(f'VM {target.name} has no NIC "{name}"', remedy=f"It has: {known}.", code=Exit.NOT_FOUND)
    migrations = evidence.caches.migrations_of(VmiKey(target.namespace, target.name))
    pods = evidence.caches.launchers.of(vmi) if vmi is not None else ()
    names = {target.name, *(pod.key.name for pod in pods), *(item.key.name for item in migrations)}
    events = await _events(session, evidence, sorted(names))
    status = vmi.read_status() if vmi is not None else {}
    records = parse_operations(objects(status.get("interfaceOperations")), default_time=now())
    foreseen = forecast(evidence, changed=None, now=now())
    forecasts = {item.name: item for item in foreseen.nics}
    on_node = [pod.key.name for pod in pods if vmi is not None and pod.node_name == vmi.node_name]
    return [
        tell(
            nic=nic,
            record=records.get(nic.name),
            vmi=vmi,
            pod=on_node[0] if on_node else "",
            migrations=migrations,
            events=events,
            forecast=forecasts.get(nic.name),
            looks_again_at=foreseen.again_at,
            now=now(),
        )
        for nic in chosen
    ]


async def _events(session: Session, evidence: "Evidence", names: Sequence[str]) -> list[Mapping[str, Any]]:
    """About the VM, its VMI, pods and migrations; none where they must not be read."""
    from nicplug.insight.evidence import Unknown
    from nicplug.kube.errors import Denied
    from nicplug.kube.resources import CORE_EVENTS
    from nicplug.model.metadata import objects

    selectors = [f"involvedObject.name={name}" for name in names]
    asking = [
        session.api.list(CORE_EVENTS, namespace=evidence.target.namespace, field_selector=selector)
        for selector in selectors
    ]
    try:
        pages = await asyncio.gather(*asking)
    except Denied as error:
        remedy = "the story has no events; the record has what matters"
        evidence.unknown.append(Unknown(what="events", why=str(error), remedy=remedy))
        return []
    return [event for page in pages for event in objects(page.get("items"))]


@dataclass(frozen=True, slots=True)
class StoryDocument:
    """What is printed."""

    evidence: "Evidence"
    story: "Story"
    now: datetime

    def to_json(self) -> dict[str, Any]:
        """As programs get it."""
        story, target = self.story, self.evidence.target
        return {
            "kind": "NicStory",
            "target": {"namespace": target.namespace, "name": target.name},
            "nic": story.nic.to_json(),
            "meaning": story.meaning or None,
            "waitsFor": story.waits_for or None,
            "since": story.since.isoformat() if story.since is not None else None,
            "todo": story.todo or None,
            "next": [item.to_json() for item in story.next],
            "moments": [item.to_json() for item in story.moments],
            "unknown": [{"what": item.what, "why": item.why, "remedy": item.remedy} for item in self.evidence.unknown],
        }

    def names(self) -> Sequence[str]:
        """The NIC with its reason."""
        return [f"{self.story.nic.name}={self.story.nic.reason or self.story.nic.phase}"]

    def show(self, console: "Console") -> None:
        """For people: where it is, whom it waits for, what to do, what comes next, what happened."""
        story, nic = self.story, self.story.nic
        path = f", path {nic.path}" if nic.path else ""
        style = "green" if nic.is_ready else "bold"
        line(console, f'NIC "{nic.name}" on {nic.network or "no network"}: {nic.operation} {nic.phase}{path}', style)
        facts = [
            ("why", ": ".join(part for part in (nic.reason, nic.message) if part) or "the guest was started with it"),
            ("meaning", story.meaning),
            ("last error", nic.last_error),
            ("waits for", story.waits_for),
            ("since", f"{age(story.since, now=self.now)} ({_clock(story.since)})" if story.since else ""),
            ("to do", story.todo),
            *(("next", f"{self._when(item.at)}{item.what}") for item in story.next),
            *(("not known", f"{item.what} ({item.why}): {item.remedy}") for item in self.evidence.unknown),
        ]
        for label, text in facts:
            if text:
                line(console, f"  {label:<11}{text}")
        if story.moments:
            line(console, "  what happened")
        for moment in story.moments:
            line(console, f"    {_clock(moment.at)}  {moment.source:<44}  {moment.what}")
        line(console, "")

    def _when(self, moment: datetime | None) -> str:
        if moment is None:
            return ""
        return f"in {max(0.0, (moment - self.now).total_seconds()):.0f}s ({_clock(moment)}), "


def _clock(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%H:%M:%S.%f")[:-3] if moment is not None else "-"
