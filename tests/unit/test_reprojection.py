from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import reprojection
from relion_dispatch.pipeline.reprojection import Agreement
from relion_dispatch.pipeline.tables import ClassStatistics
from relion_dispatch.pipeline.verdict import Thresholds
from tests.unit import phantoms
from tests.unit.phantoms import ANGPIX, BOX_ANGST, DIAMETER_ANGST, SIDE, Array

pytestmark = pytest.mark.slow

STOP = Thresholds().stop_agreement
VOLUME, OTHER = phantoms.blobs(1), phantoms.blobs(2)
IMAGES = phantoms.views(VOLUME, 4)


def agreement(volume: Array, images: Array = IMAGES) -> Array:
    return reprojection.agreement(volume, images, BOX_ANGST, DIAMETER_ANGST)


def along_the_axes() -> Array:
    """Views along each axis from both ends."""
    turns = Rotation.create_group("O").as_matrix()
    ends = [(axis, end) for axis in range(3) for end in (1, -1)]
    chosen = [turns[np.argmax(turns[:, axis, 2] * end)] for axis, end in ends]
    return reprojection.project(VOLUME, np.array(chosen))


def other_contrast() -> Array:
    blurred = np.array([gaussian_filter(image, 0.7) for image in IMAGES])
    return np.asarray(100 * blurred - 5)


def noisy_and_not_centred() -> Array:
    noise = np.random.default_rng(5).normal(size=IMAGES.shape)
    return np.asarray(np.roll(IMAGES, (1, -2), axis=(1, 2)) + 0.3 * IMAGES.std() * noise)


@pytest.fixture(scope="module")
def found() -> dict[str, Array]:
    """Agreement of a volume with its own projections, as they are and changed."""
    kinds = {
        "own": IMAGES,
        "along the axes": along_the_axes(),
        "other contrast": other_contrast(),
        "noisy and not centred": noisy_and_not_centred(),
    }
    numbers = agreement(VOLUME, np.concatenate(list(kinds.values())))
    ends = np.cumsum([len(images) for images in kinds.values()])
    return dict(zip(kinds, np.split(numbers, ends[:-1]), strict=True))


# ----------------------------------------------------------------------------------- agreement


@pytest.mark.parametrize(
    "kind,least",
    [
        ("own", 0.95),
        ("along the axes", 0.95),
        ("other contrast", 0.95),
        ("noisy and not centred", 0.9),
    ],
)
def test_a_volume_agrees_with_its_own_projections(
    found: dict[str, Array], kind: str, least: float
) -> None:
    assert least < found[kind].min() <= found[kind].max() <= 1.001


def test_another_volume_does_not() -> None:
    other = Agreement(correlations=tuple(agreement(OTHER)), fractions=(0.25,) * len(IMAGES))
    assert other.worst_tenth < STOP - 0.05


def test_the_mirror_image_agrees_as_well(found: dict[str, Array]) -> None:
    # Hence every verdict says that the hand is unknown.
    assert agreement(phantoms.mirrored(VOLUME)) == pytest.approx(found["own"], abs=0.02)


def test_large_particles_are_compared_more_coarsely(found: dict[str, Array]) -> None:
    # The same shape, three times as large in the same number of pixels, is judged alike.
    large = reprojection.agreement(VOLUME, IMAGES, 3 * BOX_ANGST, 3 * DIAMETER_ANGST)
    assert reprojection.resolution(DIAMETER_ANGST) == 25.0
    assert reprojection.resolution(3 * DIAMETER_ANGST) == pytest.approx(75.0)
    assert large == pytest.approx(found["own"], abs=0.02)


def test_finer_sampling_of_the_map_changes_nothing(found: dict[str, Array]) -> None:
    assert agreement(phantoms.blobs(1, side=2 * SIDE)) == pytest.approx(found["own"], abs=0.02)


@pytest.mark.parametrize("volume", [np.zeros_like(VOLUME), np.full_like(VOLUME, np.nan)])
def test_an_empty_map_agrees_with_nothing(volume: Array) -> None:
    assert not (agreement(volume, IMAGES[:1]) >= STOP).any()


def test_directions_are_spread_evenly() -> None:
    rot, tilt = np.radians(reprojection.directions()).T
    points = np.stack([np.sin(tilt) * np.cos(rot), np.sin(tilt) * np.sin(rot), np.cos(tilt)], 1)
    nearest = np.sort(points @ points.T, axis=1)[:, -2]
    gaps = np.degrees(np.arccos(nearest))
    assert reprojection.STEP_DEG / 2 < gaps.min() <= gaps.max() < 1.5 * reprojection.STEP_DEG
    # The centre of mass of half a sphere's surface.
    assert points.mean(axis=0) == pytest.approx([0, 0, 0.5], abs=0.01)


def test_projections_are_taken_in_those_directions() -> None:
    # A pole of density along the last axis is a spot from its ends and a bar from its sides.
    pole = np.zeros((8, 8, 8))
    pole[4, 4, 1:8] = 1
    _, tilt = np.radians(np.tile(reprojection.directions(), (2, 1))).T
    highest = reprojection._projections(pole).max(axis=(1, 2))
    ends, sides = np.abs(np.cos(tilt)) > 0.95, np.abs(np.cos(tilt)) < 0.5
    assert highest[ends].min() > highest[sides].max()


# --------------------------------------------------------------------------------- worst tenth


def test_the_worst_tenth_is_of_the_particles_not_of_the_classes() -> None:
    few = Agreement(correlations=(0.9, 0.5, 0.7), fractions=(0.6, 0.05, 0.35))
    many = Agreement(correlations=(0.9, 0.5, 0.7), fractions=(0.5, 0.15, 0.35))
    assert (few.worst_tenth, many.worst_tenth) == (0.7, 0.5)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0.001, 1)), min_size=1, max_size=20))
def test_nine_tenths_reach_the_worst_tenth(pairs: list[tuple[float, float]]) -> None:
    correlations, fractions = zip(*pairs, strict=True)
    worst = Agreement(correlations=correlations, fractions=fractions).worst_tenth
    reached = sum(fraction for value, fraction in pairs if value >= worst)
    above = sum(fraction for value, fraction in pairs if value > worst)
    assert worst in correlations
    assert reached >= 0.9 * sum(fractions) - 1e-9
    assert above <= 0.9 * sum(fractions) + 1e-9


# --------------------------------------------------------------------------------------- files


def classes(*images: str) -> list[ClassStatistics]:
    return [
        ClassStatistics(
            number=number,
            image=image,
            fraction=0.5,
            resolution_angst=10.0,
            rotation_deg=2.0,
            translation_angst=1.0,
        )
        for number, image in enumerate(images, start=1)
    ]


def test_files_as_relion_writes_them(tmp_path: Path, found: dict[str, Array]) -> None:
    map_ = phantoms.write(tmp_path / "map.mrc", VOLUME)
    stack = phantoms.write(tmp_path / "classes.mrcs", np.concatenate([OTHER[:2], IMAGES[:1]]))
    compared = reprojection.compare(map_, classes(f"000003@{stack}"), DIAMETER_ANGST)
    assert compared.fractions == (0.5,)
    assert compared.correlations[0] == pytest.approx(found["own"][0], abs=1e-4)


def test_a_stack_of_one_class(tmp_path: Path) -> None:
    stack = phantoms.write(tmp_path / "classes.mrcs", IMAGES[0])
    images, angpix = reprojection._averages(classes(f"000001@{stack}"))
    assert images[0] == pytest.approx(IMAGES[0], rel=1e-6)
    assert angpix == ANGPIX


def test_boxes_must_have_the_same_size(tmp_path: Path) -> None:
    map_ = phantoms.write(tmp_path / "map.mrc", VOLUME, 2 * ANGPIX)
    stack = phantoms.write(tmp_path / "classes.mrcs", IMAGES)
    with pytest.raises(InputError, match="its box is 336 Å and the class averages' 168 Å"):
        reprojection.compare(map_, classes(f"000001@{stack}"), DIAMETER_ANGST)


def test_unreadable_files_are_told(tmp_path: Path) -> None:
    map_ = phantoms.write(tmp_path / "map.mrc", VOLUME)
    with pytest.raises(InputError, match=r"classes\.mrcs: cannot be read as MRC"):
        reprojection.compare(map_, classes(f"000001@{tmp_path}/classes.mrcs"), DIAMETER_ANGST)
    map_.write_bytes(b"no map")
    with pytest.raises(InputError, match=r"map\.mrc: cannot be read as MRC"):
        reprojection.compare(map_, classes("000001@any.mrcs"), DIAMETER_ANGST)
