"""Eviction strategies as users write them."""

import pytest

from nicplug.model.eviction import EvictionStrategy, is_protected, parse_strategy


@pytest.mark.parametrize("value", [None, "", "livemigrate", 1, True, {}, ["LiveMigrate"]])
def test_what_is_none_of_them(value: object) -> None:
    assert parse_strategy(value) is None


@pytest.mark.parametrize("strategy", EvictionStrategy)
def test_every_strategy_is_read(strategy: EvictionStrategy) -> None:
    assert parse_strategy(strategy.value) is strategy


@pytest.mark.parametrize(
    ("strategy", "always", "while_migratable"),
    [
        (EvictionStrategy.NONE, False, False),
        (EvictionStrategy.LIVE_MIGRATE, True, True),
        (EvictionStrategy.LIVE_MIGRATE_IF_POSSIBLE, False, True),
        (EvictionStrategy.EXTERNAL, True, True),
    ],
)
def test_whom_an_eviction_must_not_end(strategy: EvictionStrategy, always: bool, while_migratable: bool) -> None:
    assert is_protected(strategy, is_migratable=False) is always
    assert is_protected(strategy, is_migratable=True) is while_migratable
