"""Wraps lines for a terminal: between words, aligned, and never within a command that a user may copy."""

import re

_PROGRAMS = r"(?:nicplug|kubectl|virtctl) "
# Commands as messages and remedies quote them: in backticks, in parentheses, or from a colon to the sentence's end.
_COMMAND = rf"`[^`]*`|\({_PROGRAMS}[^()]*\)|(?<=: ){_PROGRAMS}.*?(?=[.;](?:\s|$)|$)"
_PIECE = re.compile(rf"(?:{_COMMAND}|\S)+")
_LEAST_ROOM = 24
"""With less room right of the indent, lines of single words are harder to read than lines that the terminal breaks."""


def wrapped(text: str, *, columns: int, indent: int) -> list[str]:
    """Wrap a text that is wider than the terminal; all lines but the first begin at `indent`.

    A command or a word that is longer than a line gets a line of its own: broken by the terminal, it can still be
    copied whole.

    Args:
        columns: width of the terminal.
        indent: column in which the text begins, after its label.
    """
    room = columns - indent
    if len(text) <= columns or room < _LEAST_ROOM:
        return [text]
    lines, label = [""], text[:indent]
    for piece in _PIECE.findall(text[indent:]):
        longer = f"{lines[-1]} {piece}" if lines[-1] else piece
        if lines[-1] and len(longer) > room:
            lines.append(piece)
        else:
            lines[-1] = longer
    return [label + lines[0], *(" " * indent + line for line in lines[1:])]
