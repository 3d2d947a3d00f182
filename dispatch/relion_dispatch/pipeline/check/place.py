"""The project's folder: may it be written to, and is there room."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from relion_dispatch.pipeline.check.findings import Finding, error, warning
from relion_dispatch.pipeline.check.movies import Images
from relion_dispatch.pipeline.check.names import bad_characters, spelled
from relion_dispatch.pipeline.layout import Layout
from relion_dispatch.pipeline.options import Settings
from relion_dispatch.pipeline.versions import V4_0, Version

GB = 1e9
FLOAT_BYTES = 4
# What the particles of one extraction take, as a share of their micrographs: boxes of a crowded
# micrograph overlap and cover it about once.
PARTICLES = 1.0


def check_writable(project: Path) -> Iterator[Finding]:
    """Check that files can be made in the project."""
    try:
        with tempfile.NamedTemporaryFile(dir=project, prefix=".relion_dispatch."):
            pass
    except OSError as failure:
        yield error(
            "not-writable",
            str(project),
            f"no file can be made in the project: {failure.strerror}",
            "check its permissions, your quota and that the disk is not mounted read-only",
        )


def needed_bytes(settings: Settings, images: Images, version: Version | None) -> float:
    """Estimate roughly what a run writes, in bytes: micrographs and particles, each step's.

    Particles are written small and, for refinement, at full size; each round of polishing
    writes them again.
    """
    typical = images.typical
    if typical is None:
        return 0.0
    s = settings
    half = s.float16 and version is not None and version >= V4_0
    size = 2 if half else FLOAT_BYTES
    binning = s.motion_correction.bin_factor if s.start == "movies" else 1.0
    micrograph = typical.width * typical.height / binning**2 * size
    corrected = s.start == "movies"
    extra = corrected and s.motion_correction.save_non_dose_weighted
    copies = float(corrected) + float(extra)
    copies += PARTICLES * (1 + s.refine3d.enabled + s.polishing_rounds * s.polishing.enabled)
    return copies * micrograph * len(images.names)


def check_space(
    settings: Settings, images: Images, version: Version | None, project: Path
) -> Iterator[Finding]:
    """Compare the room on the project's disk with a rough estimate of what a run needs."""
    needed = needed_bytes(settings, images, version)
    free = shutil.disk_usage(project).free
    started = (project / Layout(settings.first_job).dir("motion_correction")).exists()
    if needed > free and not started:
        yield warning(
            "disk-space",
            str(project),
            f"{free / GB:.3g} GB are free, and a run needs about {needed / GB:.3g} GB",
            "make room, or put the project on a larger disk; your quota was not looked at",
        )


def check_scratch(settings: Settings) -> Iterator[Finding]:
    """Check the scratch folder's name, which RELION puts into ``rm -rf`` without quotes."""
    scratch = settings.compute.scratch_dir
    if scratch is None:
        return
    # Variables such as $TMPDIR get their value in the job.
    plain = re.sub(r"\$(\w+|\{\w+\})", "", os.path.expandvars(scratch))
    odd = bad_characters(plain, unquoted=True).translate({ord(c): None for c in ":%#"})
    if odd:
        yield error(
            "scratch",
            "compute.scratch_dir",
            f"RELION removes this folder with an unquoted 'rm -rf', and its name holds"
            f" {spelled(odd)}: {scratch}",
            "give another folder: with this name other files might be removed",
        )
    elif not scratch.startswith(("/", "$")):
        yield warning(
            "scratch",
            "compute.scratch_dir",
            f"{scratch} is inside the project, on the same disk",
            "give a folder on the compute nodes' own disk, such as $TMPDIR or /scratch/$USER",
        )
