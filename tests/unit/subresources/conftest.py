"""What the tests of the handlers have in common."""

import pytest
from tests.unit.subresources.handling import World


@pytest.fixture
def world() -> World:
    return World()
