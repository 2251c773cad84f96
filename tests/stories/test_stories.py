"""Whole stories, whose logs are compared letter by letter with tests/golden/stories.

To write the logs again: `NICPLUG_TEST_WRITE_GOLDEN=1` (tests/stories/README.md says how to read what has changed).
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from tests.stories import beside, blame, drains, fallback, leaders, limits, lives, migrations, plugging, refusals
from tests.stories.other_words import reword_all, without_words
from tests.stories.telling import STORIES

MODULES = (beside, blame, drains, fallback, leaders, limits, lives, migrations, plugging, refusals)
"""Each has added its stories."""
GOLDEN = Path(__file__).parents[1] / "golden" / "stories"
WRITE_GOLDEN = "NICPLUG_TEST_WRITE_GOLDEN"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("name", sorted(STORIES))
def test_the_story_goes_as_its_log_says(name: str) -> None:
    told, path = STORIES[name].tell(), GOLDEN / f"{name}.txt"
    if os.environ.get(WRITE_GOLDEN):
        path.write_text(told)
    assert path.exists(), f"there is no log yet; {WRITE_GOLDEN}=1 writes it"
    assert told == path.read_text()


@pytest.mark.parametrize("name", sorted(STORIES))
def test_it_goes_the_same_way_in_other_words(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever rewords a message changes what people read, and nothing that is done."""
    reword_all(monkeypatch)
    told = STORIES[name].tell()
    assert without_words(told) == without_words((GOLDEN / f"{name}.txt").read_text())


def test_other_words_are_other_words(monkeypatch: pytest.MonkeyPatch) -> None:
    reword_all(monkeypatch)
    said = "waiting for the node agent"
    assert said in (GOLDEN / "plug-in-place.txt").read_text()
    assert said not in STORIES["plug-in-place"].tell()


def test_every_log_has_its_story() -> None:
    if os.environ.get(WRITE_GOLDEN):
        for path in GOLDEN.glob("*.txt"):
            if path.stem not in STORIES:
                path.unlink()
    assert {path.stem for path in GOLDEN.glob("*.txt")} == STORIES.keys()
