"""All checks of one project, and where their report goes."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from relion_dispatch.atomic import write_text
from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import commands, consistency, settings, values, versions
from relion_dispatch.pipeline.check import (
    configfile,
    gain,
    geometry,
    inputs,
    microscope,
    movies,
    names,
    place,
    programs,
    provenance,
)
from relion_dispatch.pipeline.check.findings import Finding, Report, error
from relion_dispatch.pipeline.check.movies import Images
from relion_dispatch.pipeline.layout import Layout
from relion_dispatch.pipeline.options import Settings
from relion_dispatch.pipeline.versions import V4_0, Version
from relion_dispatch.resources import workflow_dir
from relion_dispatch.sharding import intake
from relion_dispatch.sharding.places import shard_dir

Config = Mapping[str, Any]
FOLDER = ".relion_dispatch"
REPORT = f"{FOLDER}/check.json"
FILE = "config.yaml"
CONFIG_COPY = f"{FOLDER}/{FILE}"
# RELION 3.1 reads MRC mode 6 as signed numbers (src/rwMRC.h) and refuses 16-bit floats.
OLD_MODES = {6: "unsigned 16-bit", 12: "16-bit floating point"}


def check_project(
    config: Config,
    project: Path = Path(),
    *,
    with_programs: bool = True,
    accept: Sequence[str] = (),
) -> Report:
    """Check a project: settings, files, numbers, programs and disk.

    Parameters
    ----------
    config
        The user's configuration.
    project
        The project directory, which all paths are relative to.
    with_programs
        Whether to look for programs and their versions.
    accept
        Codes of errors that the user knows to be right, besides those of ``check.accept``: they
        become warnings.

    Returns
    -------
    Report
        Never an exception for anything that a user can get wrong.
    """
    project = project.absolute()
    chosen, config_problems = load(config)
    findings = list(configfile.check(config_problems, project / FILE))
    version, problems = _version(chosen) if with_programs else (None, [])
    findings += problems
    images = _images(chosen, project)
    findings += _file_findings(chosen, images, version, project)
    if with_programs:
        findings += programs.check_relion(chosen, version)
        findings += programs.check_externals(chosen, version)
    accepted = {*accept, *chosen.check.accept.split()} - {"config"}
    return Report(
        findings=tuple(_accepted(finding, accepted) for finding in findings),
        facts=_facts(chosen, images, version),
        versions=provenance.found_versions(chosen, version) if with_programs else {},
    )


def check_first(config: Config, project: Path = Path()) -> None:
    """Check a project before its first job, and keep the report; a Snakefile's ``onstart``.

    It is no rule: a rule that all others follow would run again, and they after it, whenever any
    option changes.

    Raises
    ------
    InputError
        When the pipeline cannot run; the message lists everything that is wrong.
    """
    report = check_project(config, project)
    write_report(report, project / REPORT, config=config, project=project)
    if not report.ok:
        raise InputError(report.problems())
    intake.note()
    if report.warnings:
        sys.stderr.write(f"{report.problems()}\n")


def load(config: Config) -> tuple[Settings, list[str]]:
    """Merge a configuration over the defaults; what is wrong with it gets its default.

    Returns
    -------
    tuple
        Settings that are as good as can be, and a sentence on each thing that is wrong.
    """
    defaults = settings.read(workflow_dir() / "config" / "config.yaml")
    problems: list[str] = []
    while True:
        found: list[str] = []
        merged = settings.merge(defaults, config)
        chosen = cast("Settings | None", values.check_block(Settings, merged, "", found))
        problems += found
        if chosen is not None:
            problems += consistency.problems(chosen)
            return chosen, problems
        before = config
        for problem in found:
            config = _without(config, problem.split(" ", 1)[0].split("."))
        if config == before:  # a name so odd that it cannot be told from the message
            config = {}


def _without(config: Config, path: Sequence[str]) -> Config:
    """Leave an option out of a configuration; a path that leads nowhere clears its block."""
    name, *rest = path
    kept = {key: value for key, value in config.items() if str(key) != name}
    block = config.get(name)
    if rest and isinstance(block, Mapping):
        kept[name] = _without(block, rest)
    return kept


def _version(chosen: Settings) -> tuple[Version | None, list[Finding]]:
    try:
        return versions.resolve(chosen.relion_version), []
    except InputError as failure:
        return None, [error("relion-version", "RELION", str(failure), programs.INSTALL_RELION)]


def _images(chosen: Settings, project: Path) -> Images:
    pattern = chosen.movies if chosen.start == "movies" else chosen.micrographs
    if chosen.start == "particles" or pattern is None:
        return Images(what=chosen.start)
    names = intake.taking_part(movies.find(pattern, project), project)
    return movies.read_all(names, project, chosen.start)


def _file_findings(
    chosen: Settings, images: Images, version: Version | None, project: Path
) -> Iterator[Finding]:
    yield from place.check_writable(project)
    yield from names.check_project_path(
        project, estimates_ctf=chosen.start != "particles", below=_below(chosen)
    )
    if chosen.start != "particles":
        yield from _image_findings(chosen, images, version, project)
        yield from microscope.check_optics(chosen)
        yield from geometry.check_boxes(chosen, images)
    yield from inputs.check_inputs(chosen, images, project)
    yield from place.check_scratch(chosen)
    yield from place.check_space(chosen, images, version, project)


def _below(chosen: Settings) -> int:
    """Count the bytes that a shard's folder adds to the path of CTF estimation."""
    if chosen.preprocessing.movies_per_job is None:
        return 0
    return len(shard_dir(Layout(chosen.first_job).dir("ctf"), "00000"))


def _image_findings(
    chosen: Settings, images: Images, version: Version | None, project: Path
) -> Iterator[Finding]:
    what = chosen.start
    pattern = chosen.movies if what == "movies" else chosen.micrographs
    if pattern is not None:
        yield from movies.check_found(images.names, pattern, project, what)
    yield from names.check_names(images.names, what)
    yield from movies.check_readable(images)
    yield from movies.check_alike(images)
    yield from _check_modes(images, version)
    yield from microscope.check_header_pixel_size(chosen, images)
    if what == "micrographs":
        yield from names.check_job_folders(images.names)
        return
    yield from names.check_collisions(images.names)
    yield from microscope.check_dose(chosen, images)
    yield from microscope.check_power_spectra(chosen, images)
    yield from microscope.check_eer(chosen, images)
    yield from gain.check_gain(chosen, images, project)


def _check_modes(images: Images, version: Version | None) -> Iterator[Finding]:
    typical = images.typical
    if typical is None or version is None or version >= V4_0 or typical.mode not in OLD_MODES:
        return
    yield error(
        "mrc-mode",
        images.what,
        f"they hold {OLD_MODES[typical.mode]} numbers (MRC mode {typical.mode}), which RELION"
        f" {version} reads wrongly or not at all",
        "use RELION 4.0 or later, or convert them to mode 2 (relion_image_handler, newstack)",
    )


def _accepted(finding: Finding, accepted: Collection[str]) -> Finding:
    if finding.severity == "error" and finding.code in accepted:
        return replace(finding, severity="warning", what=f"{finding.what} (accepted)")
    return finding


def _facts(chosen: Settings, images: Images, version: Version | None) -> dict[str, Any]:
    typical = images.typical
    if typical is None:
        return {}
    frames = microscope.movie_frames(chosen, images)
    facts: dict[str, Any] = {
        images.what: len(images.names),
        "format": typical.kind,
        "width": typical.width,
        "height": typical.height,
        "frames": frames,
        "angpix in the header": None if typical.angpix is None else round(typical.angpix, 5),
    }
    if frames is not None and chosen.dose.per_frame is not None:
        facts["dose (e/Å²)"] = round(frames * chosen.dose.per_frame, 3)
    if chosen.sample.box_size is not None and chosen.optics.pixel_size is not None:
        facts["box (px)"] = chosen.sample.box_size
        facts["small box (px)"] = commands.small_box_size(chosen)
    needed = place.needed_bytes(chosen, images, version)
    facts["disk space needed (GB, rough)"] = round(needed / place.GB, 2)
    return {name: value for name, value in facts.items() if value is not None}


def write_report(report: Report, path: Path, *, config: Config, project: Path = Path()) -> None:
    """Write a report as JSON and as text beside it, and the effective configuration.

    Parameters
    ----------
    report
        What was found.
    path
        The JSON file; the text gets its name with ``.txt``.
    config
        The user's configuration, of which a copy with all defaults filled in goes into
        ``.relion_dispatch/config.yaml`` of the project.
    project
        The project directory.

    Raises
    ------
    OSError
        When a file cannot be written; those there before are unchanged.
    """
    import yaml

    effective = asdict(load(config)[0])
    text = yaml.safe_dump(effective, sort_keys=False, allow_unicode=True)
    write_text(project / CONFIG_COPY, f"# Every option as it was used.\n{text}")
    write_text(path.with_suffix(".txt"), report.to_text())
    write_text(path, json.dumps(report.to_json(), indent=1, ensure_ascii=True) + "\n")
