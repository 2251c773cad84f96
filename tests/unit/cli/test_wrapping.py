"""How a long line of a command is broken on a terminal."""

import pytest

from nicplug.cli.wrapping import wrapped


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("label  short", ["label  short"]),
        (
            "label  one two three four five six seven eight",
            ["label  one two three four five", "       six seven eight"],
        ),
        (
            "label  remove it (nicplug remove vm blue) and go on",
            ["label  remove it", "       (nicplug remove vm blue)", "       and go on"],
        ),
        (
            "label  remove it (nicplug remove vm-of-a-long-name blue), and go on",
            ["label  remove it", "       (nicplug remove vm-of-a-long-name blue),", "       and go on"],
        ),
        ("label  Try this: `nicplug doctor -o json`.", ["label  Try this:", "       `nicplug doctor -o json`."]),
        (
            "label  Install it: kubectl apply -f crds/; then look again",
            ["label  Install it:", "       kubectl apply -f crds/;", "       then look again"],
        ),
        (
            "label  no nicplug operator works: there is none",
            ["label  no nicplug operator", "       works: there is none"],
        ),
        (
            "label  a-name-that-is-longer-than-a-line is it",
            ["label  a-name-that-is-longer-than-a-line", "       is it"],
        ),
    ],
)
def test_a_line_is_broken_between_words_and_never_within_a_command(text: str, lines: list[str]) -> None:
    assert wrapped(text, columns=32, indent=7) == lines


def test_without_room_beside_the_label_the_terminal_breaks_the_line() -> None:
    assert wrapped("a-long-label  one two three four", columns=30, indent=14) == ["a-long-label  one two three four"]
