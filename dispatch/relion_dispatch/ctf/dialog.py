"""CTFFIND4's questions on standard input, as RELION 3.1, 4.0 and 5.0 answer them.

The order is that of RELION's ``CtffindRunner::executeCtffind4`` (src/ctffind_runner.cpp) and of
CTFFIND 4.1 itself; 4.1.15 added the question about the sample's tilt, CTFFIND5 one about its
thickness, both answered with no.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from relion_dispatch.ctf.model import Optics
from relion_dispatch.ctf.search import Search
from relion_dispatch.errors import InputError

MIN_BOX = 128
MAX_STEPS = 10_000


@dataclass(frozen=True, kw_only=True)
class Dialog:
    """All answers.

    Parameters
    ----------
    image
        The micrograph, movie or amplitude spectrum to read.
    diagnostic
        The diagnostic image to write; the results' names derive from it.
    frames_per_average
        How many movie frames to add up for each spectrum; None when the image is no movie.
    angpix
        Pixel size in Å.
    box
        Edge of the spectrum in pixels.
    optics, search
        The microscope, and what to look for.
    """

    image: str
    diagnostic: str
    frames_per_average: int | None
    angpix: float
    box: int
    optics: Optics
    search: Search


class _Answers:
    """Hands out the answers one by one, and says which question went wrong."""

    def __init__(self, lines: list[str]) -> None:
        self._lines: Iterator[str] = iter(lines)

    def text(self, question: str) -> str:
        for line in self._lines:
            return line
        raise InputError(f"standard input ends where the answer to '{question}' should be")

    def number(self, question: str, low: float, high: float) -> float:
        return _number(self.text(question), question, low, high)

    def yes(self, question: str) -> bool:
        answer = self.text(question)
        if answer.lower() not in {"yes", "no"}:
            raise InputError(f"the answer to '{question}' is '{answer}', not yes or no")
        return answer.lower() == "yes"

    def rest(self) -> list[str]:
        return list(self._lines)


def _number(answer: str, question: str, low: float, high: float) -> float:
    try:
        value = float(answer)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise InputError(
            f"the answer to '{question}' is '{answer}', not a number from {low:g} to {high:g}"
        )
    return value


def parse(text: str) -> Dialog:
    """Read all of standard input.

    Parameters
    ----------
    text
        One answer a line.

    Raises
    ------
    InputError
        When an answer is missing, nonsense, or asks for what only CTFFIND4 can do.
    """
    answers = _Answers([line.strip() for line in text.rstrip().splitlines()])
    image = answers.text("input image")
    frames_per_average = None
    diagnostic = answers.text("output diagnostic image")
    if diagnostic in {"yes", "no"}:  # asked about stacks only: is it a movie?
        if diagnostic == "yes":
            frames_per_average = int(answers.number("number of frames to average", 1, 10_000))
        diagnostic = answers.text("output diagnostic image")
    if not image or not diagnostic or diagnostic.endswith(".txt"):
        raise InputError(f"'{image}' and '{diagnostic}' are no names of an image to read and write")
    angpix = _pixel_size(answers)
    optics = Optics(
        voltage_kv=answers.number("acceleration voltage in kV", 10, 5000),
        cs_mm=answers.number("spherical aberration in mm", 0, 100),
        amplitude_contrast=answers.number("amplitude contrast", 0, 1),
    )
    box = int(answers.number("size of the amplitude spectrum", MIN_BOX, 16384)) // 2 * 2
    search = _search(answers)
    return Dialog(
        image=image,
        diagnostic=diagnostic,
        frames_per_average=frames_per_average,
        angpix=angpix,
        box=box,
        optics=optics,
        search=search,
    )


def _pixel_size(answers: _Answers) -> float:
    question = "pixel size in Å"
    answer = answers.text(question)
    if answer.count(",") == 4:
        raise InputError("this is CTFFIND3's dialog: add --is_ctffind4 to relion_run_ctffind")
    return _number(answer, question, 0.01, 1000)


def _search(answers: _Answers) -> Search:
    min_resolution = answers.number("minimum resolution in Å", 0.1, 1e5)
    max_resolution = answers.number("maximum resolution in Å", 0.1, min_resolution)
    min_defocus = answers.number("minimum defocus in Å", 0, 1e6)
    max_defocus = answers.number("maximum defocus in Å", min_defocus, 1e6)
    defocus_step = answers.number("defocus search step in Å", 1, 1e5)
    if (max_defocus - min_defocus) / defocus_step > MAX_STEPS:
        raise InputError(f"a defocus search step of {defocus_step:g} Å makes too many steps")
    if answers.yes("do you know what astigmatism is present"):
        raise InputError("a known astigmatism is not supported: answer no, or use CTFFIND4")
    exhaustive = answers.yes("slower, more exhaustive search")
    tolerance = _astigmatism_tolerance(answers)
    phase_shifts = _phase_shifts(answers)
    _refuse_the_rest(answers.rest())
    return Search(
        min_resolution=min_resolution,
        max_resolution=max_resolution,
        min_defocus=min_defocus,
        max_defocus=max_defocus,
        defocus_step=defocus_step,
        astigmatism_tolerance=tolerance,
        exhaustive=exhaustive,
        phase_shifts=phase_shifts,
    )


def _astigmatism_tolerance(answers: _Answers) -> float | None:
    """As in CTFFIND4, a tolerance of 0 restrains nothing."""
    if not answers.yes("use a restraint on astigmatism"):
        return None
    return answers.number("expected (tolerated) astigmatism in Å", 0, 1e6) or None


def _phase_shifts(answers: _Answers) -> tuple[float, ...]:
    if not answers.yes("find additional phase shift"):
        return (0.0,)
    low = answers.number("minimum phase shift in radians", -10, 10)
    high = answers.number("maximum phase shift in radians", low, low + 10)
    step = answers.number("phase shift search step in radians", 0 if high == low else 0.01, 10)
    count = 1 if high == low else math.floor((high - low) / step + 1e-6) + 1
    return tuple(low + i * step for i in range(count))


def _refuse_the_rest(answers: list[str]) -> None:
    """Sample tilt, sample thickness and expert options: RELION always answers no."""
    if not answers:
        raise InputError("standard input ends where the answer to 'set expert options' should be")
    if any(answer != "no" for answer in answers):
        raise InputError(
            "sample tilt, sample thickness and expert options are not supported:"
            " answer no, or use CTFFIND4"
        )
