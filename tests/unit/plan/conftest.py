"""What planners read from a frozen text is shared by a whole pass: here anything that changes it is caught."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import pytest

from nicplug.model import frozen_json


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise AssertionError("a planner changed a value that others read, too: copy it first")


class _SharedObject(dict[str, Any]):
    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse


class _SharedList(list[Any]):
    __setitem__ = __delitem__ = __iadd__ = __imul__ = append = clear = extend = insert = pop = remove = _refuse
    reverse = sort = _refuse


def _shared(value: Any) -> Any:
    return _SharedList(map(_shared, value)) if isinstance(value, list) else value


def _shared_object(pairs: Iterable[tuple[str, Any]]) -> _SharedObject:
    return _SharedObject((name, _shared(value)) for name, value in pairs)


@pytest.fixture(scope="module", autouse=True)
def _nobody_changes_what_is_shared() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frozen_json, "thaw", lambda text: _shared(json.loads(text, object_pairs_hook=_shared_object)))
        yield
