"""Whether an operator works, as its Lease and the CRDs tell it: what a status that stands still may mean."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import click

from nicplug.cli.connection import START_SANDBOX, Session
from nicplug.cli.environment import OPERATOR_NAMESPACE
from nicplug.cli.exits import printable
from nicplug.cli.machines import now
from nicplug.insight.nics import STOPPED, VmNics
from nicplug.kube.errors import ApiError, Denied, Gone
from nicplug.kube.resources import CUSTOM_RESOURCE_DEFINITIONS, LEASES
from nicplug.model.definitions import kind_of, served_version, what_it_drops
from nicplug.model.metadata import mapping, text
from nicplug.model.times import parse_time
from nicplug.model.versions import VERSION_ANNOTATION

LEASE, NAMESPACE = "nicplug-operator", "nicplug-system"
# A leader renews every 1.5 s and stands back after 6 s; clocks may differ by some seconds.
STALE_AFTER = timedelta(seconds=20)

_APPLY = "kubectl apply -f crds/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """Who leads, as the Lease says.

    Attributes:
        renewed: when it last said so; None where there is no Lease.
        problem: why nobody is known to lead; "" when somebody does.
        is_known: the Lease could be read, or does not exist.
        version: of its nicplug; "" where the Lease does not say.
    """

    holder: str = ""
    renewed: datetime | None = None
    problem: str = ""
    is_known: bool = True
    version: str = ""


async def read_leader(session: Session, *, namespace: str = NAMESPACE) -> Leader:
    """Read the Lease."""
    try:
        lease = await session.api.get(LEASES, name=LEASE, namespace=namespace)
    except Gone:
        return Leader(problem=f"there is no Lease {namespace}/{LEASE}: no operator has run in namespace {namespace}")
    except Denied as error:
        return Leader(problem=str(error), is_known=False)
    spec = mapping(lease.get("spec"))
    holder, renewed = text(spec.get("holderIdentity")), parse_time(spec.get("renewTime"))
    if not holder:
        return Leader(renewed=renewed, problem="nobody holds the Lease: no operator runs")
    if renewed is None or now() - renewed > STALE_AFTER:
        since = f" since {renewed:%Y-%m-%d %H:%M:%S} UTC" if renewed is not None else ""
        return Leader(holder=holder, renewed=renewed, problem=f"{holder} has not renewed the Lease{since}")
    annotations = mapping(mapping(lease.get("metadata")).get("annotations"))
    return Leader(holder=holder, renewed=renewed, version=text(annotations.get(VERSION_ANNOTATION)))


async def no_operator(session: Session, *, namespace: str = "") -> str:
    """Why what was asked for is not carried out now; "" when an operator leads, or nobody may tell. One GET.

    Args:
        namespace: of the operator; "" for that of $NICPLUG_NAMESPACE, else the usual one.
    """
    try:
        leader = await read_leader(session, namespace=namespace or os.environ.get(OPERATOR_NAMESPACE) or NAMESPACE)
    except ApiError:
        return ""
    return f"no nicplug operator works: {leader.problem}" if leader.problem and leader.is_known else ""


def note_of(session: Session, problem: str) -> str:
    """The note beside what an operator would do next; "" when nothing is wrong.

    Args:
        problem: of `no_operator`.
    """
    return f"nothing happens now, as {problem}. {what_to_try(session)}" if problem else ""


def what_to_try(session: Session) -> str:
    """What helps where no operator works."""
    return f"Run `{START_SANDBOX}`" if session.is_sandbox else "Try `nicplug doctor`"


async def warn_without_operator(session: Session) -> None:
    """Say on stderr that a request, which has been accepted, waits for an operator."""
    if problem := await no_operator(session):
        click.echo(printable(f"Note: this waits, as {problem}. {what_to_try(session)}"), err=True)


def is_waiting(described: VmNics) -> bool:
    """An operator has something to do: NICs of a stopped VM wait for its start instead."""
    is_stopped = described.phase == STOPPED
    return bool(described.requests or described.power_requests) or (
        not is_stopped and any(not nic.is_ready for nic in described.nics)
    )


async def silence_of(session: Session, described: VmNics) -> str:
    """Why the status may be old, also of a VM that waits for nothing; "" when nothing is wrong, or nobody may tell."""
    may_be_dropped = is_waiting(described) or not (described.ready or described.phase == STOPPED)
    try:
        if may_be_dropped and (problem := await old_definition(session)):
            return problem
    except ApiError:
        return ""
    problem = await no_operator(session)
    return f"this status may be old, as {problem}. {what_to_try(session)}" if problem else ""


async def old_definition(session: Session) -> str:
    """What the CRD of VMIs lacks; "" when nothing, or when it must not be read."""
    try:
        definition = await session.api.get(CUSTOM_RESOURCE_DEFINITIONS, name="virtualmachineinstances.kubevirt.io")
    except (Denied, Gone):
        return ""
    return problem_of_definition(definition)


def problem_of_definition(definition: Mapping[str, Any]) -> str:
    """What this version of nicplug needs and the CRD of VMs or VMIs does not have."""
    kind = kind_of(definition)
    if "status" not in mapping(served_version(definition).get("subresources")):
        return f"the CRD of {kind}s is not nicplug's: it has no status subresource: {_APPLY}"
    if what := what_it_drops(definition):
        return f"the CRD of {kind}s is older than this nicplug, or KubeVirt's, and drops {what}: {_APPLY}"
    return ""
