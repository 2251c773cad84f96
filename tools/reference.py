"""Write docs/reasons.md from the texts that `nicplug why` quotes: `make docs`. A test fails while they differ."""

import sys
from pathlib import Path

from nicplug.insight.remedies import documented

ROOT = Path(__file__).parents[1]
REASONS = ROOT / "operator" / "nicplug" / "insight" / "reasons.md"
PAGE = ROOT / "docs" / "reasons.md"

HEAD = """\
# Reasons

<!-- Generated from operator/nicplug/insight/reasons.md by `make docs`: change the texts there. -->

The `reason` of a record in `status.interfaceOperations`, of the condition `InterfacesReady` (the first record that
is not ready), of `Failure` and `Synchronized`, or of an event. The message beside it has the names and numbers.
[Troubleshooting](troubleshooting.md) starts from what you see instead.

| reason | meaning | what to do |
|---|---|---|
"""


def reasons_page(source: str) -> str:
    """The whole page."""
    rows = (f"| `{item.reason}` | {item.meaning} | {item.remedy} |\n" for item in documented(source))
    return HEAD + "".join(rows)


def main() -> int:
    """Write the pages; `--check` only compares."""
    wanted = reasons_page(REASONS.read_text())
    if "--check" in sys.argv[1:]:
        same = PAGE.exists() and PAGE.read_text() == wanted
        print("docs/reasons.md is as the code has it" if same else "docs/reasons.md is out of date: run `make docs`")
        return 0 if same else 1
    PAGE.write_text(wanted)
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
