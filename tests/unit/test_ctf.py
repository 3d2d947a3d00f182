"""The built-in CTF estimator: model, fit, dialog, files and errors."""

from __future__ import annotations

import io
import math
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch.ctf import main
from relion_dispatch.ctf.dialog import Dialog, parse
from relion_dispatch.ctf.estimate import Fit, estimate
from relion_dispatch.ctf.model import (
    Ctf,
    Optics,
    defocus_phase,
    equiphase_k2,
    phase,
    wavelength,
)
from relion_dispatch.ctf.quality import Quality, assess
from relion_dispatch.ctf.search import Search
from relion_dispatch.ctf.spectrum import Spectrum, from_amplitudes, from_frames, grid
from relion_dispatch.errors import InputError
from tests.thon_rings import (
    KRIOS,
    Rings,
    amplitude_image,
    micrograph,
    power_spectrum,
    write_mrc,
)

pytestmark = pytest.mark.slow

TALOS = Optics(voltage_kv=200.0, cs_mm=2.7, amplitude_contrast=0.07)
SEARCH = Search(
    min_resolution=30.0,
    max_resolution=5.0,
    min_defocus=5000.0,
    max_defocus=50000.0,
    defocus_step=500.0,
    astigmatism_tolerance=500.0,
)
DEGREE = math.pi / 180


def ctf(mean: float, astigmatism: float, angle: float, phase_shift: float = 0.0) -> Ctf:
    return Ctf(
        defocus_u=mean + astigmatism / 2,
        defocus_v=mean - astigmatism / 2,
        angle_deg=angle,
        phase_shift=phase_shift,
    )


def fit(spectrum: Spectrum, search: Search = SEARCH, optics: Optics = KRIOS) -> Fit:
    return estimate(spectrum, grid(spectrum), optics, search)


def quality(spectrum: Spectrum, search: Search = SEARCH) -> Quality:
    pixels = grid(spectrum)
    return assess(spectrum, pixels, KRIOS, estimate(spectrum, pixels, KRIOS, search))


def mean_defocus(estimate_: Ctf) -> float:
    return estimate_.components[0]


def astigmatism_error(found: Ctf, true: Ctf) -> float:
    """How far apart two astigmatisms are in Å, as vectors that know no -90 or 90 degrees."""
    _, cos2, sin2 = found.components
    _, true_cos2, true_sin2 = true.components
    return 2 * math.hypot(cos2 - true_cos2, sin2 - true_sin2)


# --- model ---


@pytest.mark.parametrize(
    "voltage_kv, angstrom", [(100.0, 0.037014), (200.0, 0.025079), (300.0, 0.019687)]
)
def test_wavelength_has_the_textbooks_values(voltage_kv: float, angstrom: float) -> None:
    assert wavelength(voltage_kv) == pytest.approx(angstrom, abs=1e-6)


def test_first_zero_without_aberration_is_at_one_over_root_lambda_defocus() -> None:
    optics = Optics(voltage_kv=300.0, cs_mm=0.0, amplitude_contrast=0.0)
    k2 = np.array([1 / (optics.wavelength * 15000)])
    gamma = phase(optics, ctf(15000, 0, 0), k2, np.ones(1), np.zeros(1))
    assert gamma == pytest.approx(math.pi)


def test_aberration_and_amplitude_contrast_add_their_textbook_phases() -> None:
    k2 = np.array([0.04])
    lam = wavelength(300.0)
    expected = (
        math.pi * lam * 15000 * 0.04
        - math.pi / 2 * 2.7e7 * lam**3 * 0.04**2
        + math.atan2(0.1, math.sqrt(1 - 0.1**2))
        + 0.5
    )
    gamma = phase(KRIOS, ctf(15000, 0, 0, phase_shift=0.5), k2, np.ones(1), np.zeros(1))
    assert gamma == pytest.approx(expected)


def test_defocus_u_lies_along_the_angle() -> None:
    true = ctf(15000, 1000, 30)
    k2 = np.array([0.01, 0.01])
    direction = 2 * np.radians([30.0, 120.0])
    gamma = phase(KRIOS, true, k2, np.cos(direction), np.sin(direction))
    offset = KRIOS.amplitude_phase
    expected = defocus_phase(KRIOS, np.array([15500.0, 14500.0]), k2) + offset
    assert gamma == pytest.approx(expected)


@given(
    st.floats(5000, 50000),
    st.floats(1, 3000),
    st.floats(-89.9, 89.9),
    st.floats(0, 3),
)
def test_components_and_back_is_the_same_ctf(
    mean: float, astigmatism: float, angle: float, phase_shift: float
) -> None:
    true = ctf(mean, astigmatism, angle, phase_shift)
    again = Ctf.from_components(*true.components, phase_shift)
    assert again.defocus_u == pytest.approx(true.defocus_u)
    assert again.defocus_v == pytest.approx(true.defocus_v)
    assert again.angle_deg == pytest.approx(true.angle_deg, abs=1e-6)


@given(st.floats(3000, 50000), st.floats(0, 5))
def test_equal_phase_lies_at_the_same_frequency_without_astigmatism(
    defocus: float, cs_mm: float
) -> None:
    optics = replace(KRIOS, cs_mm=cs_mm)
    k2 = np.linspace(0, 0.03, 7)
    assert equiphase_k2(optics, defocus, defocus_phase(optics, defocus, k2)) == pytest.approx(k2)


# --- spectra ---


@pytest.mark.parametrize("shape", [(512, 512), (700, 600)])
@pytest.mark.parametrize("max_tile", [256, 2048])
def test_a_wave_appears_at_its_frequency(
    shape: tuple[int, int], max_tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relion_dispatch.ctf.spectrum.MAX_TILE", max_tile)
    x = np.arange(shape[1])
    y = np.arange(shape[0])[:, None]
    image = np.cos(2 * np.pi * (0.06 * x + 0.09 * y)) + 5.0
    spectrum = from_frames([image], 2.0, 256, 5.0)
    row, column = np.unravel_index(np.argmax(spectrum.power), spectrum.power.shape)
    pixels = grid(spectrum)
    assert spectrum.size == 256
    assert spectrum.angpix == pytest.approx(2.0)
    assert pixels.k[row, column] == pytest.approx(math.hypot(0.06, 0.09) / 2, abs=spectrum.step)
    assert pixels.direction[row, column] == pytest.approx(math.atan2(0.09, 0.06), abs=0.03)


def test_fine_pixels_are_binned_as_ctffind_does() -> None:
    image = np.random.default_rng(1).normal(size=(800, 800))
    assert from_frames([image], 0.7, 256, 5.0).angpix == pytest.approx(1.4)
    assert from_frames([image], 0.7, 256, 2.0).angpix == pytest.approx(1.0)
    assert from_frames([image], 1.6, 256, 2.0).angpix == pytest.approx(1.6)


def test_an_image_smaller_than_the_box_gives_a_smaller_spectrum() -> None:
    image = np.random.default_rng(1).normal(size=(301, 250))
    assert from_frames([image], 2.0, 512, 5.0).size == 250


def test_white_noise_has_a_flat_spectrum() -> None:
    image = np.random.default_rng(2).normal(size=(1024, 1024))
    spectrum = from_frames([image], 1.4, 128, 5.0)
    pixels = grid(spectrum)
    inner = spectrum.power[pixels.off_axes & (pixels.k < 0.15)].mean()
    outer = spectrum.power[pixels.off_axes & (pixels.k > 0.25)].mean()
    assert inner == pytest.approx(outer, rel=0.02)


def test_amplitude_spectrum_is_taken_over_unchanged() -> None:
    spectrum = power_spectrum(ctf(15000, 500, 20), Rings(), 3)
    again = from_amplitudes(amplitude_image(spectrum), 1.4)
    assert again.power[:, 1:-1] == pytest.approx(spectrum.power[:, 1:-1])


@pytest.mark.parametrize("shape", [(256, 254), (255, 255)])
def test_odd_amplitude_spectra_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=f"{shape[1]} x {shape[0]}"):
        from_amplitudes(np.ones(shape), 1.4)


# --- estimates ---


@pytest.mark.parametrize("mean", [7000.0, 12000.0, 18000.0, 28000.0, 40000.0])
@pytest.mark.parametrize("astigmatism, angle", [(0, 0), (300, 70), (900, -35)])
def test_defocus_and_astigmatism_are_found(mean: float, astigmatism: float, angle: float) -> None:
    true = ctf(mean, astigmatism, angle)
    result = fit(power_spectrum(true, Rings(), int(mean + angle)))
    error = mean_defocus(result.ctf) - mean
    assert abs(error) < 0.004 * mean
    assert abs(error) < 4 * result.refined.defocus_error
    assert astigmatism_error(result.ctf, true) < 200


@pytest.mark.parametrize(
    "rings, tolerance",
    [
        (Rings(averages=4), 0.01),
        (Rings(contrast=0.3), 0.01),
        (Rings(bfactor=200.0), 0.01),
        (Rings(contrast=5.0, bfactor=20.0), 0.001),
    ],
)
def test_noise_and_faint_rings_cost_accuracy_only(rings: Rings, tolerance: float) -> None:
    errors = [
        mean_defocus(fit(power_spectrum(ctf(15000, 200, 10), rings, seed)).ctf) / 15000 - 1
        for seed in range(5)
    ]
    assert math.sqrt(np.mean(np.square(errors))) < tolerance


def test_other_microscopes_and_pixel_sizes() -> None:
    true = ctf(16000, 400, 50)
    spectrum = power_spectrum(true, Rings(), 5, optics=TALOS, angpix=2.1)
    result = fit(spectrum, optics=TALOS)
    assert mean_defocus(result.ctf) == pytest.approx(16000, rel=0.004)


def test_large_astigmatism_needs_the_exhaustive_search_and_no_restraint() -> None:
    true = ctf(18000, 3000, -60)
    free = replace(SEARCH, astigmatism_tolerance=None)
    result = fit(power_spectrum(true, Rings(), 6), free)
    assert mean_defocus(result.ctf) == pytest.approx(18000, rel=0.005)
    assert astigmatism_error(result.ctf, true) < 200


def test_fast_search_finds_ordinary_micrographs() -> None:
    result = fit(power_spectrum(ctf(14000, 300, 5), Rings(), 7), replace(SEARCH, exhaustive=False))
    assert mean_defocus(result.ctf) == pytest.approx(14000, rel=0.004)


def test_the_restraint_holds_astigmatism_back() -> None:
    spectrum = power_spectrum(ctf(15000, 1000, 0), Rings(contrast=0.3, averages=8), 8)
    sizes = []
    for tolerance in (20.0, 200.0, None):
        found = fit(spectrum, replace(SEARCH, astigmatism_tolerance=tolerance)).ctf
        sizes.append(found.defocus_u - found.defocus_v)
    assert sizes[0] < sizes[1] < sizes[2]
    assert sizes[0] < 100


@pytest.mark.parametrize(
    "degrees, exhaustive", [(0, False), (30, False), (90, True), (150, False), (178, False)]
)
def test_phase_shift_is_found(degrees: int, *, exhaustive: bool) -> None:
    shifts = tuple(i * 10 * DEGREE for i in range(19))
    true = ctf(14000, 200, 10, degrees * DEGREE)
    rings = Rings(contrast=1.0, bfactor=40.0)
    search = replace(SEARCH, phase_shifts=shifts, exhaustive=exhaustive)
    result = fit(power_spectrum(true, rings, degrees), search)
    off = (result.ctf.phase_shift / DEGREE - degrees + 90) % 180 - 90
    assert abs(off) < 10
    assert mean_defocus(result.ctf) == pytest.approx(14000, rel=0.012)
    assert -1e-9 <= result.ctf.phase_shift <= math.pi + 1e-9


def test_a_single_phase_shift_is_taken_as_known() -> None:
    true = ctf(14000, 200, 10, 90 * DEGREE)
    result = fit(power_spectrum(true, Rings(), 9), replace(SEARCH, phase_shifts=(90 * DEGREE,)))
    assert result.ctf.phase_shift == 90 * DEGREE
    assert mean_defocus(result.ctf) == pytest.approx(14000, rel=0.004)


def test_defocus_stays_in_the_searched_range() -> None:
    spectrum = power_spectrum(ctf(30000, 0, 0), Rings(), 10)
    search = replace(SEARCH, min_defocus=5000.0, max_defocus=20000.0)
    assert 4500 <= mean_defocus(fit(spectrum, search).ctf) <= 20500


def test_a_range_of_one_defocus_is_a_range() -> None:
    search = replace(SEARCH, min_defocus=15000.0, max_defocus=15000.0)
    result = fit(power_spectrum(ctf(15100, 100, 0), Rings(), 11), search)
    assert mean_defocus(result.ctf) == pytest.approx(15100, rel=0.004)


def test_micrographs_give_the_same_as_spectra() -> None:
    true = ctf(12000, 400, 25)
    spectrum = from_frames([micrograph(true, 12)], 1.4, 512, 5.0)
    result = fit(spectrum)
    assert mean_defocus(result.ctf) == pytest.approx(12000, rel=0.006)
    assert astigmatism_error(result.ctf, true) < 250


def test_too_narrow_a_range_of_resolutions_says_so() -> None:
    search = replace(SEARCH, min_resolution=6.0, max_resolution=5.5)
    with pytest.raises(InputError, match=r"between 6 and 5\.5 Å: widen the range"):
        fit(power_spectrum(ctf(15000, 0, 0), Rings(), 13), search)


def test_spectra_of_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="100% of the spectrum between 30 and 5 Å are empty"):
        fit(Spectrum(power=np.zeros((256, 129)), angpix=1.4))


def test_filtered_spectra_are_refused() -> None:
    spectrum = power_spectrum(ctf(15000, 0, 0), Rings(), 26)
    power = np.where(grid(spectrum).k < 0.15, spectrum.power, 0.0)
    with pytest.raises(InputError, match="filtered beyond the maximum resolution"):
        fit(Spectrum(power=power, angpix=1.4))


@pytest.mark.parametrize("high", [0.0, 1000.0])
def test_a_search_close_to_focus_gives_finite_results(high: float) -> None:
    search = replace(SEARCH, min_defocus=0.0, max_defocus=high)
    spectrum = power_spectrum(ctf(20000, 0, 0), Rings(), 27)
    result = quality(spectrum, search)
    assert math.isfinite(result.score)
    assert np.isfinite(result.profiles.quality).all()
    assert fit(spectrum, search).ctf.components[0] >= 0


# --- quality ---


def test_score_and_evidence_tell_rings_from_noise() -> None:
    rings = power_spectrum(ctf(15000, 100, 0), Rings(), 14)
    noise = power_spectrum(ctf(15000, 100, 0), Rings(contrast=0.0), 15)
    assert fit(rings).gain > 100
    assert fit(noise).gain < 25
    assert quality(rings).score > 0.1
    assert quality(noise).score < 0.05


def test_max_resolution_is_where_the_rings_end() -> None:
    strong = power_spectrum(ctf(12000, 600, 40), Rings(contrast=2.0, bfactor=0.0), 16)
    assert quality(strong).max_resolution == pytest.approx(2.8, abs=0.1)
    fading = power_spectrum(ctf(12000, 600, 40), Rings(contrast=1.0, bfactor=400.0), 17)
    assert 4 < quality(fading).max_resolution < 10
    noise = power_spectrum(ctf(12000, 600, 40), Rings(contrast=0.0), 15)
    assert quality(noise).max_resolution > 5


def test_profiles_follow_the_rings_in_spite_of_astigmatism() -> None:
    profiles = quality(power_spectrum(ctf(15000, 1500, 40), Rings(contrast=1.0), 18)).profiles
    inside = (profiles.k > 1 / 20) & (profiles.k < 1 / 6)
    assert np.corrcoef(profiles.equiphase[inside], profiles.ctf[inside])[0, 1] > 0.95
    assert profiles.k[-1] == pytest.approx(1 / 2.8)
    assert np.abs(profiles.quality).max() <= 1


def test_ice_ring_shows_in_the_rotational_average() -> None:
    spectrum = power_spectrum(ctf(15000, 0, 0), Rings(), 19)
    ring = np.exp(-(((grid(spectrum).k - 0.268) / 0.004) ** 2))
    icy = Spectrum(power=spectrum.power * (1 + 3 * ring), angpix=1.4)

    def density(profile: Quality) -> float:
        k = profile.profiles.k
        return float(np.abs(profile.profiles.rotational[(k >= 0.25) & (k < 0.28)]).sum())

    assert density(quality(icy)) > 5 * density(quality(spectrum))


def test_diagnostic_image_has_the_fit_on_the_left_and_the_data_on_the_right() -> None:
    image = quality(power_spectrum(ctf(9000, 0, 0), Rings(contrast=5.0, averages=64), 20)).image
    assert image.shape == (256, 256)
    assert 0 <= image.min() <= image.max() <= 1
    # Both halves show the same rings: compare a strip left of the centre with its mirror image.
    left, right = image[120:137, 97:120], image[120:137, 137:160][:, ::-1]
    assert np.corrcoef(left.ravel(), right.ravel())[0, 1] > 0.7


# --- dialog ---


def answers(*extra: str, image: str = "Mic/a_PS.mrc", slow: str = "yes") -> list[str]:
    """What RELION writes up to the astigmatism restraint, then ``extra``."""
    output = f"Ctf/{Path(image).stem}.ctf"
    numbers = ["1.4", "300", "2.7", "0.1", "256", "30", "5", "5000", "50000", "500"]
    return [image, output, *numbers, "no", slow, "yes", "100", *extra]


NO_PHASE = ["no"]
PHASE = ["yes", "0", "3.14159", "0.174533"]
# RELION 3.1 ends with one question; 4.0 and 5.0 with CTFFIND 4.1.15's two.
ENDINGS = [["no"], ["no", "no"], ["no", "no", "no"]]


def read(lines: list[str]) -> Dialog:
    return parse("\n".join(lines) + "\n")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("phase_lines", [NO_PHASE, PHASE])
@pytest.mark.parametrize("slow", ["yes", "no"])
def test_every_relions_dialog_is_understood(
    ending: list[str], phase_lines: list[str], slow: str
) -> None:
    dialog = read(answers(*phase_lines, *ending, slow=slow))
    assert dialog.image == "Mic/a_PS.mrc"
    assert dialog.diagnostic == "Ctf/a_PS.ctf"
    assert (dialog.angpix, dialog.box, dialog.optics) == (1.4, 256, KRIOS)
    assert dialog.search == replace(
        SEARCH,
        astigmatism_tolerance=100.0,
        exhaustive=slow == "yes",
        phase_shifts=dialog.search.phase_shifts,
    )
    expected = [0.0] if phase_lines == NO_PHASE else [i * 0.174533 for i in range(19)]
    assert dialog.search.phase_shifts[:18] == pytest.approx(expected[:18])
    assert max(dialog.search.phase_shifts) <= 3.14159 + 1e-5


def test_movies_carry_a_number_of_frames() -> None:
    lines = answers("no", "no")
    dialog = read([lines[0], "yes", "4", *lines[1:]])
    assert dialog.frames_per_average == 4
    assert dialog.diagnostic == "Ctf/a_PS.ctf"
    assert read([lines[0], "no", *lines[1:]]).frames_per_average is None


def test_no_restraint_and_a_tolerance_of_0_are_the_same() -> None:
    lines = answers("no", "no")
    assert read([*lines[:14], "no", *lines[16:]]).search.astigmatism_tolerance is None
    assert read([*lines[:15], "0", *lines[16:]]).search.astigmatism_tolerance is None


@pytest.mark.parametrize(
    "position, answer, message",
    [
        (2, "0", "'pixel size in Å' is '0', not a number from 0.01"),
        (2, "-1.4", "pixel size"),
        (2, "nan", "pixel size"),
        (2, "one", "pixel size"),
        (2, "2.7, 300, 0.1, 10000, 1.4", "CTFFIND3's dialog: add --is_ctffind4"),
        (3, "300000", "acceleration voltage in kV"),
        (3, "0", "acceleration voltage in kV"),
        (4, "-2.7", "spherical aberration"),
        (5, "7", "amplitude contrast"),
        (6, "0", "size of the amplitude spectrum"),
        (7, "", "minimum resolution"),
        (8, "40", "'maximum resolution in Å' is '40', not a number from 0.1 to 30"),
        (9, "-5000", "minimum defocus"),
        (10, "4000", "maximum defocus"),
        (11, "0", "defocus search step"),
        (11, "1", "too many steps"),
        (12, "yes", "use CTFFIND4"),
        (13, "maybe", "'slower, more exhaustive search' is 'maybe', not yes or no"),
        (15, "lots", "tolerated"),
        (17, "yes", "expert options are not supported"),
        (1, "results.txt", "no names"),
        (0, "", "no names"),
    ],
)
def test_nonsense_is_named(position: int, answer: str, message: str) -> None:
    lines = answers("no", "no")
    lines[position] = answer
    with pytest.raises(InputError, match=re.escape(message)):
        read(lines)


@pytest.mark.parametrize("length", range(18))
def test_truncated_dialogs_name_the_missing_answer(length: int) -> None:
    with pytest.raises(InputError, match=r"standard input ends where the answer to '.+' should"):
        read(answers("no", "no")[:length])


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=8), max_size=22))
def test_any_other_input_is_an_error_of_ours(lines: list[str]) -> None:
    with pytest.raises(InputError):
        parse("\n".join(lines))


# --- the program ---


def run(
    monkeypatch: pytest.MonkeyPatch, lines: list[str], *, amplitude_spectrum: bool = False
) -> int:
    text = ("\n".join(lines) + "\n").encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    return main(["--amplitude-spectrum-input"] if amplitude_spectrum else [])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with one of each kind of image."""
    monkeypatch.chdir(tmp_path)
    true = ctf(15000, 300, 40)
    (tmp_path / "Ctf").mkdir()
    image = micrograph(true, 21, shape=(512, 600))
    write_mrc(tmp_path / "Mic/a.mrc", image, 1.4)
    frames = np.stack([micrograph(true, 22, shape=(256, 256)) for _ in range(5)])
    write_mrc(tmp_path / "Mic/movie.mrcs", frames, 1.4)
    spectrum = power_spectrum(true, Rings(), 23)
    write_mrc(tmp_path / "Mic/a_PS.mrc", amplitude_image(spectrum), 1.4)
    return tmp_path


def relion_reads(log: str) -> dict[str, float]:
    """Read the results as RELION's ``getCtffind4Results`` does."""
    path = next(line for line in log.splitlines() if "Summary of results" in line).split()[-1]
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    optics = next(line for line in lines if "acceleration voltage:" in line).split()
    assert len(optics) >= 19
    columns = next(i for i, line in enumerate(lines) if "Columns: " in line)
    values = [float(word) for word in lines[columns + 1].split()]
    return {
        "angpix": float(optics[3]),
        "voltage": float(optics[8]),
        "cs": float(optics[13]),
        "q0": float(optics[18]),
        "u": values[1],
        "v": values[2],
        "angle": values[3],
        "phase": values[4],
        "score": values[5],
        "max_resolution": values[6],
    }


@pytest.mark.parametrize("name", ["a_PS.mrc", "a.mrc"])
def test_results_are_what_relion_reads(
    name: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = answers("no", "no", "no", image=f"Mic/{name}")
    assert run(monkeypatch, lines, amplitude_spectrum="_PS" in name) == 0
    output = capsys.readouterr()
    assert output.err == ""
    values = relion_reads(output.out)
    assert [values[key] for key in ("angpix", "voltage", "cs", "q0")] == [1.4, 300, 2.7, 0.1]
    assert (values["u"] + values["v"]) / 2 == pytest.approx(15000, rel=0.006)
    assert values["u"] >= values["v"]
    assert values["phase"] == 0
    assert values["score"] > 0.01
    assert 2.8 <= values["max_resolution"] < 10
    assert not [path for path in (project / "Ctf").iterdir() if path.name.startswith(".")]


def test_profiles_are_where_relion_5_looks_for_ice(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, answers("no", "no", "no"), amplitude_spectrum=True) == 0
    lines = (project / "Ctf/a_PS_avrot.txt").read_text(encoding="utf-8").splitlines()
    assert [line[:1] for line in lines[:5]] == ["#"] * 5
    rows = [[float(word) for word in line.split()] for line in lines[5:]]
    assert [len(row) for row in rows] == [129] * 6
    assert rows[0][-1] == pytest.approx(1 / 2.8, abs=1e-5)


def test_diagnostic_image_is_an_mrc_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, answers("no", "no"), amplitude_spectrum=True) == 0
    with mrcfile.open(project / "Ctf/a_PS.ctf") as mrc:
        assert mrc.data.shape == (256, 256)
        assert mrc.data.dtype == np.float32


def test_movies_are_averaged_in_groups(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = answers("no", "no", image="Mic/movie.mrcs")
    assert run(monkeypatch, [lines[0], "yes", "2", *lines[1:]]) == 0
    values = relion_reads(capsys.readouterr().out)
    assert (values["u"] + values["v"]) / 2 == pytest.approx(15000, rel=0.02)


def test_half_precision_micrographs_are_read(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mrcfile.new(project / "Mic/half.mrc") as mrc:
        mrc.set_data(micrograph(ctf(15000, 0, 0), 24, shape=(300, 300)).astype(np.float16))
    assert run(monkeypatch, answers("no", "no", image="Mic/half.mrc")) == 0


def test_noise_alone_is_called_noise(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(25).normal(size=(300, 300))
    write_mrc(project / "Mic/noise.mrc", noise, 1.4)
    assert run(monkeypatch, answers("no", "no", image="Mic/noise.mrc")) == 0
    assert "WARNING: no Thon rings stand out" in capsys.readouterr().out


def remove(path: Path) -> None:
    path.unlink()


def put_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def put_text(path: Path) -> None:
    path.write_text("no image" * 1000, encoding="utf-8")


def put_image(*shape: int, value: float = 1.0) -> Callable[[Path], None]:
    return lambda path: write_mrc(path, np.full(shape, value), 1.4)


def put_damaged_pixels(path: Path) -> None:
    """Overwrite part of the data by what reads as not a number."""
    data = bytearray(path.read_bytes())
    data[2048:4096] = b"\xff" * 2048
    path.write_bytes(data)


def put_transform(path: Path) -> None:
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.ones((256, 256), dtype=np.complex64))


@pytest.mark.parametrize(
    "damage, message",
    [
        (remove, "No such file"),
        (put_folder, "Is a directory"),
        (truncate, "incomplete or damaged"),
        (empty, "is no MRC file"),
        (put_text, "is no MRC file"),
        (put_image(256, 256, value=0.0), "100% of the spectrum"),
        (put_damaged_pixels, "pixels that are not finite"),
        (put_image(128, 128), "128 pixels wide, the box size says 256"),
        (put_image(3, 256, 256), "holds 3 images"),
        (put_transform, "no plain images"),
    ],
)
def test_errors_are_one_line_and_leave_nothing_behind(
    damage: Callable[[Path], None],
    message: str,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(project / "Mic/a_PS.mrc")
    assert run(monkeypatch, answers("no", "no"), amplitude_spectrum=True) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert output.err.startswith("relion-dispatch-ctffind: error: Mic/a_PS.mrc: ")
    assert message in output.err
    assert not list((project / "Ctf").iterdir())


@pytest.mark.parametrize("blocked", ["a_PS.ctf", "a_PS_avrot.txt", "a_PS.txt"])
def test_a_failed_write_leaves_no_half_results(
    blocked: str,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (project / "Ctf" / blocked).mkdir()
    assert run(monkeypatch, answers("no", "no"), amplitude_spectrum=True) == 2
    output = capsys.readouterr()
    assert "cannot write the results" in output.err
    assert output.out == ""
    assert not (project / "Ctf/a_PS.txt").is_file()
    assert not [path for path in (project / "Ctf").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    "arguments, code, text",
    [
        (["--help"], 0, "usage: relion-dispatch-ctffind"),
        (["--version"], 0, "relion-dispatch-ctffind "),
        (["--speed"], 2, "unknown option --speed"),
        (["--omp-num-threads", "1", "--old-school-input-ctffind4"], 2, "--is_ctffind4"),
    ],
)
def test_arguments(
    arguments: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    output = capsys.readouterr()
    assert text in output.out + output.err


def test_starting_imports_nothing_slow() -> None:
    program = (
        "import sys, relion_dispatch.ctf; "
        "print([m for m in ('numpy', 'mrcfile', 'scipy', 'argparse') if m in sys.modules])"
    )
    root = Path(sys.modules["relion_dispatch"].__file__ or "").parents[1]
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, cwd=root, check=True, text=True
    )
    assert done.stdout.strip() == "[]"
