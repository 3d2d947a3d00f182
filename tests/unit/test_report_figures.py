"""What the report draws with: axes, charts, pictures, and columns of STAR files."""

from __future__ import annotations

import base64
import itertools
import math
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import mrcfile
import numpy as np
import pytest
import starfile
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import judge, tables
from relion_dispatch.report import images, models, star, svg, tools
from relion_dispatch.report.axes import Axis, angle_axis, axis, number, resolution_axis
from relion_dispatch.report.parts import maps
from relion_dispatch.report.source import load
from relion_dispatch.report.star import MissingFileError
from relion_dispatch.report.svg import Chart
from tests.unit.star_files import class_row, loop, pairs, write_fsc, write_model, write_particles
from tests.unit.tiny_project import tiny

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMBERS = st.floats(-1e9, 1e9).filter(lambda value: value == 0 or abs(value) > 1e-6)

# -------------------------------------------------------------------------------------------- axes


@given(st.lists(NUMBERS, min_size=1), st.booleans(), st.booleans())
def test_an_axis_holds_all_values_between_round_ticks(
    values: list[float], zero: bool, whole: bool
) -> None:
    made = axis("x", values, zero=zero, whole=whole)
    marks = [mark for mark, _ in made.ticks]
    slack = 1e-6 * (made.high - made.low)
    assert made.low <= min(values) + slack
    assert made.high >= max(values) - slack
    assert (marks[0], marks[-1]) == (made.low, made.high)
    assert 2 <= len(marks) <= 9
    assert not zero or made.low <= 0 <= made.high
    assert not whole or all(mark == round(mark) for mark in marks)


def test_an_axis_without_values_is_an_axis() -> None:
    assert axis("x", []).ticks
    assert axis("x", [math.nan, math.inf]).ticks
    flat = axis("x", [7.0, 7.0])
    assert flat.low < 7 < flat.high
    nearly_flat = axis("x", [-1e9, -999999999.9999999])
    assert nearly_flat.low < -1e9 < -999999999.9999999 < nearly_flat.high


@pytest.mark.parametrize("high", [0.02, 0.1, 0.143, 0.3, 0.55])
@pytest.mark.parametrize("power", [1, 2])
def test_resolutions_are_marked_in_angstroms(high: float, power: int) -> None:
    made = resolution_axis([0.001, high], power=power)
    places = [made.fraction(mark) for mark, _ in made.ticks]
    assert places == sorted(places)
    assert all(b - a >= 0.0999 for a, b in itertools.pairwise(places))
    for mark, text in made.ticks:
        assert mark ** (1 / power) == pytest.approx(1 / float(text))


def test_angles_are_marked_at_multiples() -> None:
    assert [text for _, text in angle_axis("rot", -60, 60, 60).ticks] == ["−60", "0", "60"]


@pytest.mark.parametrize(
    "value, text",
    [(0, "0"), (9.812, "9.81"), (12345.6, "12\u202f346"), (0.000123, "0.000123"), (math.nan, "–")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


# ------------------------------------------------------------------------------------------ charts


def chart(**changes: Any) -> Chart:
    return Chart(title="A < B", x=axis("x & y", [0, 10]), y=axis("y", [0, 1]), **changes)


def elements(drawn: Chart, tag: str) -> list[ET.Element]:
    return list(ET.fromstring(drawn.svg()).iter(tag))  # noqa: S314 - our own drawing


def test_a_chart_is_well_formed_whatever_the_texts_are() -> None:
    drawn = chart()
    drawn.points([(1, 0.5, "<b>\"'&"), (2, math.nan, "nowhere")], "s1", "a")
    drawn.line([0, 1, 2, 3], [0, math.nan, 1, 0.5], "s2", "b & c", tip="<tip>")
    drawn.level(0.5, "a < b")
    drawn.crossing(9.5, 0.5, "9.5 > 9")
    assert len(elements(drawn, "circle")) == 2  # one point, one crossing
    assert len(elements(drawn, "polyline")) == 2  # a gap where a value is missing
    texts = {element.text for element in elements(drawn, "text")}
    assert {"x & y", "a < b", "9.5 > 9", "b & c"} <= texts
    assert not any("style" in element.attrib for element in elements(drawn, "*"))


def test_points_lie_where_the_axes_say() -> None:
    drawn = chart()
    drawn.points([(0, 0, ""), (10, 1, "")], "s1")
    first, last = elements(drawn, "circle")
    left, right, top, bottom = svg.MARGINS
    assert float(first.attrib["cx"]) == left
    assert float(first.attrib["cy"]) == svg.HEIGHT - bottom
    assert float(last.attrib["cx"]) == svg.WIDTH - right
    assert float(last.attrib["cy"]) == top


def test_an_outlier_has_another_shape() -> None:
    drawn = chart()
    drawn.points([(1, 0.5, "far")], "out")
    assert elements(drawn, "circle") == []
    assert len(elements(drawn, "path")) == 1


def test_bars_stand_on_the_axis() -> None:
    drawn = chart()
    drawn.bars([0, 5, 10], [1.0, 0.0], "s1")
    (bar,) = elements(drawn, "rect")
    foot = float(bar.attrib["y"]) + float(bar.attrib["height"])
    assert foot == pytest.approx(svg.HEIGHT - svg.MARGINS[3], abs=0.1)


def test_values_beyond_an_axis_are_drawn_at_its_end() -> None:
    made = Axis(label="x", low=10, high=0, ticks=())
    assert [made.fraction(value) for value in (12, 10, 5, 0, -3)] == [0, 0, 0.5, 1, 1]


# ---------------------------------------------------------------------------------------- outliers


def test_outliers_are_far_from_all_others() -> None:
    values = np.array([10.0, 11, 9, 10, 10.5, 40, math.nan, -30])
    assert np.flatnonzero(tools.outliers(values)).tolist() == [5, 7]
    assert np.flatnonzero(tools.outliers(values, low=False)).tolist() == [5]
    assert not tools.outliers(np.array([1.0, 1, 1, 50])).any()  # too few to tell
    assert not tools.outliers(np.array([7.0] * 9 + [7.05])).any()  # hardly different
    assert tools.outliers(np.array([7.0] * 9 + [9.0])).sum() == 1


def test_of_many_points_outliers_are_drawn_always() -> None:
    always = np.zeros(10_000, dtype=bool)
    always[4321] = True
    chosen = tools.thinned(10_000, always)
    assert 4321 in chosen
    assert len(chosen) <= tools.MOST_POINTS + 1
    assert tools.thinned(5).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "seconds, text",
    [(3.25, "3.2 s"), (59, "59 s"), (200, "3 min 20 s"), (7500, "2 h 05 min"), (None, "–")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert tools.duration(seconds) == text


# ---------------------------------------------------------------------------------------- pictures


def decoded(data: bytes) -> NDArray[np.uint8]:
    """Read a PNG whose rows are filtered by the row above, checking every checksum."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (check,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert check == zlib.crc32(kind + body)
        chunks[kind], at = body, at + 12 + length
    width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    channels = {0: 1, 4: 2, 6: 4}[colour]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert depth == 8
    assert (rows[:, 0] == 2).all()
    pixels = np.cumsum(rows[:, 1:], axis=0, dtype=np.uint8)
    return pixels.reshape((height, width) if channels == 1 else (height, width, channels))


@given(
    st.sampled_from([(), (2,), (4,)]), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32)
)
def test_a_png_holds_the_pixels(
    channels: tuple[int, ...], height: int, width: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height, width, *channels), dtype=np.uint8)
    assert (decoded(images.png(pixels)) == pixels).all()


def test_what_is_no_value_is_transparent() -> None:
    image = np.array([[0.0, 1.0], [np.nan, 0.5]], dtype=np.float32)
    assert images.scaled(image, 0, 1).tolist() == [[[0, 255], [255, 255]], [[0, 0], [128, 255]]]
    assert images.tinted(image)[1, 0, 3] == 0
    assert images.tinted(image)[0, 0].tolist() == [68, 1, 84, 255]


def test_greys_use_the_whole_range() -> None:
    image = np.random.default_rng(1).normal(5, 2, (50, 50)).astype(np.float32)
    shades = images.grey(image)
    assert shades.dtype == np.uint8
    assert (int(shades.min()), int(shades.max())) == (0, 255)
    flat = np.full((3, 3), 7, np.float32)
    assert images.grey(flat).shape == (3, 3)


@pytest.mark.parametrize("before, after", [(8, 24), (9, 20), (10, 31)])
def test_enlarging_keeps_what_is_there(before: int, after: int) -> None:
    place = np.arange(before) / before
    image = np.asarray(3 + np.add.outer(np.cos(2 * np.pi * place), np.zeros(before)), np.float32)
    large = images.larger(image, after)
    there = 3 + np.cos(2 * np.pi * np.arange(after) / after)
    assert large == pytest.approx(np.tile(there[:, None], after), abs=1e-4)


def test_a_ball_looks_like_a_ball(tmp_path: Path) -> None:
    axes = np.indices((40, 40, 40)) - 20.0
    ball = np.exp(-np.square(axes).sum(axis=0) / 80).astype(np.float32)
    lit = images.surface(ball, 0.5, 0)
    radius = math.sqrt(80 * math.log(2))
    assert np.isfinite(lit).sum() == pytest.approx(math.pi * radius**2, rel=0.1)
    assert np.isfinite(lit[20, 20])
    assert np.isnan(lit[2, 2])
    assert np.nanmean(lit[:20]) > np.nanmean(lit[20:])  # lit from above
    nothing = images.surface(ball, 2.0, 0)
    assert np.isnan(nothing).all()


def test_sections_of_a_map_have_the_same_greys(tmp_path: Path) -> None:
    project = tiny(tmp_path)
    project.begin()
    # Dense in all of the plane across z but for the middle: the other planes hold a line of it.
    noise = np.random.default_rng(1).normal(0, 0.1, (32, 32, 32))
    noise[16, :14], noise[16, 18:] = 5, 5
    noise[:, :, 15:18] = np.minimum(noise[:, :, 15:18], 0.3)
    project.image("map.mrc", noise)
    (shown,) = maps.views(load(tmp_path), "map.mrc", "a map")
    sections = [each for each in shown.pictures if each.label == "section"]
    across_x = decoded(base64.b64decode(sections[2].uri.partition(",")[2]))
    assert np.ptp(across_x) < 60


def test_large_maps_are_averaged(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "map.mrc") as handle:
        handle.set_data(np.arange(10**3, dtype=np.float32).reshape(10, 10, 10))
        handle.voxel_size = 1.5
    small, angpix = images.read_map(tmp_path / "map.mrc", 5)
    assert small.shape == (5, 5, 5)
    assert small[0, 0, 0] == np.mean([0, 1, 10, 11, 100, 101, 110, 111])
    assert angpix == 3.0
    with pytest.raises(MissingFileError):
        images.read_map(tmp_path / "none.mrc")
    (tmp_path / "text.mrc").write_text("no map")
    with pytest.raises(InputError):
        images.read_map(tmp_path / "text.mrc")


# -------------------------------------------------------------------------------------- STAR files


def test_columns_are_those_that_starfile_reads(tmp_path: Path) -> None:
    path = write_particles(tmp_path / "data.star", [1, 2, 1, 3])
    read = starfile.read(path, always_dict=True)["particles"]
    labels = ("rlnImageName", "rlnDefocusU", "rlnClassNumber", "rlnNotThere")
    found = star.columns(path, labels)
    assert list(found) == list(labels[:3])
    for label in labels[:3]:
        assert found[label] == [str(value) for value in read[label]]
    assert star.rows(path, "rlnImageName") == 4


def test_items_and_other_tables_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "a.star"
    path.write_text(
        pairs("general", rlnX=1.5, rlnY="two")
        + loop("0", ("rlnZ",), [(1,)])
        + loop("1", ("rlnZ",), [(2,)])
    )
    assert star.columns(path, ("rlnX", "rlnY")) == {"rlnX": ["1.5"], "rlnY": ["two"]}
    assert star.columns(path, ("rlnZ",), table="1") == {"rlnZ": ["2"]}
    assert star.rows(path, "rlnX") == 1
    with pytest.raises(InputError, match="has no rlnW"):
        star.columns(path, ("rlnW",))
    with pytest.raises(MissingFileError, match="not there yet"):
        star.columns(tmp_path / "b.star", ("rlnZ",))


def test_names_with_spaces_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.star"
    path.write_text(loop("", ("rlnMicrographName", "rlnX"), [('"Movies/a b.mrc"', 1)]))
    assert star.columns(path, ("rlnMicrographName", "rlnX")) == {
        "rlnMicrographName": ["Movies/a b.mrc"],
        "rlnX": ["1"],
    }


def test_of_a_long_table_evenly_spread_rows_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.star"
    path.write_text(loop("particles", ("rlnX",), [(at,) for at in range(1000)]))
    found = [int(text) for text in star.columns(path, ("rlnX",), most=100)["rlnX"]]
    assert found == list(range(0, 1000, 10))
    some = star.columns(path, ("rlnX",), containing="99")["rlnX"]
    assert some == [str(at) for at in range(1000) if "99" in str(at)]


def test_a_table_without_rows_has_empty_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.star"
    path.write_text(loop("particles", ("rlnX", "rlnY"), []))
    assert star.columns(path, ("rlnX", "rlnY")) == {"rlnX": [], "rlnY": []}
    assert star.rows(path, "rlnX") == 0
    assert star.tally(path, "rlnX") == {}


def test_values_are_counted(tmp_path: Path) -> None:
    path = write_particles(tmp_path / "data.star", [1, 2, 1, 3, 1])
    assert star.tally(path, "rlnClassNumber") == {"1": 3, "2": 1, "3": 1}
    with pytest.raises(InputError, match="has no rlnNot"):
        star.tally(path, "rlnNot")


def test_what_is_no_number_is_none() -> None:
    found = star.numbers(["1.5", "None", "-2e3", "nan"])
    assert np.isnan(found[[1, 3]]).all()
    assert found[[0, 2]].tolist() == [1.5, -2000.0]


def test_models_are_those_that_decisions_are_made_from(tmp_path: Path) -> None:
    rows = [class_row(0.7, 12.5), class_row(0.3, 999.0, rotation=999.0, translation=0.0)]
    path = write_model(tmp_path / "model.star", rows)
    ours, theirs = models.read_model(path), tables.read_model(path)
    assert repr(ours) == repr(theirs)  # NaN is equal to nothing but looks the same
    path = write_fsc(tmp_path / "postprocess.star", [1.0, 0.9, 0.5, 0.1], [1.0, 0.5, 0.1, 0.0])
    assert models.read_fsc(path) == judge.read_fsc(path)
