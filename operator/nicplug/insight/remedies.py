"""What each reason means and what to do about it, from the one place where that stands: the docstrings of the enum."""

import ast
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True, kw_only=True)
class Documented:
    """One reason as its docstring has it: the first paragraph is the meaning, the rest the remedy."""

    reason: str
    meaning: str
    remedy: str


def documented(source: str) -> list[Documented]:
    """Every reason of the enum in a source text, in its order.

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


@cache
def remedies() -> Mapping[str, Documented]:
    """By reason, as it stands on the wire."""
    source = files("nicplug.plan").joinpath("reasons.py").read_text(encoding="utf-8")
    return {item.reason: item for item in documented(source)}
