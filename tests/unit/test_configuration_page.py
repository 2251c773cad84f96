"""docs/configuration.md: as the code has it, and with every field that the code reads."""

from collections.abc import Iterator
from typing import Any

import pytest
from tools import configuration_page

from nicplug.model.kubevirt import parse_kubevirt

# Objects whose members are documented, not they themselves; `migrations` is read as a whole, too.
PARENTS = (
    "spec",
    "spec.configuration",
    "spec.configuration.developerConfiguration",
    "spec.configuration.network",
    "spec.configuration.network.hotplug",
    "spec.configuration.network.hotplug.dynamicController",
    "spec.configuration.network.hotplug.dynamicController.selector",
    "spec.configuration.migrations",
    "spec.workloadUpdateStrategy",
)


class Recorded(dict[str, Any]):
    """An object that notes what is read of it; below it there are others at the places of `PARENTS`."""

    def __init__(self, path: str, read: set[str]) -> None:
        super().__init__()
        self._path, self._read = path, read

    def get(self, key: str, default: Any = None) -> Any:
        path = f"{self._path}.{key}" if self._path else key
        if path in PARENTS or not path.startswith("spec"):
            return Recorded(path, self._read) if path in PARENTS else default
        self._read.add(path)
        return default


def test_every_field_that_is_read_is_on_the_page_and_no_other() -> None:
    read: set[str] = set()
    parse_kubevirt(Recorded("", read))
    assert read == {item.path for item in configuration_page.FIELDS}


def rows(page: str) -> Iterator[list[str]]:
    for line in page.splitlines():
        if line.startswith("| ") and not line.startswith("|---"):
            yield [cell.strip() for cell in line.replace("\\|", "/").strip("|").split("|")]


def test_every_row_says_what_it_is_for() -> None:
    found = list(rows(configuration_page.page()))
    assert len(found) > 70
    assert [row for row in found if not all(row)] == []


def test_the_page_is_as_the_code_has_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["configuration_page", "--check"])
    assert configuration_page.main() == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "integer", "minimum": 0, "maximum": 65535}, "integer, 0 to 65535"),
        ({"type": "number", "minimum": 1}, "number, from 1"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 300}, "number, above 0, to 300"),
        ({"type": "string", "pattern": "^(auto|json)$"}, "`auto`, `json`"),
        ({"anyOf": [{"format": "path", "type": "string"}, {"type": "null"}]}, "file"),
        ({"type": "boolean"}, "boolean"),
    ],
)
def test_a_type_has_its_bounds(schema: dict[str, Any], text: str) -> None:
    assert configuration_page.setting_type(schema) == text
