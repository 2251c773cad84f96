"""Write the tables of `docs/which-path-and-why.md` from the rules that the code decides by: `make docs`.

The text around the tables is written by hand. Each example is evidence on which the code is asked what it says.
"""

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from tools.blocks import with_block
from tools.path_examples import EXAMPLES

from nicplug.model.hotplug_policy import POLICY_FIELDS, HotplugPolicy
from nicplug.model.operations import with_remedy
from nicplug.model.times import format_duration
from nicplug.plan.nic.path.choice import choose_path, deciding_rules
from nicplug.plan.nic.path.rules import IN_PLACE, OBSTACLES, Rule, Verdict

PAGE = Path(__file__).parents[1] / "docs" / "which-path-and-why.md"

WORDS = {
    Verdict.DYNAMIC: "in place",
    Verdict.MIGRATE: "by migration",
    Verdict.HOLD: "held: retried in place with back-off",
    Verdict.ROLL_BACK: "rolled back",
    Verdict.FAILED: "given up until something changes",
    Verdict.BLOCKED: "blocked",
    Verdict.RESTART: "by a restart",
}


def rules_table(rules: Iterable[Rule]) -> str:
    """One row for each rule, in the order in which they are asked."""
    rows = ["| # | evidence | what happens | reason | for example, the record says |", "|---|---|---|---|---|"]
    for number, rule in enumerate(rules, 1):
        reason = f"`{rule.reason}`"
        if rule.reason_of_unplug is not None:
            reason += f"; of an unplug `{rule.reason_of_unplug}`"
        cells = (str(number), rule.when, WORDS[rule.verdict], reason, example(rule))
        rows.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(rows)


def example(rule: Rule) -> str:
    """What is said on the evidence that is the rule's example.

    Raises:
        ValueError: there is no such example.
    """
    for evidence in EXAMPLES:
        if deciding_rules(evidence)[-1] is rule:
            choice = choose_path(evidence)
            return with_remedy(choice.message, choice.remedy)
    raise ValueError(f"no example of tools/path_examples.py is decided by the rule: {rule.when}")


def policy_table() -> str:
    """The fields of the policy."""
    rows = ["| field of the policy | annotation on a VM or VMI | values | default |", "|---|---|---|---|"]
    default = HotplugPolicy()
    for item in POLICY_FIELDS:
        value = getattr(default, item.attribute)
        shown = value if isinstance(value, str) else format_duration(value)
        rows.append(f"| `{item.name}` | `{item.annotation}` | {_cell(item.values)} | `{shown}` |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def decision_tree() -> str:
    """Both tables as a Mermaid flowchart; rules in a row with the same answer are one question."""
    lines = ["```mermaid", "flowchart TD", '  change(["a NIC is to come, to change or to go"]) --> p1']
    lines += _questions(IN_PLACE, prefix="p", otherwise="")
    lines += _questions(OBSTACLES, prefix="m", otherwise="migrate")
    used = {rule.verdict for rule in (*IN_PLACE, *OBSTACLES)}
    lines += [f'  {_leaf(verdict)}(["{WORDS[verdict].partition(":")[0]}"])' for verdict in Verdict if verdict in used]
    return "\n".join([*lines, "```"])


def _questions(rules: Sequence[Rule], *, prefix: str, otherwise: str) -> Iterator[str]:
    """One box for each group of rules, an arrow to its answer, and one to the next group.

    Args:
        otherwise: the leaf for when no rule applies; "" where one always does.
    """
    numbered = list(enumerate(rules, 1))
    groups = [list(group) for _, group in itertools.groupby(numbered, key=lambda item: item[1].verdict)]
    for index, group in enumerate(groups):
        number, verdict = group[0][0], group[0][1].verdict
        text = "<br/>".join(f"{one}: {_plain(rule.when)}" for one, rule in group)
        yield f'  {prefix}{number}["{text}"]'
        # By migration is an answer only if the VM can be migrated.
        answer = "m1" if verdict is Verdict.MIGRATE and prefix == "p" else _leaf(verdict)
        following = f"{prefix}{groups[index + 1][0][0]}" if index + 1 < len(groups) else otherwise
        if answer == following:
            yield f"  {prefix}{number} -- yes or no --> {answer}"
            continue
        yield f"  {prefix}{number} -- yes --> {answer}"
        if following:
            yield f"  {prefix}{number} -- no --> {following}"


def _leaf(verdict: Verdict) -> str:
    return verdict.value.lower()


def _plain(text: str) -> str:
    """Without what Mermaid takes for its own."""
    return text.replace("`", "").replace('"', "'").replace(";", "#59;")


TABLES: dict[str, Callable[[], str]] = {
    "policy": policy_table,
    "in-place": lambda: rules_table(IN_PLACE),
    "obstacles": lambda: rules_table(OBSTACLES),
    "decision-tree": decision_tree,
}


def with_tables(page: str) -> str:
    """The page with every table as the code has it.

    Raises:
        ValueError: the page has no place for a table.
    """
    for name, table in TABLES.items():
        page = with_block(page, name=name, content=f"{table()}\n")
    return page


def main() -> int:
    """Write the tables; `--check` only compares."""
    page = PAGE.read_text()
    wanted = with_tables(page)
    if "--check" in sys.argv[1:]:
        print(
            f"{PAGE.name} is as the code has it" if page == wanted else f"{PAGE.name} is out of date: run `make docs`"
        )
        return 0 if page == wanted else 1
    PAGE.write_text(wanted)
    print(f"wrote docs/{PAGE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
