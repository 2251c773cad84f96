"""Two replicas of the operator as the Deployment runs them, and NICs that are asked for all the while."""

import base64
import contextlib
import itertools
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from tests.integration.conftest import Sandbox
from tests.integration.user import VM, VMI, Json, User
from tests.integration.waiting import until
from tests.manifests import nics, plug, unplug, vm

from nicplug_sandbox.operator_process import (
    OperatorProcess,
    service_account_kubeconfig,
    start_operator,
    stop_operator,
)

_CREDENTIAL = "authentication.kubernetes.io/credential-id"
_EVENTS, _LEASES = "events", "leases"
# Of those that a guest has slots for, one is for a NIC that is on its way out.
_NICS_PER_VM = 2
_PAUSE_SECONDS = 0.4


@dataclass(slots=True, kw_only=True)
class Replica:
    """One operator process with a token of its own, by which the audit log tells it from the others."""

    operator: OperatorProcess
    credential: str

    @property
    def leads(self) -> bool:
        """It says so itself."""
        return self.operator.metric("nicplug_leader") == 1.0

    def send(self, number: signal.Signals) -> None:
        """A signal, to the process that this test has started."""
        os.kill(self.operator.process.pid, number)

    def writes(self, sandbox: Sandbox) -> list[Json]:
        """Entries of the audit log: what it has committed, its Lease and events left out."""
        return [
            entry
            for entry in sandbox.operator_requests()
            if self.credential in entry["user"].get("extra", {}).get(_CREDENTIAL, ())
            and entry["verb"] in ("create", "update", "patch", "delete")
            and entry["objectRef"]["resource"] not in (_EVENTS, _LEASES)
            and 200 <= entry["responseStatus"]["code"] < 300
        ]


@dataclass(slots=True, kw_only=True)
class Replicas:
    """Those that run now."""

    sandbox: Sandbox
    running: list[Replica] = field(default_factory=list)
    _starts: int = 0

    def start(self) -> Replica:
        """One more, ready."""
        self._starts += 1
        name = f"replica-{self._starts}"
        directory = self.sandbox.directory
        account = service_account_kubeconfig(admin=self.sandbox.admin, path=directory / f"{name}.kubeconfig")
        operator = start_operator(directory=directory, kubeconfig=account, name=name)
        replica = Replica(operator=operator, credential=_credential(account.read_text()))
        self.running.append(replica)
        return replica

    def end(self, replica: Replica, *, grace_seconds: float = 8.0) -> None:
        """By SIGTERM; with a grace of 0 at once, as a crash."""
        self.running.remove(replica)
        stop_operator(replica.operator, grace_seconds=grace_seconds)

    def leader(self) -> Replica:
        """The one that leads, once there is one."""
        return until(lambda: [replica for replica in self.running if replica.leads])[0]


def _credential(kubeconfig: str) -> str:
    """The id that the API server gives to the token of a kubeconfig."""
    token = next(line for line in kubeconfig.splitlines() if "token:" in line).split(":", 1)[1].strip()
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return f"JTI={claims['jti']}"


@dataclass(slots=True, kw_only=True)
class Asking:
    """Somebody who asks for one NIC after the other, on all VMs in turns, and takes the oldest back.

    Attributes:
        wanted: the NICs of each VM that are asked for by now, oldest first.
        changes: how many NICs were asked for or taken back, of each VM.
    """

    user: User
    vms: tuple[str, ...]
    wanted: dict[str, list[str]] = field(default_factory=dict)
    changes: Counter[str] = field(default_factory=Counter)
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until `end`."""
        for number in itertools.count():
            self._ask(self.vms[number % len(self.vms)], f"nic{number}")
            if self._ended.wait(_PAUSE_SECONDS):
                return

    def _ask(self, name: str, new: str) -> None:
        wanted = self.wanted.setdefault(name, [])
        old = wanted[: 1 - _NICS_PER_VM]

        def change(body: Json) -> None:
            unplug(*old)(body)
            plug(new)(body)

        self.user.change(VM, name, change)
        self.wanted[name] = [*wanted[len(old) :], new]
        self.changes[name] += len(old) + 1

    def end(self) -> None:
        """Ask for no more."""
        self._ended.set()

    def until_more(self, count: int) -> None:
        """So many more changes were asked for."""
        before = self.changes.total()
        until(lambda: self.changes.total() >= before + count)


@contextlib.contextmanager
def asking(user: User, *, vms: int) -> Iterator[Asking]:
    """VMs that run, and somebody who asks until the block is left; then every NIC is waited for."""
    names = tuple(f"vm{number}" for number in range(vms))
    for name in names:
        user.create(VM, vm(name))
    for name in names:
        user.until_running(name)
    somebody = Asking(user=user, vms=names)
    thread = threading.Thread(target=somebody.run, name="asking", daemon=True)
    thread.start()
    try:
        yield somebody
    finally:
        somebody.end()
        thread.join(30)
    for name, wanted in somebody.wanted.items():
        for nic in wanted:
            user.until_ready(name, nic)
        until(partial(_has_nics, user, name, wanted))


def _has_nics(user: User, name: str, wanted: list[str]) -> bool:
    return nics(user.get(VMI, name)) == ["main", *wanted]


def created(sandbox: Sandbox, user: User) -> Counter[tuple[str, str]]:
    """How often the operators have created each object of a namespace, events left out."""
    return Counter(
        (entry["objectRef"]["resource"], entry["objectRef"]["name"])
        for entry in sandbox.operator_requests()
        if entry["verb"] == "create"
        and entry["objectRef"].get("namespace") == user.namespace
        and entry["objectRef"]["resource"] != _EVENTS
        and entry["responseStatus"]["code"] == 201
    )


def pod_patches(sandbox: Sandbox, user: User) -> Counter[str]:
    """How often the operators have patched each launcher pod of a namespace."""
    return Counter(
        entry["objectRef"]["name"]
        for entry in sandbox.operator_requests()
        if (entry["verb"], entry["objectRef"]["resource"]) == ("patch", "pods")
        and "subresource" not in entry["objectRef"]
        and entry["objectRef"].get("namespace") == user.namespace
        and entry["responseStatus"]["code"] == 200
    )
