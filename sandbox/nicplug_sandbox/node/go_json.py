"""JSON with strings as Go writes them.

kube-apiserver compares the value of a JSON patch `test` with its own encoding of the object, text by text: a string
that is escaped in another way is not equal, and the patch is refused for ever. Go writes UTF-8 as it is, and escapes
what could hurt in a page of HTML.
"""

import json

_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def encode(value: object) -> bytes:
    """The text; these characters can only stand inside of strings, so a replacement anywhere is right."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text.encode("utf-8", errors="surrogatepass")
