"""The table of workers and GPU memory is on file, and keeps both of its promises."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bench.gpu_table import CARDS, MOST, Row, rows, text

TABLE = Path(__file__).with_name("gpu_table.tsv")


@pytest.fixture(scope="module")
def table() -> list[Row]:
    return list(rows())


def test_the_table_is_that_on_file(table: list[Row]) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        TABLE.write_text(text(table))
    assert TABLE.read_text() == text(table)


@pytest.mark.parametrize("card", CARDS)
def test_never_more_workers_than_fit_and_never_fewer(table: list[Row], card: str) -> None:
    for row in table:
        ours, older, _ = row.workers[card]
        assert ours * row.relion_mb <= CARDS[card]
        assert ours == min(CARDS[card] // row.relion_mb, MOST)
        assert older == min(CARDS[card] // row.fmi_mb, MOST)


def test_the_older_formula_starves_gpus(table: list[Row]) -> None:
    ours = sum(workers[0] for row in table for workers in row.workers.values())
    older = sum(workers[1] for row in table for workers in row.workers.values())
    assert ours > 1.5 * older
    assert all(w[0] >= w[1] for row in table if row.box >= 256 for w in row.workers.values())


def test_the_guide_is_relions_formula_at_pad_two(table: list[Row]) -> None:
    for row in table:
        if (row.pad, row.classes) == (2, 1):
            assert row.relion_mb == pytest.approx(row.guide_mb + 200, abs=1)
