"""The choice of a path: the table of cases, and what holds whatever the evidence."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.plan.nic.path.cases import CASES, ERROR, NO_SLOT, Case
from tests.unit.plan.nic.path.evidence import NO_DEVICE, NO_NODE, READY, at, evidence

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.hotplug_policy import DynamicPath, HotplugPolicy, MigrationPolicy, OnFailure
from nicplug.model.operations import OperationPath, OperationType, with_remedy
from nicplug.plan.candidates import Candidates
from nicplug.plan.nic.path.choice import choose_path, deciding_rules
from nicplug.plan.nic.path.evidence import PathEvidence
from nicplug.plan.nic.path.messages import render
from nicplug.plan.nic.path.rules import IN_PLACE, OBSTACLES, Rule, Verdict

# Nothing is under way for the NIC, and nothing will be until somebody does something.
DEAD_ENDS = (Verdict.BLOCKED, Verdict.RESTART, Verdict.FAILED, Verdict.ROLL_BACK, Verdict.HOLD)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_choice(case: Case) -> None:
    choice = choose_path(case.gathered())
    assert (choice.verdict, choice.reason) == (case.verdict, case.reason)
    assert choice.path is case.path
    assert case.says in with_remedy(choice.message, choice.remedy)
    if choice.verdict in DEAD_ENDS:
        assert choice.remedy[0].isupper()
        assert choice.remedy not in choice.message
    assert choice.again_at == (None if case.again_after is None else at(case.again_after))
    assert choice.next_attempt == (None if case.next_after is None else at(case.next_after))
    assert choice.asks_pod is case.asks_pod


@pytest.mark.parametrize("rule", [*IN_PLACE, *OBSTACLES], ids=lambda rule: rule.when)
def test_every_phrase_of_a_rule_exists(rule: Rule) -> None:
    """A wrong name would be found by the first NIC that the rule is for."""
    assert "{" not in render(rule.says, evidence()) + render(rule.remedy, evidence())
    with pytest.raises(AttributeError, match="no_such_phrase"):
        render("{no_such_phrase}", evidence())


def test_every_rule_decides_a_case() -> None:
    """A rule that never decides is none."""
    deciding = {rule.when for case in CASES for rule in deciding_rules(case.gathered())}
    assert [rule.when for rule in (*IN_PLACE, *OBSTACLES) if rule.when not in deciding] == []
    assert len({rule.when for rule in (*IN_PLACE, *OBSTACLES)}) == len(IN_PLACE) + len(OBSTACLES)


WHEN = st.integers(-30, 30).map(lambda seconds: at(float(seconds)))
CONTROLLERS = st.builds(
    DynamicController,
    state=st.sampled_from(ControllerState),
    daemon_set=st.sampled_from(["", "a/b"]),
    message=st.sampled_from(["", "x"]),
    since=st.none() | WHEN,
)
POLICIES = st.builds(
    HotplugPolicy,
    dynamic_path=st.sampled_from(DynamicPath),
    dynamic_timeout=st.integers(0, 30).map(lambda seconds: timedelta(seconds=seconds)),
    on_failure=st.sampled_from(OnFailure),
    migration=st.sampled_from(MigrationPolicy),
)
EVIDENCE = st.builds(
    PathEvidence,
    policy=POLICIES,
    operation=st.sampled_from(OperationType),
    is_sriov=st.booleans(),
    controller=CONTROLLERS,
    failed_attempts=st.integers(0, 4),
    attempts=st.integers(0, 6),
    error=st.sampled_from(["", ERROR]),
    waiting_since=WHEN,
    not_migratable=st.sampled_from(["", "DisksNotLiveMigratable"]),
    candidates=st.sampled_from(
        [NO_NODE, NO_DEVICE, Candidates(), Candidates(is_known=True, nodes=frozenset("n"), total=2)]
    ),
    workload_update_allows=st.booleans(),
    failed_migrations=st.integers(0, 7),
    migration_error=st.sampled_from(["", "boom"]),
    migration_given_up=st.booleans(),
    now=WHEN,
    no_slot=st.sampled_from(["", NO_SLOT]),
    blocking_network=st.sampled_from(["", "the last migration failed of another NIC"]),
    node=st.sampled_from(["", "node01"]),
)


@given(EVIDENCE)
def test_every_choice_says_why_and_every_dead_end_what_to_do(item: PathEvidence) -> None:
    choice = choose_path(item)
    assert choice.message
    assert "  " not in choice.message
    assert bool(choice.remedy) is (choice.verdict in DEAD_ENDS)


@given(EVIDENCE, st.lists(WHEN, min_size=2, max_size=6))
def test_time_alone_never_leads_back_to_the_dynamic_path(item: PathEvidence, moments: list[datetime]) -> None:
    verdicts = [choose_path(replace(item, now=moment)).verdict for moment in sorted(moments)]
    is_dynamic = [verdict is Verdict.DYNAMIC for verdict in verdicts]
    assert is_dynamic == sorted(is_dynamic, reverse=True)
    assert len({verdict for verdict in verdicts if verdict is not Verdict.DYNAMIC}) <= 1


@given(EVIDENCE)
def test_the_choice_is_made_again_when_it_says_so(item: PathEvidence) -> None:
    """Nothing changes before that moment, and it does not stay in the past: no loop."""
    choice = choose_path(item)
    if choice.again_at is None:
        later = choose_path(replace(item, now=item.now + timedelta(days=1)))
        assert later.verdict is choice.verdict
        return
    assert choice.again_at > item.now
    just_before = choice.again_at - timedelta(microseconds=1)
    assert choose_path(replace(item, now=max(item.now, just_before))).verdict is choice.verdict


@given(EVIDENCE)
def test_a_forbidden_migration_is_never_made(item: PathEvidence) -> None:
    forbidden = replace(item, policy=replace(item.policy, migration=MigrationPolicy.NEVER))
    assert choose_path(forbidden).verdict is not Verdict.MIGRATE


def test_a_ready_controller_is_asked_first() -> None:
    assert choose_path(evidence(controller=READY)).path is OperationPath.DYNAMIC
