"""What tests take from the documents whose commands they run."""

import re
from pathlib import Path

import pytest
from tests.guide import End, command_blocks

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("user-guide.md", "operations.md", "troubleshooting.md", "install.md", "gitops.md", "beside-kubevirt.md")
# Some have only queries.
RUNBOOKS = sorted(f"runbooks/{path.name}" for path in (DOCS / "runbooks").glob("*.md"))
# What stands for a name on a page.
PLACEHOLDER = re.compile(r"\b(NAME|NAMESPACE|VM|VMI|NIC|NODE)\b")

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

<!-- not run: there is no Docker -->
```
docker build .
```

<!-- run with: VM=vm-fedora NIC=blue -->
```
nicplug why VM NIC
```
"""


def test_blocks_are_read_in_order_with_their_marks() -> None:
    found = [(block.line, block.commands, block.output, block.end) for block in command_blocks(PAGE)]
    assert found == [
        (2, "kubectl get vm\nkubectl get vmi", "", End.WELL),
        (9, "nicplug doctor\n  --help", "", End.WELL),
        (19, "kubectl get vmim -w", "NAME", End.INTERRUPTED),
        (30, "nicplug why vm-fedora blue", "", End.WELL),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "```\nnicplug doctor\n",
        "<!-- refused -->\n\n```\nx\n```\n",
        "<!-- refused -->\n```yaml\nx: 1\n```\n",
        "<!-- not run -->\n```\nx\n```\n",
        "<!-- refused: because -->\n```\nx\n```\n",
        "<!-- run with: VM=a -->\n```\nx\n```\n",
    ],
    ids=["not closed", "mark before an empty line", "mark before YAML", "no reason", "a reason for nothing", "no VM"],
)
def test_a_page_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="line"):
        command_blocks(text)


@pytest.mark.parametrize("page", [*PAGES, *RUNBOOKS])
def test_a_block_that_is_run_has_nothing_to_fill_in(page: str) -> None:
    texts = [block.commands for block in command_blocks((DOCS / page).read_text())]
    assert texts or page in RUNBOOKS
    words = [re.sub(r"#.*|custom-columns=\S+", "", text) for text in texts]
    assert [text for text in words if PLACEHOLDER.search(text)] == []
