"""From a command's options to the files that they name, and to what these say."""

from __future__ import annotations

from dataclasses import replace

from relion_dispatch.command import Command
from relion_dispatch.data import DataFacts
from relion_dispatch.datafiles import DataFiles, image_file
from relion_dispatch.imageheader import ImageHeader
from relion_dispatch.starfacts import body_facts, movie_facts, reference_facts, star_facts

# Options that name a program's data, the most telling first.
_INPUTS = (
    *("continue", "i", "ios", "p", "t", "in_parts", "in_mics", "in_movies", "opt", "data", "model"),
    *("tomograms", "tilt-series-star-file", "tomogram-star-file", "tomograms-file"),
)
# Programs whose images are movies or micrographs rather than particles or maps.
_MOVIES = frozenset(("relion_import", "relion_run_motioncorr", "relion_run_ctffind"))
# Programs that cut out particles, with the option that says how large these are.
_CUT_OUT = {
    "relion_preprocess": "extract_size",
    "relion_tomo_subtomo": "b",
    "relion_tomo_reconstruct_particle": "b",
}


def command_facts(files: DataFiles, command: Command) -> DataFacts:
    """Find the facts in the files that a command's options name.

    Parameters
    ----------
    files
        Where to look.
    command
        The command; nothing is known of one without a program.

    Returns
    -------
    DataFacts
        Without notes: these are in ``files``.
    """
    facts = _from_options(command)
    for option in _INPUTS if _reads_images(command) else ():
        if value := command.value(option):
            facts = facts.over(_input_facts(files, value, command.program in _MOVIES))
    others = _other_facts(files, command)
    if command.has("corr_mic") and facts.n_micrographs and others.n_micrographs:
        # Those without particles do not count; those of many particles are but estimated.
        fewer = min(facts.n_micrographs, others.n_micrographs)
        facts = replace(facts, n_micrographs=fewer)
    facts = facts.over(others)
    if facts.box is None and command.program == "relion_refine":
        facts = facts.over(DataFacts(box=facts.ref_box))
    return facts


def _reads_images(command: Command) -> bool:
    """Tell whether the inputs are images or STAR files, not coordinates that are imported."""
    imports = command.program == "relion_import"
    return not imports or command.has("do_movies") or command.has("do_micrographs")


def _from_options(command: Command) -> DataFacts:
    size = _number(command.value(_CUT_OUT.get(command.program or "", "")))
    return DataFacts(box=int(size) if size else None, angpix=_number(command.value("angpix")))


def _input_facts(files: DataFiles, value: str, movies: bool) -> DataFacts:
    name = value.strip()
    if files.exists(image_file(name)):
        names = [name]
    else:
        names = files.matching(name) or [word for word in name.split() if files.exists(word)]
    if not names or names[0].endswith(".star"):
        return star_facts(files, names[0]) if names else DataFacts()
    header = files.header(names[0])
    facts = _image_facts(names[0], header, movies) if header else DataFacts()
    return facts.over(DataFacts(n_micrographs=len(names))) if movies else facts


def _image_facts(name: str, header: ImageHeader, movies: bool) -> DataFacts:
    if not movies and image_file(name).endswith((".mrcs", ".st")):
        return DataFacts(box=header.nx, angpix=header.angpix, n_particles=header.nz)
    if not movies and header.nx == header.ny == header.nz:
        return DataFacts(box=header.nx, angpix=header.angpix)
    return movie_facts(header)


def _other_facts(files: DataFiles, command: Command) -> DataFacts:
    facts = DataFacts()
    if bodies := command.value("multibody_masks"):
        facts = facts.over(body_facts(files, bodies))
    if micrographs := command.value("corr_mic"):
        facts = facts.over(star_facts(files, micrographs))
    if particles := command.value("reextract_data_star"):
        # Their box is that of the images they had before.
        facts = facts.over(DataFacts(n_particles=star_facts(files, particles).n_particles))
    if reference := command.value("ref"):
        facts = facts.over(reference_facts(files, reference))
    return facts


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
