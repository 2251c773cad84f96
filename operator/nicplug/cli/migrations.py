"""`nicplug migrations`: running and waiting migrations, what they wait for, and the order of the queue."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from nicplug.cli.connection import Session, on_cluster
from nicplug.cli.output import age, line, print_table, with_output, write
from nicplug.cli.plan import with_kubevirt_namespace, with_operator_namespace
from nicplug.model.mode import Mode

if TYPE_CHECKING:
    from rich.console import Console

    from nicplug.insight.queue import MigrationQueue


@click.command()
@click.option("-A", "--all-namespaces", is_flag=True, help="Show the migrations of all namespaces.")
@click.option("-a", "--all", "with_ended", is_flag=True, help="Show ended migrations too.")
@with_kubevirt_namespace
@with_operator_namespace
@with_output
@on_cluster
async def migrations(
    session: Session,
    *,
    all_namespaces: bool,
    with_ended: bool,
    kubevirt_namespace: str,
    operator_namespace: str,
    output: str,
) -> int | None:
    """Show the queue of live migrations, in order.

    Running migrations come first, then waiting ones in the order of the queue, then ended ones, the latest first.
    Beside KubeVirt: who created each, and the VMs that wait for a slot before nicplug creates one.
    """
    from nicplug.cli.machines import now
    from nicplug.cli.mode import mode_of
    from nicplug.cli.operator_health import note_without_operator
    from nicplug.insight.companion_queue import read_companion_queue
    from nicplug.insight.queue import read_queue

    namespace = None if all_namespaces else session.namespace
    if await mode_of(session) is Mode.COMPANION:
        found = await read_companion_queue(session.api, namespace=namespace, kubevirt_namespace=kubevirt_namespace)
    else:
        found = await read_queue(
            session.api,
            namespace=namespace,
            kubevirt_namespace=kubevirt_namespace,
            operator_namespace=operator_namespace,
            now=now(),
        )
    note = await note_without_operator(session, namespace=operator_namespace)
    write(QueueDocument(found, with_ended, now(), note), output)
    return None


@dataclass(frozen=True, slots=True)
class QueueDocument:
    """The queue of migrations.

    Attributes:
        with_ended: includes the migrations that have ended.
        note: that no operator works, so that no migration starts or continues; "" if one does.
    """

    found: "MigrationQueue"
    with_ended: bool
    now: datetime
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The document of `-o json` and `-o yaml`."""
        found = self.found
        return {
            "kind": "MigrationQueue",
            "slots": {"perCluster": found.limits.per_cluster, "taken": found.taken},
            "limits": found.limits.named(),
            "migrations": [item.to_json() for item in found.shown(with_ended=self.with_ended)],
            "unknown": list(found.unknown),
            "note": self.note or None,
        }

    def names(self) -> Sequence[str]:
        """Return `NAMESPACE/NAME` of each migration."""
        return [f"{item.namespace}/{item.name}" for item in self.found.shown(with_ended=self.with_ended) if item.name]

    def _ended(self) -> str:
        count = len(self.found.shown(with_ended=True))
        if not count or self.with_ended:
            return ""
        return f"; {count} {'has' if count == 1 else 'have'} ended: nicplug migrations -a"

    def show(self, console: "Console") -> None:
        """Print the slots, the table, and the messages."""
        found, limits = self.found, self.found.limits
        taken = "?" if found.taken is None else str(found.taken)
        per_node = f"{limits.outbound_per_node} away from each node"
        if found.has_inbound_limit:
            per_node += f", {limits.inbound_per_node} to each node"
        line(console, f"{taken} of {limits.per_cluster} cluster migration slots in use; at most {per_node}", "bold")
        rows = [
            (
                str(item.position) if item.position is not None else "",
                f"{item.namespace}/{item.name or '-'}",
                item.vmi,
                item.phase,
                item.reason,
                item.source,
                item.target,
                age(item.created, now=self.now),
            )
            for item in found.shown(with_ended=self.with_ended)
        ]
        if rows:
            print_table(console, ("#", "MIGRATION", "VM", "PHASE", "REASON", "FROM", "TO", "AGE"), rows)
        else:
            line(console, f"no migrations are running or waiting{self._ended()}")
        for item in found.shown(with_ended=self.with_ended):
            if item.message:
                line(console, f"{item.name or item.vmi}: {item.message}")
        for unknown in found.unknown:
            line(console, f"not known: {unknown}", "yellow")
        if self.note:
            line(console, f"note: {self.note}", "yellow")
