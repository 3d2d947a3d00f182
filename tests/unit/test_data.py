"""Facts from the files behind a command: of every RELION version, missing, moved and broken."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from relion_dispatch.command import Command
from relion_dispatch.data import DataFacts, read_facts


class Project:
    """A RELION project directory that a test fills."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, data: bytes | str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())

    def image(self, name: str, shape: Sequence[int], angpix: float = 0) -> None:
        nz, ny, nx = shape
        start = struct.pack("<10if", nx, ny, nz, 2, 0, 0, 0, nx, ny, nz, angpix * nx)
        self.write(name, start.ljust(1024, b"\0"))

    def facts(self, *lines: str) -> DataFacts:
        return read_facts([Command.parse(line) for line in lines], self.path)

    def known(self, *lines: str) -> dict[str, object]:
        return {name: value for name, value in vars(self.facts(*lines)).items() if value}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def table(name: str, **columns: Sequence[object]) -> str:
    """Write a table as RELION does."""
    labels = "".join(f"_{label} #{n} \n" for n, label in enumerate(columns, start=1))
    rows = "".join(" ".join(map(str, row)) + " \n" for row in zip(*columns.values(), strict=True))
    return f"\n# version 30001\n\ndata_{name}\n\nloop_ \n{labels}{rows} \n"


def items(name: str, values: Mapping[str, object]) -> str:
    """Write a block of single values as RELION does."""
    return f"\ndata_{name}\n\n" + "".join(f"_{k}  {v}\n" for k, v in values.items()) + " \n"


PARTICLES = table(
    "optics",
    rlnOpticsGroupName=["a"],
    rlnOpticsGroup=[1],
    rlnMicrographOriginalPixelSize=[0.5],
    rlnImagePixelSize=[1.25],
    rlnImageSize=[256],
    rlnImageDimensionality=[2],
) + table(
    "particles",
    rlnImageName=[f"{n:06d}@Extract/job005/a.mrcs" for n in range(1, 2001)],
    rlnMicrographName=["MotionCorr/job002/a.mrc"] * 2000,
)


# ---- Particles ---------------------------------------------------------------------------------


def test_particles_with_optics_groups(project: Project) -> None:
    project.write("Extract/job005/particles.star", PARTICLES)
    assert project.known("`which relion_refine_mpi` --o a --i Extract/job005/particles.star") == {
        "box": 256,
        "angpix": 1.25,
        "image_dimensions": 2,
        "n_particles": 2000,
        "n_optics_groups": 1,
    }


def test_of_several_optics_groups_the_largest_box_counts(project: Project) -> None:
    optics = table("optics", rlnImageSize=[128, 256, 200], rlnImagePixelSize=[2, 1, 1.28])
    project.write("a.star", optics + table("particles", rlnImageName=["1@a.mrcs"]))
    facts = project.facts("relion_refine --i a.star")
    assert (facts.box, facts.angpix, facts.n_optics_groups) == (256, 1.0, 3)
    assert facts.notes == (
        "a.star has optics groups of box 128, 200, 256: the largest one counts.",
    )


def test_micrographs_of_particles(project: Project) -> None:
    def films(*numbers: int) -> int | None:
        names = [f"m{at}.mrc" for at, number in enumerate(numbers) for _ in range(number)]
        images = [f"{row}@a.mrcs" for row in range(len(names))]
        optics = table("optics", rlnImageSize=[64], rlnImagePixelSize=[1.5])
        rows = table("particles", rlnImageName=images, rlnMicrographName=names)
        project.write("a.star", optics + rows)
        return project.facts("relion_ctf_refine --i a.star").n_micrographs

    assert films(3, 1, 2) == 3
    assert films(*(10,) * 300) == 300  # estimated: the first thousand rows are read
    assert films(*(20, 5, 30) * 100) == pytest.approx(300, rel=0.1)
    assert films(2000) is None
    assert films(*(400, 900, 900)) == pytest.approx(5, abs=1)


def test_micrographs_in_no_order_tell_nothing(project: Project) -> None:
    names = [f"m{row % 7}.mrc" for row in range(3000)]
    rows = table("particles", rlnImageName=["1@a.mrcs"] * 3000, rlnMicrographName=names)
    project.write("a.star", table("optics", rlnImageSize=[64], rlnImagePixelSize=[1]) + rows)
    assert project.facts("relion_ctf_refine --i a.star").n_micrographs is None


def test_micrographs_that_are_listed_win_over_estimates(project: Project) -> None:
    names = [f"m{row // 10}.mrc" for row in range(3000)]
    rows = table("particles", rlnImageName=["1@a.mrcs"] * 3000, rlnMicrographName=names)
    project.write("a.star", table("optics", rlnImageSize=[64], rlnImagePixelSize=[1]) + rows)
    project.write("m.star", table("micrographs", rlnMicrographName=["a.mrc"] * 280))
    line = "relion_motion_refine --i a.star --corr_mic m.star"
    assert project.facts(line).n_micrographs == 280


@pytest.mark.parametrize("name", ["", "images"])
def test_particles_before_optics_groups(project: Project, name: str) -> None:
    project.image("Extract/a.mrcs", (9, 180, 180))
    columns: dict[str, list[object]] = {
        "rlnImageName": ["000001@Extract/a.mrcs", "000002@Extract/a.mrcs"],
        "rlnDetectorPixelSize": [5.0, 5.0],
        "rlnMagnification": [50000, 50000],
    }
    project.write("particles.star", table(name, **columns))
    facts = project.known("relion_refine --i particles.star")
    assert facts == {"box": 180, "angpix": 1.0, "n_particles": 2}


def test_a_particle_file_whose_images_tell_all(project: Project) -> None:
    project.image("a.mrcs", (9, 180, 180), angpix=1.5)
    project.write("a.star", table("", rlnImageName=["1@a.mrcs"]))
    facts = project.known("relion_refine --i a.star")
    assert facts == {"box": 180, "angpix": 1.5, "n_particles": 1}


def test_a_stack_of_particles_and_a_map(project: Project) -> None:
    project.image("a.mrcs", (9, 180, 180), angpix=1.5)
    project.image("map.mrc", (64, 64, 64), angpix=2)
    assert project.known("relion_refine --i a.mrcs") == {
        "box": 180,
        "angpix": 1.5,
        "n_particles": 9,
    }
    assert project.known("relion_postprocess --i map.mrc") == {"box": 64, "angpix": 2.0}
    assert project.known("relion_postprocess --i map.mrc --angpix 1.9")["angpix"] == 1.9
    assert project.known("relion_postprocess --i map.mrc --angpix -1")["angpix"] == 2.0


def test_particles_that_are_cut_out_are_as_large_as_the_option_says(project: Project) -> None:
    project.write("particles.star", PARTICLES)
    again = "relion_preprocess --reextract_data_star particles.star --extract_size 400 --scale 200"
    assert project.known(again) == {"box": 400, "n_particles": 2000}
    subtomo = project.facts("relion_tomo_subtomo_mpi --p particles.star --b 512 --bin 1")
    assert (subtomo.box, subtomo.n_particles) == (512, 2000)


# ---- References and bodies ---------------------------------------------------------------------


def test_references(project: Project) -> None:
    project.image("ref.map", (200, 200, 200), angpix=1.1)
    project.image("classes.mrcs", (4, 100, 100), angpix=3)
    project.write("refs.star", table("", rlnReferenceImage=["ref.map", "none.mrc"]))
    expected = {"ref_box": 200, "ref_angpix": pytest.approx(1.1)}
    assert project.known("relion_autopick --ref ref.map:mrc") == expected
    assert project.known("relion_autopick --ref refs.star") == expected
    assert project.known("relion_autopick --ref classes.mrcs")["ref_box"] == 100
    assert project.known("relion_autopick --ref None --ref gauss") == {}


def test_the_box_is_the_references_where_nothing_else_is_known(project: Project) -> None:
    project.image("ref.mrc", (200, 200, 200), angpix=1.1)
    assert project.facts("relion_refine --i missing.star --ref ref.mrc").box == 200
    project.write("particles.star", PARTICLES)
    assert project.facts("relion_refine --i particles.star --ref ref.mrc").box == 256


def test_bodies_are_counted(project: Project) -> None:
    project.write("bodies.star", table("", rlnBodyMaskName=["a.mrc", "b.mrc", "c.mrc"]))
    assert project.known("relion_refine --multibody_masks bodies.star") == {"n_bodies": 3}


# ---- Continuing --------------------------------------------------------------------------------


def optimiser(model: str, data: str, **more: object) -> str:
    values = {
        "rlnOutputRootName": "Refine3D/job006/run",
        "rlnModelStarFile": model,
        "rlnExperimentalDataStarFile": data,
        "rlnCurrentIteration": 7,
        "rlnDoSplitRandomHalves": 1,
        "rlnDoAutoRefine": 1,
        "rlnDoSkipAlign": 0,
        **more,
    }
    return "# RELION optimiser\n# --o a\n" + items("optimiser_general", values)


MODEL = items(
    "model_general",
    {
        "rlnReferenceDimensionality": 3,
        "rlnDataDimensionality": 2,
        "rlnOriginalImageSize": 300,
        "rlnCurrentImageSize": 120,
        "rlnPaddingFactor": 2.0,
        "rlnPixelSize": 1.1,
        "rlnNrClasses": 1,
        "rlnNrBodies": 1,
    },
) + table("model_classes", rlnReferenceImage=["run_it007_class001.mrc"])


def test_continuing_a_refinement(project: Project) -> None:
    root = "Refine3D/job006/run_it007"
    text = optimiser(f"{root}_half1_model.star", f"{root}_data.star", rlnDoGradientRefine=1)
    project.write(f"{root}_optimiser.star", text)
    project.write(f"{root}_half1_model.star", MODEL)
    project.write(f"{root}_data.star", PARTICLES)
    facts = project.facts(f"relion_refine_mpi --continue {root}_optimiser.star --o a")
    assert facts == DataFacts(
        box=300,
        angpix=1.1,
        image_dimensions=2,
        n_particles=2000,
        n_optics_groups=1,
        iteration=7,
        n_classes=1,
        reference_dimensions=3,
        padding=2.0,
        current_image_size=120,
        auto_refine=True,
        split_random_halves=True,
        skip_align=False,
        gradient=True,
    )


@pytest.mark.parametrize("model", ["_model.star", "_half1_model.star"])
def test_continuing_in_a_project_that_was_moved(project: Project, model: str) -> None:
    project.write("a/run_it000_optimiser.star", optimiser("/gone/m.star", "/gone/d.star"))
    project.write(f"a/run_it000{model}", MODEL)
    project.write("a/run_it000_data.star", PARTICLES)
    facts = project.facts("relion_refine --continue a/run_it000_optimiser.star")
    assert (facts.box, facts.n_particles, facts.gradient) == (300, 2000, None)
    project.write(f"a/run_it000{model}", MODEL.replace("rlnNrBodies  1", "rlnNrBodies  3"))
    assert project.facts("relion_refine --continue a/run_it000_optimiser.star").n_bodies == 3


def test_the_first_iteration_is_one(project: Project) -> None:
    project.write("run_it000_optimiser.star", optimiser("m", "d", rlnCurrentIteration=0))
    assert project.facts("relion_refine --continue run_it000_optimiser.star").iteration == 0


# ---- Movies and micrographs --------------------------------------------------------------------

OPTICS = table("optics", rlnOpticsGroupName=["a"], rlnMicrographOriginalPixelSize=[0.885])


def test_movies_of_an_import(project: Project) -> None:
    project.image("Movies/a.mrcs", (24, 3838, 3710), angpix=1)
    movies = table("movies", rlnMicrographMovieName=["Movies/a.mrcs", "Movies/b.mrcs"])
    project.write("Import/job001/movies.star", OPTICS + movies)
    assert project.known("relion_run_motioncorr_mpi --i Import/job001/movies.star --use_own") == {
        "angpix": 0.885,
        "n_micrographs": 2,
        "n_optics_groups": 1,
        "n_frames": 24,
        "movie_shape": (3710, 3838),
        "movie_format": "mrc",
    }


def test_a_pattern_of_movies(project: Project) -> None:
    for name in "cab":
        project.image(f"Movies/{name}.mrc", (24, 38, 37 + ord(name) - ord("a")), angpix=1)
    expected = {"angpix": 0.9, "n_micrographs": 3, "n_frames": 24, "movie_format": "mrc"}
    importing = project.known('relion_import --do_movies --angpix 0.9 --i "Movies/*.mrc"')
    assert importing == {**expected, "movie_shape": (37, 38)}
    one = project.facts("relion_run_motioncorr --i Movies/b.mrc")
    assert (one.n_micrographs, one.movie_shape, one.box) == (1, (38, 38), None)
    assert project.known('relion_import --do_coordinates --i "Movies/*.mrc"') == {}
    assert project.known('relion_import --do_movies --i "None/*.mrc"') == {}


def test_corrected_micrographs(project: Project) -> None:
    motion = {"rlnImageSizeX": 3710, "rlnImageSizeY": 3838, "rlnImageSizeZ": 24}
    project.write("MotionCorr/job002/a.star", items("general", motion))
    corrected = table(
        "micrographs",
        rlnMicrographName=["MotionCorr/job002/a.mrc", "MotionCorr/job002/b.mrc"],
        rlnMicrographMetadata=["MotionCorr/job002/a.star", "MotionCorr/job002/b.star"],
    )
    project.write("corrected_micrographs.star", OPTICS + corrected)
    project.write("particles.star", PARTICLES)
    polish = "relion_motion_refine_mpi --i particles.star --corr_mic corrected_micrographs.star"
    facts = project.facts(polish)
    assert (facts.n_micrographs, facts.n_frames, facts.movie_shape) == (2, 24, (3710, 3838))
    assert (facts.n_particles, facts.box, facts.angpix) == (2000, 256, 1.25)
    assert project.facts("relion_run_ctffind --i corrected_micrographs.star").n_frames == 24
    project.write("MotionCorr/job002/a.star", items("general", {}))
    assert project.facts("relion_run_ctffind --i corrected_micrographs.star").n_frames is None


def test_a_binned_micrograph_is_smaller_than_its_movie(project: Project) -> None:
    motion = {"rlnImageSizeX": 11520, "rlnImageSizeY": 8184, "rlnImageSizeZ": 60}
    project.write("a.star", items("general", motion))
    project.image("a.mrc", (1, 4092, 5760))
    text = table("micrographs", rlnMicrographName=["a.mrc"], rlnMicrographMetadata=["a.star"])
    project.write("corrected.star", OPTICS + text)
    facts = project.facts("relion_preprocess --i corrected.star --extract_size 256")
    assert facts.movie_shape == (11520, 8184)
    assert facts.micrograph_shape == (5760, 4092)


def test_micrographs_without_particles_do_not_count_in_polishing(project: Project) -> None:
    names = [f"MotionCorr/job002/m{at}.mrc" for at in range(500)]
    some = [name for name in names[:20] for _ in range(30)]
    images = [f"{at:06d}@a.mrcs" for at in range(1, 601)]
    particles = table("particles", rlnImageName=images, rlnMicrographName=some)
    project.write("particles.star", OPTICS + particles)
    project.write("corrected.star", OPTICS + table("micrographs", rlnMicrographName=names))
    line = "relion_motion_refine --i particles.star --corr_mic corrected.star"
    assert project.facts(line).n_micrographs == 20


def test_micrographs_that_were_imported(project: Project) -> None:
    project.image("a.mrc", (1, 3838, 3710), angpix=0.885)
    project.write("a.star", table("micrographs", rlnMicrographName=["a.mrc", "b.mrc"]))
    facts = project.known("relion_run_ctffind --i a.star")
    assert facts == {"angpix": 0.885, "n_micrographs": 2, "movie_shape": (3710, 3838)}
    single = project.known("relion_autopick --i a.mrc")
    assert single == {"angpix": 0.885, "movie_shape": (3710, 3838), "movie_format": "mrc"}


# ---- Tomography --------------------------------------------------------------------------------


def test_an_optimisation_set(project: Project) -> None:
    optics = table(
        "optics",
        rlnOpticsGroupName=["a"],
        rlnImageSize=[96],
        rlnImagePixelSize=[5.4],
        rlnImageDimensionality=[3],
    )
    particles = table("particles", rlnTomoName=["t1", "t2"], rlnImageName=["a.mrc", "b.mrc"])
    project.write(
        "particles.star", items("general", {"rlnTomoSubTomosAre2DStacks": 0}) + optics + particles
    )
    tomograms = table(
        "global",
        rlnTomoName=["t1", "t2"],
        rlnTomoFrameCount=[41, 41],
        rlnTomoTiltSeriesName=["t1.mrc:mrc", "t2.mrc:mrc"],
        rlnTomoTiltSeriesPixelSize=[1.35, 1.35],
    )
    project.write("tomograms.star", tomograms)
    project.image("map.mrc", (96, 96, 96), angpix=5.4)
    files = {
        "rlnTomoParticlesFile": "particles.star",
        "rlnTomoTomogramsFile": "tomograms.star",
        "rlnTomoReferenceMap1File": "map.mrc",
    }
    project.write("optimisation_set.star", items("", files))
    expected = {
        "box": 96,
        "angpix": 5.4,
        "image_dimensions": 3,
        "n_particles": 2,
        "n_micrographs": 82,
        "n_optics_groups": 1,
        "n_tomograms": 2,
        "n_tilts": 41,
        "ref_box": 96,
        "ref_angpix": pytest.approx(5.4),
    }
    assert project.known("relion_refine --ios optimisation_set.star") == expected
    assert project.known("relion_tomo_reconstruct_particle --i optimisation_set.star") == expected
    separate = project.facts("relion_tomo_subtomo --p particles.star --t tomograms.star")
    assert (separate.n_particles, separate.n_tomograms) == (2, 2)


def test_tilt_series(project: Project) -> None:
    project.image("frames/a.mrc", (8, 4092, 5760), angpix=1)
    tilts = table(
        "TS_01",
        rlnMicrographMovieName=["frames/a.mrc", "frames/b.mrc", "frames/c.mrc"],
        rlnTomoTiltMovieFrameCount=[8, 8, 8],
    )
    project.write("tilt_series/TS_01.star", tilts)
    series = table(
        "global",
        rlnTomoName=["TS_01", "TS_02"],
        rlnTomoTiltSeriesStarFile=["tilt_series/TS_01.star", "tilt_series/TS_02.star"],
        rlnTomoTiltSeriesPixelSize=[0.675, 0.675],
    )
    project.write("tilt_series.star", series)
    expected = {
        "angpix": 0.675,
        "n_micrographs": 6,
        "n_tomograms": 2,
        "n_tilts": 3,
        "n_frames": 8,
        "movie_shape": (5760, 4092),
        "movie_format": "mrc",
    }
    assert project.known("relion_run_motioncorr_mpi --i tilt_series.star") == expected
    picking = "relion_python_tomo_pick fiducials --tilt-series-star-file tilt_series.star"
    assert project.known(picking) == expected


def test_tilt_series_of_which_only_the_stack_tells(project: Project) -> None:
    project.image("t1.mrc", (41, 3838, 3710), angpix=1)
    project.write("t.star", table("global", rlnTomoName=["t"], rlnTomoTiltSeriesName=["t1.mrc"]))
    facts = project.facts("relion_tomo_reconstruct_tomogram --t t.star")
    assert (facts.n_tilts, facts.n_micrographs, facts.movie_shape) == (41, 41, (3710, 3838))


def test_files_that_name_each_other_in_a_ring(project: Project) -> None:
    project.write("a.star", items("", {"rlnTomoParticlesFile": "a.star"}))
    assert project.known("relion_refine --ios a.star") == {}


# ---- What is missing or broken -----------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "relion_refine --i missing.star --ref missing.mrc --continue missing_optimiser.star",
        "relion_refine --i missing/../../x --multibody_masks missing --corr_mic missing.star",
        "relion_refine --i '' --continue --ref",
        "relion_refine --i 'a\nb' --ref \udce9.mrc",
        f"relion_refine --i {'x' * 300}",
        "relion_refine --i 'a\0b/*.mrc'",
        "echo a > b",
        "",
    ],
)
def test_what_is_missing_is_nothing(project: Project, line: str) -> None:
    assert project.facts(line) == DataFacts()


def test_what_is_broken_is_a_note(project: Project) -> None:
    project.write("a.star", b"\x00\x01nothing of a STAR file")
    project.write("b.mrc", b"short")
    project.write("c/d.star", table("particles", rlnImageName=["1@b.mrc"]))
    assert project.facts("relion_refine --i a.star --ref b.mrc", "relion_x --i a.star").notes == (
        "a.star is no STAR file.",
        "b.mrc cannot be made sense of: it has 5 bytes, too few for an image.",
    )
    assert project.facts("relion_refine --i c/d.star").n_particles == 1
    assert project.facts("relion_refine --ref c").notes == ("c cannot be read: Is a directory.",)


def test_what_cannot_be_read_is_a_note(project: Project) -> None:
    (project.path / "ring.star").symlink_to("ring.star")
    assert project.facts("relion_refine --multibody_masks ring.star").notes == (
        "ring.star cannot be read: Too many levels of symbolic links.",
    )


LABELS = (
    "rlnTomoParticlesFile",
    "rlnTomoTomogramsFile",
    "rlnExperimentalDataStarFile",
    "rlnOriginalImageSize",
    "rlnImageName",
    "rlnTomoTiltSeriesStarFile",
    "rlnTomoTiltSeriesName",
    "rlnMicrographMovieName",
    "rlnTomoName",
    "rlnMicrographName",
    "rlnMicrographMetadata",
    "rlnImageSize",
    "rlnImagePixelSize",
    "rlnModelStarFile",
    "rlnCurrentIteration",
    "rlnMagnification",
    "rlnDetectorPixelSize",
    "rlnImageSizeZ",
    "rlnOpticsGroupName",
    "rlnReferenceImage",
    "rlnBodyMaskName",
    "rlnTomoFrameCount",
    "rlnTomoReferenceMap1File",
)
labels = st.sampled_from(LABELS)
cells = st.sampled_from(
    ["1", "0", "-1", "1e999", "nan", "x", '""', '"', "a.star", "b.mrc", "1@b.mrc", "None", "\0"]
)
blocks = st.one_of(
    st.dictionaries(labels, cells, max_size=4).map(lambda values: items("a", values)),
    st.dictionaries(labels, st.lists(cells, min_size=2, max_size=2), max_size=4).map(
        lambda columns: table("b", **columns)
    ),
    st.text(max_size=20),
)


@given(st.lists(blocks, max_size=3).map("".join), st.binary(max_size=60))
@example(table("a", rlnImageSize=["x", "64"]) + table("b", rlnImageName=["1@b.mrc"]), b"")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_in_the_files_there_is_no_exception(
    project: Project, text: str, data: bytes
) -> None:
    project.write("a.star", text.encode(errors="surrogatepass"))
    project.write("b.mrc", data)
    line = "--i a.star --continue a.star --ref a.star --corr_mic a.star --multibody_masks a.star"
    facts = project.facts(f"relion_refine {line}", "relion_run_motioncorr --i b.mrc")
    assert all(value > 0 for value in vars(facts).values() if type(value) in (int, float)) or (
        facts.iteration == 0
    )


# ---- Laying facts over others ------------------------------------------------------------------


def test_facts_over_others() -> None:
    found = DataFacts(box=100, n_particles=5, skip_align=True, notes=("a",))
    known = DataFacts(box=200, skip_align=False, notes=("b",))
    assert known.over(found) == DataFacts(
        box=200, n_particles=5, skip_align=False, notes=("b", "a")
    )


def test_facts_of_earlier_commands_win(project: Project) -> None:
    project.image("a.mrc", (64, 64, 64), angpix=1)
    project.image("b.mrcs", (7, 32, 32), angpix=2)
    facts = project.facts("relion_x --i a.mrc", "echo", "relion_x --i b.mrcs")
    assert (facts.box, facts.angpix, facts.n_particles) == (64, 1.0, 7)


def test_every_fact_is_optional() -> None:
    assert all(each.default in (None, ()) for each in fields(DataFacts))
