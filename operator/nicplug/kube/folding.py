"""Sets aside the value that is most of a large object, so that what is around it is split without passing over it.

An object is split place by place, from the outside to the inside, and each time a parser passes over all the rest. For
brackets that is 10 ms a time, and a ControllerRevision has seven places in each other.
"""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import msgspec

_NOTHING = msgspec.Raw(b"")
_Members = dict[str, msgspec.Raw]


class _Template(msgspec.Struct):
    metadata: msgspec.Raw = _NOTHING
    spec: _Members | None = None


class _Spec(msgspec.Struct):
    """Of a VM or a revision it has a template, of a VMI a domain."""

    template: _Template | None = None
    domain: _Members | None = None

    def values(self) -> Iterator[msgspec.Raw]:
        """Those that may be set aside."""
        if self.template is not None:
            yield self.template.metadata
            yield from (self.template.spec or {}).values()
        yield from (self.domain or {}).values()


class _Data(msgspec.Struct):
    spec: _Spec | None = None


class _Inside(msgspec.Struct):
    spec: _Spec | None = None
    data: _Data | None = None

    def values(self) -> Iterator[msgspec.Raw]:
        """Those that may be set aside."""
        specs = (self.spec, self.data.spec if self.data is not None else None)
        return chain.from_iterable(spec.values() for spec in specs if spec is not None)


class _DataOutside(msgspec.Struct):
    spec: _Members | None = None


class _Outside(msgspec.Struct):
    spec: _Members | None = None
    data: _DataOutside | None = None
    metadata: msgspec.Raw = _NOTHING
    status: msgspec.Raw = _NOTHING

    def values(self) -> Iterator[msgspec.Raw]:
        """Those that may be set aside."""
        specs = (self.spec, self.data.spec if self.data is not None else None)
        return chain((self.metadata, self.status), *(spec.values() for spec in specs if spec is not None))


_DECODERS: tuple[Callable[[bytes], _Inside | _Outside], ...] = (
    msgspec.json.Decoder(_Inside).decode,
    msgspec.json.Decoder(_Outside).decode,
)


@dataclass(frozen=True, slots=True)
class Folded:
    """An object in two parts.

    Attributes:
        outer: its text, with `sign` in place of `inner`.
        sign: a value that stands nowhere else.
    """

    outer: bytes
    inner: msgspec.Raw
    sign: bytes

    def unfold(self, members: _Members) -> None:
        """Put back what was set aside, if it is one of these."""
        for name, raw in members.items():
            if len(raw) == len(self.sign) and bytes(raw) == self.sign:
                members[name] = self.inner


def fold(text: bytes) -> Folded | None:
    """Set aside the innermost value that is found easily and is more than half of the text; None without one.

    Raises:
        RecursionError: it is nested too deep.
        msgspec.DecodeError: it is not an object with a spec, or one in its data, as all that have one have it.
    """
    for decode in _DECODERS:
        inner = max(decode(text).values(), key=len, default=_NOTHING)
        if len(inner) > len(text) // 2:
            sign = b'"%b"' % secrets.token_hex().encode()
            outer = text.replace(bytes(inner), sign, 1)
            # Not there where the same text stands elsewhere as well.
            is_there = any(bytes(raw) == sign for raw in decode(outer).values())
            return Folded(outer=outer, inner=inner, sign=sign) if is_there else None
    return None
