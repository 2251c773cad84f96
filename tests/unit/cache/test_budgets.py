"""Disruption budgets as the watch and answers bring them: the newer version wins, and what is gone stays gone."""

from typing import Any

import pytest
from tests.build import NOW, a_vmi, vmi
from tests.build import kubevirt as a_kubevirt
from tests.fakes.listing import relist

from nicplug.cache.budgets import Budgets
from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.cache.optional_watch import Absence
from nicplug.model.eviction import budget_key, budget_labels, budget_spec
from nicplug.model.keys import BudgetKey, WorkKey

RAW = vmi()
VMI = a_vmi(RAW)
KEY = BudgetKey(VMI.key.namespace, VMI.key.name)
NAME = budget_key(VMI.key, uid=VMI.uid)


def budget(*, version: int = 10, uid: str = "b", min_available: int = 1, job: str | None = None) -> dict[str, Any]:
    owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": VMI.key.name, "uid": VMI.uid}
    metadata = {
        "name": NAME.name,
        "namespace": NAME.namespace,
        "uid": uid,
        "generation": version,
        "resourceVersion": str(version),
        "labels": budget_labels(job),
        "ownerReferences": [{**owner, "controller": True}],
    }
    return {"metadata": metadata, "spec": budget_spec(vmi_uid=VMI.uid, min_available=min_available)}


class Heard:
    def __init__(self) -> None:
        self.news: list[list[WorkKey] | None] = []
        self.budgets = Budgets(on_change=self.news.append)


@pytest.fixture
def heard() -> Heard:
    made = Heard()
    relist(made.budgets, [budget()])
    made.news.clear()
    return made


def test_nothing_is_known_before_the_first_list() -> None:
    heard = Heard()
    assert not heard.budgets.is_readable
    assert heard.budgets.observe(budget()) == []
    relist(heard.budgets, [])
    assert heard.budgets.is_readable
    assert heard.news == [None]


def test_a_status_is_no_news(heard: Heard) -> None:
    heard.budgets.change("MODIFIED", {**budget(), "status": {"currentHealthy": 1}})
    relist(heard.budgets, [budget()])
    assert [news for news in heard.news if news] == []


def test_of_two_versions_the_newer_one_counts(heard: Heard) -> None:
    assert heard.budgets.observe(budget(version=12, min_available=2)) == [KEY]
    heard.budgets.change("MODIFIED", budget(version=11))
    found = heard.budgets.of(VMI)
    assert found is not None
    assert found.min_available == 2


def test_a_late_answer_brings_none_back(heard: Heard) -> None:
    heard.budgets.change("DELETED", budget(version=13))
    assert heard.budgets.observe(budget(version=12)) == []
    assert heard.budgets.of(VMI) is None
    assert heard.news == [[KEY]]


def test_one_that_was_read_by_name_lives_although_it_is_out_of_sight(heard: Heard) -> None:
    unlabelled = budget(version=13)
    del unlabelled["metadata"]["labels"]
    heard.budgets.change("DELETED", unlabelled)
    assert heard.budgets.observe(unlabelled, lives=True) == [KEY]
    found = heard.budgets.of(VMI)
    assert found is not None
    assert not found.is_labelled


def test_the_end_of_an_earlier_one_is_not_the_end_of_this_one(heard: Heard) -> None:
    heard.budgets.change("ADDED", budget(version=20, uid="c"))
    heard.budgets.change("DELETED", budget(version=12, uid="b"))
    assert heard.budgets.of(VMI) is not None


def test_a_relist_tells_what_is_gone(heard: Heard) -> None:
    relist(heard.budgets, [])
    assert heard.news == [[KEY]]
    assert heard.budgets.of(VMI) is None


def test_what_must_not_be_read_is_not_known(heard: Heard) -> None:
    heard.budgets.lose(Absence.DENIED)
    assert not heard.budgets.is_readable
    assert heard.budgets.of(VMI) is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"name": "web"}, id="another name"),
        pytest.param({"ownerReferences": []}, id="nobody's"),
        pytest.param({"ownerReferences": [{"kind": "Deployment", "name": "a", "controller": True}]}, id="not a VMI's"),
    ],
)
def test_budgets_of_others_are_not_kept(heard: Heard, change: dict[str, Any]) -> None:
    relist(heard.budgets, [{**budget(), "metadata": {**budget()["metadata"], **change}}])
    assert len(heard.budgets) == 0


def caches(*, strategy: str = "LiveMigrate", budgets: tuple[dict[str, Any], ...] = ()) -> Caches:
    made = Caches(clock=lambda: NOW)
    config = a_kubevirt()
    config["spec"]["configuration"]["evictionStrategy"] = strategy
    made.observe(CachedKind.KUBEVIRT, config)
    relist(made.budgets, budgets)
    return made


@pytest.mark.parametrize(
    ("strategy", "budgets", "is_due"),
    [
        pytest.param("None", (), False, id="a guest that asks for none costs no pass"),
        pytest.param("LiveMigrate", (), True, id="it is missing"),
        pytest.param("LiveMigrate", (budget(),), False, id="at rest"),
        pytest.param("LiveMigrate", (budget(min_available=2, job="m"),), True, id="raised"),
        pytest.param("None", (budget(),), True, id="no longer wanted"),
    ],
)
def test_when_a_change_of_the_vmi_asks_for_a_look(
    strategy: str, budgets: tuple[dict[str, Any], ...], is_due: bool
) -> None:
    made = caches(strategy=strategy, budgets=budgets)
    assert (KEY in made.observe(CachedKind.VMI, RAW)) is is_due
    assert (KEY in made.all_keys()) is is_due
