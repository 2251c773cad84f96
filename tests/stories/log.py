"""The log of a story: who did what, a line each, with names that a person can follow.

Times are seconds since the story began. Names that are digests have a number or the NIC's name in their place:
`virt-launcher-vm-a-#2` is the second launcher pod of vm-a, `pod:blue` the interface of NIC blue in a pod.
"""

import re
from collections.abc import Iterable
from datetime import datetime

from tests.sim.cluster import MIGRATIONS, PODS, Json
from tests.stories.wording import as_time, nics_of

from nicplug.model.networks_annotation import hashed_interface_name

_INDENT = " " * 12
_LAUNCHER = re.compile(r"^(virt-launcher-.+)-[0-9a-z]+$")
_MIGRATION = re.compile(r"^(kubevirt-workload-update|kubevirt-evacuation|nicplug)-[0-9a-z]+$")


class StoryLog:
    """Collects the lines.

    Attributes:
        is_open: whether lines are taken; what happens before the story begins is left out.
        began: the moment that the times count from.
    """

    def __init__(self) -> None:
        self.is_open = False
        self.began: datetime | None = None
        self._lines: list[str] = []
        self._names: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def begin(self, now: datetime) -> None:
        """What was written down before is dropped; times count from now."""
        self.is_open, self.began, self._lines = True, now, []

    def line(self, now: datetime, who: str, what: str) -> None:
        """Something happened."""
        self._add(f"{self._time(now)}  {who}: {what}")

    def block(self, now: datetime, who: str, rows: Iterable[tuple[str, str]]) -> None:
        """Somebody did several things at once; each row has a word for what it is, or none for what belongs to it."""
        self._add(f"{self._time(now)}  {who}")
        for word, text in rows:
            self._add(f"{_INDENT}{word:<8} {text}" if word else f"{_INDENT}{'':<8}   {text}")

    def plain(self, text: str) -> None:
        """A line without a time."""
        self._add(text)

    def heading(self, text: str) -> None:
        """A sentence of the one who tells the story."""
        self._add("")
        self._add(f"-- {text}")

    def _time(self, now: datetime) -> str:
        return f"{as_time(now, since=self.began or now):>9}"

    def _add(self, line: str) -> None:
        if self.is_open:
            self._lines.append(line.rstrip())

    def text(self) -> str:
        """Everything, with the names replaced."""
        found = "\n".join(self._lines) + "\n"
        if self._names:
            names = sorted(self._names, key=len, reverse=True)
            found = re.sub("|".join(map(re.escape, names)), lambda match: self._names[match.group()], found)
        return found

    def note_birth(self, plural: str, body: Json) -> None:
        """A new object, whose name may be a digest."""
        name = body["metadata"]["name"]
        pattern = {PODS: _LAUNCHER, MIGRATIONS: _MIGRATION}.get(plural)
        if pattern is not None and (match := pattern.match(name)) and name not in self._names:
            stem = match.group(1)
            self._counts[stem] = self._counts.get(stem, 0) + 1
            self._names[name] = f"{stem}-#{self._counts[stem]}"

    def note_nics(self, body: Json) -> None:
        """NICs of a spec, whose interfaces in pods have digests for names."""
        spec = body["spec"]
        for name in nics_of(spec["template"]["spec"] if "template" in spec else spec):
            self._names[hashed_interface_name(name)] = f"pod:{name}"
