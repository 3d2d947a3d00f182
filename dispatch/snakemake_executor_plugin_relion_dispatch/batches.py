"""Jobs on their way to the scheduler, alone or several like ones together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch import arrays, atomic
from relion_dispatch.head import FOLDER
from relion_dispatch.submitter import Submission, Together

if TYPE_CHECKING:
    from relion_dispatch.ledger import Entry
    from relion_dispatch.plan import Plan
    from snakemake_executor_plugin_relion_dispatch.jobs import Work


#: Where the scripts of arrays, and what Slurm itself writes about their tasks, are.
ARRAYS = FOLDER / "arrays"


def task_log(entry: Entry) -> Path | None:
    """Return where Slurm itself writes about a task of an array; None for a job of its own."""
    array, number = arrays.task_of(entry.name)
    return ARRAYS / array / f"{number}.log" if array else None


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A job with its plan, its submit command, and the header of its script."""

    work: Work
    plan: Plan
    command: tuple[str, ...]
    header: tuple[str, ...]

    @property
    def script(self) -> Path:
        """Where its script is written."""
        return Path(self.plan.script_path)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Jobs that are submitted in one call: an array, or a single one without a name.

    Attributes
    ----------
    name
        The array's name; empty for a single job.
    members
        Jobs and their entries in the ledger, by the number of the array's task.
    """

    name: str
    members: Mapping[int, tuple[Planned, Entry]]

    def together(self, submissions: Mapping[int, Submission]) -> Together:
        """Write the array's script, for those of its jobs that are ready.

        Raises
        ------
        OSError
            When it cannot be written.
        """
        tasks = [
            arrays.Task(
                number=number,
                script=submission.script,
                outfile=self.members[number][0].plan.outfile,
                errfile=self.members[number][0].plan.errfile,
            )
            for number, submission in submissions.items()
        ]
        planned = next(iter(self.members.values()))[0]
        folder = ARRAYS / self.name
        script = folder / "array.sh"
        text = arrays.script(planned.header, tasks, folder / "%a.log")
        atomic.write_text(script, text, mode=0o755)
        return Together(name=self.name, command=planned.command, script=script, members=submissions)
