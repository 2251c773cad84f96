"""JSON as Go writes it, byte for byte.

kube-apiserver compares the value of a JSON patch `test` with its own encoding of the object, text by text: the same
string, escaped in another way, is not equal, and the patch is always refused (tests/conformance/test_patches.py).
Go writes UTF-8 as it is, sorts the members of maps, and escapes what could hurt in a page of HTML.

The `data` of a ControllerRevision is kept as the text that was sent and may never change. Written in another way than
Go's, the first patch of its metadata is refused, such as the one of `kubectl delete --cascade=orphan`.
"""

import json
from typing import Any

_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def encode(value: Any) -> bytes:
    """The text; these characters can only stand inside of strings, so a replacement anywhere is right."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return escaped(text).encode("utf-8", errors="surrogatepass")


def escaped(text: str) -> str:
    """The same JSON with Go's escapes."""
    return text.translate(_ESCAPES)


def needs_encoding(text: bytes) -> bool:
    """Whether Python's JSON, ASCII only, may differ from Go's."""
    return b"\\u" in text or any(mark in text for mark in (b"<", b">", b"&"))
