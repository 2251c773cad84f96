"""Finds out from Lease and CRDs whether an operator works, and so why a status may not change."""

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
from nicplug.cli.mode import mode_of
from nicplug.insight.nics import STOPPED, VmNics
from nicplug.kube.errors import ApiError, Denied, Gone
from nicplug.kube.resources import CUSTOM_RESOURCE_DEFINITIONS, LEASES
from nicplug.model.definitions import kind_of, served_version, what_it_drops
from nicplug.model.metadata import mapping, text
from nicplug.model.mode import Mode
from nicplug.model.times import parse_time
from nicplug.model.versions import VERSION_ANNOTATION

LEASE, NAMESPACE = "nicplug-operator", "nicplug-system"
# A leader renews every 1.5 s and steps down after 6 s; clocks may differ by some seconds.
STALE_AFTER = timedelta(seconds=20)

_APPLY = "kubectl apply -f crds/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """The leader according to the Lease.

    Attributes:
        renewed: time of the last renewal; None without a Lease.
        problem: why no leader is known; "" if there is one.
        is_known: the Lease could be read, or does not exist.
        version: nicplug's version; "" if the Lease does not have it.
    """

    holder: str = ""
    renewed: datetime | None = None
    problem: str = ""
    is_known: bool = True
    version: str = ""


async def read_leader(session: Session, *, namespace: str = NAMESPACE) -> Leader:
    """Read the leader from the Lease.

    Raises:
        ApiError: it cannot be read; a missing permission or Lease is part of the result instead.
    """
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
    """Return why requests are not processed now; "" if an operator leads, or if that is unknown. One GET.

    Args:
        namespace: of the operator; "" for $NICPLUG_NAMESPACE, or if that is not set, the default.
    """
    try:
        leader = await read_leader(session, namespace=namespace or os.environ.get(OPERATOR_NAMESPACE) or NAMESPACE)
    except ApiError:
        return ""
    return f"no nicplug operator works: {leader.problem}" if leader.problem and leader.is_known else ""


async def note_without_operator(session: Session, *, namespace: str = "") -> str:
    """Return the note that accompanies what an operator would do next; "" if one works, or if that is unknown.

    Args:
        namespace: as for `no_operator`.
    """
    return await note_of(session, await no_operator(session, namespace=namespace))


async def note_of(session: Session, problem: str) -> str:
    """Return the note that accompanies what an operator would do next; "" if there is no problem.

    Args:
        problem: result of `no_operator`.
    """
    if not problem:
        return ""
    is_beside = await mode_of(session) is Mode.COMPANION
    what = "KubeVirt works without nicplug now" if is_beside else "nothing happens now"
    return f"{what}, as {problem}. {what_to_try(session)}"


def what_to_try(session: Session) -> str:
    """Return what to try if no operator works."""
    return f"Run `{START_SANDBOX}`" if session.is_sandbox else "Try `nicplug doctor`"


async def warn_without_operator(session: Session, *, of_nics: bool = False) -> None:
    """Print on stderr that an accepted request waits for an operator, if none works.

    Args:
        of_nics: the request is about NICs; beside KubeVirt, nicplug has nothing to do with others.
    """
    problem = await no_operator(session)
    if not problem:
        return
    note = f"this waits, as {problem}"
    if await mode_of(session) is Mode.COMPANION:
        if not of_nics:
            return
        note = f"KubeVirt is on its own with this, as {problem}"
    click.echo(printable(f"Note: {note}. {what_to_try(session)}"), err=True)


def is_waiting(described: VmNics) -> bool:
    """True if an operator has something to do; NICs of a stopped VM wait for its start instead."""
    is_stopped = described.phase == STOPPED
    return bool(described.requests or described.power_requests) or (
        not is_stopped and any(not nic.is_ready for nic in described.nics)
    )


async def why_stale(session: Session, described: VmNics, *, mode: Mode = Mode.STANDALONE) -> str:
    """Return why the status may be stale, even if nothing waits; "" if it is current, or if that is unknown.

    Args:
        mode: that of the cluster: beside KubeVirt, the CRDs of VMs are not nicplug's.
    """
    is_ours = mode is Mode.STANDALONE
    may_be_dropped = is_ours and (is_waiting(described) or not (described.ready or described.phase == STOPPED))
    try:
        if may_be_dropped and (problem := await old_definition(session)):
            return problem
    except ApiError:
        return ""
    problem = await no_operator(session)
    return f"this status may be old, as {problem}. {what_to_try(session)}" if problem else ""


async def old_definition(session: Session) -> str:
    """Return what the CRD of VMIs lacks; "" if nothing, or if it cannot be read."""
    try:
        definition = await session.api.get(CUSTOM_RESOURCE_DEFINITIONS, name="virtualmachineinstances.kubevirt.io")
    except (Denied, Gone):
        return ""
    return problem_of_definition(definition)


def problem_of_definition(definition: Mapping[str, Any]) -> str:
    """Return what the CRD of VMs or VMIs lacks for this version of nicplug; "" if nothing."""
    kind = kind_of(definition)
    if "status" not in mapping(served_version(definition).get("subresources")):
        return f"the CRD of {kind}s is not nicplug's: it has no status subresource: {_APPLY}"
    if what := what_it_drops(definition):
        return f"the CRD of {kind}s is older than this nicplug, or KubeVirt's, and drops {what}: {_APPLY}"
    return ""
