"""The checks of `nicplug doctor` beside KubeVirt; without those of what only standalone mode installs."""

from collections.abc import Coroutine
from typing import Any

from nicplug.cli.connection import Session
from nicplug.cli.doctor.coverage import check_coverage, check_nodes
from nicplug.cli.doctor.finding import Finding, ok, problem, unknown
from nicplug.cli.doctor.kinds import check_multus
from nicplug.cli.doctor.pods import check_pods
from nicplug.cli.doctor.processes import check_deployment, check_leader, check_rivals, check_versions
from nicplug.cli.doctor.rights import check_companion_rights
from nicplug.cli.doctor.stale import check_waiting
from nicplug.cli.doctor.virt_controller import check_settings, check_virt_controller
from nicplug.cli.machines import now
from nicplug.insight.evidence import Target
from nicplug.insight.reading import read_cluster
from nicplug.kube.errors import Denied, Gone
from nicplug.kube.resources import CUSTOM_RESOURCE_DEFINITIONS, INTERFACE_REPORTS
from nicplug.model.conditions import is_true
from nicplug.model.metadata import mapping, objects
from nicplug.model.mode import Mode

_REPORTS = f"{INTERFACE_REPORTS.plural}.{INTERFACE_REPORTS.group}"
_INSTALL = "kubectl apply -f crds/nicplug.io/"


def companion_checks(session: Session, *, target: Target) -> list[tuple[str, Coroutine[Any, Any, list[Finding]]]]:
    """Return every check with its name, not started yet."""
    namespace = target.operator_namespace
    return [
        ("mode", _say_mode()),
        ("crds", check_reports(session)),
        ("versions", check_versions(session, namespace=namespace, has_api=False)),
        ("leader", check_leader(session, namespace=namespace)),
        ("operator", check_deployment(session, namespace=namespace)),
        ("rivals", check_rivals(session, namespace=namespace, mode=Mode.COMPANION)),
        ("pods", check_pods(session, namespace=namespace, at=now())),
        ("rbac", check_companion_rights(session, namespace=namespace)),
        ("virt-controller", check_virt_controller(session)),
        ("kubevirt", _check_cluster(session, target)),
        ("nics", check_waiting(session, at=now(), mode=Mode.COMPANION)),
    ]


async def _say_mode() -> list[Finding]:
    return [ok("mode", "companion: KubeVirt runs the virtual machines, and nicplug works beside it")]


async def check_reports(session: Session) -> list[Finding]:
    """Check that the CRD of nicplug's reports is installed: without it the operator does not begin."""
    try:
        definition = await session.api.get(CUSTOM_RESOURCE_DEFINITIONS, name=_REPORTS)
    except Gone:
        return [problem("crds", f"missing: {_REPORTS}", _INSTALL)]
    except Denied as error:
        return [unknown("crds", str(error))]
    if not is_true(objects(mapping(definition.get("status")).get("conditions")), "Established"):
        return [problem("crds", f"missing: {_REPORTS} (not established)", _INSTALL)]
    return [ok("crds", f"CRD {_REPORTS} is installed")]


async def _check_cluster(session: Session, target: Target) -> list[Finding]:
    evidence = await read_cluster(session.api, target=target, clock=now, mode=Mode.COMPANION)
    checks = (check_settings, check_multus, check_nodes, check_coverage)
    return [finding for check in checks for finding in check(evidence)]
