"""A story: a short script with a title and a text, and the log of what it sets going."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from tests.stories.stage import Stage

Script = Callable[[], Stage]


@dataclass(frozen=True, slots=True)
class Story:
    """One story.

    Attributes:
        name: of its log, in words joined by hyphens.
        script: sets the stage, lets things happen, and gives the stage back.
    """

    name: str
    script: Script

    def tell(self) -> str:
        """Run the script; its title, what it is about, and the log."""
        stage = self.script()
        stage.end()
        title, _, rest = inspect.cleandoc(self.script.__doc__ or "").partition("\n")
        about = f"{rest.strip()}\n\n" if rest.strip() else ""
        return f"{title.rstrip('.')}\n{'=' * len(title.rstrip('.'))}\n\n{about}{stage.log.text()}"


STORIES: dict[str, Story] = {}
"""All stories, by name."""


def story(script: Script) -> Script:
    """Make a story of this function; its name is the log's name, its docstring the title and what it is about."""
    name = script.__name__.replace("_", "-")
    assert name not in STORIES, f"two stories are called {name}"
    STORIES[name] = Story(name, script)
    return script
