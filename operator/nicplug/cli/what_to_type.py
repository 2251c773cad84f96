"""Commands for what the API, a record or a plan asks a person to do: these speak to users of kubectl and virtctl too.

Pure.
"""

import re
from collections.abc import Container
from dataclasses import dataclass

from nicplug.plan.nic.requested import Hint

_VIRTCTL_REMOVES = re.compile(r"virtctl removeinterface (\S+) --name (\S+) --persist --namespace (\S+)")
_VIRTCTL_IN_REFUSAL = ": virtctl removeinterface "
"""Cut off where it stands, as our own command is said instead."""
_POWER = re.compile(r"\b(start|stop|restart) the VM(?: first)?\b(?! first| \()", re.IGNORECASE)
_STOPPED = "add this one to the template of the stopped VM"


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatToType:
    """Commands about one VM.

    Attributes:
        is_bare: it is a VirtualMachineInstance that belongs to no VM: it has no template, and nobody starts it again.
    """

    vm: str
    namespace: str
    is_bare: bool

    def nicplug(self, *words: str) -> str:
        """A command about the VM."""
        verb, *more = words
        return " ".join(("nicplug", verb, self.vm, *more, "--namespace", self.namespace))

    def within(self, text: str) -> str:
        """A remedy, or a refusal that has one, with its commands."""
        text = _VIRTCTL_REMOVES.sub(r"nicplug remove \1 \2 --persist --namespace \3", text)
        if self.is_bare:
            return _POWER.sub(self._of_a_vmi, text, count=1)
        text = text.replace(_STOPPED, f"{_STOPPED} ({self.nicplug('stop')})")
        return _POWER.sub(lambda found: f"{found[0]} ({self.nicplug(found[1].lower())})", text, count=1)

    def _of_a_vmi(self, found: re.Match[str]) -> str:
        """An instance of its own is not started twice."""
        if found[1].lower() == "start":
            return found[0]
        delete = "Delete" if found[1][0].isupper() else "delete"
        again = " and create it again" if found[1].lower() == "restart" else ""
        return f"{delete} the VMI{again} (kubectl delete vmi {self.vm} -n {self.namespace})"

    def refusal(self, text: str, *, nic: str, hints: Container[str]) -> tuple[str, str]:
        """What the API answered about a NIC, and the command apart from it; "" where there is none."""
        if Hint.REMOVE_FROM_TEMPLATE in hints:
            message, _, _ = text.partition(_VIRTCTL_IN_REFUSAL)
            return message, self.nicplug("remove", nic, "--persist")
        waits = Hint.WAIT_UNTIL_GONE in hints
        return self.within(text), f"Wait for that: {self.nicplug('wait', nic, '--for', 'gone')}." if waits else ""
