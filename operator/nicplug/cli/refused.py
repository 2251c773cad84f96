"""Refused requests for NICs: the answer, and the command to type next."""

from collections.abc import Container
from typing import TYPE_CHECKING

from nicplug.cli.connection import Session
from nicplug.cli.exits import CommandError, Exit
from nicplug.cli.operator_health import no_operator, what_to_try
from nicplug.cli.what_to_type import WhatToType
from nicplug.plan.nic.requested import Hint

if TYPE_CHECKING:
    from nicplug.cli.machines import Machine


async def refused(
    session: Session, machine: "Machine", answer: str, *, nic: str, hints: Container[str] = ()
) -> CommandError:
    """Return the error for a request that the current state of the VM rules out.

    Args:
        answer: message of the API.
        hints: values of `Hint`; an older API sends none, and they are not guessed.
    """
    words = WhatToType(vm=machine.name, namespace=session.namespace, is_bare=machine.vm is None)
    message, command = words.refusal(answer, nic=nic, hints=hints)
    if Hint.WAIT_UNTIL_GONE in hints:
        command += await _no_operator_note(session)
    return CommandError(message, remedy=command, code=Exit.REFUSED)


async def not_added_yet(session: Session, *, vm: str, nic: str) -> CommandError:
    """Return the error for removing a NIC that is requested but not added yet.

    Source: KubeVirt 1.0 refuses a request to remove while one to add the same NIC is pending.
    """
    message = f'NIC "{nic}" of VM {vm} is requested but not added yet: a pending request cannot be withdrawn'
    advice = f"Remove it once it has been added. To see what the request waits for, run nicplug status {vm}"
    remedy = f"{advice} --namespace {session.namespace}.{await _no_operator_note(session)}"
    return CommandError(message, remedy=remedy, code=Exit.REFUSED)


async def _no_operator_note(session: Session) -> str:
    """Return a sentence that waiting is in vain because no operator works; "" if one does."""
    problem = await no_operator(session)
    return f" Nothing happens now, as {problem}. {what_to_try(session)}." if problem else ""
