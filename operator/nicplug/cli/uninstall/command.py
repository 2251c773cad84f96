"""`nicplug uninstall`: removes nicplug and keeps its virtual machines; with `--purge` removes everything."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from nicplug.cli.connection import Session, on_cluster
from nicplug.cli.exits import CommandError, Exit
from nicplug.cli.output import line, with_output, write

if TYPE_CHECKING:
    from rich.console import Console

    from nicplug.cli.uninstall.parts import Part
    from nicplug.cli.uninstall.steps import Uninstaller

_SHOWN = 5


@click.command()
@click.option("--purge", is_flag=True, help="Delete the CRDs as well, so that nothing of nicplug remains.")
@click.option("--delete-vms", is_flag=True, help="With --purge: delete every virtual machine of the cluster first.")
@click.option("--yes", is_flag=True, help="Delete the objects. Without it, only list them.")
@click.option(
    "--timeout",
    "seconds",
    type=click.IntRange(min=1),
    default=120,
    show_default=True,
    help="Seconds that one step may wait.",
)
@with_output
@on_cluster
async def uninstall(
    session: Session, *, purge: bool, delete_vms: bool, yes: bool, seconds: int, output: str
) -> int | None:
    """Remove nicplug from the cluster; virtual machines, their guests and the CRDs stay.

    Deletes operator, API, policies and RBAC; the next installation adopts the virtual machines. In the meantime guests
    keep running, but are not restarted or migrated, and NICs are not plugged. With --purge the CRDs are deleted as
    well, once no virtual machine is left. Beside KubeVirt the CRDs that are deleted are nicplug's own, at once, and
    KubeVirt goes on. Without --yes nothing is changed.
    """
    from nicplug.cli.uninstall.parts import installed, is_beside_kubevirt, of_users
    from nicplug.cli.uninstall.steps import StillThere, Uninstaller

    if delete_vms and not purge:
        raise click.UsageError("--delete-vms needs --purge.")
    is_beside = await is_beside_kubevirt(session.api)
    parts = await installed(session.api, purge=purge, is_beside=is_beside)
    _refuse_helm(parts, is_beside=is_beside)
    plan_it, carry_out = (_plan_beside, _carry_out_beside) if is_beside else (_plan, _carry_out)
    machines = await of_users(session.api)
    plan = await plan_it(session, parts, machines, purge=purge, delete_vms=delete_vms)
    if yes:
        steps = Uninstaller(api=session.api, report=lambda text: click.echo(text, err=True), seconds=seconds)
        try:
            plan = await carry_out(steps, plan)
        except StillThere as error:
            raise CommandError(
                str(error), remedy="Run the command again: it continues where it stopped.", code=Exit.TIMED_OUT
            ) from error
    write(plan, output)
    return None


async def _plan(
    session: Session, parts: "Sequence[Part]", machines: "Sequence[Part]", *, purge: bool, delete_vms: bool
) -> "Uninstallation":
    from nicplug.cli.uninstall.parts import with_definitions

    _refuse_machines(machines, purge=purge, delete_vms=delete_vms)
    return Uninstallation(
        installed=parts,
        machines=machines if delete_vms else [],
        definitions=await with_definitions(session.api) if purge else [],
        kept=0 if delete_vms else len(machines),
        is_done=False,
    )


async def _plan_beside(
    session: Session, parts: "Sequence[Part]", machines: "Sequence[Part]", *, purge: bool, delete_vms: bool
) -> "Uninstallation":
    """Plan for a cluster whose virtual machines are KubeVirt's; `purge` makes no difference."""
    from nicplug.cli.uninstall.beside import own_migrations
    from nicplug.cli.uninstall.parts import with_definitions

    if machines and delete_vms:
        raise CommandError(
            f"the virtual machines of this cluster are not nicplug's: {_some(machines)}",
            remedy="Without --delete-vms everything of nicplug's is deleted.",
            code=Exit.REFUSED,
        )
    found = await own_migrations(session.api)
    return Uninstallation(
        installed=parts,
        machines=found.removable,
        definitions=await with_definitions(session.api),
        kept=len(machines) - len(found.removable),
        under_way=found.under_way,
        is_done=False,
    )


async def _carry_out(steps: "Uninstaller", plan: "Uninstallation") -> "Uninstallation":
    """Delete VMs while the operator can still stop their guests, and CRDs last, when nothing creates their objects."""
    from nicplug.cli.uninstall.parts import GUARD

    guards = [part for part in plan.installed if part.name == GUARD]
    machines = await steps.remove_machines() if plan.machines else []
    removed = await steps.remove(part for part in plan.installed if part.name != GUARD)
    gone = await steps.remove_definitions() if plan.definitions else []
    removed += await steps.remove(guards)
    return replace(plan, installed=removed, machines=machines, definitions=gone, is_done=True)


async def _carry_out_beside(steps: "Uninstaller", plan: "Uninstallation") -> "Uninstallation":
    """Delete migrations and reports after the operator, which would create the next ones."""
    from nicplug.cli.uninstall.beside import operator_pods, own_migrations

    pods = await operator_pods(steps.api)
    removed = await steps.remove(plan.installed)
    await steps.wait_for_end(pods)
    found = await own_migrations(steps.api)
    migrations = await steps.remove(found.removable)
    gone = await steps.remove_own_definitions()
    return replace(
        plan, installed=removed, machines=migrations, definitions=gone, under_way=found.under_way, is_done=True
    )


def _refuse_helm(parts: "Sequence[Part]", *, is_beside: bool) -> None:
    if release := next((part for part in parts if part.helm_release), None):
        more = "virtual machines and CRDs stay. To delete these as well, then run nicplug uninstall --purge."
        if is_beside:
            more = (
                "KubeVirt goes on. To delete CRDs, reports and waiting migrations as well, then run nicplug uninstall."
            )
        raise CommandError(
            f"this installation is the Helm release {release.helm_release}",
            remedy=f"helm uninstall {release.helm_release} --namespace {release.helm_namespace}; {more}",
            code=Exit.REFUSED,
        )


def _refuse_machines(machines: "Sequence[Part]", *, purge: bool, delete_vms: bool) -> None:
    if not purge or delete_vms or not machines:
        return
    raise CommandError(
        f"{len(machines)} objects of virtual machines are left, which would be deleted with the CRDs: "
        f"{_some(machines)}",
        remedy="Delete them, or add --delete-vms. Without --purge they stay.",
        code=Exit.REFUSED,
    )


def _some(parts: "Sequence[Part]") -> str:
    return ", ".join(map(str, parts[:_SHOWN])) + (", ..." if len(parts) > _SHOWN else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Uninstallation:
    """The objects that are or would be deleted.

    Attributes:
        machines: VMs, VMIs and migrations; beside KubeVirt only migrations of nicplug's.
        definitions: KubeVirt objects and CRDs, which are deleted last.
        kept: number of VMs, VMIs and migrations that stay.
        under_way: number of migrations among these that nicplug has created and KubeVirt finishes.
    """

    installed: "Sequence[Part]"
    machines: "Sequence[Part]"
    definitions: "Sequence[Part]"
    kept: int
    is_done: bool
    under_way: int = 0

    def to_json(self) -> dict[str, Any]:
        """The document of `-o json` and `-o yaml`."""
        return {
            "kind": "Uninstallation",
            "done": self.is_done,
            "removed": [_row(part) for part in (*self.machines, *self.installed, *self.definitions)],
            "virtualMachineObjectsKept": self.kept,
            "migrationsUnderWay": self.under_way,
        }

    def names(self) -> Sequence[str]:
        """Return the deleted objects with their kinds."""
        return [str(part) for part in (*self.machines, *self.installed, *self.definitions)]

    def show(self, console: "Console") -> None:
        """Print the objects and a summary."""
        verb = "Deleted" if self.is_done else "Would delete"
        for name in self.names():
            line(console, f"{verb.lower()} {name}" if not self.is_done else name)
        line(console, f"{verb} {len(self.names())} objects; {self.kept} objects of virtual machines stay.", "bold")
        if self.under_way:
            line(console, f"{self.under_way} migrations of nicplug's are moving guests; KubeVirt finishes them.")
        if not self.is_done:
            line(console, "Nothing has been changed: add --yes to delete them.")


def _row(part: "Part") -> dict[str, str | None]:
    return {"kind": part.resource.kind, "namespace": part.namespace or None, "name": part.name}
