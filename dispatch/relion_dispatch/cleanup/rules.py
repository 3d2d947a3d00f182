"""Which files of a finished job RELION itself throws away, gently and harshly.

From ``PipeLine::cleanupJob`` in RELION's ``src/pipeliner.cpp``, which is the same in the branches
ver3.1, ver4.0 and ver5.0 but for one file: the masked map of a post-processing, which 3.1 removes
and later versions keep; it is kept here. Two things differ on purpose. What RELION takes of a CTF
estimation in a gentle clean goes in a harsh one only, because the power spectra are what people
look at. And where RELION removes whole folders, only files of the kinds that its programs write go.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

#: Endings of what the programs write for each movie, micrograph or particle stack.
_MADE = (
    *("*.mrc", "*.mrcs", "*.star", "*.eps", "*.log", "*.out", "*.err", "*.com", "*.ctf", "*.txt"),
    *("*.pow", "*.epa", "*.tif", "*.tiff"),
)
_CTF_FIT = (
    *("*_wAcc_optics-group*.mrc", "*_xyAcc_optics-group*.mrc"),
    *(f"*_aberr-{part}_optics-group_*.mrc" for part in ("Axx", "Axy", "Ayy", "bx", "by")),
    *("*_mag_optics-group_*.mrc", "*_fit.star", "*_fit.eps"),
)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What goes of the jobs of one type.

    Attributes
    ----------
    gentle, gentle_below
        Patterns of files in the job's directory, and in the folders below it.
    harsh, harsh_below
        The same for what a harsh clean takes besides.
    iterations
        Whether all files of an iteration go, but for the last one.
    """

    gentle: tuple[str, ...] = ()
    gentle_below: tuple[str, ...] = ()
    harsh: tuple[str, ...] = ()
    harsh_below: tuple[str, ...] = ()
    iterations: bool = False


_REFINEMENT = Rule(iterations=True)
#: By the name of the directory that RELION gives to the type.
RULES: Mapping[str, Rule] = {
    "MotionCorr": Rule(
        gentle_below=("*.com", "*.err", "*.out", "*.log"),
        harsh_below=_MADE,
    ),
    "CtfFind": Rule(gentle=("gctf*.out", "gctf*.err"), harsh_below=_MADE),
    "AutoPick": Rule(gentle_below=("*.spi",)),
    "Extract": Rule(gentle_below=("*_extract.star",), harsh_below=_MADE),
    "Class2D": _REFINEMENT,
    "Class3D": _REFINEMENT,
    "Refine3D": _REFINEMENT,
    "InitialModel": _REFINEMENT,
    "MultiBody": Rule(iterations=True, harsh=("analyse_component???_bin???.mrc",)),
    "CtfRefine": Rule(gentle_below=_CTF_FIT),
    "Polish": Rule(
        gentle_below=("*_FCC_cc.mrc", "*_FCC_w0.mrc", "*_FCC_w1.mrc"),
        harsh_below=("*_shiny.mrcs", "*_shiny.star"),
    ),
    "Subtract": Rule(harsh=("subtracted.*",)),
}

_ITERATION = re.compile(r"(run(?:_ct\d{1,3})?_it\d{3})_data\.star")


def doomed(kind: str, files: Iterable[str], *, harsh: bool, known: Collection[str]) -> list[str]:
    """Choose the files of a finished job that go.

    Parameters
    ----------
    kind
        Name of the type's directory, such as ``Class3D``.
    files
        All files of the job, by their paths in its directory.
    harsh
        Whether data go too that only a rerun can bring back.
    known
        Paths that something else refers to. They stay, and so does all of an iteration of which
        one file is among them.
    """
    rule = RULES.get(kind)
    if rule is None:
        return []
    files = sorted(files)
    at_top = rule.gentle + (rule.harsh if harsh else ())
    below = rule.gentle_below + (rule.harsh_below if harsh else ())
    found = [each for each in files if _matches(each, at_top, below)]
    found += _old_iterations(files, known) if rule.iterations else []
    return [each for each in found if each not in known]


def _matches(path: str, at_top: tuple[str, ...], below: tuple[str, ...]) -> bool:
    name = path.rpartition("/")[2]
    return any(fnmatchcase(name, pattern) for pattern in (below if "/" in path else at_top))


def _old_iterations(files: Iterable[str], known: Collection[str]) -> list[str]:
    """List all files of the iterations before the last, which starts and continuations need."""
    files = list(files)
    roots = [match[1] for each in files if (match := _ITERATION.fullmatch(each))]
    last = max(roots, key=_order, default="")
    old = {root for root in roots if root != last and not any(k.startswith(root) for k in known)}
    return [each for each in files if _root(each) in old]


def _order(root: str) -> tuple[int, str]:
    return int(root[-3:]), root


def _root(name: str) -> str:
    found = re.match(r"run(?:_ct\d{1,3})?_it\d{3}(?=_)", name)
    return found[0] if found else ""
