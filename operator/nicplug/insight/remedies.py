"""What each reason means and what to do about it, from the one place where that stands: `reasons.md` beside this."""

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
    """Every reason of a text with a heading for each, in its order.

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
    """By reason, as it stands on the wire."""
    source = files("nicplug.insight").joinpath("reasons.md").read_text(encoding="utf-8")
    return {item.reason: item for item in documented(source)}
