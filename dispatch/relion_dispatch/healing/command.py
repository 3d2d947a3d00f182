"""``relion-dispatch heal``: what the scheduler runs behind a failed job of RELION's window."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import sys
from collections.abc import Iterator
from pathlib import Path

from relion_dispatch.errors import InputError
from relion_dispatch.healing import attempts, care
from relion_dispatch.healing.care import Case
from relion_dispatch.submit import Submission, case_of, send
from relion_dispatch.watch import Verdict, Watch, Watched

#: What RELION's window calls the parameter file in a job's directory.
_SCRIPT = "run_submit.script"


class RunningError(InputError):
    """The job has not ended: there is nothing to heal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``relion-dispatch heal``."""
    parser.add_argument("--profile", default="", help="default: $RELION_DISPATCH_PROFILE")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the job, as it was submitted with",
    )
    parser.add_argument("job", metavar="JOB", help="a job's directory, or its parameter file")


def main(args: argparse.Namespace) -> int:
    """Look after a failed job: submit its next attempt, or say why there is none."""
    path = Path(args.job)
    script = str(path / _SCRIPT if path.is_dir() else path)
    pairs = (text.partition("=") for text in args.set)
    overrides = {name: value for name, _, value in pairs}
    case = case_of(Submission(script=script, profile=args.profile, overrides=overrides))
    try:
        sys.stdout.write(heal(case))
    except RunningError:
        raise
    except BaseException:
        with contextlib.suppress(OSError):
            care.given_up(case)
        raise
    return 0


def heal(case: Case) -> str:
    """Submit the next attempt at a failed job, or let it fail for good.

    Returns
    -------
    str
        What was decided, and what the scheduler said.

    Raises
    ------
    RunningError
        When the job has not ended.
    DispatchError
        When the scheduler refuses the next attempt.
    """
    with _alone(case):
        return _heal(case)


@contextlib.contextmanager
def _alone(case: Case) -> Iterator[None]:
    """Hold others off that would heal the same job meanwhile: a person, and the follow-up."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # without a journal; in a file system without locks
            journal = stack.enter_context(open(case.folder / attempts.JOURNAL, "rb+"))
            fcntl.flock(journal, fcntl.LOCK_EX)
        yield


def _heal(case: Case) -> str:
    from relion_dispatch.engine import plan

    verdict = _verdict(case)
    if verdict.state.alive and verdict.report is not None:
        raise RunningError(f"job {verdict.job_id} has not ended ({verdict.state.value})")
    decision = care.after_failure(case, verdict if verdict.report else None)
    if not decision.go_on:
        care.given_up(case)
        return f"{decision.reason}\n"
    made = plan(case.next_request(decision.changes), case.profile)
    said = send(made, case, decision.attempt + 1, decision.changes)
    return f"{decision.reason}\n{said}"


def _verdict(case: Case) -> Verdict:
    """Ask the scheduler how the last attempt has ended."""
    from relion_dispatch.client import Client
    from relion_dispatch.failures import diagnosed
    from relion_dispatch.schedulers import definition_for

    history = attempts.read(case.folder)
    job_id = history[-1].job_id if history else ""
    if not job_id:
        raise InputError(f"{case.folder} holds no attempt that a scheduler has taken")
    request = case.request
    exit_file = case.folder / "run.exit"
    watch = Watch(Client(definition_for(case.profile.cluster.scheduler)), patience_s=0.0)
    found = watch.poll([Watched(job_id=job_id, exit_file=exit_file)])[job_id]
    return diagnosed(found, [Path(request.errfile), Path(request.outfile)])
