"""Adds commands of nicplug to remedies of the API, records and plans, which address users of kubectl and virtctl too.

Pure.
"""

import re
from collections.abc import Container
from dataclasses import dataclass

from nicplug.plan.nic.requested import Hint

_VIRTCTL_REMOVES = re.compile(r"virtctl removeinterface (\S+) --name (\S+) --persist --namespace (\S+)")
_VIRTCTL_IN_REFUSAL = ": virtctl removeinterface "
"""Beginning of the API's own command, which is replaced by a command of nicplug."""
_POWER = re.compile(r"\b(start|stop|restart) the VM(?: first)?\b(?! first| \()", re.IGNORECASE)
_STOPPED = "add this one to the template of the stopped VM"


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatToType:
    """Commands for one VM.

    Attributes:
        is_bare: it is a VMI without a VM: it has no template, and nothing starts it again.
    """

    vm: str
    namespace: str
    is_bare: bool

    def nicplug(self, *words: str) -> str:
        """Return a nicplug command for the VM."""
        verb, *more = words
        return " ".join(("nicplug", verb, self.vm, *more, "--namespace", self.namespace))

    def within(self, text: str) -> str:
        """Add commands to a remedy, or to a refusal that contains one."""
        text = _VIRTCTL_REMOVES.sub(r"nicplug remove \1 \2 --persist --namespace \3", text)
        if self.is_bare:
            return _POWER.sub(self._of_a_vmi, text, count=1)
        text = text.replace(_STOPPED, f"{_STOPPED} ({self.nicplug('stop')})")
        return _POWER.sub(lambda found: f"{found[0]} ({self.nicplug(found[1].lower())})", text, count=1)

    def _of_a_vmi(self, found: re.Match[str]) -> str:
        """Replace an instruction for VMs by one for a bare VMI, which cannot be started again."""
        if found[1].lower() == "start":
            return found[0]
        delete = "Delete" if found[1][0].isupper() else "delete"
        again = " and create it again" if found[1].lower() == "restart" else ""
        return f"{delete} the VMI{again} (kubectl delete vmi {self.vm} -n {self.namespace})"

    def refusal(self, text: str, *, nic: str, hints: Container[str]) -> tuple[str, str]:
        """Return the API's answer about a NIC, and the command for it; "" if there is none."""
        if Hint.REMOVE_FROM_TEMPLATE in hints:
            message, _, _ = text.partition(_VIRTCTL_IN_REFUSAL)
            return message, self.nicplug("remove", nic, "--persist")
        waits = Hint.WAIT_UNTIL_GONE in hints
        return self.within(text), f"Wait for that: {self.nicplug('wait', nic, '--for', 'gone')}." if waits else ""
