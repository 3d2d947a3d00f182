"""The light look into STAR files, against RELION's rules and against a full reader."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import starfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relion_dispatch import starscan
from relion_dispatch.starscan import Block, scan

PARTICLES = """
# version 30001

data_optics

loop_~
_rlnOpticsGroupName #1~
_rlnOpticsGroup #2~
_rlnImageSize #3~
opticsGroup1            1           64~
"optics group 2"        2           96~
~

# version 30001

data_particles

loop_~
_rlnImageName #1~
_rlnDefocusU #2~
000001@Extract/job005/mov001.mrcs 16091.977539~
000002@Extract/job005/mov001.mrcs 16091.977539~
000003@Extract/job005/mov002.mrcs 16200.1~
~
""".replace("~", " ")  # RELION ends lines with spaces
OPTIMISER = """# RELION optimiser; version 3.1.3
# --o Class2D/job006/run --iter 10

# version 30001

data_optimiser_general

_rlnOutputRootName                                    Class2D/job006/run
_rlnModelStarFile            'a model.star'
_rlnEmpty ""
_rlnQuote "5\a" pipe"  # a comment
_rlnAlone
_rlnHash a#b

data_other
"""


def scanned(tmp_path: Path, text: str) -> tuple[Block, ...]:
    path = tmp_path / "a.star"
    path.write_bytes(text.encode(errors="surrogateescape"))
    return scan(path)


def test_tables(tmp_path: Path) -> None:
    optics, particles = scanned(tmp_path, PARTICLES)
    assert (optics.name, optics.n_rows, len(optics.rows)) == ("optics", 2, 2)
    assert optics.labels == ("rlnOpticsGroupName", "rlnOpticsGroup", "rlnImageSize")
    assert optics.column("rlnOpticsGroupName") == ("opticsGroup1", "optics group 2")
    assert optics.column("rlnImageSize") == ("64", "96")
    assert optics.column("rlnNone") == ()
    assert (particles.name, particles.n_rows) == ("particles", 3)
    assert particles.first("rlnImageName") == "000001@Extract/job005/mov001.mrcs"
    assert particles.first("rlnNone") is None
    assert particles.has("rlnDefocusU")
    assert not particles.has("rlnDefocusV")


def test_items(tmp_path: Path) -> None:
    general, other = scanned(tmp_path, OPTIMISER)
    assert (general.name, general.n_rows, general.labels) == ("optimiser_general", 0, ())
    assert general.first("rlnOutputRootName") == "Class2D/job006/run"
    assert general.first("rlnModelStarFile") == "a model.star"
    assert general.first("rlnEmpty") == ""
    assert general.first("rlnQuote") == '5" pipe'
    assert general.first("rlnHash") == "a#b"
    assert general.column("rlnHash") == ("a#b",)
    assert not general.has("rlnAlone")
    assert (other.name, other.pairs) == ("other", {})


@pytest.mark.parametrize(
    "text, names, rows",
    [
        ("", [], []),
        ("no star\n", [], []),
        ("data_\n\nloop_\n_a\n_b\n1 2\n3 4", [""], [2]),
        ("data_images\nloop_\n_a\n# note\n\n1\n2\n\n3\n", ["images"], [2]),
        ("data_a\nloop_\n_a\n1\n2\ndata_b\nloop_\n_b\n3\n", ["a", "b"], [2, 1]),
        ("data_a\nloop_\n_a\n\ndata_b\nloop_\n_b\n1\n\t\n \n", ["a", "b"], [0, 1]),
        ("data_a\nloop_\n_a\n1\n  ", ["a"], [1]),
        ("data_a\r\n\r\nloop_\r\n_a #1\r\n1\r\n2\r\n\r\n", ["a"], [2]),
        ("data_a\n_x 1\nloop_\n_a\n1\n\n_y 2\ndata_b\n", ["a", "b"], [1, 0]),
        ("data_a\nloop_\n", ["a"], [0]),
    ],
)
def test_where_tables_end(tmp_path: Path, text: str, names: list[str], rows: list[int]) -> None:
    blocks = scanned(tmp_path, text)
    assert [block.name for block in blocks] == names
    assert [block.n_rows for block in blocks] == rows


def test_reading_stops_where_it_may(tmp_path: Path) -> None:
    path = tmp_path / "a.star"
    path.write_text(PARTICLES)
    assert [block.name for block in scan(path, until="optics")] == ["optics"]


def test_short_rows_have_no_value(tmp_path: Path) -> None:
    (block,) = scanned(tmp_path, "data_\nloop_\n_a\n_b\n1\n2 3\n")
    assert block.first("b") is None
    assert block.column("b") == ("3",)


def test_names_of_any_bytes_survive(tmp_path: Path) -> None:
    (block,) = scanned(tmp_path, "data_\nloop_\n_a\ncaf\udce9.mrc\n")
    assert block.first("a") == "caf\udce9.mrc"


@given(
    st.lists(st.text("abc01. ", min_size=1).map(lambda text: f"x{text}"), max_size=30),
    st.sampled_from(["", "\n", " \n", "\n \n\ndata_b\nloop_\n_c\n1\n2\n3\n", "data_b\n_c 1\n"]),
    st.integers(1, 40),
    st.integers(0, 5),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_are_counted_right_wherever_chunks_end(
    tmp_path: Path, rows: list[str], tail: str, chunk: int, kept: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starscan, "_CHUNK", chunk)
        patch.setattr(starscan, "KEPT_ROWS", kept)
        text = "data_a\n\nloop_\n_a\n" + "".join(f"{row}\n" for row in rows) + tail
        first, *others = scanned(tmp_path, text)
        unended = scanned(tmp_path, text.rstrip()) if rows and not tail.strip() else (first,)
    assert first.n_rows == len(rows) == unended[0].n_rows
    assert len(first.rows) == min(kept, len(rows))
    assert [block.name for block in others] == (["b"] if "data_b" in tail else [])
    assert {block.n_rows for block in others} <= {0, 3}


def test_a_full_reader_finds_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.star"
    table = pd.DataFrame(
        {"rlnImageName": [f"{n:06d}@a b/{n}.mrcs" for n in range(1500)], "rlnDefocusU": range(1500)}
    )
    starfile.write({"optics": pd.DataFrame({"rlnImageSize": [64]}), "particles": table}, path)
    optics, particles = scan(path)
    assert optics.column("rlnImageSize") == ("64",)
    assert particles.n_rows == 1500
    assert particles.column("rlnImageName") == tuple(table["rlnImageName"][: starscan.KEPT_ROWS])
