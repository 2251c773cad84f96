"""Write docs/metrics.md from the catalogue of metrics: `make docs`. A test fails while they differ."""

import sys
from collections.abc import Iterator
from pathlib import Path

from nicplug.obs.catalogue import FAMILIES
from nicplug.obs.families import Family, Label, Process

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"
# More values than that are not listed, but named.
_MOST_LISTED = 24

HEAD = """\
# Metrics

<!-- Generated from operator/nicplug/obs/catalogue.py by `make docs`: change the families there. -->

Each replica of the operator and of `nicplug api` serves its metrics at `/metrics` on port 8080 (in a sandbox on the
port that `nicplug sandbox status` shows), beside the `process_*` and `python_info` families that Prometheus' client
library adds. [Operations](operations.md#monitoring) says how to scrape them, which alerts there are, and how to protect
the port.

- **No label names an object, a user or a namespace.** Every label has the values below, or `other` for anything else,
  so the number of series does not grow with the number of VMs.
- **Gauges over objects are exported by every replica of the operator**, as each has all objects in its cache. Take
  `max by (...)`, not `sum`. Counters and histograms are counted by the replica that has done the work: `sum` them.
- A histogram `X` is scraped as `X_bucket`, `X_sum` and `X_count`.

"""

_TITLES = {
    frozenset({Process.OPERATOR}): "Operator",
    frozenset({Process.API}): "Aggregated API",
    frozenset(Process): "Both processes",
}


def page() -> str:
    """The whole page."""
    return HEAD + "\n".join("".join(_section(processes, title)) for processes, title in _TITLES.items()) + _labels()


def _section(processes: frozenset[Process], title: str) -> Iterator[str]:
    yield f"## {title}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n"
    for family in FAMILIES:
        if family.processes == processes:
            yield _row(family)


def _row(family: Family) -> str:
    labels = ", ".join(f"`{label.name}`" for label in family.labels)
    return f"| `{family.name}` | {family.type} | {labels} | {family.text} |\n"


def _labels() -> str:
    """Each label with its values, once for all families that have the same."""
    found: dict[Label, list[str]] = {}
    for family in FAMILIES:
        for label in family.labels:
            found.setdefault(label, []).append(family.name)
    rows = (
        f"| `{label.name}` | {', '.join(f'`{name}`' for name in names)} | {_values(label)} |\n"
        for label, names in sorted(found.items(), key=lambda item: item[0].name)
    )
    return "\n## Labels\n\n| label | of | values |\n|---|---|---|\n" + "".join(rows)


def _values(label: Label) -> str:
    named = [value for value in label.values if value]
    listed = ", ".join(f"`{value}`" for value in named) if len(named) <= _MOST_LISTED else ""
    return ": ".join(part for part in (label.meaning, listed) if part)


def main() -> int:
    """Write it; `--check` only compares."""
    wanted = page()
    if "--check" in sys.argv[1:]:
        same = PAGE.exists() and PAGE.read_text() == wanted
        print("docs/metrics.md is as the code has it" if same else "docs/metrics.md is out of date: run `make docs`")
        return 0 if same else 1
    PAGE.write_text(wanted)
    print(f"wrote docs/{PAGE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
