"""The blocks of commands of a document: fenced blocks without a language.

An HTML comment on the line before a block, which readers do not see, says how a test runs it:

- `<!-- refused -->`, `<!-- until interrupted -->`: it does not end with exit code 0;
- `<!-- run with: VM=vm-fedora NIC=blue -->`: what stands for a name on the page, and which one to take;
- `<!-- not run: the reason -->`: it needs what a sandbox has not, such as Docker or another cluster.

In a block with lines that begin with `$ ` these are the commands, and the others what they print.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

_FENCE = re.compile(r"(?P<indent> *)```(?P<language>\w*)")
_MARK = re.compile(r" *<!-- (?P<end>refused|until interrupted|not run|run with)(?:: (?P<about>\S.*))? -->")
_WITH_WORDS = ("not run", "run with")


class End(StrEnum):
    """How the commands of a block end."""

    WELL = "well"
    REFUSED = "refused"
    INTERRUPTED = "until interrupted"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class _Mark:
    """What the line before a block says about it; `names` are what to type for a word of the page."""

    end: End = End.WELL
    names: tuple[tuple[str, str], ...] = ()
    is_there: bool = True


_NO_MARK = _Mark(is_there=False)


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
    """Those that a test runs, in the order of the document.

    Raises:
        ValueError: a block is not closed, a mark stands before no block of commands, or a word is not on the page.
    """
    return [block for block in all_blocks(text) if block.end is not End.NOT_RUN]


def all_blocks(text: str) -> Iterator[Block]:
    """Also those that no test runs.

    Raises:
        ValueError: as `command_blocks`.
    """
    lines = enumerate(text.splitlines(), start=1)
    mark = _NO_MARK
    for number, line in lines:
        if (fence := _FENCE.fullmatch(line)) is None:
            if mark.is_there:
                raise ValueError(f"line {number}: a block of commands must follow the mark")
            mark = _mark(line, number=number)
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
            yield Block(line=number, commands=_named(commands, mark, number=number), output=output, end=mark.end)
        elif mark.is_there:
            raise ValueError(f"line {number}: a block of commands must follow the mark")
        mark = _NO_MARK


def _mark(line: str, *, number: int) -> _Mark:
    if (found := _MARK.fullmatch(line)) is None:
        return _NO_MARK
    end, about = found["end"], found["about"] or ""
    if bool(about) is not (end in _WITH_WORDS):
        raise ValueError(f'line {number}: "{end}" is {"without" if about else "with"} words after a colon')
    if end != "run with":
        return _Mark(end=End(end))
    return _Mark(names=tuple((word, name) for word, _, name in (item.partition("=") for item in about.split())))


def _named(commands: str, mark: _Mark, *, number: int) -> str:
    for word, name in mark.names:
        commands, count = re.subn(rf"\b{re.escape(word)}\b", name, commands)
        if not count:
            raise ValueError(f"line {number}: {word} is not in the block")
    return commands


def _typed(body: list[str]) -> tuple[str, str]:
    """The commands of a block, and what the page shows of their output."""
    if not any(line.startswith("$ ") for line in body):
        return "\n".join(body), ""
    typed = [line.removeprefix("$ ") for line in body if line.startswith("$ ")]
    return "\n".join(typed), "\n".join(line for line in body if not line.startswith("$ "))
