"""The jobs of a project's pipeline, as its rules ask for them."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from relion_dispatch.healing.continuing import begin_command
from relion_dispatch.pipeline import commands, consistency, foresight, settings, versions, wished
from relion_dispatch.pipeline.jobs import LIMITS_OPTION, Planner, StepJob, tracked
from relion_dispatch.pipeline.layout import Layout
from relion_dispatch.pipeline.paths import Paths, found_images
from relion_dispatch.sharding import intake
from relion_dispatch.this_python import python_command

#: Steps on all micrographs.
MICROGRAPHS = ("ctf", "picking", "extraction", "reextraction")
#: Steps on particles in the box in which they are extracted first.
CLASSIFICATION = ("class2d", "initial_model", "class3d")
#: Steps on particles at full size, if they are extracted again.
REFINEMENT = ("refine3d", "mask", "postprocess", "ctf_refinement", "polishing", "local_resolution")


@dataclass(frozen=True, kw_only=True)
class Project(Paths):
    """The pipeline that a configuration asks for: its files and its jobs.

    Attributes
    ----------
    planner
        How each job runs.
    jobs
        Those that were asked for, by their directory.
    """

    planner: Planner
    jobs: dict[str, StepJob] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def load(
        cls,
        config: Mapping[str, Any],
        profile: str,
        *,
        only_noted: bool = False,
        cores: int | None = None,
        given: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Project:
        """Check a configuration and find RELION's version.

        Parameters
        ----------
        config, profile
            The user's options, and where the steps run.
        only_noted
            With shards, leave out movies that have none yet: this is a run inside another.
        cores
            Cores of this machine that Snakemake may use; None: all.
        given
            Resources that the user has set in Snakemake's words, by rule.

        Raises
        ------
        InputError
            When the configuration is wrong or not for this RELION, or no RELION is found.
        """
        checked = settings.load(config, source="config.yaml")
        version = versions.resolve(checked.relion_version)
        consistency.check_version(checked, version)
        size = checked.preprocessing.movies_per_job
        names = found_images(checked) if size else []
        return cls(
            settings=checked,
            version=version,
            layout=Layout(checked.first_job),
            shards=intake.take(names, size, only_noted=only_noted) if size else {},
            planner=Planner(
                profile_name=profile,
                sizing=checked.sizing,
                cores=cores,
                given=wished.by_rule(given or {}),
            ),
        )

    def job(
        self,
        step: str,
        lines: tuple[str, ...],
        round_: int = 0,
        *,
        out: str = "",
        concurrent: int = 1,
    ) -> StepJob:
        """Make the job of a step from its command lines.

        Parameters
        ----------
        step, lines, round_
            Name of the step, its commands, and the round it belongs to.
        out
            Its directory; empty: the step's only one.
        concurrent
            How many jobs like this can run side by side.
        """
        out = out or self.layout.dir(step, round=round_)
        made = StepJob(
            step=step,
            out=out,
            commands=lines,
            first=begin_command(lines, out, clean=True),
            planner=self.planner,
            data=self._data(step, round_),
            concurrent=concurrent,
        )
        self.jobs[out] = made
        return made

    @cached_property
    def _of_images(self) -> Mapping[str, Any]:
        return foresight.of_images(self.inputs) if self.settings.start != "particles" else {}

    def _data(self, step: str, round_: int) -> dict[str, Any]:
        if step == "motion_correction":
            return dict(self._of_images)
        if round_ and self.polishing_rescales:
            return {"box": self.settings.polishing.scaled_size}
        first = step in CLASSIFICATION or (step in REFINEMENT and not self.extracts_again)
        known = self.extracted_box if first else self.full_box
        found = dict(zip(("box", "angpix"), known, strict=True)) if known else {}
        many = self._of_images.get("n_micrographs") if step in MICROGRAPHS else None
        return {**found, "n_micrographs": many} if many else found

    def select(self, step: str, root: str, *words: str) -> str:
        """Write the command that selects classes of a classification."""
        limits = getattr(self.settings, step)
        values = {
            "--min_fraction": limits.min_fraction,
            "--resolution_factor": limits.resolution_factor,
            "--max_resolution": getattr(limits, "max_resolution", None),
            "--min_particles": getattr(limits, "min_particles", None),
        }
        given = {name: value for name, value in values.items() if value is not None}
        return python_command(
            "pipeline.selection",
            *("--model", f"{root}_model.star", "--data", f"{root}_data.star"),
            *("--o", self.layout.dir(step), "--relion", str(self.version.major)),
            *(word for name, value in given.items() for word in (name, str(value))),
            *words,
        )

    def rank(self) -> str:
        """Write the command that ranks the starts."""
        each = [("--start", self.start_map(s), self.start_model(s)) for s in self.starts]
        words = [word for start in each for word in start]
        out = self.layout.dir("rank_starts")
        return python_command("pipeline.starts", *words, "--o", out, *self._judging())

    def judge(self, step: str, **paths: str | None) -> str:
        """Write the command that judges a step's map; ``paths`` are its options."""
        given = [word for name, path in paths.items() if path for word in (f"--{name}", path)]
        return python_command("pipeline.judge", "--step", step, *given, *self._judging())

    def _judging(self) -> list[str]:
        words = ["--particle_diameter", str(self.settings.sample.particle_diameter)]
        words += ["--class_averages", self.class_averages] if self.class_averages else []
        limits = json.dumps(vars(self.settings.verdict), sort_keys=True)
        return [*words, LIMITS_OPTION, limits]

    def scale_own_reference(self) -> str:
        """Write the command that brings the user's map to the extracted particles' box."""
        box, angpix = self.extracted_box or (0, 0.0)
        paths = ("--i", self.settings.initial_model.reference or "", "--o", self.model)
        size = ("--angpix", f"{angpix:.8g}", "--box", str(box))
        return python_command("pipeline.reference", *paths, *size)

    def scale_reference(self) -> str:
        """Write the command that scales the chosen map to the full box."""
        box, angpix = self.full_box or (0, 0.0)
        _, small_angpix = self.extracted_box or (0, 0.0)
        words = {
            "--i": self.chosen_map,
            "--o": self.path("reextraction", "reference.mrc"),
            "--angpix": f"{small_angpix:.8g}",
            "--rescale_angpix": f"{angpix:.8g}",
            "--new_box": str(box),
        }
        given = shlex.join(word for pair in words.items() for word in pair)
        return f"`which relion_image_handler` {given}"

    @property
    def builtin_ctf(self) -> str:
        """Path of the built-in CTF program, beside this Python."""
        return str(Path(sys.executable).with_name("relion-dispatch-ctffind"))

    def clean(self, how: str) -> Callable[..., str]:
        """Give the parameter of the rule that cleans up, gently or harshly."""
        profile = ("--profile", self.planner.profile_name)
        command = python_command("cli", "clean", f"--{how}", *profile)
        return lambda wildcards, output: command

    # --------------------------------------------------------------------- jobs of several commands

    def select_3d(self) -> tuple[str, ...]:
        """Write the commands that choose 3D classes and judge the best of them."""
        limits = self.settings.select3d
        before = self.path("rank_starts", "verdict.json") if self.starts else None
        return (
            self.select("select3d", self.class3d_last, "--best_map", self.chosen_map),
            self.judge(
                "class3d",
                model=f"{self.class3d_last}_model.star",
                map=self.chosen_map,
                kept=self.path("select3d", "particles.star"),
                of=f"{self.class3d_last}_data.star",
                before=before,
                class_fraction=str(limits.min_fraction),
                class_factor=str(limits.resolution_factor),
                o=self.path("select3d", "verdict.json"),
            ),
        )

    def extract_again(self) -> tuple[str, ...]:
        """Write the commands that extract the chosen particles and scale their reference."""
        extract = commands.reextraction(
            self.settings,
            self.version,
            micrographs=self.micrographs_with_ctf,
            particles=self.chosen_3d,
            out=self.layout.dir("reextraction"),
        )
        return (*extract, self.scale_reference())

    def refinement_inputs(self, round_: int) -> dict[str, str]:
        """Files that a refinement reads, by their role."""
        if not round_:
            return {"particles": self.full_particles, "reference": self.reference}
        return {
            **self.maps_before(round_),
            **self.polished_files(round_),
            "verdict": self.refined("verdict.json", round_ - 1),
        }

    def refinement(self, round_: int) -> StepJob:
        """Make a refinement: the first one, or that of a round."""
        out = self.layout.dir("refine3d", round=round_)
        files = self.refinement_inputs(round_)
        files.pop("verdict", None)
        refine = commands.refine_polished if round_ else commands.refine3d
        return self.job("refine3d", refine(self.settings, self.version, out=out, **files), round_)

    def mask(self, round_: int) -> StepJob:
        """Make the mask of a refinement's map; its threshold is found from the map if need be."""
        out = self.layout.dir("mask", round=round_)
        map_ = self.refined("run_class001.mrc", round_)
        given = self.settings.mask.threshold
        if not isinstance(given, str):
            lines = commands.mask(self.settings, map_=map_, threshold=given, out=out)
            return self.job("mask", lines, round_)
        file = f"{out}threshold.txt"
        words = (map_, "--lowpass", str(self.settings.mask.lowpass), "--o", file)
        density = f'"$(cat {shlex.quote(file)})"'
        lines = commands.mask(self.settings, map_=map_, threshold=density, out=out)
        return self.job("mask", (python_command("pipeline.threshold", *words), *lines), round_)

    def postprocess(self, round_: int) -> StepJob:
        """Make the post-processing of a refinement."""
        lines = commands.postprocess(
            self.settings,
            half_map=self.refined("run_half1_class001_unfil.mrc", round_),
            mask=self.path("mask", "mask.mrc", round_),
            out=self.layout.dir("postprocess", round=round_),
        )
        return self.job("postprocess", lines, round_)

    def judge_refinement(self, round_: int) -> dict[str, Callable[..., str]]:
        """Give the parameters of the rule that judges a refinement."""
        command = self.judge(
            f"refine3d round {round_}" if round_ else "refine3d",
            model=self.refined("run_model.star", round_),
            map=self.refined("run_class001.mrc", round_),
            postprocess=self.path("postprocess", "postprocess.star", round_),
            kept=self.refined("run_data.star", round_),
            of=self.chosen_2d,
            before=self.verdict_before(round_),
            o=self.refined("verdict.json", round_),
        )
        return tracked(command)

    def ctf_refinement(self, round_: int) -> StepJob:
        """Make a round's CTF refinement."""
        lines = commands.ctf_refinement(
            self.settings,
            particles=self.refined("run_data.star", round_ - 1),
            postprocess=self.path("postprocess", "postprocess.star", round_ - 1),
            out=self.layout.dir("ctf_refinement", round=round_),
        )
        return self.job("ctf_refinement", lines, round_)

    def polishing_inputs(self, round_: int) -> dict[str, str]:
        """Files that a round's polishing or its training reads, by their role."""
        return {
            "particles": self.ctf_refined(round_),
            "postprocess": self.path("postprocess", "postprocess.star", round_ - 1),
            "micrographs": self.corrected_micrographs,
        }

    def training(self, round_: int) -> StepJob:
        """Make the training of a round's polishing."""
        out = self.layout.dir("polishing_training", round=round_)
        files = self.polishing_inputs(round_)
        lines = commands.polishing_training(self.settings, out=out, **files)
        return self.job("polishing_training", lines, round_)

    def polishing(self, round_: int) -> StepJob:
        """Make a round's polishing."""
        out = self.layout.dir("polishing", round=round_)
        files, trained = self.polishing_inputs(round_), self.trained(round_)
        files |= {"parameters": trained} if trained else {}
        lines = commands.polishing(self.settings, self.version, out=out, **files)
        return self.job("polishing", (*lines, *self._rescale(round_)), round_)

    def _rescale(self, round_: int) -> Iterator[str]:
        """Write commands that bring the maps of a round to polished particles of another size."""
        made = self.polished_files(round_)
        for role, file in self.maps_before(round_).items() if self.polishing_rescales else ():
            words = ["--i", file, "--o", made[role], "--like", made["particles"]]
            words += ["--mask"] if role == "mask" else []
            yield python_command("pipeline.reference", *words)

    def local_resolution(self) -> StepJob:
        """Make the local resolution of the last map."""
        last = self.settings.polishing_rounds
        lines = commands.local_resolution(
            self.settings,
            half_map=self.refined("run_half1_class001_unfil.mrc", last),
            mask=self.path("mask", "mask.mrc", last),
            out=self.layout.dir("local_resolution", round=last),
        )
        return self.job("local_resolution", lines, last)
