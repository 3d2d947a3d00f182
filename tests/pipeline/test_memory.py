"""Predicted memory against the most that real ranks of RELION hold, at points that take seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.memory import measure
from tests.bench.memory_points import Point, points

pytestmark = pytest.mark.relion

QUICK = [each for each in points() if each.quick]


@pytest.mark.parametrize("point", QUICK, ids=lambda point: point.name)
def test_never_below_what_was_measured_and_at_most_twice_it(point: Point, tmp_path: Path) -> None:
    found = measure(point, tmp_path)

    assert found.rank_measured > 5
    assert found.good, found
