"""`python -m tests.perf.bench`: measure nicplug on a fresh sandbox. What `make bench` runs.

Exit code 0: measured, whatever came out. Anything else: the bench itself has failed.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from tests.large import ON_A_SERVER
from tests.perf import (
    apiserver_costs,
    command,
    companion,
    growth,
    hand_over,
    headline,
    large_objects,
    many_nics,
    migration_report,
    migrations,
    report,
    results,
    schemas,
    subresources,
)
from tests.perf.apiserver_costs import CostsShape
from tests.perf.command import sandbox_directory, say
from tests.perf.flame import Profile, profile
from tests.perf.growth import Point, point
from tests.perf.hand_over import HandOverShape
from tests.perf.many_nics import ManyNicsShape
from tests.perf.migration_figures import migration_figures
from tests.perf.migrations import MigrationShape
from tests.perf.results import result
from tests.perf.scenarios import Phase, Shape, burst, idle_hotplugs, rest, starts
from tests.perf.schemas import SchemaShape
from tests.perf.subresources import SubresourceShape
from tests.perf.world import Cluster, Say, World, cluster, connected

BASELINE = Path(__file__).parent / "baseline.json"
QUICK_SIZES = (3, 6)
QUICK = Shape(vms=5, idle_hotplugs=10, rest_seconds=2.0)
QUICK_LARGE_OBJECTS = 20
_MIXED = "mixed"
QUICK_MANY_NICS = ManyNicsShape(vms=3, hotplugs=6, large=1, nics=20, size=10_000)
QUICK_MIGRATIONS = MigrationShape(vms=8, single=3)
Scenario = Callable[[World, Shape], Awaitable[Phase]]
Show = Callable[..., None]
Part = Callable[..., None]
SCENARIOS: tuple[Scenario, ...] = (starts, idle_hotplugs, burst, rest)
# Of growth: what an event costs. A burst of 800 measures the machine.
EVENTS: tuple[Scenario, ...] = (starts, idle_hotplugs)
PICTURE = Path("build") / "growth.svg"
MIGRATIONS_PICTURE = Path("build") / "migrations.svg"


async def measure(
    found: Cluster, shape: Shape, *, say: Say, scenarios: Sequence[Scenario] = SCENARIOS
) -> dict[str, Phase]:
    """Run every scenario once, in the order in which they build on each other."""
    phases: dict[str, Phase] = {}
    async with connected(found) as world:
        for scenario in scenarios:
            phase = await scenario(world, shape)
            phases[phase.name] = phase
            say(f"{phase.name}: {phase.operations} operations, {phase.seconds:.1f} s")
    return phases


def run(
    *,
    directory: Path,
    shape: Shape,
    say: Say,
    samples: Path | None = None,
    variables: Mapping[str, str] | None = None,
    scenarios: Sequence[Scenario] = SCENARIOS,
) -> dict[str, Phase]:
    """Start everything, measure, end everything.

    Raises:
        SandboxError: something did not start.
        TimeoutError: a scenario did not come to its end.
    """
    with cluster(directory=directory, nodes=shape.nodes, samples=samples, variables=variables, say=say) as found:
        return asyncio.run(measure(found, shape, say=say, scenarios=scenarios))


def grow(*, sizes: Sequence[int], shape: Shape, say: Say) -> list[Point]:
    """Measure starts and single hot-plugs at every size, each in a sandbox of its own.

    Args:
        shape: of each, but for the number of VMs.
    """
    points = []
    for vms in sizes:
        say(f"growth: {vms} VMs")
        sized = replace(shape, vms=vms)
        with sandbox_directory() as directory:
            points.append(point(vms=vms, phases=run(directory=directory, shape=sized, say=say, scenarios=EVENTS)))
    return points


def migrate(*, shape: MigrationShape, say: Say) -> dict[str, Any]:
    """Measure NICs that come by migration, in a sandbox without dynamic networks controllers."""
    with sandbox_directory() as directory:
        return migration_figures(shape=shape, moved=migrations.run(directory=directory, shape=shape, say=say))


def weigh(*, count: int, say: Say, shapes: Sequence[str] = tuple(ON_A_SERVER)) -> dict[str, Any]:
    """Measure what the largest objects cost, in a sandbox of its own."""
    with sandbox_directory() as directory:
        return large_objects.run(directory=directory, count=count, say=say, shapes=shapes)


def measure_many_nics(*, shape: ManyNicsShape, say: Say) -> dict[str, Any]:
    """Measure passes over VMs with 255 NICs, and hot-plugs beside such VMs in a sandbox of their own."""
    with sandbox_directory() as directory:
        return many_nics.run(directory=directory, shape=shape, say=say)


def ask(*, shape: SubresourceShape, say: Say) -> dict[str, Any]:
    """Measure requests to the aggregated API, in a sandbox of their own."""
    with sandbox_directory() as directory:
        return subresources.run(directory=directory, shape=shape, say=say)


@click.command()
@click.option("--vms", type=click.IntRange(1, 5000), help="VMs to start, and NICs in the burst.  [default: 200]")
@click.option("--idle-hotplugs", type=click.IntRange(1, 10000), help="Single hot-plugs.  [default: 200]")
@click.option("--pause-seconds", type=click.FloatRange(0), help="Mean pause between them.  [default: 0.2]")
@click.option("--quick", is_flag=True, help="5 VMs, 10 hot-plugs: does it work at all?")
@click.option("--profile", "with_profile", is_flag=True, help="Sample the operator's stack; figures get worse by it.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option(
    "--save", type=click.Path(path_type=Path, dir_okay=False), help="Write the result there, to compare others with."
)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path, dir_okay=False),
    default=BASELINE,
    help="An earlier result to compare with.  [default: the committed one]",
)
@click.option(
    "--growth/--no-growth", "with_growth", default=True, help="What events cost at several sizes.  [default: on]"
)
@click.option(
    "--migrations/--no-migrations", "with_migrations", default=True, help="NICs that come by migration.  [default: on]"
)
@click.option("--only-migrations", "only", flag_value="migrations", help="Nothing else.")
@click.option(
    "--large-objects/--no-large-objects",
    "with_large_objects",
    default=True,
    help="What the largest objects cost.  [default: on]",
)
@click.option(
    "--only-large-objects",
    is_flag=False,
    flag_value=_MIXED,
    type=click.Choice([_MIXED, *ON_A_SERVER]),
    help="Nothing else; with a shape such as random, only objects of that shape.",
)
@click.option(
    "--many-nics/--no-many-nics", "with_many_nics", default=True, help="What VMs with 255 NICs cost.  [default: on]"
)
@click.option("--only-many-nics", "only", flag_value="many-nics", help="Nothing else.")
@click.option(
    "--subresources/--no-subresources",
    "with_subresources",
    default=True,
    help="What requests to the aggregated API cost.  [default: on]",
)
@click.option("--only-subresources", "only", flag_value="subresources", help="Nothing else.")
@click.option("--schemas", "only", flag_value="schemas", help="What the CRD's schema costs, and nothing else.")
@click.option("--apiserver-costs", "only", flag_value="apiserver-costs", help="What kube-apiserver spends, no more.")
@click.option(
    "--only-hand-over", "only", flag_value="hand-over", help="How long a NIC waits when the leader ends; nothing else."
)
@click.option(
    "--only-companion", "only", flag_value="companion", help="Beside KubeVirt, with and without; nothing else."
)
@click.option("--against", default="", metavar="COMMIT", help="With --schemas: the schemas of that commit as well.")
@click.option("--sizes", callback=command.sizes, help="VMs of each size, with commas.  [default: 100,200,400,800]")
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    default=PICTURE,
    show_default=True,
    help="Write the plot of the growth there as SVG.",
)
@click.option(
    "--migrations-picture",
    type=click.Path(path_type=Path, dir_okay=False),
    default=MIGRATIONS_PICTURE,
    show_default=True,
    help="Write the plots of the migrations there as SVG.",
)
def main(
    *,
    quick: bool,
    with_profile: bool,
    output: str,
    save: Path | None,
    baseline: Path,
    with_growth: bool,
    with_migrations: bool,
    only: str | None,
    with_large_objects: bool,
    only_large_objects: str | None,
    with_many_nics: bool,
    with_subresources: bool,
    against: str,
    sizes: tuple[int, ...],
    picture: Path,
    migrations_picture: Path,
    **chosen: Any,
) -> None:
    """Measure nicplug on a fresh sandbox: latencies, a burst, migrations, writes, memory, CPU, and how they grow."""
    parts: dict[str | None, Part] = {
        "migrations": partial(_only_migrations, picture=migrations_picture),
        "many-nics": _only_many_nics,
        "subresources": _only_subresources,
        "schemas": partial(_only_schemas, against=against),
        "apiserver-costs": _only_apiserver_costs,
        "hand-over": _only_hand_over,
        "companion": _only_companion,
    }
    part = partial(_only_large_objects, shape=only_large_objects) if only_large_objects else parts.get(only)
    if part is not None:
        part(quick=quick, output=output, save=save, baseline=baseline)
        return
    shape = replace(QUICK if quick else Shape(), **{name: value for name, value in chosen.items() if value is not None})
    found, profiles = _hotplugs(shape, with_profile=with_profile)
    if with_migrations:
        found["migrations"] = migrate(shape=QUICK_MIGRATIONS if quick else MigrationShape(), say=say)
        migration_report.save_picture(found["migrations"], path=migrations_picture)
    found |= _beside(
        quick=quick, large=with_large_objects, many_nics_too=with_many_nics, subresources_too=with_subresources
    )
    points = []
    if with_growth:
        points = _growth(shape, sizes=sizes or (QUICK_SIZES if quick else growth.SIZES), picture=picture)
        found["growth"] = growth.as_json(points)
    if save is not None:
        results.save(found, path=save)
    _print(found, profiles=profiles, points=points, output=output, baseline=baseline)
    if with_migrations:
        say(f"plot of the migrations: {migrations_picture}")
    if points:
        say(f"plot of the growth: {picture}")


def _hotplugs(shape: Shape, *, with_profile: bool) -> tuple[dict[str, Any], dict[str, Profile]]:
    """The result of the scenarios, and the profile of each."""
    with sandbox_directory() as directory:
        samples = directory / "samples.jsonl" if with_profile else None
        phases = run(directory=directory, shape=shape, samples=samples, say=say)
        profiles = {
            name: profile(samples, window=phase.window) for name, phase in phases.items() if samples is not None
        }
    return result(shape=shape, phases=phases), profiles


def _growth(shape: Shape, *, sizes: Sequence[int], picture: Path) -> list[Point]:
    sized = replace(shape, idle_hotplugs=min(shape.idle_hotplugs, growth.IDLE_HOTPLUGS))
    points = grow(sizes=sizes, shape=sized, say=say)
    growth.save_picture(points, path=picture)
    return points


def _beside(*, quick: bool, large: bool, many_nics_too: bool, subresources_too: bool) -> dict[str, Any]:
    """What has a sandbox of its own."""
    found: dict[str, Any] = {}
    if large:
        found["large_objects"] = weigh(count=QUICK_LARGE_OBJECTS if quick else large_objects.COUNT, say=say)
    if many_nics_too:
        found["many_nics"] = measure_many_nics(shape=QUICK_MANY_NICS if quick else ManyNicsShape(), say=say)
    if subresources_too:
        found["subresources"] = ask(shape=subresources.QUICK if quick else SubresourceShape(), say=say)
    return found


def _only_migrations(*, picture: Path, quick: bool, output: str, save: Path | None, baseline: Path) -> None:
    found = migrate(shape=QUICK_MIGRATIONS if quick else MigrationShape(), say=say)
    migration_report.save_picture(found, path=picture)
    show = partial(migration_report.show, baseline=_earlier(baseline).get("migrations"))
    _show_part("migrations", found, show, output=output, save=save, baseline=baseline)
    say(f"plot of the migrations: {picture}")


def _only_large_objects(*, shape: str, quick: bool, output: str, save: Path | None, baseline: Path) -> None:
    shapes = tuple(ON_A_SERVER) if shape == _MIXED else (shape,)
    found = weigh(count=QUICK_LARGE_OBJECTS if quick else large_objects.COUNT, say=say, shapes=shapes)
    _show_part("large_objects", found, output=output, save=save, baseline=baseline)


def _only_many_nics(*, quick: bool, output: str, save: Path | None, baseline: Path) -> None:
    found = measure_many_nics(shape=QUICK_MANY_NICS if quick else ManyNicsShape(), say=say)
    _show_part("many_nics", found, many_nics.show, output=output, save=save, baseline=baseline)


def _only_subresources(*, quick: bool, output: str, save: Path | None, baseline: Path) -> None:
    found = ask(shape=subresources.QUICK if quick else SubresourceShape(), say=say)
    _show_part("subresources", found, subresources.show, output=output, save=save, baseline=baseline)


def _only_schemas(*, against: str, quick: bool, output: str, save: Path | None, baseline: Path) -> None:
    shape = replace(schemas.QUICK if quick else SchemaShape(), against=against)
    with sandbox_directory() as directory:
        found = schemas.run(directory=directory, shape=shape, say=say)
    _show_part("schemas", found, schemas.show, output=output, save=save, baseline=baseline)


def _only_apiserver_costs(*, quick: bool, output: str, save: Path | None, baseline: Path) -> None:
    found = apiserver_costs.run(
        directory=sandbox_directory, shape=apiserver_costs.QUICK if quick else CostsShape(), say=say
    )
    _show_part("apiserver_costs", found, apiserver_costs.show, output=output, save=save, baseline=baseline)


def _only_hand_over(*, quick: bool, output: str, save: Path | None, baseline: Path) -> None:
    with sandbox_directory() as directory:
        found = hand_over.run(directory=directory, shape=hand_over.QUICK if quick else HandOverShape(), say=say)
    _show_part("hand_over", found, hand_over.show, output=output, save=save, baseline=baseline)


def _only_companion(*, quick: bool, output: str, save: Path | None, baseline: Path) -> None:
    shape, alone = (companion.QUICK, companion.QUICK_ALONE) if quick else (companion.SHAPE, companion.ALONE)
    with sandbox_directory() as directory:
        found = companion.run(directory=directory, shape=shape, alone=alone, say=say)
    _show_part("companion", found, companion.show, output=output, save=save, baseline=baseline)


def _show_part(
    name: str, found: dict[str, Any], show: Show | None = None, *, output: str, save: Path | None, baseline: Path
) -> None:
    _save_part(name, found, path=save)
    if output == "json":
        click.echo(json.dumps(found, indent=1))
        return
    console = Console(width=None if sys.stdout.isatty() else 110)
    report.show_budgets({name: found}, baseline=_earlier(baseline), console=console)
    if show is not None:
        show(found, console=console)


def _save_part(name: str, found: dict[str, Any], *, path: Path | None) -> None:
    """The rest of an earlier result stays: it was measured on its own."""
    if path is not None:
        results.save({**_earlier(path), name: found}, path=path)


def _earlier(path: Path) -> dict[str, Any]:
    """An earlier result; {} without one."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _print(
    found: dict[str, Any], *, profiles: dict[str, Profile], points: Sequence[Point], output: str, baseline: Path
) -> None:
    if output == "json":
        profiled = {name: asdict(one) for name, one in profiles.items()}
        machine = headline.as_json(found)
        click.echo(
            json.dumps(
                {"machine": machine, **found, "budgets": report.budgets_as_json(found), "profiles": profiled}, indent=1
            )
        )
        return
    console = Console(width=None if sys.stdout.isatty() else 110)
    before = _earlier(baseline)
    report.show(found, baseline=before or None, console=console)
    if "migrations" in found:
        migration_report.show(found["migrations"], baseline=before.get("migrations"), console=console)
    if "many_nics" in found:
        many_nics.show(found["many_nics"], console=console)
    if "subresources" in found:
        subresources.show(found["subresources"], console=console)
    if points:
        growth.show(points, console=console)
    for name, one in profiles.items():
        report.show_profile(name, one, console=console)


if __name__ == "__main__":
    # Stopping the bench by SIGTERM would otherwise leave its control plane running.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
