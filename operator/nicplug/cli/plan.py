"""`nicplug plan`: what would happen to the NICs of a VM, and why, before anything is changed."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from nicplug.cli.completion import complete_machine, complete_network, complete_nic
from nicplug.cli.connection import Session, on_cluster
from nicplug.cli.exits import CommandError, Exit
from nicplug.cli.output import with_output, write

if TYPE_CHECKING:
    from nicplug.insight.evidence import Evidence, Target
    from nicplug.insight.forecast import VmForecast
    from nicplug.model.interface_requests import InterfaceRequest

with_kubevirt_namespace = click.option(
    "--kubevirt-namespace",
    default="kubevirt",
    show_default=True,
    envvar="NICPLUG_KUBEVIRT_NAMESPACE",
    show_envvar=True,
    help="Where the KubeVirt CR lies.",
)
with_operator_namespace = click.option(
    "--operator-namespace",
    default="nicplug-system",
    show_default=True,
    envvar="NICPLUG_NAMESPACE",
    show_envvar=True,
    help="Where the operator runs.",
)


@click.command()
@click.argument("vm", required=False, shell_complete=complete_machine)
@click.option(
    "--add",
    "additions",
    multiple=True,
    metavar="[NIC=]NAD",
    shell_complete=complete_network,
    help="Plug a NIC on this network attachment definition; may be given several times.",
)
@click.option(
    "--remove",
    "removals",
    multiple=True,
    metavar="NIC",
    shell_complete=complete_nic,
    help="Unplug this NIC; may be given several times.",
)
@click.option("--persist", is_flag=True, help="Change the VM's template, as `nicplug add --persist` does.")
@click.option("-f", "--filename", default=None, metavar="FILE", help="Manifest of VMs to be applied; - for stdin.")
@with_kubevirt_namespace
@with_operator_namespace
@with_output
@on_cluster
async def plan(session: Session, *, vm: str | None, filename: str | None, output: str, **options: Any) -> int | None:
    """Say what would happen to the NICs of VM, and why. Nothing is changed.

    The API server checks the change by a dry run; then the operator's own planner decides on what the cluster is now.
    Without a change: what comes next for the NICs that are on their way.

    Exit code 9 when a NIC would not arrive by itself: refused, blocked, or only by a restart.
    """
    from nicplug.cli.plan_document import PlanDocument
    from nicplug.cli.quiet import silence_logs

    silence_logs()
    has_change = bool(options["additions"] or options["removals"])
    if (vm is None) == (filename is None) or (filename is not None and has_change):
        raise click.UsageError("Give the name of a VM, with --add or --remove, or a manifest by -f.")
    target = target_of(session, vm or "", options)
    if filename is not None:
        found = await _plan_file(session, target, filename)
    else:
        found = [await _plan_machine(session, target, **options)]
    for forecast, evidence in found:
        write(PlanDocument(forecast, evidence), output)
    return None if all(forecast.arrives for forecast, _ in found) else int(Exit.NO)


def target_of(session: Session, name: str, options: dict[str, Any]) -> "Target":
    """Which VM is asked about, by the options."""
    from nicplug.insight.evidence import Target

    return Target(
        namespace=session.namespace,
        name=name,
        kubevirt_namespace=options.pop("kubevirt_namespace"),
        operator_namespace=options.pop("operator_namespace"),
    )


async def _plan_file(session: Session, target: "Target", filename: str) -> "list[tuple[VmForecast, Evidence]]":
    """One plan for each VM of the manifest, in its own namespace where it names one."""
    from nicplug.cli.dry_run import REFUSALS, dry_apply, read_file, read_manifests
    from nicplug.cli.machines import now
    from nicplug.insight.evidence import networks_in, read_evidence
    from nicplug.insight.forecast import forecast

    found = []
    for manifest in read_manifests(read_file(filename), source=filename):
        metadata = manifest["metadata"]
        of_manifest = replace(session, namespace=metadata.get("namespace") or session.namespace)
        asked = replace(target, namespace=of_manifest.namespace, name=metadata["name"])
        evidence = await read_evidence(session.api, target=asked, clock=now, networks=networks_in(manifest))
        changed, refusals = {}, []
        try:
            changed = await dry_apply(of_manifest, manifest)
        except REFUSALS as error:
            refusals = [f"the API server refuses the manifest: {error}"]
        told = forecast(evidence, changed=changed or None, now=now())
        # Of what is refused nothing follows: what is left is what happens anyhow.
        found.append((replace(told, refusals=tuple(refusals)), evidence))
    return found


async def _plan_machine(
    session: Session, target: "Target", *, additions: tuple[str, ...], removals: tuple[str, ...], persist: bool
) -> "tuple[VmForecast, Evidence]":
    """The change as the subresources would make it, checked by a dry run of the same patch."""
    from nicplug.cli.machines import now
    from nicplug.insight.evidence import read_evidence
    from nicplug.insight.forecast import forecast
    from nicplug.insight.requests import answer_to
    from nicplug.model.networks import parse_network

    networks = [parse_network({"name": item, "multus": {"networkName": item.rpartition("=")[2]}}) for item in additions]
    evidence = await read_evidence(session.api, target=target, clock=now, networks=networks)
    raw = evidence.vm if persist else evidence.vmi
    if evidence.vm is None and evidence.vmi is None:
        message = f'no VirtualMachine and no VirtualMachineInstance "{target.name}" in namespace {target.namespace}'
        raise CommandError(message, remedy="--namespace NAME looks elsewhere.", code=Exit.NOT_FOUND)
    requests = _requests(evidence, additions, removals)
    if requests and raw is None:
        remedy = "Add --persist to plan for the template." if not persist else "Leave --persist out."
        raise CommandError(f"VM {target.name} has no {'VMI' if not persist else 'VM'} to change", remedy=remedy)
    answers = [answer_to(evidence, request, persist=persist) for request in requests]
    refusals = [answer.message for answer in answers if answer.code >= 400]
    accepted = [request for request, answer in zip(requests, answers, strict=True) if answer.code < 400]
    if not accepted or raw is None:
        told = forecast(evidence, changed=None, now=now())
        return replace(told, refusals=tuple(refusals)), evidence
    changed, more = await _dry_run(session, raw, accepted)
    told = forecast(evidence, changed=changed, now=now())
    return replace(told, refusals=(*refusals, *more)), evidence


def _requests(evidence: "Evidence", additions: tuple[str, ...], removals: tuple[str, ...]) -> "list[InterfaceRequest]":
    from nicplug.cli.change import free_name
    from nicplug.model.interface_requests import AddInterface, RemoveInterface

    owners = [owner for owner in (evidence.parsed_vm, evidence.parsed_vmi) if owner is not None]
    taken = {item.name for owner in owners for item in owner.interfaces}
    taken |= {item.name for owner in owners for item in owner.networks}
    requests: list[InterfaceRequest] = [RemoveInterface(name=name) for name in removals]
    for item in additions:
        name, _, network = item.rpartition("=")
        name = name or free_name(network, taken=taken)
        taken.add(name)
        requests.append(AddInterface(name=name, network=network))
    return requests


async def _dry_run(
    session: Session, raw: dict[str, Any], requests: "list[InterfaceRequest]"
) -> tuple[dict[str, Any], list[str]]:
    """The object with all requests, as the API server would store it; else as it would be, with what is refused."""
    from nicplug.cli.dry_run import REFUSALS, dry_patch
    from nicplug.insight.changes import with_requests
    from nicplug.kube.errors import Denied

    patch, changed = with_requests(raw, requests)
    try:
        return await dry_patch(session, raw, patch), []
    except Denied as error:
        if error.is_missing_right:
            # The subresource needs another right than a patch of the spec does.
            return changed, []
        return changed, [f"the API server refuses the change: {error}"]
    except REFUSALS as error:
        return changed, [f"the API server refuses the change: {error}"]
