"""What SerialEM and EPU note beside their movies, and what a new project makes of it.

The ``.mdoc`` texts follow SerialEM's help (http://bio3d.colorado.edu/SerialEM/hlp/html/about_formats.htm)
and the script ``.mdoc`` that its plugin saves with each movie. The XML follows EPU's
``MicroscopeImage`` (name space ``Fei.SharedObjects``), of which no description is published: the
parts that public readers of these files agree on, with values made up.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch import cli, init
from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import proposal
from relion_dispatch.pipeline.configtext import fill_in
from relion_dispatch.pipeline.proposal import Draft, Wishes
from relion_dispatch.pipeline.records import beside, epu, mdoc
from relion_dispatch.pipeline.records.record import Record
from tests.unit import tiny_images
from tests.unit.test_init import run

FRAMES_MDOC = """\
T = SerialEM: Acquired on Titan Krios
Voltage = 300

[FrameSet = 0]
TiltAngle = 0.00999877
StagePosition = 24.2868 -41.113
Magnification = 105000
ExposureDose = {dose}
DoseRate = 15.2
PixelSpacing = {angpix}
SpotSize = 8
Defocus = -3.33245
RotationAngle = -94.0936
ExposureTime = 2.5
Binning = {binning}
CameraIndex = 1
DividedBy2 = 0
CountsPerElectron = 32
TargetDefocus = -2.2
SubFramePath = X:\\session\\frames\\{movie}
NumSubFrames = {frames}
FrameDosesAndNumber = {doses}
DateTime = 23-Dec-17  13:20:32
GainReference = {gain}
"""
EPU_XML = """<?xml version="1.0" encoding="utf-8"?>
<MicroscopeImage xmlns="http://schemas.datacontract.org/2004/07/Fei.SharedObjects"
 xmlns:i="http://www.w3.org/2001/XMLSchema-instance">
<CustomData xmlns:a="http://schemas.microsoft.com/2003/10/Serialization/Arrays">
<a:KeyValueOfstringanyType><a:Key>DetectorCommercialName</a:Key>
<a:Value xmlns:b="http://www.w3.org/2001/XMLSchema" i:type="b:string">Falcon 4i</a:Value>
</a:KeyValueOfstringanyType>
<a:KeyValueOfstringanyType><a:Key>{key}</a:Key>
<a:Value xmlns:b="http://www.w3.org/2001/XMLSchema" i:type="b:double">{dose}</a:Value>
</a:KeyValueOfstringanyType></CustomData>
<SpatialScale><pixelSize><x><numericValue>{metres}</numericValue></x></pixelSize></SpatialScale>
<microscopeData><acquisition><camera><ExposureTime>2.0</ExposureTime>
<ReadoutArea xmlns:a="http://schemas.datacontract.org/2004/07/System.Drawing">
<a:height>{width}</a:height><a:width>{width}</a:width></ReadoutArea></camera></acquisition>
<gun><AccelerationVoltage>{volts}</AccelerationVoltage></gun></microscopeData></MicroscopeImage>"""
EXPOSURE = "FoilHole_28_Data_29_31_20240105_113041"


def frames_mdoc(path: Path, **values: object) -> Path:
    usual: dict[str, object] = {
        "dose": 36, "angpix": 1.5, "binning": 1, "movie": path.name.removesuffix(".mdoc"),
        "frames": 12, "doses": "3 12", "gain": "",
    }  # fmt: skip
    path.write_text(FRAMES_MDOC.format(**usual | values))
    return path


def epu_xml(path: Path, **values: object) -> Path:
    usual = {"key": "Dose", "dose": "3.6E+21", "metres": "1.5E-10", "width": 640, "volts": 300000}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(EPU_XML.format(**usual | values))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Movies of 640 pixels and 12 frames without a pixel size in their headers."""
    for number in range(3):
        tiny_images.write_mrc(tmp_path / f"data/m{number}.mrcs", angpix=1.0)
    return tmp_path / "data"


def propose(data: Path, **wishes: Any) -> Draft:
    return proposal.propose(Wishes(movies=str(data), here=False, **wishes), data.parent / "project")


# ------------------------------------------------------------------------------------- SerialEM


def test_a_record_of_frames_is_read(tmp_path: Path) -> None:
    path = frames_mdoc(tmp_path / "m0.tif.mdoc", doses="1.2 10 0.9 20", frames=30, dose=30.1,
                       binning=0.5, angpix=0.694291, gain="C:\\refs\\CountRefGain.mrc")  # fmt: skip
    (record,) = mdoc.read(path)
    assert record.voltage_kv == 300
    assert (record.angpix, record.super_resolution) == (0.694291, True)
    assert (record.frames, record.dose) == (30, 30.1)
    assert record.dose_per_frame == pytest.approx(1.0)
    assert record.uneven_dose
    assert (record.gain, record.movie) == ("CountRefGain.mrc", "m0.tif")


def test_a_record_of_many_movies_has_a_section_for_each(tmp_path: Path) -> None:
    path = tmp_path / "frames.mdoc"
    texts = [
        FRAMES_MDOC.format(
            dose=10 * n, angpix=1, binning=1, movie=f"m{n}.tif", frames=10, doses=f"{n} 10", gain=""
        )
        for n in (1, 2)
    ]
    path.write_text(texts[0] + texts[1].partition("\n\n")[2])
    assert [(each.movie, each.dose) for each in mdoc.read(path)] == [("m1.tif", 10), ("m2.tif", 20)]


def test_what_serialem_does_not_know_is_not_taken(tmp_path: Path) -> None:
    path = frames_mdoc(tmp_path / "m.mdoc", dose=0, doses="0 12", angpix=0)
    (record,) = mdoc.read(path)
    assert (record.dose, record.dose_per_frame, record.angpix) == (None, None, None)


@given(st.text())
def test_any_text_can_be_read_as_mdoc(text: str) -> None:
    for section in mdoc.parse(text).sections:
        assert all(isinstance(value, str) for value in section.values())


# ------------------------------------------------------------------------------------------ EPU


@pytest.mark.parametrize(
    "key, dose, expected",
    [
        ("Dose", "3.6E+21", 36.0),
        ("Detectors[EF-Falcon].TotalDose", "41.6", 41.6),
        ("AppliedDefocus", "-2E-06", None),
    ],
)
def test_an_exposure_s_xml_is_read(
    tmp_path: Path, key: str, dose: str, expected: float | None
) -> None:
    (record,) = epu.read(epu_xml(tmp_path / "a.xml", key=key, dose=dose))
    assert record.voltage_kv == 300
    assert record.angpix == pytest.approx(1.5)
    assert record.width == 640
    assert record.dose == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    "text", ["", "<a/>", "<MicroscopeImage>", "<!DOCTYPE a><MicroscopeImage/>", "MicroscopeImage"]
)
def test_other_xml_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    assert epu.read(tmp_path / "a.xml") == ()


# --------------------------------------------------------------------------------- which record


@pytest.mark.parametrize(
    "movie, record",
    [
        ("data/m.tif", "data/m.tif.mdoc"),
        ("data/m.tif", "data/m.mdoc"),
        (f"data/Data/{EXPOSURE}_fractions.tiff", f"data/Data/{EXPOSURE}.xml"),
        (f"data/Data/{EXPOSURE}_EER.eer", f"data/{EXPOSURE}.xml"),
    ],
)
def test_records_are_found_beside_movies(tmp_path: Path, movie: str, record: str) -> None:
    path = tmp_path / record
    path.parent.mkdir(parents=True)
    made = epu_xml(path) if record.endswith("xml") else frames_mdoc(path, movie="m.tif")
    names = [str(Path(movie).relative_to("data"))]
    found = beside.look(tmp_path / "data", names)
    assert found.record is not None
    assert found.record.path == made


def test_another_movie_s_record_is_not_taken(tmp_path: Path) -> None:
    frames_mdoc(tmp_path / "all.mdoc", movie="other.tif")
    text = (tmp_path / "all.mdoc").read_text()
    (tmp_path / "all.mdoc").write_text(text + text.partition("\n\n")[2])
    assert beside.look(tmp_path, ["m.tif"]).record is None


def test_a_map_s_record_is_not_taken_for_movies(tmp_path: Path) -> None:
    frames_mdoc(tmp_path / "atlas.st.mdoc", angpix=212)
    assert beside.look(tmp_path, ["m.tif"]).record is None
    frames_mdoc(tmp_path / "frames.mdoc", movie="m.tif")
    found = beside.look(tmp_path, ["m.tif"]).record
    assert found is not None
    assert found.angpix == 1.5


def test_records_that_differ_are_told(tmp_path: Path) -> None:
    for number, angpix in enumerate((1.0, 1.001, 0.8)):
        frames_mdoc(tmp_path / f"m{number}.tif.mdoc", angpix=angpix)
    found = beside.look(tmp_path, [f"m{number}.tif" for number in range(3)])
    assert found.record is not None
    assert (found.record.angpix, found.record.voltage_kv) == (None, 300)
    assert "differ in pixel size: 0.8 to 1.001" in found.troubles[0]


@pytest.mark.parametrize(
    "record, width, expected",
    [
        ({"angpix": 1.0}, 4000, (1.0, 1)),
        ({"angpix": 1.0, "width": 4000}, 4000, (1.0, 1)),
        ({"angpix": 1.0, "width": 4000}, 8000, (0.5, 2)),
        ({"angpix": 0.5, "super_resolution": True}, 8000, (0.5, 2)),
        ({"angpix": 1.0, "width": 4000}, 5000, (None, 1)),
        ({"width": 4000}, 4000, (None, 1)),
    ],
)
def test_pixel_sizes_follow_the_width(
    record: dict[str, Any], width: int, expected: tuple[float | None, int]
) -> None:
    assert Record(path=Path("a"), **record).angpix_of(width) == expected


# --------------------------------------------------------------------------------- new projects


def test_numbers_come_from_the_records(data: Path) -> None:
    for number in range(3):
        frames_mdoc(data / f"m{number}.mrcs.mdoc", binning=0.5)
    draft = propose(data, options={"optics.voltage": 200.0, "sample.particle_diameter": 120.0})
    assert draft.values["optics.voltage"] == 200.0, "what is given wins"
    assert draft.values["optics.pixel_size"] == 1.5
    assert draft.values["dose.per_frame"] == 3
    assert draft.values["motion_correction.bin_factor"] == 2
    assert draft.values["sample.box_size"] == 56
    assert draft.why["dose.per_frame"] == "m0.mrcs.mdoc"
    assert draft.why["optics.voltage"] == "given"
    assert "dose.per_frame: 3, from m0.mrcs.mdoc" in draft.told


def test_the_movies_own_number_of_frames_counts(data: Path) -> None:
    for number in range(3):
        frames_mdoc(data / f"m{number}.mrcs.mdoc", frames=24, doses="1.5 24")
    assert propose(data).values["dose.per_frame"] == 3


def test_eer_movies_get_the_dose_of_a_fraction(tmp_path: Path) -> None:
    tiny_images.write_eer(tmp_path / f"data/{EXPOSURE}_EER.eer", frames=320)
    epu_xml(tmp_path / f"data/{EXPOSURE}.xml", width=4096)
    draft = propose(tmp_path / "data")
    assert draft.values["dose.per_frame"] == pytest.approx(3.6)
    assert draft.values["optics.pixel_size"] == pytest.approx(1.5)


def test_a_record_of_another_image_gives_no_pixel_size(data: Path) -> None:
    for number in range(3):
        epu_xml(data / f"m{number}.xml", width=1000)
    draft = propose(data)
    assert "optics.pixel_size" not in draft.values
    assert any("is about an image of 1000 pixels" in sentence for sentence in draft.told)


def test_records_elsewhere_are_named(data: Path, tmp_path: Path) -> None:
    epu_xml(tmp_path / "metadata/GridSquare_1/m0.xml")
    assert propose(data, records=str(tmp_path / "metadata")).values["optics.voltage"] == 300
    file = frames_mdoc(tmp_path / "session.mdoc")
    assert propose(data, records=str(file)).values["dose.per_frame"] == 3
    for wrong in ("nowhere", "data"):
        with pytest.raises(InputError):
            propose(data, records=str(tmp_path / wrong))


@pytest.mark.parametrize(
    "gain, there, told",
    [
        ("SuperRef.mrc", True, "named in m0.mrcs.mdoc"),
        ("SuperRef.mrc", False, "which is not there"),
        ("SuperRef.dm4", True, "dm2mrc"),
    ],
)
def test_the_gain_that_a_record_names(data: Path, gain: str, *, there: bool, told: str) -> None:
    for number in range(3):
        frames_mdoc(data / f"m{number}.mrcs.mdoc", gain=f"X:\\refs\\{gain}")
    if there:
        tiny_images.write_mrc(data / gain, sections=1, mode=2)
    draft = propose(data)
    assert ("gain.file" in draft.values) == (there and gain.endswith(".mrc"))
    assert any(told in sentence for sentence in (*draft.told, *draft.undecided))


def test_a_gain_on_its_side_is_told(tmp_path: Path) -> None:
    tiny_images.write_mrc(tmp_path / "data/m.mrcs", width=640, height=500)
    tiny_images.write_mrc(tmp_path / "data/gain.mrc", width=500, height=640, sections=1, mode=2)
    assert any("lies on its side" in sentence for sentence in propose(tmp_path / "data").told)


def test_a_project_from_records_needs_no_editing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        frames_mdoc(data / f"m{number}.mrcs.mdoc")
    assert run(tmp_path / "project", "--movies", data, "--diameter=120") == 0
    text = (tmp_path / "project/config.yaml").read_text()
    written = yaml.safe_load(text)
    assert written["optics"]["voltage"] == 300
    assert written["dose"]["per_frame"] == 3
    for line in (
        r"^  voltage: 300 +# \[m0.mrcs.mdoc\] kV$",
        r"^  particle_diameter: 120 +# \[given\] Å; diameter",
        r"^  symmetry: C1 +# \[assumed\] point group$",
        r"^  box_size: 112 +# \[1.4 times the diameter\] px",
    ):
        assert re.search(line, text, re.MULTILINE), line
    assert "the defaults are assumed" in capsys.readouterr().out


def test_reasons_are_written_once() -> None:
    text = "a:\n  b: 1  # [given] words\n"
    assert fill_in(text, {"a.b": 2}, {"a.b": "chosen"}) == "a:\n  b: 2  # [chosen] words\n"
    assert fill_in("a: 1\n", {"a": 2}, {"a": "chosen"}) == "a: 2  # [chosen]\n"


# ------------------------------------------------------------------------------------- questions


def test_missing_numbers_are_told_with_their_flags(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "project", "--movies", data, "--voltage=300") == InputError.exit_code
    told = capsys.readouterr().out
    assert "Missing: --pixel-size Å, --dose-per-frame e/Å², --diameter Å." in told


def test_what_is_missing_is_asked_for(data: Path) -> None:
    asked = []

    def ask(option: str) -> float | str | None:
        asked.append(option)
        answers: dict[str, float | str] = {"optics.voltage": 300.0, "sample.symmetry": "D2"}
        return answers.get(option)

    draft = propose(data, options={"optics.pixel_size": 1.5}, ask=ask)
    assert asked == [
        "optics.voltage",
        "dose.per_frame",
        "sample.particle_diameter",
        "sample.symmetry",
    ]
    assert draft.values["optics.voltage"] == 300
    assert draft.values["sample.symmetry"] == "D2"
    assert "dose.per_frame" not in draft.values


def test_answers_are_asked_for_until_they_make_sense(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter(["many", "-3", "300 kV", "", "d7"])
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    assert init._ask("optics.voltage") == 300
    assert capsys.readouterr().out.count("is no such number") == 2
    assert init._ask("dose.per_frame") is None
    assert init._ask("sample.symmetry") == "d7"


def test_ctrl_d_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", ended)
    assert init._ask("optics.voltage") is init._ask("sample.symmetry") is None


def test_ctrl_c_ends_a_command_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("relion_dispatch.pipeline.proposal.propose", interrupted)
    assert cli.main(["init", str(tmp_path / "project")]) == 130
    assert capsys.readouterr().err == "relion-dispatch: interrupted\n"


def test_nobody_is_asked_without_a_terminal(data: Path, tmp_path: Path) -> None:
    # Input of these tests is no terminal; a question would raise EOFError or hang.
    assert run(tmp_path / "project", "--movies", data) == InputError.exit_code
