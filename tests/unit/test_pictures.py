"""The pictures of the documents: Mermaid that names what the code has, plots of committed figures."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from tests.perf import growth
from tests.perf.bench import BASELINE
from tests.perf.svg_texts import SVG, texts
from tools import path_page

from nicplug.model.migration import FOREIGN_MIGRATION_PHASES, MigrationPhase
from nicplug.model.operations import OperationPhase
from nicplug.plan.nic.path.rules import IN_PLACE, OBSTACLES, Verdict

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "user-guide.md").read_text()
ENDS = "[*]"


def mermaid(text: str, kind: str) -> str:
    """The one diagram of that kind."""
    (found,) = (block for block in re.findall(r"```mermaid\n(.*?)```", text, re.DOTALL) if block.startswith(kind))
    return str(found)


def arrows() -> list[tuple[str, str]]:
    """Of the states of a NIC."""
    return re.findall(r"^  (\S+) --> (\S+?): .+$", mermaid(GUIDE, "stateDiagram"), re.MULTILINE)


def test_the_states_of_a_nic_are_the_phases_of_its_record() -> None:
    assert {state for arrow in arrows() for state in arrow} - {ENDS} == set(OperationPhase)
    lines = mermaid(GUIDE, "stateDiagram").strip().splitlines()
    assert len(arrows()) == len(lines) - 1 == len(set(arrows())), "each line is an arrow, and none is there twice"


@pytest.mark.parametrize("phase", OperationPhase)
def test_every_state_can_be_reached_and_left(phase: OperationPhase) -> None:
    reached, left = ENDS, {start for start, _ in arrows()}
    known, found = {reached}, {reached}
    while found:
        found = {end for start, end in arrows() if start in known} - known
        known |= found
    assert phase in known
    assert phase in left


def test_a_migration_has_its_phases_in_order() -> None:
    shown = re.findall(r"^  Note over \w: (\w+)$", mermaid(GUIDE, "sequenceDiagram"), re.MULTILINE)
    without = {MigrationPhase.UNSET, MigrationPhase.FAILED, *FOREIGN_MIGRATION_PHASES}
    assert shown == [phase for phase in MigrationPhase if phase not in without]


def test_the_decision_tree_asks_every_rule_and_leads_to_every_answer() -> None:
    tree = path_page.decision_tree()
    for prefix, rules in (("p", IN_PLACE), ("m", OBSTACLES)):
        boxes = "<br/>".join(re.findall(rf'^  {prefix}\d+\["(.+)"\]$', tree, re.MULTILINE))
        asked = [int(number) for number in re.findall(r"(?:^|<br/>)(\d+): ", boxes)]
        assert asked == list(range(1, len(rules) + 1))
    for source, answer in re.findall(r"^  (\w+) -- (?:yes|no|yes or no) --> (\w+)$", tree, re.MULTILINE):
        assert re.search(rf"^  {answer}[\[(]", tree, re.MULTILINE), f"{source} leads nowhere"
    # The last question in place always has an answer; a VM without obstacles is migrated.
    assert "no --> migrate" in tree
    verdicts = {rule.verdict for rule in (*IN_PLACE, *OBSTACLES)}
    assert {verdict for verdict in Verdict if f"  {verdict.value.lower()}([" in tree} == verdicts


def test_the_plot_of_the_growth_is_of_the_committed_figures() -> None:
    points = [growth.Point(**point) for point in json.loads(BASELINE.read_text())["growth"]]
    assert (DOCS / "images" / "growth.svg").read_text() == growth.picture(points)


def test_the_picture_of_migrations_is_as_the_bench_draws_it() -> None:
    """`make migrations-picture` draws it: with axes, from a run in which all NICs came."""
    found = texts((DOCS / "images" / "migrations.svg").read_text())
    for title in (
        "Migrations with a slot",
        "Migrations in the queue",
        "NICs in the guest",
        "One migration alone, p50 of",
    ):
        assert any(text.startswith(title) for text in found), title
    assert any(text.startswith("limit of the cluster, ") for text in found)
    assert any(text.startswith("100 NICs asked for at once") for text in found)


@pytest.mark.parametrize("picture", sorted((DOCS / "images").glob("*.svg")), ids=lambda path: path.name)
def test_every_picture_is_shown_by_a_document(picture: Path) -> None:
    pages = [DOCS.parent / "README.md", *DOCS.glob("*.md")]
    assert any(f"images/{picture.name})" in page.read_text() for page in pages)


@pytest.mark.parametrize("picture", sorted((DOCS / "images").glob("*.svg")), ids=lambda path: path.name)
def test_every_picture_has_a_ground_of_its_own(picture: Path) -> None:
    """Pages have light or dark grounds; a picture without one of its own cannot be read on one of them."""
    root = ET.parse(picture).getroot()
    width = float(root.attrib["viewBox"].split()[2])
    grounds = [rect for rect in root.iter(f"{SVG}rect") if rect.get("fill", "none") != "none"]
    assert any(float(rect.attrib["width"]) > 0.99 * width for rect in grounds)
