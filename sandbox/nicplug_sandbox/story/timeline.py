"""The moments of one operation, found in watches of the API server and shown as they come."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from nicplug_sandbox.object_watch import Line
from nicplug_sandbox.screen import Screen


def nothing(_line: Line) -> str:
    """Be the `told` of moments of which the words are known before."""
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What a line of a watch may show, and whose doing it is.

    Attributes:
        what: known before; names the moment.
        told: what only the line can tell, shown behind it.
    """

    what: str
    who: str
    is_shown: Callable[[Line], bool]
    told: Callable[[Line], str] = nothing


@dataclass(slots=True)
class Timeline:
    """Finds the moments of one operation in the lines of the watches, and shows each once.

    Each kind has a watch of its own, and on a busy machine a line of one may be read after a later line of the
    other. So a moment is shown when all before it have been seen, and none is told later than one that it precedes: a
    line may be late, but never early. Times on the screen never go back.

    Attributes:
        moments: in the order in which they become true; none of them is true before the operation.
        began: when the API server received the request, in seconds of the monotonic clock. None: not known, and the
            clock starts with the first line, so that what was late with it is missing in every time.
        times: when each was seen, in seconds of the monotonic clock.
    """

    screen: Screen
    moments: list[Moment]
    began: float | None = None
    times: dict[str, float] = field(default_factory=dict)
    _told: dict[str, str] = field(default_factory=dict)
    _shown: int = 0

    def look(self, line: Line) -> bool:
        """Whether nothing more is to come after this line."""
        for moment in self.moments:
            if moment.what not in self.times and moment.is_shown(line):
                self.times[moment.what] = line.at
                self._told[moment.what] = moment.told(line)
        self._show()
        return len(self.times) == len(self.moments)

    def seconds(self, what: str) -> float:
        """From the request to that moment, which has been seen as the first one has."""
        start = self._at(self.moments[0].what) if self.began is None else self.began
        return max(0.0, self._at(what) - start)

    def between(self, first: str, second: str) -> float:
        """From one moment to another, as the watches told them; both have been seen."""
        return max(0.0, self._at(second) - self._at(first))

    def _at(self, what: str) -> float:
        """When it was true at the latest."""
        names = [moment.what for moment in self.moments]
        return min(self.times[name] for name in names[names.index(what) :] if name in self.times)

    def _show(self) -> None:
        seen = itertools.takewhile(lambda moment: moment.what in self.times, self.moments)
        for moment in itertools.islice(seen, self._shown, None):
            what = f"{moment.what}{self._told[moment.what]}"
            self.screen.moment(seconds=self.seconds(moment.what), what=what, who=moment.who)
            self._shown += 1

    @property
    def next(self) -> str:
        """The first moment that has not come."""
        return next((moment.what for moment in self.moments if moment.what not in self.times), "")
