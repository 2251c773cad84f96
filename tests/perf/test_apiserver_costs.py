"""What kube-apiserver's profile is read by."""

import pytest
from tests.perf.apiserver_costs import parse_share

TOP = """File: nicplug-controlplane
Type: cpu
Duration: 9.02s, Total samples = 14.32s (158.7%)
Active filters:
   focus={pattern}
Showing nodes accounting for {shown}, {share}% of 14.32s total
      flat  flat%   sum%        cum   cum%
"""


@pytest.mark.parametrize(("shown", "share", "expected"), [("5.35s", "37.36", 0.3736), ("14.32s", "100", 1.0)])
def test_the_share_of_an_area_is_what_its_rows_account_for(shown: str, share: str, expected: float) -> None:
    assert parse_share(TOP.format(pattern="x", shown=shown, share=share)) == pytest.approx(expected)


def test_an_area_that_nothing_was_spent_on_has_no_share() -> None:
    assert parse_share("Focus expression matched no samples\n") == 0.0
