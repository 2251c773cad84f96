"""What nicplug has written into a status is what it reads there."""

import json

import pytest
from tests import many_nics
from tests.build import later
from tests.unit.plan.outcome import status_of

from nicplug.kube.object_text import ObjectText
from nicplug.plan.vmi.plan_vmi import plan_vmi

INSTANCES = ObjectText("virtualmachineinstances")


@pytest.mark.parametrize("count", [60, 100, many_nics.NICS])
@pytest.mark.parametrize("said", ["no such bridge", "no such bridge “br1”", "no such bridge \N{BRIDGE AT NIGHT}"])
def test_a_curly_quote_in_an_event_made_nicplug_forget_its_records(count: int, said: str) -> None:
    """A status of more than 64 KB with one was read without the names of its records: each pass began them anew."""
    raw, view = many_nics.instance_with_failures(count, said)
    for step in range(6):
        text = json.dumps(raw, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
        read = INSTANCES.read(text.encode())
        assert read["status"] == raw["status"]
        raw["status"] |= status_of(plan_vmi(view(read), now=later(30 + step)))
    records = raw["status"]["interfaceOperations"]
    assert len(records) == count
    assert {record["attempts"] for record in records} >= {2}
