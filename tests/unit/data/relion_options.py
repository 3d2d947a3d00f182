#!/usr/bin/env python3
"""List the option names of RELION's programs from its sources: how relion_options_*.json are made.

Usage: relion_options.py RELION_SOURCE VERSION > relion_options_VERSION.json

Only names are taken: what a program asks its argument parser for, in the files that hold the
program's ``read()``.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

# Program: the source files that read its arguments; the folders moved between versions.
SOURCES = {
    "relion_align_symmetry": ("apps/align_symmetry.cpp",),
    "relion_autopick": ("autopicker.cpp",),
    "relion_ctf_refine": ("jaz/**/ctf/*.cpp", "jaz/**/reference_map.cpp"),
    "relion_import": ("apps/import.cpp",),
    "relion_mask_create": ("apps/mask_create.cpp",),
    "relion_motion_refine": ("jaz/**/motion/*.cpp", "jaz/**/reference_map.cpp"),
    "relion_postprocess": ("postprocessing.cpp",),
    "relion_preprocess": ("preprocessing.cpp",),
    "relion_refine": ("ml_optimiser.cpp",),
    "relion_run_ctffind": ("ctffind_runner.cpp",),
    "relion_run_motioncorr": ("motioncorr_runner.cpp",),
}
ASKED = re.compile(r'(?:(?:get|check)(?:Option|Parameter)\s*\([^")]*|Token\s*=\s*)"--(\w+)"')
# A parameter looked for only to say that it is gone.
REMOVED = re.compile(r"the option --(\w+) has been removed")
EVERY_PROGRAM = {"pipeline_control", "version"}


def options(source: Path, patterns: tuple[str, ...]) -> list[str]:
    """Names of the options that a program knows, without leading dashes."""
    files = [file for pattern in patterns for file in sorted(source.glob(pattern))]
    if not files:
        raise SystemExit(f"no {patterns} in {source}")
    text = "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files)
    return sorted((EVERY_PROGRAM | set(ASKED.findall(text))) - set(REMOVED.findall(text)))


def main() -> None:
    """Print the list of one version."""
    source, version = Path(sys.argv[1]), sys.argv[2]
    if (source / "src").is_dir():
        source /= "src"
    comment = f"Names of the options in RELION {version}'s sources, made by relion_options.py."
    lists = {program: options(source, patterns) for program, patterns in SOURCES.items()}
    lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in lists.items()]
    print("{\n" + ",\n".join([f' "__comment__": {json.dumps(comment)}', *lines]) + "\n}")


if __name__ == "__main__":
    main()
