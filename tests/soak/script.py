"""What happens in a soak, in which order: a seed decides it, and nothing that happens meanwhile.

Pure. Users act on virtual machines by what they have declared themselves, so a script can be written before
anything runs, and written again from the same seed.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from tests.soak.misfortunes import Fault, write_controller_faults, write_faults
from tests.soak.shape import Scenario, Shape

TEMPLATE_NICS = ("red", "blue", "green", "amber", "gold")
INSTANCE_NICS = ("gold", "silver")
NICS = tuple(dict.fromkeys((*TEMPLATE_NICS, *INSTANCE_NICS)))
FIRST_NIC = "first"
"""Plugged before the script begins, which does nothing to it."""
# On both sides: whether it is the template's to take away depends on who was first, so nobody deletes its entry.
_SHARED = frozenset(TEMPLATE_NICS) & frozenset(INSTANCE_NICS)


class Deed(StrEnum):
    """What users and admins do."""

    PLUG = "plug by the template"
    PLUG_INSTANCE = "plug on the instance alone"
    UNPLUG = "unplug by the template"
    UNPLUG_INSTANCE = "unplug on the instance alone"
    DROP = "delete the entry from the template"
    LINK = "link by the template"
    LINK_INSTANCE = "link on the instance alone"
    RESTART = "restart by request"
    DELETE_INSTANCE = "restart by deleting the instance"
    HALT = "halt"
    START = "start"
    DELETE = "delete the VM"
    CREATE = "create the VM again"
    LABEL = "edit the labels of the template"
    MEMORY = "edit the memory of the template"
    MAC = "edit a MAC address of the template"
    DELETE_POD = "delete the launcher pod"
    GATE = "switch hot-plug"
    NETWORK = "delete or create a network"
    BREAK_NETWORK = "break or mend a network"
    MIGRATE = "migrate the VM"
    CANCEL = "cancel a migration"
    EVICT = "evict the launcher pod"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One deed.

    Attributes:
        pause_seconds: how long to wait before it.
        value: of a link `up` or `down`, of the gate and of a network `on` or `off`, of a deletion `now` or
            `gracefully`; else what is written.
    """

    deed: Deed
    pause_seconds: float
    vm: str = ""
    nic: str = ""
    value: str = ""


Step = Operation | Fault


@dataclass(slots=True)
class _Machine:
    """A VM as its users have declared it."""

    name: str
    exists: bool = True
    runs: bool = True
    template: dict[str, str] = field(default_factory=dict)
    instance: dict[str, str] = field(default_factory=dict)

    @property
    def is_up(self) -> bool:
        return self.exists and self.runs

    def restart(self) -> None:
        self.instance.clear()


def vm_names(count: int) -> list[str]:
    """The VMs of a soak."""
    return [f"vm-{number:02d}" for number in range(count)]


def network_of(nic: str) -> str:
    """The network attachment definition of a NIC."""
    return f"{nic}-net"


def write_script(shape: Shape, *, seed: int) -> tuple[Step, ...]:
    """Every step of a soak: operations that make sense in their order, and faults anywhere among them.

    What becomes of the controllers keeps its order, and half of them are broken before anybody asks for anything.
    """
    randomness = random.Random(seed)
    steps: list[Step] = list(_Writer(shape, randomness).operations())
    for fault in write_faults(shape, randomness):
        steps.insert(randomness.randrange(len(steps) + 1), fault)
    controllers = list(write_controller_faults(shape, randomness))
    first = len(shape.fragile_nodes)
    places = sorted(randomness.randrange(len(steps) + 1) for _ in controllers[first:])
    for place, fault in reversed(list(zip(places, controllers[first:], strict=True))):
        steps.insert(place, fault)
    return (*controllers[:first], *steps)


class _Writer:
    """Writes operations that users would do: nobody unplugs what is not there."""

    def __init__(self, shape: Shape, randomness: random.Random) -> None:
        self._shape = shape
        self._random = randomness
        self._machines = [_Machine(name) for name in vm_names(shape.vms)]
        self._off: dict[tuple[Deed, str], int] = {}
        self._written = 0

    def operations(self) -> Iterable[Operation]:
        """As many as the shape says; then what was switched off is on again."""
        while self._written < self._shape.operations:
            if (operation := self._next()) is not None:
                self._written += 1
                yield operation
        while self._off:
            yield self._switch_on(next(iter(self._off)))

    def _next(self) -> Operation | None:
        due = next((switch for switch, when in self._off.items() if when <= self._written), None)
        if due is not None:
            return self._switch_on(due)
        weights = _WEIGHTS[self._shape.scenario]
        deed = self._random.choices(list(weights), weights=list(weights.values()))[0]
        if deed is Deed.PLUG and self._random.random() < _EARLY and (operation := self._plug_early()) is not None:
            return operation
        if deed in _SWITCHES:
            return self._switch_off(deed)
        may, act = _DEEDS[deed]
        able = [machine for machine in self._machines if may(machine)]
        if not able:
            return None
        machine = self._random.choice(able)
        nic, value = act(machine, self._random)
        return self._operation(deed, vm=machine.name, nic=nic, value=value)

    def _plug_early(self) -> Operation | None:
        """Onto a network that does not exist yet, or works not; None when all do."""
        missing = [nic for deed, nic in self._off if deed is not Deed.GATE and nic in TEMPLATE_NICS]
        able = [(one, nic) for nic in missing for one in self._machines if one.is_up and nic not in one.template]
        if not able:
            return None
        machine, nic = self._random.choice(able)
        machine.template[nic] = "up"
        return self._operation(Deed.PLUG, vm=machine.name, nic=nic)

    def _switch_off(self, deed: Deed) -> Operation | None:
        """For a few operations; None when it is off."""
        nic = self._random.choice(NICS) if deed is not Deed.GATE else ""
        if (deed, nic) in self._off:
            return None
        self._off[deed, nic] = self._written + self._random.randint(3, 8)
        return self._operation(deed, nic=nic, value="off")

    def _switch_on(self, switch: tuple[Deed, str]) -> Operation:
        del self._off[switch]
        deed, nic = switch
        return self._operation(deed, nic=nic, value="on")

    def _operation(self, deed: Deed, *, vm: str = "", nic: str = "", value: str = "") -> Operation:
        pause = self._random.expovariate(1 / self._shape.pause_seconds) if self._shape.pause_seconds else 0.0
        # A crowd now and then, but no long silence.
        pause = round(min(pause, 4 * self._shape.pause_seconds), 3)
        return Operation(deed=deed, pause_seconds=pause, vm=vm, nic=nic, value=value)


# What is switched off for a while.
_SWITCHES = (Deed.GATE, Deed.NETWORK, Deed.BREAK_NETWORK)
# Share of the hot-plugs that come before their network, while one is missing.
_EARLY = 0.7
_Able = Callable[[_Machine], bool]
_Act = Callable[[_Machine, random.Random], tuple[str, str]]


def _plug(machine: _Machine, randomness: random.Random) -> tuple[str, str]:
    nic = randomness.choice([name for name in TEMPLATE_NICS if name not in machine.template])
    machine.template[nic] = "up"
    return nic, ""


def _plug_instance(machine: _Machine, randomness: random.Random) -> tuple[str, str]:
    nic = randomness.choice(_pluggable(machine))
    machine.instance[nic] = "up"
    return nic, ""


def _pluggable(machine: _Machine) -> list[str]:
    return [name for name in INSTANCE_NICS if name not in machine.instance and name not in machine.template]


def _unplug(machine: _Machine, randomness: random.Random) -> tuple[str, str]:
    nic = randomness.choice(sorted(machine.template))
    del machine.template[nic]
    machine.instance.pop(nic, None)
    return nic, ""


def _drop(machine: _Machine, randomness: random.Random) -> tuple[str, str]:
    nic = randomness.choice(_droppable(machine))
    del machine.template[nic]
    return nic, ""


def _droppable(machine: _Machine) -> list[str]:
    return sorted(machine.template.keys() - _SHARED)


def _unplug_instance(machine: _Machine, randomness: random.Random) -> tuple[str, str]:
    nic = randomness.choice(sorted(machine.instance))
    del machine.instance[nic]
    return nic, ""


def _link(machine: _Machine, randomness: random.Random) -> tuple[str, str]:
    return _toggle(machine.template, randomness)


def _link_instance(machine: _Machine, randomness: random.Random) -> tuple[str, str]:
    return _toggle(machine.instance, randomness)


def _toggle(nics: dict[str, str], randomness: random.Random) -> tuple[str, str]:
    nic = randomness.choice(sorted(nics))
    nics[nic] = "up" if nics[nic] == "down" else "down"
    return nic, nics[nic]


def _restart(machine: _Machine, _: random.Random) -> tuple[str, str]:
    machine.restart()
    return "", ""


def _halt(machine: _Machine, _: random.Random) -> tuple[str, str]:
    machine.runs = False
    machine.restart()
    return "", ""


def _start(machine: _Machine, _: random.Random) -> tuple[str, str]:
    machine.runs = True
    return "", ""


def _delete(machine: _Machine, _: random.Random) -> tuple[str, str]:
    machine.exists = False
    machine.restart()
    return "", ""


def _create(machine: _Machine, randomness: random.Random) -> tuple[str, str]:
    nic = randomness.choice(sorted(set(TEMPLATE_NICS) - _SHARED))
    machine.exists, machine.runs, machine.template = True, True, {nic: "up"}
    return nic, ""


def _nothing_chosen(_: _Machine, __: random.Random) -> tuple[str, str]:
    return "", ""


def _label(_: _Machine, randomness: random.Random) -> tuple[str, str]:
    return "", f"{randomness.randrange(16**4):04x}"


def _memory(_: _Machine, randomness: random.Random) -> tuple[str, str]:
    return "", f"{randomness.randint(64, 256)}Mi"


def _mac(machine: _Machine, randomness: random.Random) -> tuple[str, str]:
    octets = [0x02, *(randomness.randrange(256) for _ in range(5))]
    return randomness.choice(sorted(machine.template)), ":".join(f"{octet:02x}" for octet in octets)


def _delete_pod(machine: _Machine, randomness: random.Random) -> tuple[str, str]:
    machine.restart()
    return "", randomness.choice(("now", "gracefully"))


_EVERYTHING = {
    Deed.PLUG: 24,
    Deed.UNPLUG: 10,
    Deed.DROP: 5,
    Deed.PLUG_INSTANCE: 8,
    Deed.UNPLUG_INSTANCE: 4,
    Deed.LINK: 10,
    Deed.LINK_INSTANCE: 2,
    Deed.RESTART: 6,
    Deed.DELETE_INSTANCE: 4,
    Deed.HALT: 4,
    Deed.START: 4,
    Deed.DELETE: 3,
    Deed.CREATE: 3,
    Deed.LABEL: 3,
    Deed.MEMORY: 3,
    Deed.MAC: 3,
    Deed.DELETE_POD: 4,
    Deed.GATE: 2,
    Deed.NETWORK: 4,
}
# What brings a NIC or takes it away, and what may come between.
_NICS = {
    Deed.PLUG: 40,
    Deed.UNPLUG: 12,
    Deed.DROP: 4,
    Deed.PLUG_INSTANCE: 8,
    Deed.UNPLUG_INSTANCE: 4,
    Deed.LINK: 6,
    Deed.RESTART: 3,
    Deed.DELETE_INSTANCE: 2,
    Deed.HALT: 2,
    Deed.START: 6,
    Deed.DELETE: 1,
    Deed.CREATE: 4,
}
# KubeVirt changes the NICs of an instance by its VM's template alone, and ignores an entry that is deleted from it.
_BESIDE_KUBEVIRT = {
    Deed.PLUG: 40,
    Deed.UNPLUG: 12,
    Deed.RESTART: 3,
    Deed.DELETE_INSTANCE: 2,
    Deed.HALT: 2,
    Deed.START: 6,
    Deed.DELETE: 2,
    Deed.CREATE: 4,
    Deed.NETWORK: 4,
    Deed.BREAK_NETWORK: 4,
    Deed.MIGRATE: 6,
    Deed.CANCEL: 6,
    Deed.EVICT: 4,
}
_WEIGHTS: dict[Scenario, dict[Deed, int]] = {
    Scenario.LIFE: _EVERYTHING,
    Scenario.PATHS: _NICS,
    Scenario.COMPANION: _BESIDE_KUBEVIRT,
}
_DEEDS: dict[Deed, tuple[_Able, _Act]] = {
    Deed.PLUG: (lambda machine: machine.exists and len(machine.template) < len(TEMPLATE_NICS), _plug),
    Deed.UNPLUG: (lambda machine: machine.exists and bool(machine.template), _unplug),
    Deed.DROP: (lambda machine: machine.exists and bool(_droppable(machine)), _drop),
    Deed.PLUG_INSTANCE: (lambda machine: machine.is_up and bool(_pluggable(machine)), _plug_instance),
    Deed.UNPLUG_INSTANCE: (lambda machine: machine.is_up and bool(machine.instance), _unplug_instance),
    Deed.LINK: (lambda machine: machine.exists and bool(machine.template), _link),
    Deed.LINK_INSTANCE: (lambda machine: machine.is_up and bool(machine.instance), _link_instance),
    Deed.RESTART: (lambda machine: machine.is_up, _restart),
    Deed.DELETE_INSTANCE: (lambda machine: machine.is_up, _restart),
    Deed.HALT: (lambda machine: machine.is_up, _halt),
    Deed.START: (lambda machine: machine.exists and not machine.runs, _start),
    Deed.DELETE: (lambda machine: machine.exists, _delete),
    Deed.CREATE: (lambda machine: not machine.exists, _create),
    Deed.LABEL: (lambda machine: machine.exists, _label),
    Deed.MEMORY: (lambda machine: machine.exists, _memory),
    Deed.MAC: (lambda machine: machine.exists and bool(machine.template), _mac),
    Deed.DELETE_POD: (lambda machine: machine.is_up, _delete_pod),
    Deed.MIGRATE: (lambda machine: machine.is_up, _nothing_chosen),
    Deed.CANCEL: (lambda machine: machine.is_up, _nothing_chosen),
    Deed.EVICT: (lambda machine: machine.is_up, _nothing_chosen),
}
