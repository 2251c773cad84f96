"""`nicplug doctor`: is this installation healthy?"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from nicplug.cli.allowed_version import with_allowed_version
from nicplug.cli.connection import Session, on_cluster
from nicplug.cli.doctor.finding import Finding, Severity, unknown
from nicplug.cli.exits import Exit
from nicplug.cli.output import line, with_output, write
from nicplug.cli.plan import target_of, with_kubevirt_namespace, with_operator_namespace

if TYPE_CHECKING:
    from rich.console import Console

    from nicplug.insight.evidence import Target

_STYLES = {Severity.OK: "green", Severity.WARNING: "yellow", Severity.PROBLEM: "red", Severity.UNKNOWN: "yellow"}
_SHORTEST_COLUMN = 12


@click.command()
@with_kubevirt_namespace
@with_operator_namespace
@with_allowed_version
@with_output
@on_cluster
async def doctor(session: Session, *, output: str, **options: Any) -> int | None:
    """Check the installation, with a remedy for each finding.

    Looks at CRDs, feature gate, policy, Multus, nodes and the controller on each, the rights of the operator and of
    the aggregated API, versions, replicas, pods that do not start, leader, fences, the policies of admission, the
    API's registration, its certificate and its webhook for evictions, and what the operator itself reports in the
    status of the KubeVirt CR. Beside KubeVirt: virt-controller, KubeVirt's version and the settings of its CR that
    decide on migrations, and nothing of what only standalone mode installs.

    Exit code 9 when there is a problem; a warning alone is none. Exit code 4 when there is none, and you may not look
    at most of it.
    """
    target = target_of(session, "", options)
    findings = await examine(session, target=target)
    diagnosis = Diagnosis(findings)
    write(diagnosis, output)
    if any(item.severity is Severity.PROBLEM for item in findings):
        return int(Exit.NO)
    return int(Exit.NOT_ALLOWED) if diagnosis.is_denied else None


async def examine(session: Session, *, target: "Target") -> list[Finding]:
    """Run every check; the findings are in the order in which a person would investigate."""
    from nicplug.cli.mode import mode_of
    from nicplug.model.mode import Mode

    if await mode_of(session) is Mode.COMPANION:
        from nicplug.cli.doctor.companion import companion_checks

        return await _run(companion_checks(session, target=target))
    from nicplug.cli.doctor.kinds import check_definitions
    from nicplug.cli.doctor.pods import check_pods
    from nicplug.cli.doctor.processes import all_processes
    from nicplug.cli.doctor.rights import check_api_rights, check_operator_rights
    from nicplug.cli.doctor.stale import check_waiting
    from nicplug.cli.machines import now

    operator_namespace = target.operator_namespace
    checks = [
        ("crds", check_definitions(session)),
        *all_processes(session, namespace=operator_namespace),
        ("pods", check_pods(session, namespace=operator_namespace, at=now())),
        ("rbac", check_operator_rights(session, namespace=operator_namespace)),
        ("api-rbac", check_api_rights(session, namespace=operator_namespace)),
        ("kubevirt", _check_cluster(session, target)),
        ("nics", check_waiting(session, at=now())),
    ]
    return await _run(checks)


async def _run(checks: Sequence[tuple[str, Coroutine[Any, Any, list[Finding]]]]) -> list[Finding]:
    found = await asyncio.gather(*(_guarded(name, check) for name, check in checks))
    return [finding for findings in found for finding in findings]


async def _guarded(name: str, check: Coroutine[Any, Any, list[Finding]]) -> list[Finding]:
    """Run a check and turn its errors into findings, except that the API server is unreachable."""
    from nicplug.kube.errors import ApiError, Denied, Unavailable

    try:
        return await check
    except Denied as error:
        return [unknown(name, str(error))]
    except ApiError as error:
        if isinstance(error, Unavailable) and not error.status:
            raise
        return [unknown(name, str(error), "Install the CRDs first: kubectl apply -f crds/")]


async def _check_cluster(session: Session, target: "Target") -> list[Finding]:
    from nicplug.cli.doctor.coverage import check_coverage, check_nodes
    from nicplug.cli.doctor.kinds import check_kubevirt, check_multus, check_policy
    from nicplug.cli.doctor.reported import check_status
    from nicplug.cli.machines import now
    from nicplug.insight.reading import read_cluster

    evidence = await read_cluster(session.api, target=target, clock=now)
    checks = (check_kubevirt, check_policy, check_multus, check_nodes, check_coverage)
    found = [finding for check in checks for finding in check(evidence)]
    return [*found, *await check_status(session, evidence)]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The findings of `nicplug doctor`."""

    findings: Sequence[Finding]

    @property
    def is_denied(self) -> bool:
        """True if the caller lacks the permission for most checks."""
        return 2 * sum(item.is_denied for item in self.findings) > len(self.findings)

    def to_json(self) -> dict[str, Any]:
        """The document of `-o json` and `-o yaml`."""
        problems = any(item.severity is Severity.PROBLEM for item in self.findings)
        return {"kind": "Diagnosis", "healthy": not problems, "findings": [item.to_json() for item in self.findings]}

    def names(self) -> Sequence[str]:
        """Return the checks with their severities."""
        return [f"{item.check}={item.severity}" for item in self.findings]

    def show(self, console: "Console") -> None:
        """Print a line for each finding with its remedy below; one line for all denied checks, if most are denied."""
        shown = [item for item in self.findings if not (self.is_denied and item.is_denied)]
        listed = [*shown, *self._denied()]
        width = max((len(item.check) for item in listed), default=0)
        for item in listed:
            label = f"{item.severity:<8} {item.check:<{max(width, _SHORTEST_COLUMN)}} "
            line(console, f"{label}{item.message}", _STYLES[item.severity], indent=len(label))
            if item.remedy:
                line(console, f"{'':<{len(label)}}{item.remedy}", indent=len(label))

    def _denied(self) -> list[Finding]:
        if not self.is_denied:
            return []
        checks = dict.fromkeys(item.check for item in self.findings if item.is_denied)
        return [unknown("rights", f"you may not look at {', '.join(checks)}: this says nothing about them")]
