"""The families: named by Prometheus' conventions, with labels whose every value is declared."""

import re
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.declared_metrics import BY_NAME, undeclared

from nicplug.apiserver.certificates import API_SERVICES, SECRETS
from nicplug.apiserver.reviews import REVIEWED
from nicplug.kube import errors, resources
from nicplug.kube.api import Resource
from nicplug.model.keys import BudgetKey, MigrationKey, SlotsKey, VmiKey, VmKey
from nicplug.obs import catalogue
from nicplug.obs.catalogue import FAMILIES
from nicplug.obs.families import OTHER, Family, Label, MetricType, Process
from nicplug.obs.guard import ACCESS_REVIEWS, TOKEN_REVIEWS
from nicplug.obs.instruments import Instruments
from nicplug.obs.metrics import ApiMetrics, OperatorMetrics
from nicplug.plan.outcome import Completion, MigrationEnded, PathTaken, PhaseLeft
from nicplug.subresources.served import Served

ANY = st.text(max_size=20)


@given(words=st.tuples(ANY, ANY, ANY), code=st.integers())
def test_whatever_is_counted_makes_no_series_of_its_own(words: tuple[str, str, str], code: int) -> None:
    """Words of a status, which users and nodes may write, and words of requests, which anybody may send."""
    one, two, three = words
    operator, api = OperatorMetrics(), ApiMetrics()
    operator.requested(verb=one, resource=two, code=code, seconds=0.1)
    operator.reconciled(kind=one, outcome=two, seconds=0.1)
    operator.measured(Completion(operation=one, path=two, seconds=1))
    operator.measured(PhaseLeft(path=one, phase=two, seconds=1))
    operator.measured(PathTaken(path=one, reason=three))
    operator.measured(MigrationEnded(phase=one, reason=two))
    operator.instruments.samples("nicplug_nics", lambda: [((one, two), 2), ((two, three), 3)])
    api.answered(subresource=one or "a", code=code, seconds=0.1)
    assert [*undeclared(operator.registry), *undeclared(api.registry)] == []


def test_undeclared_values_are_added_up() -> None:
    instruments = Instruments(Process.OPERATOR)
    instruments.samples("nicplug_nics", lambda: [(("Ready", "new"), 2), (("Ready", "newer"), 3)])
    labels = {"phase": "Ready", "reason": OTHER}
    assert instruments.registry.get_sample_value("nicplug_nics", labels) == 5


def test_nothing_is_exported_that_is_not_in_the_catalogue() -> None:
    instruments = Instruments(Process.API)
    for name in ("nicplug_made_up_total", "nicplug_reconcile_total"):
        with pytest.raises(KeyError):
            instruments.count(name, "vm", "ok")
        with pytest.raises(KeyError):
            instruments.gauge(name, lambda: 1)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_name_follows_the_conventions(family: Family) -> None:
    """https://prometheus.io/docs/practices/naming: a prefix, base units, `_total` for counters alone."""
    assert re.fullmatch(r"nicplug(_[a-z0-9]+)+", family.name)
    assert family.name.endswith("_total") is (family.type is MetricType.COUNTER)
    assert family.name.endswith("_seconds") or family.type is not MetricType.HISTOGRAM
    assert not re.search(r"_(ms|milliseconds|minutes|bucket|sum|count|created)(_|$)", family.name)
    assert bool(family.buckets) is (family.type is MetricType.HISTOGRAM)
    assert family.text.endswith(".")
    assert "le" not in {label.name for label in family.labels}


def test_no_family_is_declared_twice() -> None:
    assert len(BY_NAME) == len(FAMILIES)


def labels() -> list[Label]:
    """Every label of every family."""
    return [label for family in FAMILIES for label in family.labels]


@pytest.mark.parametrize("label", labels(), ids=lambda label: label.name)
def test_the_values_of_a_label_are_few(label: Label) -> None:
    assert len(set(label.values)) == len(label.values)
    assert len(label.values) < 150
    assert OTHER not in label.values


def test_every_error_of_the_api_has_an_outcome() -> None:
    """A class that is added would be counted as `other`."""
    names = {item.__name__ for item in errors.ApiError.__subclasses__()}
    assert names - set(catalogue.OUTCOME.values) == set()


def test_every_key_has_a_kind() -> None:
    names = {key.__name__.removesuffix("Key").lower() for key in (VmKey, VmiKey, MigrationKey, BudgetKey, SlotsKey)}
    assert names == set(catalogue.KEY_KIND.values)


def test_every_resource_that_is_asked_for_has_a_value() -> None:
    known = [item for item in vars(resources).values() if isinstance(item, Resource)]
    asked = {item.plural for item in (*known, SECRETS, API_SERVICES, ACCESS_REVIEWS, TOKEN_REVIEWS)}
    assert asked - set(catalogue.RESOURCE.values) == set()


def test_the_subresources_are_those_that_are_served() -> None:
    served = Served.make(api=Mock(), watching=Mock(), kubevirt_namespace="kubevirt")
    assert {"", REVIEWED, *map(str, served.handlers)} == set(catalogue.SUBRESOURCE.values)
