from __future__ import annotations

import cProfile
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import settings, versions
from relion_dispatch.pipeline.check import (
    __main__,
    geometry,
    movies,
    names,
    programs,
    provenance,
    run,
)
from relion_dispatch.pipeline.check.findings import Report
from relion_dispatch.pipeline.check.run import check_project
from relion_dispatch.pipeline.versions import Version
from tests.unit import tiny_images

GOOD: Mapping[str, Any] = {
    "movies": "Movies/*.mrcs",
    "optics": {"pixel_size": 1.5, "voltage": 300},
    "dose": {"per_frame": 3},
    "sample": {"particle_diameter": 120, "box_size": 120, "symmetry": "D2"},
    "ctf": {"program": "builtin"},
}
Make = Callable[[Path], object]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that nothing is wrong with."""
    folder = tmp_path / "project"
    for number in range(3):
        tiny_images.write_mrc(folder / f"Movies/m{number}.mrcs")
    return folder


def check(project: Path, changes: Mapping[str, Any] | None = None, **options: Any) -> Report:
    config = settings.merge(GOOD, changes or {})
    return check_project(config, project, **({"with_programs": False} | options))


def codes(report: Report, severity: str = "error") -> list[str]:
    return [found.code for found in report.findings if found.severity == severity]


def texts(report: Report, severity: str = "error") -> str:
    found = [each for each in report.findings if each.severity == severity]
    return "\n".join(f"{each.where}: {each.what} -> {each.advice}" for each in found)


def test_good_project(project: Path) -> None:
    report = check(project)
    assert report.ok
    assert report.findings == ()
    assert report.facts["movies"] == 3
    assert report.facts["dose (e/Å²)"] == 36
    assert "nothing wrong" in report.to_text()


# ------------------------------------------------------------------ settings: one change, one error
@pytest.mark.parametrize(
    "changes, code, words",
    [
        ({"optics": {"voltage": 300_000}}, "voltage", "300 is meant"),
        ({"optics": {"voltage": 0.3}}, "voltage", "300 is meant"),
        ({"optics": {"voltage": None}}, "config", "optics.voltage is missing"),
        ({"optics": {"pixel_size": None}}, "config", "optics.pixel_size is missing"),
        ({"optics": {"pixel_size": 0.15}}, "pixel-size", "1.5 is meant"),
        ({"optics": {"pixel_size": 0.15}}, "header-pixel-size", "nm for Å?"),
        ({"optics": {"pixel_size": 150}}, "pixel-size", "1.5 is meant"),
        ({"optics": {"pixel_size": 0.75}}, "header-pixel-size", "2 times more: super-resolution"),
        ({"optics": {"spherical_aberration": 2700}}, "spherical-aberration", "in mm"),
        ({"optics": {"amplitude_contrast": 10}}, "config", "at most 1"),
        ({"dose": {"per_frame": None}}, "config", "dose.per_frame is missing"),
        ({"dose": {"per_frame": 36}}, "dose", "3 is meant"),
        ({"dose": {"per_frme": 3}}, "config", "did you mean dose.per_frame?"),
        ({"sample": {"box_size": 121}}, "config", "even"),
        ({"sample": {"box_size": 700}}, "box-size", "640 px wide"),
        ({"sample": {"particle_diameter": 12}, "extraction": {"background_diameter": 200}},
         "background", "larger than the box"),
        ({"motion_correction": {"group_frames": 5}}, "few-frames", "fewer than 3 groups"),
        ({"motion_correction": {"first_frame": 11}}, "few-frames", "2 frames"),
        ({"movies": "Movies/*.tiff"}, "no-movies", "3 *.mrcs"),
        ({"movies": "Movies/*.MRCS"}, "no-movies", "upper and lower case differ"),
        ({"movies": "Movie/*.mrcs"}, "no-movies", "is it Movies?"),
        ({"movies": "Films/*.mrcs"}, "no-movies", "no folder Films"),
        ({"movies": "../Movies/*.mrcs"}, "config", "inside the project"),
        ({"gain": {"file": "gain.mrc"}}, "gain-unreadable", "no such file"),
        ({"gain": {"file": "gain.dm4"}}, "gain-format", "Digital Micrograph"),
        ({"gain": {"file": "g.gain"}}, "gain-format", "EER movies only"),
        ({"gain": {"file": "gain.raw"}}, "gain-format", "this ending"),
        ({"gain": {"file": "Movies/m0.mrcs", "defects": "d.txt"}}, "no-file", "no file d.txt"),
        ({"optics": {"mtf": "mtf.star"}}, "no-file", "mtf.star"),
        ({"postprocess": {"mtf": "mtf.star"}}, "no-file", "postprocess.mtf"),
        ({"initial_model": {"reference": "r.mrc"}}, "no-file", "r.mrc"),
        ({"class3d": {"mask": "m.mrc"}}, "no-file", "class3d.mask"),
        ({"picking": {"method": "references", "references": {"file": "r.mrc"}}}, "no-file", "r.m"),
        ({"picking": {"method": "topaz", "topaz": {"model": "t.sav"}}}, "no-file", "t.sav"),
        ({"picking": {"method": "coordinates", "coordinates": "Movies/*_p.star"}},
         "coordinates", "no file matches"),
        ({"picking": {"method": "coordinates", "coordinates": "Movies/m0_p.star"}},
         "coordinates", "has no *"),
        ({"polishing": {"parameters_file": "opt.txt"}}, "no-file", "opt.txt"),
        ({"compute": {"scratch_dir": "/scratch/my data"}}, "scratch", "rm -rf"),
        ({"start": "particles", "particles": "p.star", "polishing": {"enabled": False}},
         "no-file", "p.star"),
        ({"start": "micrographs", "micrographs": "Mics/*.mrc", "polishing": {"enabled": False}},
         "no-micrographs", "no folder Mics"),
    ],
)  # fmt: skip
def test_one_wrong_setting(
    project: Path, changes: Mapping[str, Any], code: str, words: str
) -> None:
    report = check(project, changes)
    assert code in codes(report)
    assert words in texts(report)
    assert not report.ok


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"optics": {"voltage": 250}}, "voltage"),
        ({"optics": {"spherical_aberration": 0}}, "spherical-aberration"),
        ({"optics": {"amplitude_contrast": 0.7}}, "amplitude-contrast"),
        ({"optics": {"pixel_size": 1.6}}, "header-pixel-size"),
        ({"dose": {"per_frame": 0.1}}, "dose"),
        ({"dose": {"per_frame": 12}}, "dose"),
        ({"sample": {"box_size": 84}}, "box-size"),
        ({"sample": {"particle_diameter": 12}}, "box-size"),
        ({"sample": {"box_size": 200}}, "box-size"),
        ({"sample": {"small_box_size": 16}, "class3d": {"ini_high": 20}}, "small-box-size"),
        ({"compute": {"scratch_dir": "scratch"}}, "scratch"),
    ],
)
def test_one_unusual_setting(project: Path, changes: Mapping[str, Any], code: str) -> None:
    report = check(project, changes)
    assert report.ok
    assert code in codes(report, "warning")


@pytest.mark.parametrize(
    "changes",
    [
        {"optics": {"pixel_size": 1.54}},  # calibration
        {"compute": {"scratch_dir": "$TMPDIR"}},
        {"compute": {"scratch_dir": "/scratch/${USER}"}},
        {"motion_correction": {"last_frame": 3}},
        {"class3d": {"enabled": False, "mask": "gone.mrc"}},
    ],
)
def test_settings_that_are_fine(project: Path, changes: Mapping[str, Any]) -> None:
    assert check(project, changes).findings == ()


# ------------------------------------------------------------------------ files: one bad, one error
def short(path: Path) -> None:
    size = path.stat().st_size
    os.truncate(path, size - 1000)


@pytest.mark.parametrize(
    "spoil, code, words",
    [
        (lambda p: short(p / "Movies/m1.mrcs"), "unreadable", "cut off"),
        (lambda p: (p / "Movies/m1.mrcs").write_bytes(b""), "unreadable", "empty"),
        (lambda p: (p / "Movies/m1.mrcs").write_text("no"), "unreadable", "MRC header"),
        (lambda p: (p / "Movies/x.mrcs").symlink_to("/gone"), "unreadable", "link to a file"),
        (lambda p: tiny_images.write_mrc(p / "Movies/x.mrcs", width=320), "mixed-sizes", "320 x"),
        (lambda p: tiny_images.write_mrc(p / "Movies/my x.mrcs"), "odd-names", "blank"),
        (lambda p: tiny_images.write_mrc(p / "Movies/x;ls.mrcs"), "odd-names", "(;)"),
        (lambda p: tiny_images.write_mrc(p / "Movies/x\n.mrcs"), "odd-names", "line break"),
        (lambda p: tiny_images.write_mrc(p / "Movies/$x`.mrcs"), "odd-names", "$ `"),
        (lambda p: tiny_images.write_mrc(p / "Movies/10%.mrcs"), "odd-names", "%"),
    ],
)  # fmt: skip
def test_one_bad_movie(project: Path, spoil: Make, code: str, words: str) -> None:
    spoil(project)
    report = check(project)
    assert codes(report) == [code]
    assert words in texts(report)


@pytest.mark.parametrize("name", ["é-µ_+=,~!^@1.a.mrcs", "job001.mrcs", "-x.mrcs"])
def test_names_that_relion_takes(project: Path, name: str) -> None:
    tiny_images.write_mrc(project / "Movies" / name)
    assert check(project).findings == ()


def test_movies_that_become_one_micrograph(project: Path) -> None:
    tiny_images.write_mrc(project / "Movies/m0.mrc")
    tiny_images.write_mrc(project / "Movies/a.b.mrc")
    tiny_images.write_mrc(project / "Movies/a_b.mrcs")
    report = check(project, {"movies": "Movies/*.mrc*"})
    assert codes(report) == ["same-names"]
    assert len(report.errors[0].files) == 4


def test_movies_of_another_length_are_a_warning(project: Path) -> None:
    tiny_images.write_mrc(project / "Movies/x.mrcs", sections=6)
    report = check(project)
    assert codes(report) == []
    assert codes(report, "warning") == ["mixed-frames"]
    tiny_images.write_mrc(project / "Movies/x.mrcs", sections=2)
    assert "few-frames" in codes(check(project), "warning")


def test_small_movies_have_no_power_spectra(project: Path) -> None:
    for path in (project / "Movies").iterdir():
        tiny_images.write_mrc(path, width=600, height=500)
    changes = {"motion_correction": {"power_spectra": False}, "ctf": {"box_size": 256}}
    assert codes(check(project)) == ["small-movies"]
    assert check(project, changes).findings == ()


def test_header_without_a_pixel_size_says_nothing(project: Path) -> None:
    for angpix in (0.0, 1.0):
        for path in (project / "Movies").iterdir():
            tiny_images.write_mrc(path, angpix=angpix)
        assert check(project).findings == ()


def test_micrographs(project: Path) -> None:
    for name in ("a", "b"):
        tiny_images.write_mrc(project / f"Mics/{name}.mrc", sections=1, mode=2)
    changes = {
        "start": "micrographs",
        "micrographs": "Mics/*.mrc",
        "polishing": {"enabled": False},
        "dose": {"per_frame": None},
    }
    assert check(project, changes).findings == ()
    tiny_images.write_mrc(project / "Mics/job0123.mrc", sections=1, mode=2)
    assert codes(check(project, changes)) == ["job-names"]
    tiny_images.write_mrc(project / "Mics/job0123.mrc", sections=3)
    assert codes(check(project, changes)) == ["not-micrographs", "job-names"]


def test_old_relion_reads_fewer_modes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (project / "Movies").iterdir():
        tiny_images.write_mrc(path, mode=6)
    assert check(project).findings == ()
    for number, code in (("3.1.3", ["mrc-mode"]), ("4.0.1", [])):
        monkeypatch.setattr(versions, "installed", lambda number=number: Version.parse(number))
        report = check(project, with_programs=True)
        assert [each for each in codes(report) if each == "mrc-mode"] == code


# --------------------------------------------------------------------------------------------- gain
def gain(project: Path, rotation: int = 0, **header: Any) -> Report:
    path = tiny_images.write_mrc(project / "gain.mrc", **({"sections": 1, "mode": 2} | header))
    with path.open("r+b") as handle:  # any number but zero
        handle.seek(1024)
        handle.write(b"\x00\x00\x80\x3f" * ((path.stat().st_size - 1024) // 4))
    return check(project, {"gain": {"file": "gain.mrc", "rotation": rotation}})


def test_gain_that_fits(project: Path) -> None:
    assert gain(project).findings == ()


def test_gain_of_another_size(project: Path) -> None:
    report = gain(project, width=320, height=320)
    assert codes(report) == ["gain-size"]
    assert "320 x 320 pixels, but the movies have 640 x 640" in texts(report)


@pytest.mark.parametrize("rotation, fits", [(0, False), (1, True), (2, False), (3, True)])
def test_gain_on_its_side(project: Path, rotation: int, fits: bool) -> None:
    for path in (project / "Movies").iterdir():
        tiny_images.write_mrc(path, width=720)
    report = gain(project, rotation, width=640, height=720)
    assert codes(report) == ([] if fits else ["gain-size"])
    if not fits:
        assert "lies on its side" in texts(report)


@pytest.mark.parametrize(
    "value, count, severity, words",
    [
        (b"\x00\x00\x80\xbf", 1, "error", "1 negative"),
        (b"\x00\x00\xc0\x7f", 2, "error", "2 values that are no numbers"),
        (b"\x00\x00\x00\x00", 640 * 640, "error", "only zeros"),
        (b"\x00\x00\x00\x00", 9000, "warning", "2.2% of its pixels are zero"),
        (b"\x00\x00\x00\x00", 3, "note", "3 pixels are zero"),
    ],
)
def test_gain_values(project: Path, value: bytes, count: int, severity: str, words: str) -> None:
    gain(project)
    with (project / "gain.mrc").open("r+b") as handle:
        handle.seek(1024)
        handle.write(value * count)
    report = check(project, {"gain": {"file": "gain.mrc"}})
    assert words in texts(report, severity)
    assert report.ok == (severity != "error")


def test_gain_as_tiff(project: Path) -> None:
    pixels = [b"\x00\x00\x80\x3f" * 640 * 640]
    tiny_images.write_tiff(
        project / "gain.tif", width=640, height=640, frames=1, bits=32, sample_format=3,
        pixels=pixels,
    )  # fmt: skip
    assert check(project, {"gain": {"file": "gain.tif"}}).findings == ()
    tiny_images.write_tiff(
        project / "gain.tif", width=640, height=640, frames=1, pixels=[b"?"], compression=5
    )
    assert codes(check(project, {"gain": {"file": "gain.tif"}}), "note") == ["gain-values"]


def eer_project(project: Path, frames: int = 320) -> dict[str, Any]:
    for number in range(3):
        tiny_images.write_eer(project / f"Eer/e{number}.eer", frames=frames)
    return {"movies": "Eer/*.eer", "dose": {"per_frame": 4}, "sample": {"box_size": 180}}


def test_eer_counts_fractions(project: Path) -> None:
    report = check(project, eer_project(project))
    assert report.findings == ()
    assert report.facts["frames"] == 10
    assert codes(check(project, eer_project(project, frames=70))) == ["few-frames"]


def test_eer_is_nothing_for_motioncor2(project: Path) -> None:
    changes = {**eer_project(project), "motion_correction": {"program": "motioncor2"}}
    assert "eer-motioncor2" in codes(check(project, changes))


@pytest.mark.parametrize("side, fits", [(4096, True), (8192, True), (2048, False)])
def test_eer_gain(project: Path, side: int, fits: bool) -> None:
    changes = eer_project(project)
    tiny_images.write_tiff(
        project / "x.gain", width=side, height=side, frames=1, pixels=[b"?"], compression=5
    )
    report = check(project, changes | {"gain": {"file": "x.gain"}})
    assert codes(report) == ([] if fits else ["gain-size"])
    turned = check(project, changes | {"gain": {"file": "x.gain", "rotation": 1}})
    assert codes(turned) == ["gain-format"]


# ---------------------------------------------------------------------------------- maps and tables
@pytest.mark.parametrize(
    "header, words",
    [
        ({"side": 40, "angpix": 4.0}, None),
        ({"side": 20, "angpix": 4.0}, "less than sample.particle_diameter"),
        ({"side": 40, "angpix": 0.0}, "no pixel size"),
    ],
)
def test_reference(project: Path, header: dict[str, Any], words: str | None) -> None:
    tiny_images.write_map(project / "r.mrc", **header)
    report = check(project, {"initial_model": {"reference": "r.mrc"}})
    assert codes(report) == (["bad-map"] if words else [])
    assert (words or "") in texts(report)


def test_reference_must_be_a_cube(project: Path) -> None:
    report = check(project, {"initial_model": {"reference": "Movies/m0.mrcs"}})
    assert codes(report) == ["bad-map"]
    tiny_images.write_map(project / "r:1.mrc")
    assert codes(check(project, {"refine3d": {"mask": "r:1.mrc"}})) == ["odd-names"]


def test_mtf(project: Path) -> None:
    path = project / "mtf.star"
    path.write_text(
        "data_\n\nloop_\n_rlnResolutionInversePixel #1\n_rlnMtfValue #2\n0 1\n0.5 0.5\n"
    )
    assert check(project, {"optics": {"mtf": "mtf.star"}}).findings == ()
    path.write_text("data_\n\nloop_\n_rlnMtfValue #1\n1\n")
    assert "has no rlnResolutionInversePixel" in texts(
        check(project, {"optics": {"mtf": "mtf.star"}})
    )


def test_references(project: Path) -> None:
    def references(**options: Any) -> list[str]:
        picking = {"method": "references", "references": options}
        return codes(check(project, {"picking": picking}))

    tiny_images.write_map(project / "r.mrc", side=40)
    (project / "r.star").write_text("data_\n\nloop_\n_rlnReferenceImage #1\n1@r.mrcs\n")
    assert references(file="r.mrc", is_map=True) == []
    assert references(file="Movies/m0.mrcs") == []
    assert references(file="Movies/m0.mrcs", is_map=True) == ["bad-map"]
    assert references(file="r.star") == []
    (project / "r.star").write_text("data_\n\nloop_\n_rlnOther #1\n1\n")
    assert references(file="r.star") == ["no-columns"]
    short(project / "r.mrc")
    assert references(file="r.mrc") == ["bad-map"]


def test_coordinates(project: Path) -> None:
    changes = {"picking": {"method": "coordinates", "coordinates": "Movies/*_pick.star"}}
    for number in range(3):
        (project / f"Movies/m{number}_pick.star").touch()
    assert check(project, changes).findings == ()
    (project / "Movies/m0_pick.star").unlink()
    assert codes(check(project, changes), "note") == ["coordinates"]
    (project / "Movies/other_pick.star").touch()
    assert codes(check(project, changes), "warning") == ["coordinates"]
    for number in (1, 2):
        (project / f"Movies/m{number}_pick.star").unlink()
    assert "none of the 1 files belongs" in texts(check(project, changes))


PARTICLES = """
data_optics

loop_
_rlnOpticsGroup #1
_rlnVoltage #2
_rlnSphericalAberration #3
_rlnImagePixelSize #4
_rlnImageSize #5
1 300 2.7 1.5 120

data_particles

loop_
_rlnImageName #1
_rlnOpticsGroup #2
_rlnDefocusU #3
_rlnDefocusV #4
000001@P/a.mrcs 1 10000 10000
000002@P/a.mrcs 1 10000 10000
000001@P/b.mrcs 1 10000 10000
"""


def test_particles(project: Path) -> None:
    changes = {"start": "particles", "particles": "p.star", "polishing": {"enabled": False}}
    star = project / "p.star"
    star.write_text(PARTICLES)
    report = check(project, changes)
    assert codes(report) == ["no-stack"]
    assert report.errors[0].files == ("P/a.mrcs", "P/b.mrcs")
    for name in "ab":
        tiny_images.write_mrc(project / f"P/{name}.mrcs", width=120, height=120, mode=2)
    assert check(project, changes).findings == ()
    assert codes(check(project, changes | {"sample": {"particle_diameter": 200}})) == ["diameter"]
    short(project / "P/b.mrcs")
    assert codes(check(project, changes)) == ["unreadable"]
    star.write_text(PARTICLES.replace("_rlnDefocusU #3\n", ""))
    assert "has no rlnDefocusU in its table data_particles" in texts(check(project, changes))
    star.write_text("nothing")
    assert codes(check(project, changes)) == ["no-columns", "no-columns"]


# ------------------------------------------------------------------------------ everything together
def test_all_problems_are_told_at_once(project: Path) -> None:
    short(project / "Movies/m1.mrcs")
    tiny_images.write_mrc(project / "Movies/my x.mrcs", width=320)
    report = check(
        project,
        {
            "optics": {"voltage": 300_000, "amplitude_contrast": "much", "mtf": "mtf.star"},
            "dose": {"per_frame": 36},
            "gain": {"file": "gain.mrc"},
            "ctf": {"boxsize": 512},
        },
    )
    expected = {"config", "odd-names", "unreadable", "mixed-sizes", "voltage", "dose"}
    assert expected | {"gain-unreadable", "no-file"} == set(codes(report))
    assert "amplitude_contrast" in texts(report)
    assert "boxsize" in texts(report)


@pytest.mark.parametrize(
    "config", [{5: 6}, {"optics": 7}, {"a b": 1, "optics": {"c d": 2}}, {"": 1}]
)
def test_any_configuration_gives_findings(project: Path, config: Any) -> None:
    report = check_project(config, project, with_programs=False)
    assert "config" in codes(report)


def test_accepted_errors_are_warnings(project: Path) -> None:
    tiny_images.write_mrc(project / "Movies/x.mrcs", width=320)
    assert "check.accept" in check(project).summary()
    for report in (
        check(project, accept=["mixed-sizes"]),
        check(project, {"check": {"accept": "dose mixed-sizes"}}),
    ):
        assert report.ok
        assert codes(report, "warning") == ["mixed-sizes"]
        assert "(accepted)" in texts(report, "warning")
    assert not check(project, {"dose": {"per_frame": None}}, accept=["config", "mixed-sizes"]).ok


# ----------------------------------------------------------------------------------- project folder
def test_long_project_path(tmp_path: Path) -> None:
    found = [
        list(names.check_project_path(Path("/" + "x" * length), estimates_ctf=ctf))
        for length, ctf in ((178, True), (179, True), (300, False))
    ]
    assert [len(each) for each in found] == [0, 1, 0]
    assert "180 bytes" in found[1][0].what


@pytest.mark.parametrize("name", ["my project", "it's", 'a"b', "a;b", "$HOME", "été", "a#b:c%"])
def test_project_paths_that_work(tmp_path: Path, name: str) -> None:
    assert list(names.check_project_path(tmp_path / name, estimates_ctf=True)) == []


@pytest.mark.parametrize("name", ["a\nb", "a\tb", os.fsdecode(b"a\xff")])
def test_project_paths_that_do_not(tmp_path: Path, name: str) -> None:
    found = list(names.check_project_path(tmp_path / name, estimates_ctf=True))
    assert [each.code for each in found] == ["project-path"]
    found[0].where.encode("ascii")


def test_disk_space(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(project)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert codes(check(project), "warning") == ["disk-space"]
    (project / "MotionCorr/job002").mkdir(parents=True)  # its room is taken already
    assert check(project).findings == ()


def test_project_that_cannot_be_written(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    assert codes(check(project)) == ["not-writable"]


# ----------------------------------------------------------------------------------------- programs
@pytest.fixture
def no_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the only one on PATH."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    monkeypatch.setenv("PATH", str(bin_))
    monkeypatch.setattr("sys.executable", str(bin_ / "python"))
    for name in ("RELION_CTFFIND_EXECUTABLE", "RELION_MOTIONCOR2_EXECUTABLE"):
        monkeypatch.delenv(name, raising=False)
    return bin_


def program(path: Path, prints: str = "") -> Path:
    path.write_text(f"#!/bin/sh\necho '{prints}'\n")
    path.chmod(0o755)
    return path


def test_missing_programs(project: Path, no_programs: Path) -> None:
    report = check(project, with_programs=True)
    assert set(codes(report)) == {"relion-version", "no-program"}
    for word in ("relion_run_motioncorr (motion correction)", "mpirun", "apt install relion"):
        assert word in texts(report)
    assert programs.BUILTIN_CTF in texts(report)
    assert codes(report, "warning") == ["no-ghostscript"]
    assert report.versions["RELION"] == "not found"


def test_relion_may_be_in_the_jobs_only(project: Path, no_programs: Path) -> None:
    program(no_programs / programs.BUILTIN_CTF)
    for program_ in ("builtin", "ctffind4"):
        changes = {"relion_version": "4.0", "ctf": {"program": program_}}
        report = check(project, changes, with_programs=True)
        assert report.ok
        assert codes(report, "warning") == ["relion-elsewhere"]


def test_relion_of_another_version(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "installed", lambda: Version.parse("5.0.0"))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    report = check(
        project, {"relion_version": "3.1", "class3d": {"blush": True}}, with_programs=True
    )
    assert codes(report) == ["relion-version", "relion-version"]
    assert "class3d.blush: true is not for RELION 3.1" in texts(report)
    assert "the RELION on PATH is 5.0.0" in texts(report)


@pytest.mark.parametrize(
    "changes, name, variable",
    [
        ({"ctf": {"program": "ctffind4"}}, "CTFFIND4", "RELION_CTFFIND_EXECUTABLE"),
        ({"ctf": {"program": "gctf"}}, "Gctf", "RELION_GCTF_EXECUTABLE"),
        (
            {"motion_correction": {"program": "motioncor2"}},
            "MotionCor2",
            "RELION_MOTIONCOR2_EXECUTABLE",
        ),
    ],
)
def test_external_programs(
    no_programs: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: Mapping[str, Any],
    name: str,
    variable: str,
) -> None:
    chosen, _ = run.load(settings.merge(GOOD, changes))

    def found() -> list[str]:
        return [f.what for f in programs.check_externals(chosen, None) if f.where == name]

    assert "says where it is" in found()[0]
    monkeypatch.setenv(variable, str(no_programs / "tool"))
    assert "is not there" in found()[0]
    program(no_programs / "tool", "Version : 4.1.14 --")
    assert found() == []
    assert provenance.found_versions(chosen, None)[name] == f"4.1.14 ({no_programs / 'tool'})"


@pytest.mark.parametrize(
    "built, wrong",
    [
        ("BASE=double", True),
        ("BASE=double, CUDA-ACC=single", False),
        ("BASE=double, HIP-ACC=", False),
    ],
)
def test_motioncor2_needs_relion_with_cuda(no_programs: Path, built: str, wrong: bool) -> None:
    program(no_programs / "relion_run_motioncorr", f"RELION version: 4.0.1 Precision: {built}")
    motion = {"program": "motioncor2", "executable": str(program(no_programs / "MotionCor2"))}
    chosen, _ = run.load(settings.merge(GOOD, {"motion_correction": motion}))
    found = [each.code for each in programs.check_externals(chosen, None)]
    assert ("no-cuda" in found) == wrong


def test_external_program_of_an_odd_name(no_programs: Path) -> None:
    tool = program(no_programs / "my tool")
    chosen, _ = run.load(
        settings.merge(GOOD, {"ctf": {"program": "ctffind4", "executable": str(tool)}})
    )
    assert "odd-names" in [each.code for each in programs.check_externals(chosen, None)]


def test_programs_of_the_steps_in_use() -> None:
    old, new = Version.parse("3.1.3"), Version.parse("5.0.0")
    chosen, _ = run.load(GOOD)
    wanted = set(programs.relion_programs(chosen, old))
    assert {"relion_run_motioncorr", "relion_refine_mpi", "relion_motion_refine"} <= wanted
    assert "relion_align_symmetry" not in wanted
    assert "relion_align_symmetry" in programs.relion_programs(chosen, new)
    less, _ = run.load(settings.merge(GOOD, {"refine3d": {"enabled": False}, "start": "particles"}))
    left = set(programs.relion_programs(less, old))
    assert not left & {"relion_refine_mpi", "relion_run_motioncorr", "relion_motion_refine"}


# ------------------------------------------------------------------------- many movies, box, report
def test_ten_times_the_movies_take_ten_times_the_work(project: Path) -> None:
    original = project / "Movies/m0.mrcs"
    work = []
    for first, last in ((0, 197), (197, 1997)):
        for number in range(first, last):
            os.link(original, project / f"Movies/n{number:05d}.mrcs")
        with cProfile.Profile() as profile:
            report = check(project)
        assert report.ok
        assert report.facts["movies"] == last + 3
        work.append(sum(each.callcount for each in profile.getstats()))
    assert work[1] < 11 * work[0]


def test_of_many_tiffs_a_sample_and_the_odd_ones_are_walked(project: Path) -> None:
    original = tiny_images.write_tiff(project / "Tif/a.tif", width=640, height=640, frames=12)
    for number in range(movies.WALKED + 100):
        os.link(original, project / f"Tif/n{number:05d}.tif")
    bad = project / "Tif/n00007.tif"
    bad.unlink()
    bad.write_bytes(original.read_bytes()[:2_000_000])
    report = check(project, {"movies": "Tif/*.tif"})
    assert codes(report) == ["unreadable"]
    assert report.errors[0].files == ("Tif/n00007.tif",)
    assert "200 of 300 files" in texts(report, "note") or "sample" in texts(report, "note")


def test_frames_of_many_tiffs_are_those_of_the_sample(project: Path) -> None:
    original = tiny_images.write_tiff(project / "Tif/a.tif", width=640, height=640, frames=12)
    for number in range(2 * movies.WALKED + 100):
        os.link(original, project / f"Tif/n{number:05d}.tif")
    report = check(project, {"movies": "Tif/*.tif", "dose": {"per_frame": 60.0}})
    assert report.facts["frames"] == 12
    assert "dose" in codes(report)


def test_an_option_that_stands_twice(project: Path) -> None:
    text = (
        "gain:\n  file: a.mrc\nsizing: {ctf: {nproc: 1}, picking: {nproc: 1}}\ngain:\n  flip: 1\n"
    )
    (project / "config.yaml").write_text(text)
    report = check(project)
    assert codes(report) == ["config"]
    assert texts(report).startswith("config.yaml:4: gain stands here again: line 1 counts for")


def test_near_misses_one_folder_down(project: Path) -> None:
    tiny_images.write_mrc(project / "Raw/grid1/a.mrcs")
    assert "one folder down, such as Raw/grid1/a.mrcs" in movies.near_misses("Raw/*.mrcs", project)


@pytest.mark.parametrize(
    "diameter, angpix, box", [(140, 3.5, 56), (200, 0.83, 350), (180, 1.06, 240), (10, 3.0, 16)]
)
def test_suggested_boxes(diameter: float, angpix: float, box: int) -> None:
    assert geometry.suggest_box(diameter, angpix) == box
    assert geometry.largest_factor(box) <= 7


def test_report_on_disk(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    config = project / "config.yaml"
    config.write_text(yaml.safe_dump(settings.merge(GOOD, {"dose": {"per_frame": 36}})))
    monkeypatch.setattr(programs, "check_relion", lambda *_: [])
    monkeypatch.setattr(programs, "check_externals", lambda *_: [])
    assert __main__.main(["--config", "config.yaml"]) == 2
    report = json.loads((project / ".relion_dispatch/check.json").read_text())
    assert report["ok"] is False
    assert [each["code"] for each in report["findings"]] == ["dose"]
    assert report["versions"]["relion-dispatch"]
    text = (project / ".relion_dispatch/check.txt").read_text()
    assert text.startswith("ERROR: dose.per_frame: ")
    assert "nothing was started" in text
    effective = yaml.safe_load((project / ".relion_dispatch/config.yaml").read_text())
    assert effective["dose"] == {"per_frame": 36.0, "pre_exposure": 0.0}
    assert settings.load(effective) == run.load(effective)[0]
    assert __main__.main(["--config", "config.yaml", "--accept", "dose"]) == 0


def test_unreadable_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["--config", str(tmp_path / "none.yaml")]) == InputError.exit_code
    assert "none.yaml" in capsys.readouterr().err
