"""What the integration test takes from the user guide."""

from pathlib import Path

import pytest
from tests.guide import End, command_blocks

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

<!-- until interrupted -->
```
$ kubectl get vmim -w
NAME
```
"""


def test_blocks_are_read_in_order_with_their_marks() -> None:
    found = [(block.line, block.commands, block.output, block.end) for block in command_blocks(PAGE)]
    assert found == [
        (2, "kubectl get vm\nkubectl get vmi", "", End.WELL),
        (9, "nicplug doctor\n  --help", "", End.WELL),
        (19, "kubectl get vmim -w", "NAME", End.INTERRUPTED),
    ]


@pytest.mark.parametrize(
    "text",
    ["```\nnicplug doctor\n", "<!-- refused -->\n\n```\nx\n```\n", "<!-- refused -->\n```yaml\nx: 1\n```\n"],
    ids=["not closed", "mark before an empty line", "mark before YAML"],
)
def test_a_page_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="line"):
        command_blocks(text)


def test_a_block_that_is_run_has_nothing_to_fill_in() -> None:
    texts = [block.commands for block in command_blocks(GUIDE.read_text())]
    assert len(texts) > 20
    assert [text for text in texts if "NAME" in text.split("#")[0] and "custom-columns" not in text] == []
