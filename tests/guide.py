"""The blocks of commands of a document: fenced blocks without a language.

One that a test must not run has an HTML comment on the line before it: `<!-- not run: the reason -->`.
"""

import re
from dataclasses import dataclass

_FENCE = re.compile(r"(?P<indent> *)```(?P<language>\w*)")
_EXCEPTION = re.compile(r" *<!-- not run: (?P<reason>.*\S) *-->")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block.

    Attributes:
        line: of the fence that opens it, from 1.
        commands: as they stand, without the indentation of a list.
        why_not: the reason not to run it; "" for one that runs.
    """

    line: int
    commands: str
    why_not: str


def command_blocks(text: str) -> list[Block]:
    """In the order of the document.

    Raises:
        ValueError: a block is not closed, or a mark stands before no block of commands.
    """
    found: list[Block] = []
    lines = enumerate(text.splitlines(), start=1)
    reason = ""
    for number, line in lines:
        if (fence := _FENCE.fullmatch(line)) is None:
            if reason:
                raise ValueError(f"line {number}: a block of commands must follow the mark")
            exception = _EXCEPTION.fullmatch(line)
            reason = exception["reason"] if exception is not None else ""
            continue
        body = []
        for _, inner in lines:
            if inner.strip() == "```":
                break
            body.append(inner.removeprefix(fence["indent"]))
        else:
            raise ValueError(f"line {number}: the block is not closed")
        if not fence["language"]:
            found.append(Block(line=number, commands="\n".join(body), why_not=reason))
        elif reason:
            raise ValueError(f"line {number}: a block of commands must follow the mark")
        reason = ""
    return found
