"""Remembers VMs whose last request was already pending: the next one probably is too, and needs only the VM."""

from collections import OrderedDict
from dataclasses import dataclass, field

from nicplug.model.keys import ObjectKey

MOST = 1024


@dataclass(slots=True)
class Repetitions:
    """Predicts whether the VMI has to be read besides its VM. A wrong guess costs time, and changes no answer."""

    _keys: OrderedDict[ObjectKey, None] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._keys)

    def expects(self, key: ObjectKey) -> bool:
        """True if the last request for this VM was a repetition."""
        return key in self._keys

    def note(self, key: ObjectKey, *, repeated: bool) -> None:
        """Record whether a request for this VM was a repetition."""
        self._keys.pop(key, None)
        if repeated:
            self._keys[key] = None
            if len(self._keys) > MOST:
                self._keys.popitem(last=False)
