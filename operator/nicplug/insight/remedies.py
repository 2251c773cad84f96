"""The meaning and the remedy of each reason, from their single source: `reasons.md` in this package."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True, kw_only=True)
class Documented:
    """One reason: the first paragraph below its heading is the meaning, the rest the remedy."""

    reason: str
    meaning: str
    remedy: str


def documented(source: str) -> list[Documented]:
    """Return every reason of a text that has a heading for each, in its order.

    Raises:
        ValueError: a heading has no meaning below it, or no remedy.
    """
    found = []
    for section in re.split(r"^## ", source, flags=re.MULTILINE)[1:]:
        reason, _, body = re.sub(r"^# .*$", "", section, flags=re.MULTILINE).partition("\n\n")
        meaning, _, remedy = (" ".join(part.split()) for part in body.partition("\n\n"))
        if not meaning or not remedy:
            raise ValueError(f"{reason}: needs a meaning, a blank line, and what to do")
        found.append(Documented(reason=reason, meaning=meaning, remedy=remedy))
    return found


@cache
def remedies() -> Mapping[str, Documented]:
    """Return them by reason, as spelt on the wire."""
    source = files("nicplug.insight").joinpath("reasons.md").read_text(encoding="utf-8")
    return {item.reason: item for item in documented(source)}
