"""The examples of the page that explains the path: docs/which-path-and-why.md."""

from tools.path_examples import EXAMPLES

from nicplug.plan.nic.path.choice import deciding_rules
from nicplug.plan.nic.path.rules import IN_PLACE, OBSTACLES


def test_each_rule_has_one_example_in_the_order_of_the_rules() -> None:
    assert [deciding_rules(item)[-1].when for item in EXAMPLES] == [rule.when for rule in (*IN_PLACE, *OBSTACLES)]
