"""The paths of a project's pipeline: which steps there are, and which file goes where.

Nothing is read or run here, but for the pattern of the input files.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from relion_dispatch.pipeline import commands
from relion_dispatch.pipeline.check.names import bad_characters
from relion_dispatch.pipeline.initialmodel import initial_model_map
from relion_dispatch.pipeline.layout import Layout
from relion_dispatch.pipeline.options import Settings
from relion_dispatch.pipeline.preprocessing import coordinate_suffix
from relion_dispatch.pipeline.versions import Version


def takeable(names: Iterable[str]) -> list[str]:
    """Leave out names that RELION cannot take, and sort the others.

    The check refuses to start with such names, in words; Snakemake, which reads wildcards into
    some of them, would only stumble over them before.
    """
    return sorted(name for name in names if not bad_characters(name, unquoted=True))


def found_images(settings: Settings) -> list[str]:
    """Find the movies or micrographs that the pipeline starts from; none for particles."""
    pattern = None if settings.start == "particles" else getattr(settings, settings.start)
    return takeable(glob.glob(pattern or ""))


@dataclass(frozen=True, kw_only=True)
class Paths:
    """Files of the pipeline that a configuration asks for.

    Attributes
    ----------
    settings, version
        The checked configuration, and the RELION that its commands are for.
    layout
        Where each job's directory is.
    shards
        The movies or micrographs of each shard, where steps up to extraction are split.
    """

    settings: Settings
    version: Version
    layout: Layout
    shards: Mapping[str, Sequence[str]] = field(default_factory=dict)

    # ------------------------------------------------------------------ what is there to start with

    def path(self, step: str, name: str, round_: int = 0) -> str:
        """Path of a file that a step writes."""
        return self.layout.path(step, name, round=round_)

    @property
    def inputs(self) -> list[str]:
        """Files that the import reads: movies, micrographs or one STAR file."""
        if self.settings.start == "particles":
            return [self.settings.particles or ""]
        if self.shards:
            return sorted(name for names in self.shards.values() for name in names)
        return found_images(self.settings)

    @property
    def imported(self) -> str:
        """STAR file that the import writes."""
        if self.settings.start == "particles":
            return self.path("import", PurePosixPath(self.settings.particles or "").name)
        return self.path("import", f"{self.settings.start}.star")

    @property
    def micrographs(self) -> str:
        """STAR file of the micrographs for CTF estimation."""
        if self.settings.start == "movies":
            return self.path("motion_correction", "corrected_micrographs.star")
        return self.imported

    @property
    def micrographs_with_ctf(self) -> str:
        """STAR file of the micrographs with their CTFs."""
        return self.path("ctf", "micrographs_ctf.star")

    @property
    def corrected_micrographs(self) -> str:
        """STAR file of the motion-corrected micrographs, for polishing."""
        return self.settings.corrected_micrographs or self.micrographs

    @property
    def coordinates(self) -> str:
        """File that picking or the import of coordinates leaves for extraction."""
        if self.settings.picking.method == "coordinates":
            suffix = coordinate_suffix(self.settings)
            return self.path("import_coordinates", f"coords_suffix{suffix}")
        name = "autopick.star" if self.version.coordinate_lists else "coords_suffix_autopick.star"
        return self.path("picking", name)

    @property
    def coordinate_files(self) -> list[str]:
        """Coordinate files that the user gives."""
        return takeable(glob.glob(self.settings.picking.coordinates or ""))

    @property
    def topaz_model(self) -> str | None:
        """Model that Topaz is trained to in this project; None without training."""
        trains = self.settings.picking.method == "topaz" and self.settings.picking.topaz.train
        return self.path("topaz_training", "model_epoch10.sav") if trains else None

    # ------------------------------------------------------------------------- what goes from where

    @property
    def extracted(self) -> str:
        """All particles, before any classification."""
        extracts = self.settings.start != "particles"
        return self.path("extraction", "particles.star") if extracts else self.imported

    @property
    def extracted_box(self) -> tuple[int, float] | None:
        """Box of the extracted particles in px, and their pixel size in Å; None when unknown."""
        box, angpix = self.full_box or (0, 0.0)
        if not box or self.settings.start == "particles":
            return self.full_box
        small = commands.small_box_size(self.settings)
        return small, angpix * box / small

    @property
    def full_box(self) -> tuple[int, float] | None:
        """Box of particles at full size in px, and their pixel size in Å; None when unknown."""
        box, angpix = self.settings.sample.box_size, commands.micrograph_pixel_size(self.settings)
        return (box, angpix) if box and angpix else None

    @property
    def class_averages(self) -> str | None:
        """Averages of the chosen 2D classes; None without 2D classification."""
        chosen = self.settings.class2d.enabled
        return self.path("select2d", "class_averages.star") if chosen else None

    @property
    def chosen_2d(self) -> str:
        """Particles that 3D steps begin with."""
        chosen = self.settings.class2d.enabled
        return self.path("select2d", "particles.star") if chosen else self.extracted

    @property
    def model(self) -> str:
        """Initial model: the best start, or the user's map in the extracted particles' box."""
        own = self.settings.initial_model.reference
        ours = self.path("rank_starts", "initial_model.mrc")
        return own if own and not self.scales_own_reference else ours

    @property
    def scales_own_reference(self) -> bool:
        """Whether the user's map is brought to the extracted particles' box, if that is known."""
        return bool(self.settings.initial_model.reference and self.extracted_box)

    @property
    def chosen_3d(self) -> str:
        """Particles that are refined, before they are extracted again."""
        chosen = self.settings.class3d.enabled
        return self.path("select3d", "particles.star") if chosen else self.chosen_2d

    @property
    def chosen_map(self) -> str:
        """Map that refinement begins with, before it is scaled."""
        chosen = self.settings.class3d.enabled
        return self.path("select3d", "best_class.mrc") if chosen else self.model

    @property
    def extracts_again(self) -> bool:
        """Whether chosen particles are extracted again at full size."""
        asked = self.settings.reextraction.enabled
        return self.settings.start != "particles" if asked == "auto" else asked

    @property
    def full_particles(self) -> str:
        """Particles for the first refinement."""
        again = self.extracts_again
        return self.path("reextraction", "particles.star") if again else self.chosen_3d

    @property
    def reference(self) -> str:
        """Map that refinement begins with, in its particles' box."""
        again = self.extracts_again
        return self.path("reextraction", "reference.mrc") if again else self.chosen_map

    def refined(self, name: str, round_: int) -> str:
        """Path of a refinement's result; round 0 is the one before any round."""
        return self.path("refine3d", name, round_)

    def ctf_refined(self, round_: int) -> str:
        """Particles after a round's CTF refinement."""
        if self.settings.ctf_refinement.enabled:
            return self.path("ctf_refinement", "particles_ctf_refine.star", round_)
        return self.refined("run_data.star", round_ - 1)

    def polished(self, round_: int) -> str:
        """Particles for a round's refinement."""
        if self.settings.polishing.enabled:
            return self.path("polishing", "shiny.star", round_)
        return self.ctf_refined(round_)

    @property
    def polishing_rescales(self) -> bool:
        """Whether polished particles have a box and a pixel size of their own."""
        return self.settings.polishing.enabled and self.settings.polishing.box_size is not None

    def maps_before(self, round_: int) -> dict[str, str]:
        """Map and mask that a round begins with, by their role in its refinement."""
        return {
            "reference": self.refined("run_class001.mrc", round_ - 1),
            "mask": self.path("mask", "mask.mrc", round_ - 1),
        }

    def polished_files(self, round_: int) -> dict[str, str]:
        """Particles for a round's refinement, and its maps where they are brought to their size."""
        maps = self.maps_before(round_) if self.polishing_rescales else ()
        scaled = {role: self.path("polishing", f"{role}.mrc", round_) for role in maps}
        return {"particles": self.polished(round_), **scaled}

    def trained(self, round_: int) -> str | None:
        """Polishing parameters that a round trains; None without training."""
        if not (self.settings.polishing.enabled and self.settings.polishing.train):
            return None
        return self.path("polishing_training", "opt_params_all_groups.txt", round_)

    @property
    def rounds(self) -> range:
        """Numbers of the rounds of CTF refinement and polishing."""
        return range(1, self.settings.polishing_rounds + 1)

    @property
    def starts(self) -> range:
        """Numbers of the starts of the initial model; none with the user's own map."""
        own = self.settings.initial_model.reference
        return range(1, 1 if own else self.settings.initial_model.starts + 1)

    @property
    def targets(self) -> list[str]:
        """What the whole pipeline makes."""
        if not self.settings.refine3d.enabled:
            if self.settings.class3d.enabled:
                return [self.path("select3d", "verdict.json")]
            return [self.model]
        last = self.settings.polishing_rounds
        found = [
            self.path("postprocess", "postprocess.mrc", last),
            self.refined("verdict.json", last),
        ]
        if self.settings.local_resolution.enabled:
            found.append(self.path("local_resolution", "relion_locres.mrc", last))
        return found

    def verdict_before(self, round_: int) -> str | None:
        """Verdict of the 3D step before a refinement; None where there is none."""
        if round_:
            return self.refined("verdict.json", round_ - 1)
        if self.settings.class3d.enabled:
            return self.path("select3d", "verdict.json")
        return self.path("rank_starts", "verdict.json") if self.starts else None

    # ----------------------------------------------------------------------------- names of results

    @property
    def class2d_last(self) -> str:
        """Root of the last iteration's files of 2D classification."""
        iteration = commands.class2d_iterations(self.settings, self.version)
        return self.path("class2d", f"run_it{iteration:03d}")

    @property
    def class3d_last(self) -> str:
        """Root of the last iteration's files of 3D classification."""
        return self.path("class3d", f"run_it{self.settings.class3d.iterations:03d}")

    def start_map(self, start: int) -> str:
        """Map of a start."""
        return self.layout.start(start) + initial_model_map(self.settings, self.version)

    def start_model(self, start: int) -> str:
        """Model STAR file of a start's comparison with all particles."""
        return f"{self.layout.start(start)}score_it001_model.star"
