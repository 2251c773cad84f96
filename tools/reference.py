"""Write the documents that are generated from the code: `make docs`. A test fails while they differ.

Knows only the source text: nothing of the operator is imported or run.
"""

import ast
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
REASONS = ROOT / "operator" / "nicplug" / "plan" / "reasons.py"
PAGE = ROOT / "docs" / "reasons.md"

HEAD = """\
# Reasons

<!-- Generated from operator/nicplug/plan/reasons.py by `make docs`: change the docstrings there. -->

The `reason` of a record in `status.interfaceOperations`, of the condition `InterfacesReady` (the first record that
is not ready), of `Failure` and `Synchronized`, or of an event. The message beside it has the names and numbers.
[Troubleshooting](troubleshooting.md) starts from what you see instead.

| reason | meaning | what to do |
|---|---|---|
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Documented:
    """One reason as its docstring has it: the first paragraph is the meaning, the rest the remedy."""

    reason: str
    meaning: str
    remedy: str


def documented(source: str) -> list[Documented]:
    """Every reason of the enum, in its order.

    Raises:
        ValueError: a reason has no docstring, or one without a remedy.
    """
    body = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)).body
    found = []
    for assignment, following in itertools.pairwise([*body, ast.Pass()]):
        if isinstance(assignment, ast.Assign):
            text = following.value if isinstance(following, ast.Expr) else None
            docstring = ast.literal_eval(text) if text is not None else ""
            meaning, _, remedy = (" ".join(part.split()) for part in docstring.partition("\n\n"))
            reason = ast.literal_eval(assignment.value)
            if not meaning or not remedy:
                raise ValueError(f"{reason}: the docstring needs a meaning, a blank line, and what to do")
            found.append(Documented(reason=reason, meaning=meaning, remedy=remedy))
    return found


def reasons_page(source: str) -> str:
    """The whole page."""
    rows = (f"| `{item.reason}` | {item.meaning} | {item.remedy} |\n" for item in documented(source))
    return HEAD + "".join(rows)


def main() -> int:
    """Write the pages; `--check` only compares."""
    wanted = reasons_page(REASONS.read_text())
    if "--check" in sys.argv[1:]:
        same = PAGE.exists() and PAGE.read_text() == wanted
        print("docs/reasons.md is as the code has it" if same else "docs/reasons.md is out of date: run `make docs`")
        return 0 if same else 1
    PAGE.write_text(wanted)
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
