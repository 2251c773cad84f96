"""Which blocks of the user guide the integration test runs."""

import re
from pathlib import Path

import pytest
from tests.guide import command_blocks

GUIDE = Path(__file__).parents[2] / "docs" / "user-guide.md"

PAGE = """
```
kubectl get vm
kubectl get vmi
```

1. Then

   ```
   nicplug doctor
     --help
   ```

```yaml
kind: VirtualMachine
```

<!-- not run: it never ends -->
```
kubectl get vmim -w
```
"""


def test_blocks_are_read_in_order_with_their_marks() -> None:
    found = [(block.line, block.commands, block.why_not) for block in command_blocks(PAGE)]
    assert found == [
        (2, "kubectl get vm\nkubectl get vmi", ""),
        (9, "nicplug doctor\n  --help", ""),
        (19, "kubectl get vmim -w", "it never ends"),
    ]


@pytest.mark.parametrize(
    "text",
    ["```\nnicplug doctor\n", "<!-- not run: why -->\n\n```\nx\n```\n", "<!-- not run: why -->\n```yaml\nx: 1\n```\n"],
    ids=["not closed", "mark before an empty line", "mark before YAML"],
)
def test_a_page_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="line"):
        command_blocks(text)


def test_the_first_paragraph_says_which_blocks_of_the_user_guide_are_not_run() -> None:
    text = GUIDE.read_text()
    blocks = command_blocks(text)
    first = text.split("\n\n")[1]
    assert len(blocks) > 20
    assert "Three blocks it leaves out" in first, "each has to be worth it"
    lines = text.splitlines()
    headings = [_heading(lines[: block.line]) for block in blocks if block.why_not]
    assert headings == re.findall(r"\(#([\w-]+)\)", first)


def _heading(lines: list[str]) -> str:
    """The last one, as links name it."""
    (*_, last) = [line for line in lines if re.match("##+ ", line)]
    return last.lstrip("# ").lower().replace(" ", "-")


def test_a_block_that_is_run_has_nothing_to_fill_in() -> None:
    texts = [block.commands for block in command_blocks(GUIDE.read_text()) if not block.why_not]
    assert [text for text in texts if "NAME" in text.split("#")[0] and "custom-columns" not in text] == []
    assert [text for text in texts if text.startswith("$ ")] == []
