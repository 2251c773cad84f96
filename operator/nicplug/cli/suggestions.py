"""Suggestions for names that do not exist; other names are read only once a name was not found."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from nicplug.cli.connection import Session
from nicplug.cli.exits import CommandError, Exit
from nicplug.cli.what_to_type import WhatToType
from nicplug.kube.errors import ApiError, Gone
from nicplug.kube.resources import (
    NAMESPACES,
    NETWORK_ATTACHMENT_DEFINITIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
)
from nicplug.model.operations import OperationType
from nicplug.plan.nic.attachments import CORRECT_NETWORK_NAME, CREATE_DEFINITION
from nicplug.plan.reasons import Reason

if TYPE_CHECKING:
    from nicplug.insight.nic_rows import NicRow
    from nicplug.insight.nics import VmNics
    from nicplug.kube.api import Resource

_SIMILARITY = 0.7
_MOST_NAMES = 500


async def no_machine(session: Session, name: str) -> CommandError:
    """Return the error that there is no such VM, or that its namespace does not exist."""
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
    """True if the session's namespace does not exist; False if that is unknown."""
    try:
        await session.api.get(NAMESPACES, name=session.namespace)
    except Gone as error:
        return not error.is_not_served
    except ApiError:
        pass
    return False


def no_namespace(name: str, *, wrong: str = "--namespace") -> CommandError:
    """Return the error that a namespace does not exist.

    Args:
        wrong: where the user gave the name.
    """
    remedy = f"Create it (kubectl create namespace {name}), or correct {wrong}."
    return CommandError(f'namespace "{name}" does not exist', remedy=remedy, code=Exit.NOT_FOUND)


async def similar_network(session: Session, network: str) -> str:
    """Return the most similar network of the same namespace, in the format of --network; "" if there is none."""
    namespace, slash, name = network.rpartition("/")
    names = await _names(session, NETWORK_ATTACHMENT_DEFINITIONS, namespace or session.namespace)
    meant = _closest(name, names)
    return f"{namespace}{slash}{meant}" if meant else ""


async def network_remedy(session: Session, *, vm: str, nic: str, network: str, persist: bool) -> str:
    """Return the remedy for a network that may not exist because its name is misspelt.

    Args:
        network: in the format of --network.
        persist: the VM's template has the NIC.
    """
    meant = await similar_network(session, network)
    again = f"nicplug remove {vm} {nic}{' --persist' if persist else ''} --namespace {session.namespace}"
    asked = f" (did you mean {meant}?)" if meant else ""
    return f'If "{network}" is the wrong name{asked}, remove the NIC ({again}) and add it again'


async def with_remedies(session: Session, described: "VmNics", *, persisted: Collection[str]) -> "VmNics":
    """Add commands to the remedies of all NICs.

    Args:
        persisted: the NICs of the VM's template.
    """
    nics = [await with_remedy(session, described, nic, persist=nic.name in persisted) for nic in described.nics]
    return replace(described, nics=tuple(nics))


async def with_remedy(session: Session, described: "VmNics", nic: "NicRow", *, persist: bool) -> "NicRow":
    """Add commands to the remedy of a NIC, if it has one."""
    words = _words(described.kind, session.namespace, described.name)
    suggestion = await _to_do(session, words, nic.to_json(), nic.remedy, persist=persist)
    return replace(nic, remedy=suggestion) if suggestion != nic.remedy else nic


async def story_with_remedy(session: Session, story: dict[str, Any], *, persist: bool, is_bare: bool) -> dict[str, Any]:
    """Add commands to the remedy of a story of `nicplug why`, if it has one."""
    nic, words = story["nic"], WhatToType(vm=story["target"]["name"], namespace=session.namespace, is_bare=is_bare)
    suggestion = await _to_do(session, words, nic, story["todo"] or "", persist=persist) or None
    own = nic.get("remedy")
    return {**story, "todo": suggestion, "nic": {**nic, "remedy": suggestion if own == story["todo"] else own}}


async def plan_with_remedies(session: Session, found: Mapping[str, Any]) -> dict[str, Any]:
    """Add commands to the refusals and remedies of a plan, as `forecast_json` returns it."""
    words = _words(**found["target"])
    session = replace(session, namespace=words.namespace)
    persisted = await _persisted(session, found) if any(map(_is_misspelt, found["nics"])) else frozenset()
    nics = []
    for nic in found["nics"]:
        is_there = not nic["affected"] or nic["name"] in persisted
        remedy, persist = nic.get("remedy") or "", nic["name"] in persisted  # an older API does not send it
        suggestion = await _to_do(session, words, nic, remedy, persist=persist, is_there=is_there)
        nics.append({**nic, "remedy": suggestion or None})
    return {**found, "nics": nics, "refusals": [words.within(refusal) for refusal in found["refusals"]]}


def _words(kind: str, namespace: str, name: str) -> WhatToType:
    return WhatToType(vm=name, namespace=namespace, is_bare=kind == VIRTUAL_MACHINE_INSTANCES.kind)


async def _persisted(session: Session, found: Mapping[str, Any]) -> frozenset[str]:
    """Return the NICs that the VM's template has now; none if it cannot be read, or does not exist."""
    from nicplug.cli.machines import persisted_nics

    try:
        vm = await session.api.get(VIRTUAL_MACHINES, name=found["target"]["name"], namespace=session.namespace)
    except ApiError:
        return frozenset()
    return persisted_nics(vm)


async def _to_do(
    session: Session,
    words: WhatToType,
    nic: Mapping[str, Any],
    remedy: str,
    *,
    persist: bool,
    is_there: bool = True,
) -> str:
    """Return the remedy for a NIC with the commands to type, for every command of nicplug.

    Args:
        nic: row of `-o json`.
        is_there: the VM has the NIC; otherwise it is only planned.
    """
    if not _is_misspelt(nic):
        return words.within(remedy)
    network = nic["network"].removeprefix(f"{session.namespace}/")
    if is_there:
        suggestion = await network_remedy(session, vm=words.vm, nic=nic["name"], network=network, persist=persist)
    else:
        meant = await similar_network(session, network)
        suggestion = f'If "{network}" is the wrong name, did you mean {meant}?' if meant else ""
    return f"{CREATE_DEFINITION}. {suggestion or CORRECT_NETWORK_NAME}"


def _is_misspelt(nic: Mapping[str, Any]) -> bool:
    return (nic["reason"], nic["operation"]) == (Reason.ATTACHMENT_DEFINITION_MISSING, OperationType.PLUG)


def _closest(name: str, names: Collection[str]) -> str:
    return next(iter(get_close_matches(name, sorted(names), n=1, cutoff=_SIMILARITY)), "")


async def _names(session: Session, resource: "Resource", namespace: str) -> list[str]:
    """Return the names of the objects of a namespace; none if they cannot be listed."""
    try:
        page = await session.api.list(resource, namespace=namespace, limit=_MOST_NAMES, metadata_only=True)
    except ApiError:
        return []
    return [item["metadata"]["name"] for item in page.get("items") or ()]
