"""Which metrics and labels a PromQL expression names; enough to find a name that does not exist.

No parser: promtool checks the syntax (`make alerts-test`).
"""

import re
from collections import defaultdict
from collections.abc import Mapping

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_RANGE = re.compile(r"\[[^\]]*\]")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
_NAME = re.compile(r"(?<![\w$.])[a-zA-Z_:][\w:]*(?!\w*\s*\()")
_WORDS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool"})


def metrics_in(expression: str) -> Mapping[str, frozenset[str]]:
    """The metrics that the expression reads, each with the labels that are asked of it or grouped by.

    A label that is grouped by counts for all metrics of the expression.
    """
    text = _RANGE.sub("", _STRING.sub('""', expression))
    grouped = {label.strip() for match in _GROUPING.finditer(text) for label in match[1].split(",")} - {""}
    text = _GROUPING.sub("", text)
    found: defaultdict[str, set[str]] = defaultdict(set)
    for name, matchers in _SELECTOR.findall(text):
        found[name] |= set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
    bare = re.sub(r"\{[^}]*\}", "", text)
    for name in _NAME.findall(bare):
        if name not in _WORDS:
            found[name] |= set()
    return {name: frozenset(labels | grouped) for name, labels in found.items()}
