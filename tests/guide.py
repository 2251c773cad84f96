"""The blocks of commands of a document: fenced blocks without a language.

One that does not end with exit code 0 has an HTML comment on the line before it: `<!-- refused -->` or
`<!-- until interrupted -->`. In a block with lines that begin with `$ ` these are the commands, and the
others what they print.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

_FENCE = re.compile(r"(?P<indent> *)```(?P<language>\w*)")
_MARK = re.compile(r" *<!-- (?P<end>refused|until interrupted) -->")


class End(StrEnum):
    """How the commands of a block end."""

    WELL = "well"
    REFUSED = "refused"
    INTERRUPTED = "until interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block.

    Attributes:
        line: of the fence that opens it, from 1.
        commands: as they are typed, without the indentation of a list.
        output: what the page shows of what they print; "" where it shows nothing.
    """

    line: int
    commands: str
    output: str = ""
    end: End = End.WELL


def command_blocks(text: str) -> list[Block]:
    """In the order of the document.

    Raises:
        ValueError: a block is not closed, or a mark stands before no block of commands.
    """
    found: list[Block] = []
    lines = enumerate(text.splitlines(), start=1)
    end = End.WELL
    for number, line in lines:
        if (fence := _FENCE.fullmatch(line)) is None:
            if end is not End.WELL:
                raise ValueError(f"line {number}: a block of commands must follow the mark")
            mark = _MARK.fullmatch(line)
            end = End(mark["end"]) if mark is not None else End.WELL
            continue
        body = []
        for _, inner in lines:
            if inner.strip() == "```":
                break
            body.append(inner.removeprefix(fence["indent"]))
        else:
            raise ValueError(f"line {number}: the block is not closed")
        if not fence["language"]:
            commands, output = _typed(body)
            found.append(Block(line=number, commands=commands, output=output, end=end))
        elif end is not End.WELL:
            raise ValueError(f"line {number}: a block of commands must follow the mark")
        end = End.WELL
    return found


def _typed(body: list[str]) -> tuple[str, str]:
    """The commands of a block, and what the page shows of their output."""
    if not any(line.startswith("$ ") for line in body):
        return "\n".join(body), ""
    typed = [line.removeprefix("$ ") for line in body if line.startswith("$ ")]
    return "\n".join(typed), "\n".join(line for line in body if not line.startswith("$ "))
