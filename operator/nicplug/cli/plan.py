"""`nicplug plan`: what would happen to the NICs of a VM, and why, before anything changes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from nicplug.cli.allowed_version import with_allowed_version
from nicplug.cli.completion import complete_addition, complete_machine, complete_nic
from nicplug.cli.connection import Session, on_cluster
from nicplug.cli.environment import OPERATOR_NAMESPACE
from nicplug.cli.exits import CommandError, Exit, printable
from nicplug.cli.nic_names import Addition
from nicplug.cli.output import with_output, write_all
from nicplug.model.mode import Mode

if TYPE_CHECKING:
    from nicplug.cli.plan_document import PlanDocument
    from nicplug.insight.evidence import Evidence, Target
    from nicplug.insight.outcome import VmForecast
    from nicplug.insight.planning import WeighedChange
    from nicplug.insight.question import PlanQuestion

with_kubevirt_namespace = click.option(
    "--kubevirt-namespace",
    default="kubevirt",
    show_default=True,
    envvar="NICPLUG_KUBEVIRT_NAMESPACE",
    show_envvar=True,
    help="Namespace of the KubeVirt CR.",
)
with_operator_namespace = click.option(
    "--operator-namespace",
    default="nicplug-system",
    show_default=True,
    envvar=OPERATOR_NAMESPACE,
    show_envvar=True,
    help="Namespace of the operator.",
)


@click.command()
@click.argument("vm", required=False, shell_complete=complete_machine)
@click.option(
    "--add",
    "additions",
    type=Addition(),
    multiple=True,
    metavar="[NIC=]NAD",
    shell_complete=complete_addition,
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
@with_allowed_version
@with_output
@on_cluster
async def plan(session: Session, *, vm: str | None, filename: str | None, output: str, **options: Any) -> int | None:
    """Say what would happen to the NICs of VM, and why. Nothing is changed.

    The API server checks the change by a dry run; then the operator's own planner decides on what the cluster is now.
    Several changes are planned as if they were asked for one after the other: every --remove, then every --add.
    Without a change: what comes next for the NICs that are on their way. Beside KubeVirt, --add and --remove change the
    VM's template, as --persist does. If you may not read nodes, DaemonSets or pods,
    `nicplug api` is asked, and answers what concerns this VM.

    A manifest is checked as `kubectl apply` would send it, or `kubectl apply --server-side` where that was used before,
    and strictly: exit code 2 when it has fields that do not exist.

    Exit code 9 when a NIC would not be plugged automatically: refused, blocked, or only by a restart.
    """
    has_change = bool(options["additions"] or options["removals"])
    if (vm is None) == (filename is None) or (filename is not None and has_change):
        raise click.UsageError(
            "Give either the name of a VM, alone or with --add and --remove, or a manifest by -f; not both."
        )
    from nicplug.cli.suggestions import plan_with_remedies

    target = target_of(session, vm or "", options)
    if filename is not None:
        found = await _plan_file(session, target, filename)
    else:
        found = [await _plan_machine(session, target, _question(**options))]
    found = [replace(document, found=await plan_with_remedies(session, document.found)) for document in found]
    write_all(await _with_note(session, target, found), output)
    if output == "name":
        _print_refusals(found)
    return None if all(document.arrives for document in found) else int(Exit.NO)


def _print_refusals(found: "Sequence[PlanDocument]") -> None:
    """Print refusals on stderr: they have no path, and `-o name` would show an existing NIC of that name instead."""
    for refusal in (item for document in found for item in document.found["refusals"]):
        click.echo(f"Error: refused: {printable(refusal)}", err=True)


async def _with_note(session: Session, target: "Target", found: "list[PlanDocument]") -> "list[PlanDocument]":
    """Add a note to plans with NICs if no operator works, so that nothing planned happens; one GET."""
    from nicplug.cli.operator_health import note_without_operator

    if not any(document.found["nics"] for document in found):
        return found
    note = await note_without_operator(session, namespace=target.operator_namespace)
    return [replace(document, note=note) if document.found["nics"] else document for document in found]


def target_of(session: Session, name: str, options: dict[str, Any]) -> "Target":
    """Take what concerns the installation out of the options, and return the VM that the question is about."""
    from nicplug.insight.evidence import Target

    return Target(
        namespace=session.namespace,
        name=name,
        kubevirt_namespace=options.pop("kubevirt_namespace"),
        operator_namespace=options.pop("operator_namespace"),
        allowed_version=options.pop("allow_kubevirt_version") or "",
    )


def _question(*, additions: tuple[str, ...], removals: tuple[str, ...], persist: bool) -> "PlanQuestion":
    from nicplug.insight import question

    pairs = [item.rpartition("=") for item in additions]
    plugged = tuple(question.Addition(name=name, network=network) for name, _, network in pairs)
    return question.PlanQuestion(additions=plugged, removals=removals, persist=persist)


async def _plan_file(session: Session, target: "Target", filename: str) -> "list[PlanDocument]":
    """Plan each VM of the manifest, in the namespace that the manifest names, otherwise in the session's."""
    from nicplug.cli.dry_run import read_file, read_manifests

    found = []
    for manifest in read_manifests(read_file(filename), source=filename):
        metadata = manifest["metadata"]
        of_manifest = replace(session, namespace=metadata.get("namespace") or session.namespace)
        asked = replace(target, namespace=of_manifest.namespace, name=metadata["name"])
        found.append(await _plan_manifest(of_manifest, asked, manifest, source=filename))
    return found


async def _plan_manifest(
    session: Session, target: "Target", manifest: dict[str, Any], *, source: str
) -> "PlanDocument":
    from nicplug.cli.asking import ask_plan, read_as_user
    from nicplug.cli.dry_run import REFUSALS, dry_apply, is_malformed, malformation
    from nicplug.cli.machines import now
    from nicplug.insight.evidence import networks_in
    from nicplug.insight.forecast import forecast
    from nicplug.insight.planning import forecast_if_refused
    from nicplug.insight.question import PlanQuestion, question_of
    from nicplug.insight.wrong_addresses import addresses_of, with_wrong_addresses
    from nicplug.kube.errors import Gone

    evidence = await read_as_user(session, target, networks=networks_in(manifest))
    changed, refusals = {}, []
    try:
        changed = await dry_apply(session, manifest)
    except REFUSALS as error:
        if is_malformed(error):
            remedy = f"Correct {source if source != '-' else 'the manifest on stdin'}; nothing was planned for it."
            message = f"{manifest['kind']} {target.name}: {malformation(error)}"
            raise CommandError(message, remedy=remedy, code=Exit.WRONG_USE) from error
        refusals = [f"the API server refuses the manifest: {error}"]
    if evidence.asks_api:
        question = question_of(changed) if changed else PlanQuestion()
        try:
            asked = await ask_plan(session, target.name, question, must=evidence.found is None)
        except Gone as error:
            if error.is_not_served:
                raise
            asked = None  # the manifest creates the VM, and the API answers only for existing VMs
        if asked is not None:
            return _from_api(asked, refusals)
    found = evidence.must()
    before = addresses_of(found)
    named = question_of(manifest).names
    vm_forecast = forecast(found, changed=changed or None, named=named, now=now())
    vm_forecast = with_wrong_addresses(vm_forecast, found, before=before) if changed else vm_forecast
    return _from_kubeconfig(forecast_if_refused(vm_forecast, refusals) if refusals else vm_forecast, found)


async def _plan_machine(session: Session, target: "Target", question: "PlanQuestion") -> "PlanDocument":
    """Plan the change as the subresources would make it, and check it with a dry run of the same patch."""
    from nicplug.cli.asking import ask_plan, read_as_user
    from nicplug.cli.machines import now
    from nicplug.cli.suggestions import no_machine
    from nicplug.insight.forecast import forecast
    from nicplug.insight.planning import forecast_if_refused, weigh

    evidence = await read_as_user(session, target, networks=question.networks)
    if evidence.is_none:
        raise await no_machine(session, target.name)
    if evidence.mode is Mode.COMPANION:
        question = replace(question, persist=True)  # nobody but KubeVirt changes the spec of a VMI
    must, asked = evidence.found is None, None
    if evidence.found is not None:
        _check_removals(evidence.found, question)
    if evidence.asks_api:
        asked = await ask_plan(session, target.name, question, must=must)
    if asked is not None:
        return _from_api(asked, await _refused_by_dry_run(session, evidence.found, question))
    found = evidence.must()
    weighed = weigh(found, question)
    if weighed.raw is None and weighed.refusals:
        return _from_kubeconfig(forecast_if_refused(forecast(found, changed=None, now=now()), weighed.refusals), found)
    changed, more = await _dry_run(session, weighed)
    recorded = weighed.recorded(changed, mode=found.mode) if changed is not None else None
    vm_forecast = forecast(found, changed=recorded, named=weighed.names, now=now())
    return _from_kubeconfig(replace(vm_forecast, refusals=(*weighed.refusals, *more)), found)


def _check_removals(evidence: "Evidence", question: "PlanQuestion") -> None:
    from nicplug.insight.planning import NothingToChange, check_removals

    try:
        check_removals(evidence, question)
    except NothingToChange as error:
        raise CommandError(str(error), remedy=error.remedy, code=Exit.NOT_FOUND) from error


async def _dry_run(session: Session, weighed: "WeighedChange") -> tuple[dict[str, Any] | None, list[str]]:
    """Return the object with all requests, as the API server would store it, and no refusals.

    If the API server refuses the change, return the object as it would be without that refusal, and the refusal.
    """
    from nicplug.cli.dry_run import REFUSALS, dry_patch
    from nicplug.kube.errors import Denied

    if weighed.raw is None or (change := weighed.change()) is None:
        return None, []
    patch, changed = change
    try:
        return await dry_patch(session, weighed.raw, patch), []
    except Denied as error:
        if error.is_missing_right:
            # The subresource needs another permission than a patch of the spec.
            return changed, []
        return changed, [f"the API server refuses the change: {error}"]
    except REFUSALS as error:
        return changed, [f"the API server refuses the change: {error}"]


async def _refused_by_dry_run(session: Session, evidence: "Evidence | None", question: "PlanQuestion") -> list[str]:
    """Return the refusals of a dry run, which `nicplug api` cannot make: it would use its own permissions."""
    from nicplug.insight.planning import weigh

    return (await _dry_run(session, weigh(evidence, question)))[1] if evidence is not None else []


def _from_api(asked: dict[str, Any], refusals: Sequence[str]) -> "PlanDocument":
    from nicplug.cli.asking import FROM_API
    from nicplug.cli.plan_document import PlanDocument

    members = {"refusals": [*asked["refusals"], *refusals], "arrives": asked["arrives"] and not refusals}
    return PlanDocument({**asked, **members}, FROM_API)


def _from_kubeconfig(vm_forecast: "VmForecast", evidence: "Evidence") -> "PlanDocument":
    from nicplug.cli.asking import FROM_KUBECONFIG
    from nicplug.cli.plan_document import PlanDocument
    from nicplug.insight.forecast_json import forecast_json

    caches = evidence.caches
    taken = len(caches.slots.entries)
    if evidence.mode is Mode.COMPANION:
        taken = len(caches.unfinished_migrations())
    slots = (taken, caches.limits().per_cluster)
    return PlanDocument(forecast_json(vm_forecast, unknown=evidence.unknown, slots=slots), FROM_KUBECONFIG)
