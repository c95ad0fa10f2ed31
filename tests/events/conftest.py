"""Fixtures that several of these tests share."""

import pytest

from integrations.models import Destination
from tests.support.world import World


@pytest.fixture
def ink(world: World) -> Destination:
    return world.course("Ink and Wash")


@pytest.fixture
def faces(world: World) -> Destination:
    return world.course("Drawing Faces")
