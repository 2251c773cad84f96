"""Encodes JSON exactly as Go does, byte for byte.

kube-apiserver compares the value of a JSON patch `test` with its own encoding of the object as text: the same string
with other escapes is not equal, and the patch is always refused (tests/conformance/test_patches.py). Go writes UTF-8
unescaped, sorts the members of maps, and escapes characters that are special in HTML.

The `data` of a ControllerRevision is immutable and stored as the text that was sent. If its encoding differs from Go's,
the first patch of its metadata is refused, for example by `kubectl delete --cascade=orphan`.
"""

import json
from typing import Any

_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def encode(value: Any) -> bytes:
    """Encode a value. The escaped characters occur only inside strings, so replacing them anywhere is safe."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return escaped(text).encode("utf-8", errors="surrogatepass")


def escaped(text: str) -> str:
    """Apply Go's escapes to encoded JSON."""
    return text.translate(_ESCAPES)


def needs_encoding(text: bytes) -> bool:
    """True if Python's ASCII-only encoding may differ from Go's."""
    return b"\\u" in text or any(mark in text for mark in (b"<", b">", b"&"))
