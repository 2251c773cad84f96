"""`nicplug why VM NIC`: explains the state of one NIC."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from nicplug.cli.allowed_version import with_allowed_version
from nicplug.cli.completion import complete_machine, complete_nic
from nicplug.cli.connection import Session, on_cluster
from nicplug.cli.exits import CommandError, Exit, printable
from nicplug.cli.output import age, line, with_output, write, write_all
from nicplug.cli.plan import target_of, with_kubevirt_namespace, with_operator_namespace
from nicplug.cli.status import without_quotes
from nicplug.model.times import parse_time

if TYPE_CHECKING:
    from rich.console import Console

    from nicplug.insight.evidence import Evidence


AS_ABOVE = 'as "waits for" says'


@click.command()
@click.argument("vm", shell_complete=complete_machine)
@click.argument("nic", required=False, shell_complete=complete_nic)
@with_kubevirt_namespace
@with_operator_namespace
@with_allowed_version
@with_output
@on_cluster
async def why(session: Session, *, vm: str, nic: str | None, output: str, **options: Any) -> int | None:
    """Explain the state of a NIC: what it is waiting for, what to do, and what happens next.

    Put together from the NIC's record, events, migrations, pod and node. Without NIC: of each that is not ready.
    Beside KubeVirt: also what virt-controller does about it, and what nicplug does. If you may not read nodes,
    DaemonSets or pods, `nicplug api` is asked, and answers what concerns this VM.
    """
    from nicplug.cli.asking import FROM_API, FROM_KUBECONFIG, ask_stories, read_as_user
    from nicplug.cli.machines import now, persisted_nics
    from nicplug.cli.operator_health import note_without_operator
    from nicplug.cli.suggestions import no_machine, story_with_remedy
    from nicplug.insight.nics import eviction_of

    target = target_of(session, vm, options)
    evidence, source = await read_as_user(session, target), FROM_API
    if evidence.is_none:
        raise await no_machine(session, vm)
    stories = await ask_stories(session, vm, nic or "", must=evidence.found is None) if evidence.asks_api else None
    if stories is None:
        found, source = evidence.must(), FROM_KUBECONFIG
        stories = await _read(session, found, nic or "")
    vmi = evidence.found.parsed_vmi if evidence.found is not None else None
    eviction = eviction_of(vmi.status) if vmi is not None else ""
    if eviction and output == "table":
        click.echo(f"{vm}: {eviction}")
    note = await note_without_operator(session, namespace=target.operator_namespace)
    if not stories and output == "table":
        click.echo("\n".join([f"every NIC of {vm} is ready", *([printable(f"note: {note}")] if note else [])]))
    elif not stories:
        write(NoStories(note), output)
    persisted = persisted_nics(evidence.found.vm if evidence.found is not None else None)
    is_bare = evidence.found is not None and evidence.found.vm is None
    stories = [
        await story_with_remedy(session, item, persist=item["nic"]["name"] in persisted, is_bare=is_bare)
        for item in stories
    ]
    found_at = now()
    documents = [StoryDocument(story, source, found_at, note) for story in stories]
    write_all(_alike(documents) if output == "table" else documents, output)
    return None


async def _read(session: Session, evidence: "Evidence", nic: str) -> list[dict[str, Any]]:
    """Read the stories with the permissions of the kubeconfig."""
    from nicplug.cli.machines import now
    from nicplug.insight.stories import NoSuchNic, read_stories
    from nicplug.insight.story_json import story_json

    try:
        stories = await read_stories(session.api, evidence, nic, now=now())
    except NoSuchNic as error:
        raise CommandError(str(error), remedy=f"It has: {error.known}.", code=Exit.NOT_FOUND) from error
    return [story_json(story, target=evidence.target, unknown=evidence.unknown) for story in stories]


@dataclass(frozen=True, slots=True)
class NoStories:
    """The document for programs if every NIC is ready."""

    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The document of `-o json` and `-o yaml`: a list without items."""
        return {"kind": "NicStoryList", "items": [], "note": self.note or None}

    def names(self) -> Sequence[str]:
        """Return no names."""
        return []

    def show(self, console: "Console") -> None:
        """Print nothing: the command prints a sentence instead."""


def _alike(documents: "Sequence[StoryDocument]") -> "list[StoryDocument]":
    """Merge stories that differ only in the NIC, for example of a VM that does not start."""
    found: dict[str, StoryDocument] = {}
    for document in documents:
        story, nic = document.story, document.story["nic"]
        own = {member: nic.get(member) for member in ("operation", "path", "phase", "reason", "message", "lastError")}
        said = json.dumps({**story, "nic": own, "note": document.note}, sort_keys=True)
        first = found.get(said)
        found[said] = document if first is None else replace(first, others=(*first.others, nic))
    return list(found.values())


@dataclass(frozen=True, slots=True)
class StoryDocument:
    """The story of one NIC.

    Attributes:
        story: result of `insight.story_json`, which is also what `nicplug api` sends.
        source: `asking.FROM_KUBECONFIG` or `FROM_API`: whose permissions it was read with.
        note: that no operator works, so that what comes next does not happen now; "" if one does.
        others: further NICs with the same story, merged for the table output.
    """

    story: Mapping[str, Any]
    source: str
    now: datetime
    note: str = ""
    others: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The document of `-o json` and `-o yaml`."""
        return {**self.story, "evidenceFrom": self.source, "note": self.note or None}

    def names(self) -> Sequence[str]:
        """Return the NIC with its reason, or without one, its phase."""
        nic = self.story["nic"]
        return [f"{nic['name']}={nic['reason'] or nic['phase']}"]

    def show(self, console: "Console") -> None:
        """Print where the NIC is, what it waits for, what to do, what comes next, and what happened."""
        story, nic, since = self.story, self.story["nic"], parse_time(self.story["since"])
        path, is_ready = f", path {nic['path']}" if nic["path"] else "", nic["phase"] == "Ready"
        where = ", ".join(f'NIC "{item["name"]}" on {item["network"] or "no network"}' for item in (nic, *self.others))
        style = "green" if is_ready else "bold"
        how = " ".join(part for part in (nic["operation"], nic["phase"]) if part)
        line(console, f"{where}: {how}{path}", style)
        quoted = self._quoted()
        message = without_quotes(nic["message"] or "", [quoted] if quoted else [])
        why = ": ".join(part for part in (nic["reason"], message) if part)
        facts = [
            ("why", why or "the guest was started with it"),
            ("meaning", story["meaning"]),
            ("last error", nic["lastError"]),
            ("waits for", story["waitsFor"]),
            ("since", f"{age(since, now=self.now)} ({_clock(since)})" if since is not None else ""),
            ("outdated", story.get("outdated")),  # an older API does not send it
            ("KubeVirt", story.get("kubevirtDoes")),
            ("nicplug", story.get("nicplugDoes")),
            ("to do", story["todo"]),
            ("restart", story.get("restart")),  # an older API does not send it
            *(("next", self._next(item)) for item in story["next"]),
            ("note", self.note),
            *(("not known", f"{item['what']} ({item['why']}): {item['remedy']}") for item in story["unknown"]),
        ]
        for label, text in facts:
            if text:
                line(console, f"  {label:<11}{text}", indent=13)
        if story["moments"]:
            line(console, "  what happened")
        for moment in story["moments"]:
            what = moment["what"].replace(quoted, AS_ABOVE) if quoted else moment["what"]
            line(console, f"    {_clock(parse_time(moment['at'])):<12}  {moment['source']:<44}  {what}")

    def _quoted(self) -> str:
        """Return the message of the migration in front, which is printed only once, in the line "waits for"."""
        source, _, said = str(self.story["waitsFor"] or "").partition(": ")
        return said if source.startswith("migration ") else ""

    def _next(self, item: Mapping[str, Any]) -> str:
        """Return what happens next, and when; without an operator, no time applies."""
        if self.note:
            return f"once an operator works: {item['what']}"
        return f"{self._when(parse_time(item['at']))}{item['what']}"

    def _when(self, moment: datetime | None) -> str:
        if moment is None:
            return ""
        return f"in {max(0.0, (moment - self.now).total_seconds()):.0f}s ({_clock(moment)}), "


def _clock(moment: datetime | None) -> str:
    """Return the time of day; with a fraction if known, as `metav1.Time` has whole seconds."""
    if moment is None:
        return "-"
    local = moment.astimezone()
    return local.strftime("%H:%M:%S.%f")[:-3] if local.microsecond else local.strftime("%H:%M:%S")
