"""Write the figures of `make bench-scale` into docs/performance.md, and draw docs/images/scale.svg: `make docs`.

They come from tests/perf/scale.json, which `make bench-scale ARGS='--save tests/perf/scale.json'` writes. Without that
file there are none.
"""

import json
from pathlib import Path
from typing import Any

from tests.perf import scale_figures
from tools.blocks import with_block

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "tests" / "perf" / "scale.json"
PAGE = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "images" / "scale.svg"
_IMAGE = f"![Hot-plug, start, hand-over, memory, CPU and writes over the number of VMIs](images/{PICTURE.name})"


def figures() -> dict[str, Any] | None:
    """The committed result; None without one."""
    found: dict[str, Any] | None = json.loads(FIGURES.read_text()) if FIGURES.exists() else None
    return found


def with_figures(page: str, found: dict[str, Any] | None) -> str:
    """The page with table and picture; without a result with neither.

    Raises:
        ValueError: the page has no place for them.
    """
    content = f"\n{scale_figures.section(found)}\n\n{_IMAGE}\n\n" if found else ""
    return with_block(page, name="scale", content=content)


def main() -> None:
    """Write both."""
    found = figures()
    PAGE.write_text(with_figures(PAGE.read_text(), found))
    if found:
        scale_figures.save_picture(found, path=PICTURE)
    print(f"wrote the figures of {FIGURES.name} into docs/{PAGE.name}" if found else f"there is no {FIGURES.name}")


if __name__ == "__main__":
    main()
