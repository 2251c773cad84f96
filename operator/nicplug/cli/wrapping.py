"""Lines for a terminal: broken between words, aligned, and never within a command that a person copies."""

import re

_PROGRAMS = r"(?:nicplug|kubectl|virtctl) "
# As messages and remedies have them: `in quotes`, (in parentheses), or after a colon up to the end of the sentence.
_COMMAND = rf"`[^`]*`|\({_PROGRAMS}[^()]*\)|(?<=: ){_PROGRAMS}.*?(?=[.;](?:\s|$)|$)"
_PIECE = re.compile(rf"(?:{_COMMAND}|\S)+")
_LEAST_ROOM = 24
"""With less to the right of the indent, a line of each word would be harder to read than what the terminal breaks."""


def wrapped(text: str, *, columns: int, indent: int) -> list[str]:
    """The lines of a text that is wider than the terminal; those after the first one begin at `indent`.

    A command or a word that is longer than a line has one of its own: broken by the terminal, it is still copied whole.

    Args:
        indent: where the text begins, after its label.
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
