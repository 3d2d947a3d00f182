"""What RELION's GUI runs in the place of ``sbatch``: from a parameter file to a submitted job.

The GUI does not look at the exit status and prints nothing: whatever goes wrong has to stand in
the job's ``run.err``, beside the marker that makes the GUI show the job as failed.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from relion_dispatch import fields, processes
from relion_dispatch.atomic import write_text
from relion_dispatch.calibration import basis
from relion_dispatch.calls import folder_of
from relion_dispatch.engine import Plan, Request, plan
from relion_dispatch.environment import outer_environment
from relion_dispatch.errors import DispatchError, SchedulerError
from relion_dispatch.frozen import dataclass
from relion_dispatch.healing.directory import HEAL_FILE

if TYPE_CHECKING:
    from relion_dispatch.healing.case import Case
    from relion_dispatch.jobscript import JobScript
    from relion_dispatch.profiles import Profile

#: Files that tell RELION's GUI how a job ended.
MARKERS = ("RELION_JOB_EXIT_SUCCESS", "RELION_JOB_EXIT_FAILURE", "RELION_JOB_EXIT_ABORTED")

#: RELION's GUI looks for ended jobs when it finds this file, and otherwise (from 3.1 on) only when
#: somebody clicks: PIPELINE_HAS_CHANGED in RELION's ``pipeliner.h``.
PIPELINE_HAS_CHANGED = ".pipeline_has_changed"

#: What the scheduler said to the submission, in the job's directory: it holds the job's id.
JOB_ID_FILE = "run.jobid"

#: What RELION calls the file that it makes from the template, in the job's directory.
SCRIPT_NAME = "run_submit.script"

#: Submit commands that run the script here and now.
SHELLS = ("bash", "sh", "csh", "tcsh", "dash", "ksh", "zsh")

_NONE: Mapping[str, object] = {}

#: Twenty days, nearly the longest that a process can be waited for.
_LONG_S = 20 * 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A parameter file with the profile that it goes through.

    Attributes
    ----------
    script
        Path of the file that RELION wrote.
    profile
        Name or path of the profile; empty for the environment's.
    overrides
        Job parameters from the command line; they win over the GUI's fields.
    """

    script: str
    profile: str = ""
    overrides: Mapping[str, object] = field(default_factory=dict)


def planned(submission: Submission) -> Plan:
    """Plan the job of a parameter file.

    Raises
    ------
    DispatchError
        When the file, the configuration or the job is wrong.
    """
    from relion_dispatch.jobscript import JobScript

    return _planned(*_case(submission, JobScript.read(submission.script)))


def submit(submission: Submission) -> str:
    """Submit the job of a parameter file.

    Returns
    -------
    str
        What the scheduler printed, or the explanation where the GUI asked for no more.

    Raises
    ------
    DispatchError
        When anything is wrong: the reason then stands in the job's ``run.err`` too, and the job
        is marked as failed.
    """
    from relion_dispatch.jobscript import JobScript

    job = None
    try:
        job = JobScript.read(submission.script)
        case, wishes = _case(submission, job)
        made = _planned(case, wishes)
        for warning in made.warnings:
            sys.stderr.write(f"relion-dispatch: warning: {warning}\n")
        if wishes.explain:
            return _explained(made)
        return send(made, case)
    except Exception as error:
        known = isinstance(error, DispatchError | OSError)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        _leave(_job_dir(job, submission.script), reason)
        raise


def send(made: Plan, case: Case, attempt: int = 1, changes: Mapping[str, object] = _NONE) -> str:
    """Write a plan's script and give it to the scheduler.

    Parameters
    ----------
    made
        The plan.
    case
        The job that it is for.
    attempt, changes
        Which attempt at it this is, and what is changed after the earlier ones.

    Raises
    ------
    SchedulerError
        When the scheduler refuses it or cannot be reached.
    """
    from relion_dispatch.healing import case as cases

    script = made.script
    for warning in made.warnings:
        _append(made.outfile, f"relion-dispatch: warning: {warning}\n")
    write_text(made.script_path, script, mode=0o755)
    basis.note(made)
    _clean(made)
    argv = shlex.split(made.submit_command or f"bash {shlex.quote(made.script_path)}")
    here = os.path.basename(argv[0]) in SHELLS
    if not here:
        cases.submitting(case, made, attempt, changes)
        if not _goes_on(made):
            cases.left_alone(case)
    done = processes.run(
        argv,
        timeout_s=_LONG_S if here else 120,
        env=outer_environment(os.environ),
        error=SchedulerError,
    )
    said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-10:])
    if done.returncode and not here:
        raise SchedulerError(
            f"'{shlex.join(argv)}' refused the job (exit code {done.returncode}):\n{said}"
        )
    if done.returncode and not any(Path(made.job_dir, name).exists() for name in MARKERS):
        # A script of a site's own, which marks nothing.
        _leave(made.job_dir, f"'{shlex.join(argv)}' failed (exit code {done.returncode}):\n{said}")
    if not here:
        Path(made.job_dir, JOB_ID_FILE).write_text(done.stdout, encoding="utf-8")
        _follow_up(made, case, attempt, done.stdout)
    return done.stdout + done.stderr


def _follow_up(made: Plan, case: Case, attempt: int, said: str) -> None:
    """Have the scheduler look after a job that it has taken, where it would go on by itself."""
    from relion_dispatch.healing import case as cases
    from relion_dispatch.scheduler_calls import parse_job_id
    from relion_dispatch.schedulers import definition_for

    try:
        job_id = parse_job_id(definition_for(case.profile.cluster.scheduler), said)
    except SchedulerError:
        return  # a scheduler of which nothing but the submit command is known
    if job_id is None:
        return
    cases.taken(case, attempt, job_id)
    if not _goes_on(made):
        return
    command, *words = reversed(made.follow_up)
    argv = [*(word.replace("{job_id}", job_id) for word in reversed(words)), command]
    try:
        environment = outer_environment(os.environ)
        done = processes.run(argv, timeout_s=120, env=environment, error=SchedulerError)
        trouble = done.stderr.strip() or f"exit code {done.returncode}"
    except SchedulerError as error:
        trouble = str(error)
    else:
        if done.returncode == 0:
            return
    cases.left_alone(case)
    if Path(made.exit_file).exists() and not Path(made.job_dir, MARKERS[0]).exists():
        Path(made.job_dir, MARKERS[1]).touch()  # it was quicker than this
    _append(made.errfile, f"relion-dispatch: nobody looks after this job: {trouble}\n")


def _goes_on(made: Plan) -> bool:
    """Whether a job is to be looked after: a template of a site's own may start it over."""
    return bool(made.follow_up) and made.body.strip() in made.script


def case_of(submission: Submission) -> Case:
    """Return the job of a parameter file, to be looked after.

    Raises
    ------
    DispatchError
        When the file or the configuration is wrong.
    """
    from relion_dispatch.jobscript import JobScript

    return _case(submission, JobScript.read(submission.script))[0]


def _case(submission: Submission, job: JobScript) -> tuple[Case, fields.Wishes]:
    from relion_dispatch.healing.case import Case
    from relion_dispatch.profiles import load_profile

    wishes = fields.read(job.comments, os.environ)
    profile: Profile = load_profile(wishes.profile or submission.profile or None)
    overrides = {
        **fields.with_partition(wishes.overrides, profile.cluster),
        **submission.overrides,
    }
    request = Request(
        commands=tuple(str(command) for command in job.commands),
        outfile=job.outfile,
        errfile=job.errfile,
        overrides=overrides,
        script_path=submission.script,
    )
    return Case(request=request, profile=profile), wishes


def _planned(case: Case, wishes: fields.Wishes) -> Plan:
    made = plan(case.request, case.profile)
    queue = wishes.overrides.get("queue")
    if queue and "partition" not in case.request.overrides:
        text = f"Queue '{queue}' is no partition of profile {case.profile.name}: not heeded."
        made = replace(made, warnings=(*made.warnings, text))
    return made


def _explained(made: Plan) -> str:
    """Put the explanation where the user looks for it, and end the job as aborted."""
    from relion_dispatch.explain import explanation

    text = explanation(made)
    _append(made.outfile, text)
    Path(folder_of(made.outfile), MARKERS[2]).touch()
    call_gui(Path())
    return text


def _clean(made: Plan) -> None:
    """Remove what a former run left, so that nobody takes it for this one's end."""
    for name in MARKERS:
        Path(made.job_dir, name).unlink(missing_ok=True)
    Path(made.exit_file).unlink(missing_ok=True)


def _job_dir(job: JobScript | None, script: str) -> str:
    """Return the job's directory: where its output goes, or where RELION has put its script.

    The script may be made from another template than ours, with no output file on its first line.
    """
    named = folder_of(job.outfile if job else _first_line(script))
    if named and Path(named).is_dir():
        return named
    return folder_of(script) if Path(script).name == SCRIPT_NAME else ""


def _leave(folder: str, reason: str) -> None:
    """Mark a job as failed and say why in its ``run.err``, as far as the disk lets us."""
    if not folder or not Path(folder).is_dir():
        return
    try:
        Path(folder, HEAL_FILE).unlink(missing_ok=True)
        _append(f"{folder}run.err", f"relion-dispatch: {reason}\n")
        Path(folder, MARKERS[0]).unlink(missing_ok=True)
        Path(folder, MARKERS[1]).touch()
        call_gui(Path())
    except OSError:
        return


def call_gui(project: Path) -> None:
    """Make an open GUI look for ended jobs at its next refresh; nothing where it has never been."""
    if (project / "default_pipeline.star").exists():
        (project / PIPELINE_HAS_CHANGED).touch()


def _append(path: str, text: str) -> None:
    with Path(path).open("a", encoding="utf-8", errors="surrogateescape") as handle:
        handle.write(text)


def _first_line(script: str) -> str:
    """Return the output file's name from a file that is otherwise unreadable; empty without one."""
    try:
        with Path(script).open(encoding="utf-8", errors="surrogateescape") as handle:
            return next((line.strip() for line in handle if line.strip()), "")
    except OSError:
        return ""
