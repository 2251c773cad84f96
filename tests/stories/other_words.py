"""A world in which all messages of nicplug's records and conditions are worded otherwise: nothing may depend on them.

Each is replaced where it is written into a status by a digest of itself. So it is as much the same, or another one, as
before, and no part of it is left for anybody to find.
"""

import hashlib
import re
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from nicplug.model import conditions
from nicplug.model.conditions import Condition
from nicplug.model.operations import InterfaceOperation

_MARK = "reworded-"
_WORDS = ("message", "remedy")
# A sentence stands in a line of its own, in quotation marks; KubeVirt's reason of a failed migration quotes one.
_SENTENCE = re.compile(r'^ +((remedy: |last error: )?"|migrationState.failureReason: )')


def reword(text: str) -> str:
    """In other words; what is repeated stays as it is."""
    return text if text.startswith(_MARK) else f"{_MARK}{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def reword_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, whatever is written into a status."""
    to_row, put, new = InterfaceOperation.to_row, conditions._replace, conditions._new

    def to_other_row(record: InterfaceOperation) -> dict[str, Any]:
        row = to_row(record)
        return {name: reword(value) if name in _WORDS else value for name, value in row.items()}

    def put_other(row: dict[str, Any], wanted: Condition, *, now: datetime) -> dict[str, Any]:
        return put(row, _reworded(wanted), now=now)

    def new_other(wanted: Condition, *, since: str) -> dict[str, Any]:
        return new(_reworded(wanted), since=since)

    monkeypatch.setattr(InterfaceOperation, "to_row", to_other_row)
    monkeypatch.setattr(conditions, "_replace", put_other)
    monkeypatch.setattr(conditions, "_new", new_other)


def _reworded(condition: Condition) -> Condition:
    return replace(condition, message=reword(condition.message)) if condition.message else condition


def without_words(log: str) -> list[str]:
    """The lines of a log that are no sentences."""
    return [line for line in log.splitlines() if not _SENTENCE.match(line)]
