"""A script is repeatable, whole, and of things that users would do."""

from collections import Counter

import click
import pytest
from tests.soak.__main__ import main
from tests.soak.misfortunes import Fault, Misfortune
from tests.soak.script import Deed, Operation, Step, write_script
from tests.soak.shape import SHAPES, Scenario, Shape

SHAPE = Shape()
PATHS = SHAPES[Scenario.PATHS]
COMPANION = SHAPES[Scenario.COMPANION]


def operations(script: tuple[Step, ...]) -> list[Operation]:
    return [step for step in script if isinstance(step, Operation)]


def test_scenarios_are_told_apart_by_their_values_on_the_command_line() -> None:
    """Click takes an enum by the names of its members, and `--scenario paths` was no choice."""
    (option,) = (parameter for parameter in main.params if parameter.name == "scenario")
    assert isinstance(option.type, click.Choice)
    assert list(option.type.choices) == ["life", "paths", "companion"]


def test_same_seed_writes_the_same_script_and_another_seed_another() -> None:
    assert write_script(SHAPE, seed=7) == write_script(SHAPE, seed=7)
    assert write_script(SHAPE, seed=7) != write_script(SHAPE, seed=8)


@pytest.mark.parametrize("seed", range(5))
def test_script_has_as_much_of_everything_as_the_shape_says(seed: int) -> None:
    script = write_script(SHAPE, seed=seed)
    faults = Counter(step.misfortune for step in script if isinstance(step, Fault))
    assert faults[Misfortune.KILL_LEADER] + faults[Misfortune.KILL_STANDBY] == SHAPE.kills
    assert faults[Misfortune.APISERVER_KILL] == faults[Misfortune.APISERVER_STOP] == 1
    assert faults[Misfortune.CUT] + faults[Misfortune.STALL] == SHAPE.cuts
    # What was begun may have to be ended after the last of them.
    assert SHAPE.operations <= len(operations(script)) <= SHAPE.operations + 10


def test_nothing_that_can_happen_is_left_out() -> None:
    scripts = [write_script(shape, seed=seed) for shape in (SHAPE, COMPANION) for seed in range(5)]
    assert {step.deed for script in scripts for step in operations(script)} == set(Deed)
    scripts += [write_script(PATHS, seed=seed) for seed in range(5)]
    assert {step.misfortune for script in scripts for step in script if isinstance(step, Fault)} == set(Misfortune)


@pytest.mark.parametrize("seed", range(5))
def test_controllers_of_half_of_the_nodes_break_and_are_mended(seed: int) -> None:
    script = write_script(PATHS, seed=seed)
    assert PATHS.fragile_nodes == ("node01", "node02")
    first = script[: len(PATHS.fragile_nodes)]
    assert [step.node for step in first if isinstance(step, Fault)] == list(PATHS.fragile_nodes)
    faults = [step for step in script if isinstance(step, Fault) and step.node]
    assert len(faults) == PATHS.controllers
    assert {step.node for step in faults} == set(PATHS.fragile_nodes)
    broken: set[str] = set()
    for fault in faults:
        if fault.misfortune is Misfortune.MEND_CONTROLLER:
            assert fault.node in broken, "nobody mends what works"
            broken.remove(fault.node)
        else:
            assert fault.how
            broken.add(fault.node)
    kills = [step for step in script if isinstance(step, Fault) and step.misfortune.startswith("kill the")]
    assert len(kills) == PATHS.kills == 20


@pytest.mark.parametrize("seed", range(5))
def test_what_was_switched_off_is_on_again_in_the_end(seed: int) -> None:
    switches: dict[tuple[Deed, str], list[str]] = {}
    for step in operations(write_script(SHAPE, seed=seed)):
        if step.deed in (Deed.GATE, Deed.NETWORK):
            switches.setdefault((step.deed, step.nic), []).append(step.value)
    assert len(switches) > 1
    for values in switches.values():
        assert values == ["off", "on"] * (len(values) // 2)


@pytest.mark.parametrize("seed", range(20))
def test_nobody_acts_on_what_is_not_there(seed: int) -> None:
    """Replayed with nothing but the operations: a VM that does not exist is not edited, a NIC not unplugged twice."""
    exists: dict[str, bool] = {}
    nics: dict[str, set[str]] = {}
    for step in operations(write_script(Shape(vms=3, operations=200), seed=seed)):
        if not step.vm:
            continue
        assert exists.get(step.vm, True) is (step.deed is not Deed.CREATE)
        template = nics.setdefault(step.vm, set())
        match step.deed:
            case Deed.DELETE | Deed.CREATE:
                exists[step.vm] = step.deed is Deed.CREATE
                nics[step.vm] = {step.nic} - {""}
            case Deed.PLUG:
                assert step.nic not in template
                template.add(step.nic)
            case Deed.UNPLUG | Deed.DROP:
                template.remove(step.nic)
            case Deed.LINK | Deed.MAC:
                assert step.nic in template
