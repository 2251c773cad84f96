"""What somebody may have meant who typed a name that does not exist; reads names only after that."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from nicplug.cli.connection import Session
from nicplug.cli.exits import CommandError, Exit
from nicplug.kube.errors import ApiError, Gone
from nicplug.kube.resources import (
    NAMESPACES,
    NETWORK_ATTACHMENT_DEFINITIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
)
from nicplug.model.operations import OperationType
from nicplug.plan.reasons import Reason

if TYPE_CHECKING:
    from nicplug.insight.nics import NicRow, VmNics
    from nicplug.kube.api import Resource

_SIMILARITY = 0.7
_MOST_NAMES = 500


async def no_machine(session: Session, name: str) -> CommandError:
    """There is nothing of that name: is it the namespace that is wrong, or the name?"""
    if await is_missing(session):
        return no_namespace(session.namespace)
    found = await asyncio.gather(
        *(_names(session, kind, session.namespace) for kind in (VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCES))
    )
    meant = _closest(name, {*found[0], *found[1]})
    message = f'no VirtualMachine and no VirtualMachineInstance "{name}" in namespace {session.namespace}'
    elsewhere = "Use --namespace NAME to look in another namespace."
    remedy = f"Did you mean {meant}? {elsewhere}" if meant else elsewhere
    return CommandError(message, remedy=remedy, code=Exit.NOT_FOUND)


async def is_missing(session: Session) -> bool:
    """The namespace does not exist; False where nobody may tell."""
    try:
        await session.api.get(NAMESPACES, name=session.namespace)
    except Gone as error:
        return not error.is_not_served
    except ApiError:
        pass
    return False


def no_namespace(name: str, *, wrong: str = "--namespace") -> CommandError:
    """Nothing can be found, or created, in a namespace that does not exist.

    Args:
        wrong: where the name may be wrong.
    """
    remedy = f"Create it (kubectl create namespace {name}), or correct {wrong}."
    return CommandError(f'namespace "{name}" does not exist', remedy=remedy, code=Exit.NOT_FOUND)


async def meant_network(session: Session, network: str) -> str:
    """The network with the most similar name in the same namespace, as the option takes it; "" when there is none."""
    namespace, slash, name = network.rpartition("/")
    names = await _names(session, NETWORK_ATTACHMENT_DEFINITIONS, namespace or session.namespace)
    meant = _closest(name, names)
    return f"{namespace}{slash}{meant}" if meant else ""


async def misspelt(session: Session, *, vm: str, nic: str, network: str, persist: bool) -> str:
    """What to do about a network that does not exist because of how it was typed.

    Args:
        network: as `--network` takes it.
        persist: the VM's template has the NIC.
    """
    meant = await meant_network(session, network)
    again = f"nicplug remove {vm} {nic}{' --persist' if persist else ''} --namespace {session.namespace}"
    asked = f" (did you mean {meant}?)" if meant else ""
    return f'If "{network}" is the wrong name{asked}, remove the NIC ({again}) and add it again'


async def with_remedies(session: Session, described: "VmNics", *, persisted: Collection[str]) -> "VmNics":
    """The NICs, those with a network that does not exist with what to type.

    Args:
        persisted: the NICs that the VM's template has.
    """
    nics = [await with_remedy(session, described.name, nic, persist=nic.name in persisted) for nic in described.nics]
    return replace(described, nics=tuple(nics))


async def with_remedy(session: Session, vm: str, nic: "NicRow", *, persist: bool) -> "NicRow":
    """The NIC, one with a network that does not exist with what to type."""
    if not _is_misspelt({"reason": nic.reason, "operation": nic.operation}):
        return nic
    told = await misspelt(session, vm=vm, nic=nic.name, network=nic.network, persist=persist)
    return replace(nic, remedy=_and(told))


async def story_with_remedy(session: Session, story: dict[str, Any], *, persist: bool) -> dict[str, Any]:
    """A story of `nicplug why`, of a network that does not exist with what to type."""
    nic = story["nic"]
    if not _is_misspelt(nic):
        return story
    told = await misspelt(session, vm=story["target"]["name"], nic=nic["name"], network=nic["network"], persist=persist)
    return {**story, "todo": _and(told), "nic": {**nic, "remedy": _and(told)}}


def _is_misspelt(nic: Mapping[str, Any]) -> bool:
    return (nic["reason"], nic["operation"]) == (Reason.ATTACHMENT_DEFINITION_MISSING, OperationType.PLUG)


def _and(told: str) -> str:
    from nicplug.plan.nic.attachments import CREATE_DEFINITION

    return f"{CREATE_DEFINITION}. {told}"


def _closest(name: str, names: Collection[str]) -> str:
    return next(iter(get_close_matches(name, sorted(names), n=1, cutoff=_SIMILARITY)), "")


async def _names(session: Session, resource: "Resource", namespace: str) -> list[str]:
    """Those of a namespace; none where they must not be read."""
    try:
        page = await session.api.list(resource, namespace=namespace, limit=_MOST_NAMES, metadata_only=True)
    except ApiError:
        return []
    return [item["metadata"]["name"] for item in page.get("items") or ()]
