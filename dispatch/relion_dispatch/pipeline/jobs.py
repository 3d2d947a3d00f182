"""A step of the pipeline as a Snakemake rule needs it: logs, parameters, threads, resources.

Everything about how a step runs (ranks, threads, memory, launcher) comes from one call of the
engine, when Snakemake asks for it; nothing is planned for steps that are finished.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relion_dispatch.errors import DispatchError, DoesNotFitError
from relion_dispatch.pipeline import foresight
from relion_dispatch.pipeline.commandline import without_running_options

if TYPE_CHECKING:
    from relion_dispatch.data import DataFacts
    from relion_dispatch.plan import Plan
    from relion_dispatch.profiles import Profile

#: Resources that a rule may have, by Snakemake's and its executors' names.
RESOURCES = ("tasks", "nodes", "cpus_per_task", "gpu", "mem_mb", "runtime", "slurm_partition")
LIMITS_OPTION = "--limits"
_LIMITS = re.compile(rf" {LIMITS_OPTION} ('[^']*'|\S+)")


def portable(command: str) -> str:
    """Leave out of a command of this package what changes no result.

    That is the folder of this Python and of the programs beside it, where Python looks for modules,
    and the limits of a verdict: one that passed stays passed, and one that stopped has left nothing
    and is judged anew anyway.
    """
    folder = os.path.dirname(sys.executable)
    here = command.replace(f"{folder}/", "") if folder else command
    return _LIMITS.sub("", here.replace(" -P -m ", " -m "))


def tracked(command: str) -> dict[str, Callable[..., str]]:
    """Give the parameters of a rule whose only command runs a module of this package.

    As in :attr:`StepJob.params`, ``science`` is what makes a rerun when it changes, and
    ``command`` is what runs.
    """
    return {
        "science": lambda wildcards: portable(command),
        "command": lambda wildcards, output: command,
    }


@dataclass(frozen=True, kw_only=True)
class Planner:
    """What the plans of all steps have in common.

    Attributes
    ----------
    profile_name
        Where the steps run.
    sizing
        The project's own values, by step.
    project
        The project's directory.
    cores
        Cores of this machine that Snakemake may use; None: all.
    given
        Job parameters that the user has set in Snakemake's words, by rule.
    """

    profile_name: str
    sizing: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    project: Path = Path()
    cores: int | None = None
    given: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    @cached_property
    def profile(self) -> Profile:
        """The profile, read when the first plan is made."""
        from relion_dispatch.machine import with_cores
        from relion_dispatch.profiles import load_profile

        found = load_profile(self.profile_name, project=self.project)
        return replace(found, cluster=with_cores(found.cluster, self.cores))

    def plan(
        self, job: StepJob, attempt: int, data: DataFacts | None = None, rule: str = ""
    ) -> Plan:
        """Plan one step, by the engine that plans RELION's own jobs too.

        Parameters
        ----------
        job, attempt
            The step's job, and which try it is.
        data
            What is supposed of data that do not exist yet.
        rule
            The rule that asks.

        Raises
        ------
        DispatchError
            When the job cannot be matched or does not fit.
        """
        from relion_dispatch.data import DataFacts
        from relion_dispatch.engine import Request, plan

        request = Request(
            commands=job.lines,
            outfile=job.logs["out"],
            errfile=job.logs["err"],
            project=self.project,
            data=DataFacts(**job.data).over(data or DataFacts()),
            overrides={**job.overrides, **self.given.get(rule, {})},
            attempt=attempt,
            concurrent=job.concurrent,
        )
        if attempt > 1:
            from relion_dispatch.healing.retries import retried

            return retried(request, self.profile)
        return plan(request, self.profile)


@dataclass(frozen=True, kw_only=True)
class StepJob:
    """One job of the pipeline.

    Attributes
    ----------
    step
        Its name, as in ``config.yaml``.
    out
        Its directory, with a slash at the end.
    commands
        Its command lines as RELION's window would write them.
    first
        A command that comes before them and changes no result.
    planner
        Plans it.
    data
        What is known of its data before they exist, by the names of ``DataFacts``.
    concurrent
        How many jobs like this can run side by side.
    job_type
        Its type, where its commands do not tell.
    follows
        Commands whose results it reads although the files' times do not count: when they change,
        it runs again.
    """

    step: str
    out: str
    commands: tuple[str, ...]
    planner: Planner
    first: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    concurrent: int = 1
    job_type: str = ""
    follows: tuple[str, ...] = ()
    _plans: dict[tuple[int, object, object, object], Plan] = field(default_factory=dict, repr=False)

    @property
    def lines(self) -> tuple[str, ...]:
        """All of its command lines."""
        return (self.first, *self.commands) if self.first else self.commands

    @property
    def overrides(self) -> Mapping[str, object]:
        """What the project says of how it runs; a job of its own type has nothing to do with it."""
        return (
            {"job_type": self.job_type} if self.job_type else self.planner.sizing.get(self.step, {})
        )

    def plan(self, attempt: int = 1, rule: str = "", data: DataFacts | None = None) -> Plan:
        """Plan the job for an attempt; made once, and anew when a file that it names changes."""
        key = attempt, rule, data, foresight.stamp(self.commands)
        if key not in self._plans:
            self._plans[key] = self.planner.plan(self, attempt, data, rule)
        return self._plans[key]

    def path(self, name: str) -> str:
        """Path of a file in the job's directory."""
        return self.out + name

    @property
    def logs(self) -> dict[str, str]:
        """RELION's two log files."""
        return {"out": f"{self.out}run.out", "err": f"{self.out}run.err"}

    @property
    def params(self) -> dict[str, Callable[..., Any]]:
        """Give the rule's parameters, as functions so that Snakemake expands nothing in them.

        ``science`` is what makes a rerun when it changes: the commands without anything that only
        says how they run. ``relion`` and ``job`` take ``output``, by which Snakemake knows that
        they follow from something else and compares neither with the last run.
        """
        lines = without_running_options((*self.follows, *self.commands))
        science = [portable(line) for line in lines]
        return {
            "science": lambda wildcards: list(science),
            "relion": lambda wildcards, output: list(self.lines),
            "data": lambda wildcards, output: dict(self.data),
            "overrides": lambda wildcards, output: dict(self.overrides),
            # With resources, so that Snakemake asks for these first: what is wrong with a size is
            # told there without its own inner workings.
            "job": lambda wildcards, output, resources=None: _Body(self),
        }

    @property
    def latest_body(self) -> str:
        """The lines that run the job, of the latest attempt that was planned."""
        return self.plan(max((key[0] for key in self._plans), default=1)).body

    @property
    def threads(self) -> Callable[..., int]:
        """Give the cores that the job takes on one machine."""

        def threads(wildcards: object, attempt: int, rulename: str = "") -> int:
            with self._told():
                plan = self.plan(attempt, rulename)
                here = self.planner.profile.cluster.local
            most = self.planner.cores or os.cpu_count() or 1
            return min(plan.ntasks * plan.cpus_per_task, most) if here else plan.threads

        return threads

    @property
    def resources(self) -> dict[str, Callable[..., int | str]]:
        """Give Snakemake's resources, each a function of the attempt and the rule's input.

        They are those of the script that will be submitted. What depends on data that are yet to
        be made is not told: Snakemake then shows ``<TBD>``, and asks again when the data are there.
        """
        return {name: self._resource(name) for name in RESOURCES}

    def _resource(self, name: str) -> Callable[..., int | str]:
        def resource(
            wildcards: object,
            attempt: int,
            input: Sequence[str] = (),  # noqa: A002 - Snakemake's word
            rulename: str = "",
        ) -> int | str:
            empty: int | str = "" if name == "slurm_partition" else 0
            with self._told():
                value = self.plan(attempt, rulename).resources().get(name, empty)
                missing = foresight.missing(input, self.planner.project)
                if missing and not self._certain(name, value, attempt, rulename):
                    raise FileNotFoundError(errno.ENOENT, "not made yet", missing)
            return value

        return resource

    def _certain(self, name: str, value: object, attempt: int, rule: str) -> bool:
        """Whether a resource is the same whatever its data will be: in extreme cases it is."""
        try:
            plans = [self.plan(attempt, rule, data) for data in foresight.EXTREMES]
        except DoesNotFitError:
            return False
        return all(each.resources().get(name, value) == value for each in plans)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn our errors into one that Snakemake shows without its own inner workings."""
        from snakemake.resources import ResourceValidationError

        try:
            yield
        except DispatchError as error:
            raise ResourceValidationError(f"step {self.step} ({self.out}): {error}") from error


class _Body(str):  # noqa: SLOT000 - it knows its job
    """The lines that run a job.

    Snakemake keeps a job's parameters when it tries the job again, and formats them anew into its
    command: the lines of the attempt that is about to run.
    """

    _job: StepJob

    def __new__(cls, job: StepJob) -> _Body:
        found = super().__new__(cls, job.latest_body)
        found._job = job
        return found

    def __format__(self, spec: str) -> str:
        return format(self._job.latest_body, spec)
