"""Steps that run once for every shard, as their rules need them, and the jobs that join them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from relion_dispatch.pipeline import commands
from relion_dispatch.pipeline.commandline import option
from relion_dispatch.pipeline.jobs import RESOURCES, StepJob
from relion_dispatch.sharding.places import NOTHING, shard_dir
from relion_dispatch.this_python import python_command

if TYPE_CHECKING:
    from relion_dispatch.pipeline.steps import Project

#: Type of the jobs that join shards: RELION's programs find nothing to do, and write their lists.
JOIN_TYPE = "join_shards"
#: What makes RELION's programs join what is there, and do nothing else.
_JOINING = {
    "motion_correction": "",
    "ctf": "--only_do_unfinished --do_at_most 0",
    "picking": "--only_do_unfinished",
    "extraction": "--only_do_unfinished",
}


def wanted(project: Project, name: str) -> bool:
    """Whether a step runs once for every shard."""
    s = project.settings
    if not project.shards or name not in _JOINING:
        return False
    # Other coordinates than these depend on all micrographs, or are there already.
    alone = s.picking.method in ("log", "references", "topaz") and not project.topaz_model
    return name in ("motion_correction", "ctf") or alone


def import_lines(project: Project) -> tuple[str, ...]:
    """Write the commands of the import: of a project with shards, only what has one stays."""
    out = project.layout.dir("import")
    if project.settings.start == "particles":
        return commands.import_particles(project.settings, out=out)
    lines = commands.import_movies(project.settings, out=out)
    return (*lines, python_command("sharding.keep", project.imported)) if project.shards else lines


@dataclass(frozen=True, kw_only=True)
class Source:
    """A list that a shard's job reads.

    Attributes
    ----------
    path
        Where the job for all movies finds it.
    step, result
        The step before, and what its list is called in each of its shards; empty: the shard's
        rows of the list for all movies.
    linked
        Whether the job only waits for it, and reads nothing but the files that it lists.
    """

    path: str
    step: str = ""
    result: str = ""
    linked: bool = False


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step up to extraction: one job, or one for every shard and one that joins them.

    Attributes
    ----------
    project, name
        The project, and the step's name.
    lines
        Its command lines for all movies.
    join
        The lines that join what the shards' jobs have made; none: those for all movies, of which
        the first is told that everything is done.
    """

    project: Project
    name: str
    lines: tuple[str, ...]
    join: tuple[str, ...] = ()
    _jobs: dict[str, StepJob] = field(default_factory=dict, repr=False)

    @property
    def out(self) -> str:
        """The step's job directory."""
        return self.project.layout.dir(self.name)

    @property
    def sharded(self) -> bool:
        """Whether there is a job for every shard."""
        return wanted(self.project, self.name)

    @cached_property
    def whole(self) -> StepJob:
        """The job for all movies: it does everything, or joins what was done."""
        job = self.project.job(self.name, self.lines)
        if not self.sharded:
            return job
        joining, *others = self.lines
        lines = self.join or (f"{joining} {_JOINING[self.name]}", *others)
        # The job's directory holds what the shards have made: it is not cleared.
        first = python_command("project.enter", "begin", self.out)
        return replace(job, commands=lines, first=first, job_type=JOIN_TYPE, _plans={})

    # -------------------------------------------------------------- what the rule for shards needs

    @property
    def result(self) -> str:
        """Name of the list that RELION writes of what the step has made."""
        picked = "autopick.star" if self.project.version.coordinate_lists else "summary.star"
        return {
            "motion_correction": "corrected_micrographs.star",
            "ctf": "micrographs_ctf.star",
            "picking": picked,
            "extraction": "particles.star",
        }[self.name]

    @property
    def results(self) -> list[str]:
        """The list of each shard's results; none where the step is one job."""
        return [self._made(shard) for shard in self.project.shards] if self.sharded else []

    @property
    def output(self) -> str:
        """The list of a shard's results, with a wildcard for the shard."""
        return self._made("{shard}")

    @property
    def logs(self) -> dict[str, str]:
        """A shard's logs, with a wildcard for the shard."""
        folder = shard_dir(self.out, "{shard}")
        return {"out": f"{folder}run.out", "err": f"{folder}run.err"}

    @property
    def imported(self) -> list[str]:
        """The imported list, where a shard begins with its rows; its time does not count."""
        return [source.path for source in self._sources if not source.step]

    @property
    def inputs(self) -> Callable[..., list[str]]:
        """Give what a shard is made of: its movies, or the lists of the steps before."""

        def inputs(wildcards: Any) -> list[str]:
            shard = wildcards.shard
            before = [self._before(source, shard) for source in self._sources if source.step]
            return before or list(self.project.shards.get(shard, ()))

        return inputs

    @property
    def threads(self) -> Callable[..., int]:
        """Give the cores of a shard's job: all of this machine where it uses its GPUs.

        Two shards on the same GPUs would slow each other down, or fail; without a scheduler the
        cores are what keeps jobs apart.
        """

        def threads(wildcards: Any, attempt: int) -> int:
            job = self.job(wildcards.shard)
            found = job.threads(wildcards, attempt)
            here = job.planner.profile.cluster.local
            return os.cpu_count() or found if here and job.plan(attempt).gpus else found

        return threads

    @property
    def resources(self) -> dict[str, Callable[..., int | str]]:
        """Give Snakemake's resources of a shard's job."""
        return {name: self._resource(name) for name in RESOURCES}

    def _resource(self, name: str) -> Callable[..., int | str]:
        def resource(
            wildcards: Any,
            attempt: int,
            input: Sequence[str] = (),  # noqa: A002 - Snakemake's word
            rulename: str = "",
        ) -> int | str:
            made = self.job(wildcards.shard)
            return made.resources[name](wildcards, attempt, input, rulename)

        return resource

    @property
    def params(self) -> dict[str, Callable[..., Any]]:
        """Give the parameters of a shard's rule, named as those of other rules."""
        return {
            "science": lambda wildcards: self._param("science", wildcards),
            **{name: self._derived(name) for name in ("relion", "data", "overrides")},
            "job": lambda wildcards, output, resources=None: self._param("job", wildcards, output),
        }

    def _derived(self, name: str) -> Callable[..., Any]:
        return lambda wildcards, output: self._param(name, wildcards, output)

    def _param(self, name: str, wildcards: Any, *output: object) -> Any:
        return self.job(wildcards.shard).params[name](wildcards, *output)

    # ------------------------------------------------------------------------------ a shard's job

    def job(self, shard: str) -> StepJob:
        """Make the job of a shard."""
        if shard not in self._jobs:
            self._jobs[shard] = self._job(shard)
        return self._jobs[shard]

    def _job(self, shard: str) -> StepJob:
        folder = shard_dir(self.out, shard)
        own = option("--pipeline_control", folder)
        there = option("--pipeline_control", self.out)
        lines = [
            f"[ -e {shlex.quote(folder + NOTHING)} ] ||"
            f" (cd {shlex.quote(folder)} && {line.replace(str(there), str(own))})"
            for line in self.lines
        ]
        lines[0] += self._or_unpicked(folder)
        publish = python_command(
            "sharding.publish", folder, "--out", self.out, "--result", self.result
        )
        members = self.project.shards.get(shard, ())
        return replace(
            self.whole,
            out=folder,
            commands=(*lines, publish),
            first=python_command("sharding.begin", folder, "--out", self.out, *self._lists(shard)),
            data={**self.whole.data, "n_micrographs": len(members)},
            job_type="",
            follows=import_lines(self.project) if self.imported else (),
            _plans={},
        )

    def _or_unpicked(self, folder: str) -> str:
        """Write what lets a shard pass in which RELION finds nothing and dies of it."""
        if self.name != "picking" or self.project.version.coordinate_lists:
            return ""
        (listed,) = (source.path for source in self._sources)
        words = ("--out", self.out, "--list", listed, "--result", self.result)
        return f" || {python_command('sharding.unpicked', folder, *words)}"

    def _lists(self, shard: str) -> list[str]:
        words = []
        for source in self._sources:
            if not source.step:
                words += ["--take", source.path]
            elif not source.linked:
                words += ["--file", source.path, self._before(source, shard)]
        return words

    @property
    def _sources(self) -> tuple[Source, ...]:
        project, movies = self.project, self.project.settings.start == "movies"
        if self.name == "motion_correction" or (self.name == "ctf" and not movies):
            return (Source(path=project.imported),)
        if self.name == "ctf":
            return (self._source("motion_correction", project.micrographs),)
        estimated = self._source("ctf", project.micrographs_with_ctf)
        if self.name == "picking":
            return (estimated,)
        lists = project.version.coordinate_lists
        picked = self._source("picking", project.coordinates, linked=not lists)
        return (estimated, picked)

    def _source(self, step: str, path: str, *, linked: bool = False) -> Source:
        result = replace(self, name=step).result
        return Source(path=path, step=step, result=result, linked=linked)

    def _before(self, source: Source, shard: str) -> str:
        return shard_dir(self.project.layout.dir(source.step), shard) + source.result

    def _made(self, shard: str) -> str:
        return shard_dir(self.out, shard) + self.result
