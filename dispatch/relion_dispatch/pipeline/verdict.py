"""A verdict on a 3D step, with its evidence: fine, doubtful or stop.

RELION ends with success whatever map it made. The judgements here are of two kinds: against the
project's own other results (starts, earlier steps, 2D class averages), and against limits that
any good map of single particles keeps. What no number can tell is said as well.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import IntEnum
from pathlib import Path

from relion_dispatch import atomic
from relion_dispatch.errors import InputError


class Level(IntEnum):
    """How a piece of evidence, or all of it, is judged."""

    FINE = 0
    DOUBTFUL = 1
    STOP = 2


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One number, its judgement, and the sentence that explains it."""

    name: str
    value: float
    level: Level
    text: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The judgement of a step.

    Attributes
    ----------
    step
        The step, as in ``config.yaml``.
    evidence
        What it rests on.
    unknown
        What it cannot know, a sentence each.
    resolution_angst
        Resolution of the step's map, for the next step's verdict.
    """

    step: str
    evidence: tuple[Evidence, ...]
    unknown: tuple[str, ...]
    resolution_angst: float

    @property
    def level(self) -> Level:
        """The worst of the evidence."""
        return max((each.level for each in self.evidence), default=Level.DOUBTFUL)

    def text(self) -> str:
        """Return the verdict for people."""
        lines = [f"{self.step}: {self.level.name.lower()}"]
        lines += [f"  {each.level.name.lower():<8}  {each.text}" for each in self.evidence]
        lines += [f"  unknown   {sentence}" for sentence in self.unknown]
        return "\n".join(lines) + "\n"

    def to_json(self) -> str:
        """Return the verdict for programs."""
        values = asdict(self)
        values["evidence"] = [{**asdict(e), "level": e.level.name.lower()} for e in self.evidence]
        return json.dumps({"verdict": self.level.name.lower(), **values}, indent=2) + "\n"


#: How much less a right map agrees with 2D classes after refinement with a mask than before it:
#: up to 0.03 on the simulated maps, where a wrong one fell by 0.08.
REFINED_ALLOWANCE = 0.03


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Where doubt begins and where the pipeline stops; ``verdict`` in ``config.yaml``."""

    doubt_agreement: float = 0.875
    stop_agreement: float = 0.85
    doubt_share: float = 0.3
    doubt_pmax: float = 0.05
    max_resolution: float | None = None
    stop: bool = True

    def refined(self) -> Thresholds:
        """Give the limits for a refined map: masked and finer, right ones agree a little less."""
        return replace(
            self,
            doubt_agreement=self.doubt_agreement - REFINED_ALLOWANCE,
            stop_agreement=self.stop_agreement - REFINED_ALLOWANCE,
        )


#: Where an FSC curve of half maps says that their resolution ends.
FSC_LIMIT = 0.143
#: FSC beyond that end that is no noise any more.
MAX_RISE = 0.5
#: FSC at that end that the mask alone may make.
MAX_LEAK = 0.3
#: How much worse than the step before a map may be.
MAX_LOSS = 1.1

#: True of every verdict: a mirrored map explains the same images just as well.
HAND = "the hand: images cannot tell a map from its mirror image"
SYMMETRY = "whether the symmetry is the right one: it was imposed, not tested"


def resolution(angst: float, before: float | None, thresholds: Thresholds) -> Evidence:
    """Judge a resolution against the step before, and against the worst that is allowed."""
    name, limit = "resolution", thresholds.max_resolution
    if limit is not None and angst > limit:
        text = f"the map reaches {angst:.1f} Å, worse than verdict.max_resolution {limit:g} Å"
        return Evidence(name=name, value=angst, level=Level.STOP, text=text)
    if before is None:
        text = f"the map reaches {angst:.1f} Å; there is no earlier step to compare with"
        return Evidence(name=name, value=angst, level=Level.FINE, text=text)
    worse = angst > MAX_LOSS * before
    text = f"the map reaches {angst:.1f} Å, {'worse than' if worse else 'after'} {before:.1f} Å"
    return Evidence(
        name=name, value=angst, level=Level.DOUBTFUL if worse else Level.FINE, text=text + " before"
    )


def agreement(worst_tenth: float, thresholds: Thresholds) -> Evidence:
    """Judge how well the map's projections match the 2D class averages."""
    # Not a number, as of a map without any, is no agreement.
    level = Level.STOP
    if worst_tenth >= thresholds.stop_agreement:
        level = Level.DOUBTFUL
    if worst_tenth >= thresholds.doubt_agreement:
        level = Level.FINE
    sentence = {
        Level.FINE: "the map's projections match the 2D class averages",
        Level.DOUBTFUL: "the map's projections match some 2D class averages poorly",
        Level.STOP: "the map's projections do not show what the 2D class averages show: it is"
        " probably wrong",
    }[level]
    text = f"{sentence} (correlation {worst_tenth:.3f} for the worst tenth)"
    return Evidence(name="agreement with 2D", value=worst_tenth, level=level, text=text)


def pmax(value: float, thresholds: Thresholds) -> Evidence:
    """Judge the mean largest orientation probability; near 0 nothing is aligned."""
    low = not value >= thresholds.doubt_pmax
    text = f"average Pmax {value:.2f}" + (": orientations are hardly determined" if low else "")
    return Evidence(
        name="Pmax", value=value, level=Level.DOUBTFUL if low else Level.FINE, text=text
    )


def alignment(
    rotation_deg: float, translation_angst: float, radius_angst: float, resolution_angst: float
) -> Evidence:
    """Judge the estimated errors of alignment by the blur they make at the particle's edge.

    A Gaussian error of s in position damps resolution d by ``exp(-2 pi² s² / d²)``, to 0.14 at
    ``s = 0.32 d``; an error much larger than that cannot have given the resolution.
    """
    blur = math.hypot(math.radians(rotation_deg) * radius_angst, translation_angst)
    if math.isnan(blur):
        text = "RELION gives no estimate of the accuracy of alignment"
        return Evidence(name="alignment", value=-1.0, level=Level.FINE, text=text)
    bad = blur > resolution_angst
    text = (
        f"alignment is accurate to {rotation_deg:.1f}° and {translation_angst:.1f} Å, which blurs"
        f" the particle's edge by {blur:.1f} Å" + (": more than the resolution" if bad else "")
    )
    return Evidence(
        name="alignment", value=blur, level=Level.DOUBTFUL if bad else Level.FINE, text=text
    )


def share(kept: int, of: int, thresholds: Thresholds) -> Evidence:
    """Judge which part of the particles went into the map."""
    fraction = kept / of if of else 0.0
    low = fraction < thresholds.doubt_share
    text = f"{kept} of {of} particles ({fraction:.0%}) went into the map"
    return Evidence(
        name="share of particles",
        value=fraction,
        level=Level.DOUBTFUL if low else Level.FINE,
        text=text,
    )


def fsc_shape(curve: Sequence[float], randomised: Sequence[float]) -> tuple[Evidence, ...]:
    """Judge the shape of the corrected FSC curve and of the phase-randomised one.

    Parameters
    ----------
    curve
        Corrected FSC per shell, from shell 0.
    randomised
        Masked FSC of maps with randomised phases, per shell.
    """
    crossing = next((i for i, c in enumerate(curve) if i and c < FSC_LIMIT), len(curve))
    if crossing == len(curve):
        text = (
            f"the FSC never falls below {FSC_LIMIT}: the pixel size limits the resolution, or the"
            " half maps are not independent"
        )
        return (Evidence(name="FSC", value=1.0, level=Level.DOUBTFUL, text=text),)
    return _fsc_beyond(max(curve[crossing:])), _fsc_of_mask(randomised[crossing])


def _fsc_beyond(rise: float) -> Evidence:
    name = "FSC beyond the resolution"
    if rise > MAX_RISE:
        text = "the FSC rises again beyond the resolution: duplicates, or an artefact of the mask"
        return Evidence(name=name, value=rise, level=Level.DOUBTFUL, text=text)
    text = f"the FSC stays below {max(rise, FSC_LIMIT):.2f} beyond the resolution"
    return Evidence(name=name, value=rise, level=Level.FINE, text=text)


def _fsc_of_mask(leak: float) -> Evidence:
    tight = leak > MAX_LEAK
    text = f"the mask itself adds {leak:.2f} to the FSC at the resolution"
    text += ": it is too tight or too sharp" if tight else ""
    level = Level.DOUBTFUL if tight else Level.FINE
    return Evidence(name="FSC of the mask", value=leak, level=level, text=text)


def settle(verdict: Verdict, path: Path, thresholds: Thresholds) -> None:
    """Print and write a verdict; ``path`` is written only when the pipeline may go on.

    The same text is always written beside it, with the ending ``.txt``.

    Raises
    ------
    InputError
        When the verdict is to stop.
    """
    text = verdict.text()
    print(text, end="")
    atomic.write_text(path.with_suffix(".txt"), text)
    if verdict.level is Level.STOP and thresholds.stop:
        raise InputError(
            f"{verdict.step}: stopped by the sanity check, the map is probably wrong; the evidence"
            f" is in {path.with_suffix('.txt')}. Look at the map beside the 2D class averages; more"
            " starts (initial_model.starts), slower ones, or better particles help."
            " verdict.stop: false goes on regardless"
        )
    atomic.write_text(path, verdict.to_json())


def earlier_resolution(path: Path | None) -> float | None:
    """Return the resolution in an earlier verdict's file, in Å; None without a file.

    Raises
    ------
    InputError
        When the file is missing or holds no verdict.
    """
    if path is None:
        return None
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["resolution_angst"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path}: no verdict of the step before: {error}") from error
