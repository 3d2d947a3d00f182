"""MotionCor2 on folders: what is asked of it, what it says, and what RELION would write."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch.errors import InputError
from relion_dispatch.sharding import micrographstar, motioncor2, motioncor2_batch, relionstar, rows
from relion_dispatch.sharding import motioncor2_logs as logs
from relion_dispatch.sharding.micrographstar import Movie
from tests.unit.pipeline_chain import settings_with
from tests.unit.tiny_images import write_mrc

SHIFTS = st.lists(
    st.tuples(*[st.integers(-9999, 9999).map(lambda n: n / 100)] * 2), min_size=1, max_size=6
)
OPTIONS = (
    "--i movies.star --o MotionCorr/job002/ --use_motioncor2 --motioncor2_exe MotionCor2"
    " --bin_factor 2 --bfactor 150 --dose_per_frame 1.5 --preexposure 0 --patch_x 5 --patch_y 4"
    " --gainref gain.mrc --dose_weighting --pipeline_control MotionCorr/job002/ --serial"
)
MOVIES = """
# version 50001

data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnMicrographOriginalPixelSize #3
_rlnVoltage #4
one 1 0.885 300
two 2 1.1 200

# version 50001

data_movies

loop_
_rlnMicrographMovieName #1
_rlnOpticsGroup #2
Movies/a.b.mrcs 1
Movies/c.mrcs 2
Movies/d.mrcs 1

"""


#: As RELION 3.1 writes it, but for the blanks at the ends of lines.
WRITTEN = """
# version 30001

data_general

_rlnImageSizeX                                      100
_rlnImageSizeY                                       80
_rlnImageSizeZ                                        2
_rlnMicrographMovieName                    Movies/a.tiff
_rlnMicrographGainName                     gain.mrc
_rlnMicrographBinning                          2.000000
_rlnMicrographOriginalPixelSize                0.885000
_rlnMicrographDoseRate                         1.500000
_rlnMicrographPreExposure                      0.000000
_rlnVoltage                                  300.000000
_rlnMicrographStartFrame                              1
_rlnMotionModelVersion                                0
~

# version 30001

data_global_shift

loop_~
_rlnMicrographFrameNumber #1~
_rlnMicrographShiftX #2~
_rlnMicrographShiftY #3~
           1     0.000000     0.000000~
           2     -0.50000     1.250000~
~

# version 30001

data_local_shift

loop_~
_rlnMicrographFrameNumber #1~
_rlnCoordinateX #2~
_rlnCoordinateY #3~
_rlnMicrographShiftX #4~
_rlnMicrographShiftY #5~
           1    10.000000    20.000000     0.500000     -0.25000~
~
""".replace("~", " ")


def options(*more: str) -> argparse.Namespace:
    """Read a command line as RELION's window writes it."""
    return motioncor2.arguments(["/usr/bin/relion_run_motioncorr_mpi", *OPTIONS.split(), *more])


def movie(name: str = "Movies/a.tiff", frames: int = 40) -> Movie:
    return Movie(
        name=name, angpix=0.885, voltage=300.0, width=100, height=80, frames=frames, root="out/a"
    )


# ------------------------------------------------------------------------------ what is asked of it


def test_the_command_line_is_relion_s_but_for_the_folder() -> None:
    first = options("--other_motioncor2_args", " -Tor 0.5 ", "--first_frame_sum", "3")
    words = motioncor2_batch.command(first, movie(), "job/.serial/0/1/", "1")
    assert " ".join(words) == (
        "MotionCor2 -InTiff job/.serial/0/1/in/ -InSuffix .tiff -OutMrc job/.serial/0/1/out/"
        " -Serial 1 -LogFile job/.serial/0/1/logs/ -LogDir job/.serial/0/1/logs/"
        " -Bft 150 -PixSize 0.885 -Patch 5 4 -Gain gain.mrc -Throw 2 -FmRef 0 -FtBin 2"
        " -Kv 300 -FmDose 1.5 -InitDose 0 -Tor 0.5 -Gpu 1"
    )


def test_frames_are_left_out_at_the_end_and_the_gain_is_the_turned_one() -> None:
    words = motioncor2_batch.command(
        options("--last_frame_sum", "30", "--gain_rot", "1"), movie("a.mrcs"), "f/", "0"
    )
    said = " ".join(words)
    assert "-InMrc f/in/ -InSuffix .mrcs" in said
    assert "-Gain MotionCorr/job002/gain.mrc -FmRef 0 -Trunc 10" in said


def test_a_movie_that_is_too_short_is_told() -> None:
    with pytest.raises(InputError, match="only 20"):
        motioncor2_batch.command(options("--last_frame_sum", "30"), movie(frames=20), "f/", "0")


def test_defects_are_a_list_or_a_map() -> None:
    for name, option in (("d.txt", "-DefectFile d.txt"), ("d.mrc", "-DefectMap d.mrc")):
        words = motioncor2_batch.command(options("--defect_file", name), movie(), "f/", "0")
        assert option in " ".join(words)


def test_motioncor2_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    given_nothing = motioncor2.arguments(["--i", "a", "--o", "b"])
    monkeypatch.delenv("RELION_MOTIONCOR2_EXECUTABLE", raising=False)
    with pytest.raises(InputError, match=r"motion_correction\.executable"):
        motioncor2_batch.executable(given_nothing)
    monkeypatch.setenv("RELION_MOTIONCOR2_EXECUTABLE", "/opt/MotionCor2")
    assert motioncor2_batch.executable(given_nothing) == "/opt/MotionCor2"


@given(st.integers(0, 50), st.integers(1, 9))
def test_ranks_share_the_movies(count: int, size: int) -> None:
    names = [str(number) for number in range(count)]
    shares = [list(motioncor2.share(names, rank, size)) for rank in range(size)]
    assert [name for each in shares for name in each] == names
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(
    "environ,expected",
    [
        ({}, (0, 1)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, (0, 4)),
        (
            {
                "SLURM_PROCID": "0",
                "SLURM_NTASKS": "4",
                "OMPI_COMM_WORLD_RANK": "2",
                "OMPI_COMM_WORLD_SIZE": "3",
            },
            (2, 3),
        ),
        ({"PMI_RANK": "1", "PMI_SIZE": "2"}, (1, 2)),
    ],
)
def test_the_launcher_tells_the_rank(environ: dict[str, str], expected: tuple[int, int]) -> None:
    assert motioncor2.rank_of(environ) == expected


@pytest.mark.parametrize(
    "given_,rank,gpu",
    [("0:1", 0, "0"), ("0:1", 1, "1"), ("0:1", 2, "0"), ("", 3, "3"), ("0,1:2,3", 1, "2 3")],
)
def test_every_rank_has_its_gpu(given_: str, rank: int, gpu: str) -> None:
    assert motioncor2.gpu_of(given_, rank) == gpu


def test_only_movies_that_are_alike_share_a_folder() -> None:
    movies = [movie("a.tiff"), movie("b.tif"), movie("c.tiff"), movie("d.tiff", frames=39)]
    found = list(motioncor2.batches(options(), movies, "f/", "0"))
    names = [[each.name for each in batch.movies.values()] for batch in found]
    assert sorted(map(sorted, names)) == [["a.tiff", "c.tiff"], ["b.tif"], ["d.tiff"]]
    assert len({batch.folder for batch in found}) == 3


def test_eer_movies_are_refused() -> None:
    with pytest.raises(InputError, match="EER"):
        list(motioncor2.batches(options(), [movie("a.eer")], "f/", "0"))


def test_movies_are_read_with_their_optics_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Movies").mkdir()
    (tmp_path / "movies.star").write_text(MOVIES)
    names = rows.names(MOVIES, "movies.star")
    for name in names:
        write_mrc(tmp_path / name, width=4, height=6, sections=3)
    found = list(micrographstar.read_movies("movies.star", "out/", names))
    assert [(each.angpix, each.voltage) for each in found] == [
        (0.885, 300),
        (1.1, 200),
        (0.885, 300),
    ]
    assert [each.root for each in found] == ["out/Movies/a_b", "out/Movies/c", "out/Movies/d"]
    assert (found[0].width, found[0].height, found[0].frames) == (4, 6, 3)


def test_one_job_of_several_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    from relion_dispatch.pipeline import commands
    from relion_dispatch.pipeline.versions import V3_1

    monkeypatch.setattr("sys.executable", "/opt/python")
    motion = {"program": "motioncor2", "executable": "MotionCor2", "serial": True}
    changes = {"motion_correction": motion, "gain": {"file": "gain.mrc", "rotation": 1}}
    lines = commands.motion_correction(
        settings_with(changes), V3_1, movies="m.star", out="M/job002/"
    )
    gain, serial, join = lines
    assert gain.endswith(
        "sharding.gain --i m.star --o M/job002/ --file gain.mrc --rotation 1 --flip 0"
    )
    assert serial.startswith(
        "/opt/python -P -m relion_dispatch.sharding.motioncor2 `which relion_run"
    )
    assert serial.endswith("--serial")
    assert "--use_own" in join
    assert "--only_do_unfinished --do_at_most 0" in join


# ---------------------------------------------------------------------------------- what it says


@given(st.lists(SHIFTS, max_size=4))
def test_the_shifts_of_each_movie_are_found(movies: list[list[tuple[float, float]]]) -> None:
    said = []
    for shifts in movies:
        lines = [
            f"...... Frame ({n:3d}) shift: {x:8.2f} {y:8.2f}" for n, (x, y) in enumerate(shifts)
        ]
        said += ["Loading", "Full-frame alignment shift", *lines, "", "shift of something"]
    assert logs.blocks("\n".join(said)) == movies


@given(SHIFTS)
def test_later_versions_write_a_table(shifts: list[tuple[float, float]]) -> None:
    table = "\n".join(f"{n:5d} {x:9.2f} {y:9.2f}" for n, (x, y) in enumerate(shifts, start=1))
    assert logs.blocks(f"Frame   x Shift   y Shift\n{table}\n\nother") == [shifts]


def test_movies_are_in_the_order_in_which_they_are_named() -> None:
    output = "added: f/000002.mrc\nadded: f/000001.mrc\nf/000002.mrc"
    assert logs.order(output, ["000001", "000002", "000003"]) == ["000002", "000001"]


@pytest.mark.parametrize("ending", ["x-Full.log", "x0-Full.log", "x_0-Full.log"])
def test_logs_are_found_by_either_name(ending: str, tmp_path: Path) -> None:
    log = tmp_path / ending
    log.write_text("# full frame alignment\n   1      1.00     -2.00\n   2      1.50     -2.25\n")
    assert logs.log_file(tmp_path, "x", "-Full.log") == log
    assert logs.log_file(tmp_path, "y", "-Full.log") is None
    assert logs.full_frame(log) == [(0, 0), (0.5, -0.25)]


def test_patches_are_lines_of_seven_numbers(tmp_path: Path) -> None:
    log = tmp_path / "x-Patch-Patch.log"
    log.write_text(
        "#Patch 001 raw\n   1  10.0 20.0 0.1 -0.2 0.1 -0.2\n   2  10.0 20.0 0.1 -0.2 1\n\n"
    )
    assert logs.patches(log) == [logs.Patch(1, 10.0, 20.0, 0.1, -0.2)]


# ------------------------------------------------------------------------------ what RELION writes


@given(st.one_of(st.floats(-1e9, 1e9), st.integers(-(10**6), 10**6)))
def test_numbers_have_twelve_characters(value: float) -> None:
    text = relionstar.text_of(value)
    assert len(text) == 12
    assert float(text) == pytest.approx(value, rel=1e-3, abs=1e-3)


def test_a_movie_s_metadata_are_those_of_relion(tmp_path: Path) -> None:
    (tmp_path / "movies.star").write_text("\n# version 30001\n")
    args = options("--i", str(tmp_path / "movies.star"))
    moved = [(0.0, 0.0), (-0.5, 1.25)]
    text = micrographstar.star(
        args, movie(frames=2), moved, [logs.Patch(1, 10.0, 20.0, 0.5, -0.25)]
    )
    assert text == WRITTEN


def test_frames_that_were_left_out_have_no_shift(tmp_path: Path) -> None:
    (tmp_path / "movies.star").write_text(MOVIES)
    args = options("--i", str(tmp_path / "movies.star"), "--first_frame_sum", "2")
    text = micrographstar.star(args, movie(frames=3), [(1.0, 2.0)], [])
    found = rows.tables(text)["global_shift"]
    assert [row["rlnMicrographShiftX"] for row in found] == [
        "-9999.00000",
        "1.000000",
        "-9999.00000",
    ]
    assert "# version 50001" in text
    assert "local_shift" not in text


# ------------------------------------------------------------------------------------- its size


def test_one_rank_on_each_gpu_of_m3() -> None:
    from relion_dispatch.data import DataFacts
    from relion_dispatch.engine import Request, plan
    from relion_dispatch.pipeline import commands
    from relion_dispatch.pipeline.versions import V3_1
    from relion_dispatch.profiles import load_profile

    motion = {"program": "motioncor2", "executable": "MotionCor2", "serial": True}
    chosen = settings_with({"motion_correction": motion})
    lines = commands.motion_correction(chosen, V3_1, movies="m.star", out="MotionCorr/job002/")
    facts = DataFacts(n_micrographs=50, movie_shape=(4096, 4096), n_frames=40)
    made = plan(Request(commands=lines, data=facts), load_profile("m3"))
    assert (made.job_type, made.partition) == ("motioncor2_serial", "m3h")
    assert (made.ntasks, made.gpus_per_node, made.nodes, made.gpu_map) == (2, 2, 1, "0:1")
    assert "motioncor2" in made.modules
    assert re.search(
        r"mpirun -n 2 \S+ -P -m relion_dispatch\.sharding\.motioncor2"
        r' `which relion_run_motioncorr_mpi` .* --serial --gpu "0:1"$',
        made.command,
    )
    *_, join = made.commands
    assert "mpirun" not in join
    one = plan(Request(commands=lines, data=facts, overrides={"ngpu": 1}), load_profile("m3"))
    assert (one.ntasks, one.gpus, one.gpu_map) == (1, 1, "0")
