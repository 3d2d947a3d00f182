"""RELION's versions: which one is installed, and what each can do."""

from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from relion_dispatch import processes
from relion_dispatch.atomic import write_text
from relion_dispatch.errors import InputError

PROGRAM = "relion_refine"
TIMEOUT_S = 60.0


@dataclass(frozen=True, order=True)
class Version:
    """A version of RELION; versions compare as numbers do.

    The properties say what RELION's own window offers in that version, as read from
    ``src/pipeline_jobs.cpp`` of the branches ver3.1, ver4.0 and ver5.0.
    """

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read ``4.0``, ``3.1.3`` or what ``relion_refine --version`` prints.

        Raises
        ------
        InputError
            When there is no version in the text, or one older than 3.1.
        """
        found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
        if found is None:
            raise InputError(f"no RELION version in {text.strip()[:80]!r}")
        version = cls(*(int(part or 0) for part in found.groups()))
        if version < V3_1:
            raise InputError(f"RELION {version} is too old: the pipeline needs 3.1 or later")
        return version

    @property
    def coordinate_lists(self) -> bool:
        """Picked positions are handed on in one list (``--coord_list``)."""
        return self >= V4_0

    @property
    def vdam(self) -> bool:
        """Gradient-driven classification and initial models (``--grad``) instead of SGD."""
        return self >= V4_0

    @property
    def float16(self) -> bool:
        """Images can be written in 16 bits (``--float16``)."""
        return self >= V4_0

    @property
    def topaz(self) -> bool:
        """``relion_autopick`` drives Topaz."""
        return self >= V4_0

    @property
    def figure_of_merit(self) -> bool:
        """Extraction can leave out worse picks (``--minimum_pick_fom``)."""
        return self >= V4_0

    @property
    def center_classes(self) -> bool:
        """2D class averages can be centred (``--center_classes``)."""
        return self >= V4_0

    @property
    def grids_by_default(self) -> bool:
        """Refinement grids in reconstruction unless told to skip it (``--skip_gridding``)."""
        return self < V4_0

    @property
    def assumes_corrected_references(self) -> bool:
        """References count as CTF-corrected (else ``--ctf_corrected_ref`` must say so)."""
        return self >= V4_0

    @property
    def resizes_references(self) -> bool:
        """Refinement scales a reference of another size (``--trust_ref_size``)."""
        return self >= V5_0

    @property
    def topaz_in_relion(self) -> bool:
        """Topaz comes with RELION, and another one is named with ``--fn_topaz_exe``."""
        return self >= V5_0

    @property
    def gctf(self) -> bool:
        """``relion_run_ctffind``'s window still offers Gctf."""
        return self < V5_0

    @property
    def blush(self) -> bool:
        """Blush regularisation (``--blush``)."""
        return self >= V5_0


V3_1 = Version(3, 1)
V4_0 = Version(4, 0)
V5_0 = Version(5, 0)


def installed() -> Version:
    """Ask the RELION on ``PATH`` for its version; the answer is remembered on disk.

    The memory is keyed by the program's real path, size and time, so that another module or an
    update is noticed, and no later start of Snakemake pays for starting RELION.

    Raises
    ------
    InputError
        When RELION is not on ``PATH`` or prints no version.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise InputError(
            f"'{PROGRAM}' is not on PATH: load RELION's module, or say the version with"
            ' relion_version: "4.0" in config.yaml'
        )
    key = _fingerprint(program)
    remembered = _remembered()
    if key not in remembered:
        done = processes.run([program, "--version"], timeout_s=TIMEOUT_S)
        remembered[key] = str(Version.parse(done.stdout))
        _remember(remembered)
    return Version.parse(remembered[key])


def resolve(relion_version: str) -> Version:
    """Turn the setting ``relion_version`` (``auto`` or a number) into a version."""
    return installed() if relion_version == "auto" else Version.parse(relion_version)


def _fingerprint(program: str) -> str:
    path = os.path.realpath(program)
    stat = os.stat(path)
    return f"{path}:{stat.st_size}:{stat.st_mtime_ns}"


def _memory_file() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache, "relion-dispatch", "relion-versions.json")


def _remembered() -> dict[str, str]:
    try:
        memory = json.loads(_memory_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return memory if isinstance(memory, dict) else {}


def _remember(memory: dict[str, str]) -> None:
    with suppress(OSError):  # a read-only home costs a start of RELION each time, nothing else
        write_text(_memory_file(), json.dumps(memory, indent=1, sort_keys=True))
