"""The fake API server notices slips in the rows of a status, which the schemas in `crds/` leave untyped."""

from typing import Any

import pytest
from tests.fakes.kinds import Kind
from tests.fakes.schema import kinds_with_schemas

from nicplug_sandbox.operator_process import ROOT

RECORD = {"name": "blue", "operation": "Plug", "path": "Dynamic", "phase": "Ready"}


@pytest.fixture(params=["virtualmachineinstances", "virtualmachines"])
def kind(request: pytest.FixtureRequest) -> Kind:
    (found,) = [kind for kind in kinds_with_schemas(ROOT / "crds") if kind.plural == request.param]
    return found


def with_records(*records: Any) -> dict[str, Any]:
    return {"spec": {}, "status": {"interfaceOperations": list(records)}}


def test_an_unknown_member_is_dropped(kind: Kind) -> None:
    body = with_records({**RECORD, "mesage": "a typo"})
    kind.prune(body)
    assert body["status"]["interfaceOperations"] == [RECORD]


@pytest.mark.parametrize(
    ("records", "field"),
    [
        ([{**RECORD, "phase": "Done"}], "status.interfaceOperations[0].phase"),
        ([{**RECORD, "attempts": "1"}], "status.interfaceOperations[0].attempts"),
        ([RECORD, RECORD], "status.interfaceOperations[1]"),
    ],
    ids=["phase", "type", "twice"],
)
def test_a_wrong_record_is_refused(kind: Kind, records: list[Any], field: str) -> None:
    causes = kind.validate(with_records(*records))
    assert field in {cause["field"] for cause in causes}
