"""A scheduler for a machine that has none: jobs as processes, no more at once than it has cores.

``python -m relion_dispatch.localqueue submit|status|cancel`` are to `schedulers.LOCAL` what
``sbatch``, ``squeue`` and ``scancel`` are to Slurm. There is no daemon: every job has a process of
its own that outlives the submitter, waits for cores, runs the script and notes its end. Cores are
file locks, which end with whoever holds them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from relion_dispatch import machine
from relion_dispatch.localjobs import Job, Jobs, folder
from relion_dispatch.processes import start
from relion_dispatch.procfs import stat
from relion_dispatch.this_python import argv

#: Seconds between two looks for free cores.
LOOK_S = 0.1
#: Seconds that a cancelled job has to end by itself.
GRACE_S = 5.0


class CancelledError(Exception):
    """The job was told to end."""


def submit(jobs: Jobs, script: Path, *, name: str, cores: int) -> str:
    """Start a job's process and return the job's id, once that process answers for the job."""
    job = jobs.add(name=name, script=str(script.absolute()), cores=cores)
    runner = start(
        argv("relion_dispatch.localqueue", "run", job.job_id),
        log=jobs.folder / f"{job.job_id}.log",
    )
    while not jobs.read(job.job_id).pid:
        if runner.poll() is not None:
            said = (jobs.folder / f"{job.job_id}.log").read_text(errors="replace")
            raise SystemExit(f"the job's process did not start: {said.strip()[-500:]}")
        time.sleep(0.005)
    return job.job_id


def run(jobs: Jobs, job_id: str) -> None:
    """Be a job's process: wait for cores, run the script, note the end."""
    signal.signal(signal.SIGTERM, _cancelled)
    job = jobs.note(job_id, pid=os.getpid(), born=_born(os.getpid()))
    code, word = 143, "CANCELLED"
    try:
        with _cores(jobs.folder, min(job.cores, machine.cores())) as held:
            job = jobs.note(job_id, word="RUNNING")
            code = _run_script(jobs, job, held)
            word = "FAILED" if code else "COMPLETED"
    except CancelledError:
        pass
    jobs.note(job_id, word=word, code=code)


def cancel(jobs: Jobs, job_ids: Sequence[str]) -> None:
    """Tell jobs to end; those that are over already are no error."""
    for job in jobs.some(job_ids):
        if _alive(job.pid, job.born):
            with contextlib.suppress(ProcessLookupError):
                os.kill(job.pid, signal.SIGTERM)
        elif _alive(job.child, job.child_born):
            _end_session(job.child)


def report(jobs: Jobs, job_ids: Sequence[str]) -> Iterator[str]:
    """Yield a line ``id|state|reason|node|exit code|name`` for each job; without ids for all."""
    for job in jobs.some(job_ids):
        reason = "waiting for cores" if job.word == "PENDING" else ""
        code = "" if job.code is None else job.code
        yield f"{job.job_id}|{_word(job)}|{reason}|{os.uname().nodename}|{code}|{job.name}"


def _word(job: Job) -> str:
    """Return the state: what was noted, unless the processes died before they could note more."""
    if job.code is not None:
        return job.word
    alive = _alive(job.pid, job.born) or _alive(job.child, job.child_born)
    return job.word if alive else "ENDED"


def _run_script(jobs: Jobs, job: Job, held: Sequence[int]) -> int:
    """Run the script; it, and what it leaves behind, keeps the cores."""
    with start(["bash", job.script], pass_fds=held) as process:
        try:
            jobs.note(job.job_id, child=process.pid, child_born=_born(process.pid))
            return process.wait()
        except CancelledError:
            _end_session(process.pid)
            raise


def _end_session(leader: int) -> None:
    """End all processes of a session: politely, then not."""
    for number, patience_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        deadline = time.monotonic() + patience_s
        for pid in _session(leader):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while time.monotonic() < deadline:
            if not _session(leader):
                return
            time.sleep(0.05)


def _session(leader: int) -> list[int]:
    """Return the living processes of a session."""
    found = []
    for entry in os.listdir("/proc"):
        values = stat(int(entry)) if entry.isdigit() else []
        if values and int(values[3]) == leader and values[0] != "Z":
            found.append(int(entry))
    return found


def _born(pid: int) -> str:
    """Return when a process began, which tells it from a later one of the same number."""
    values = stat(pid)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{values[19]} {boot}" if values else ""


def _alive(pid: int, born: str) -> bool:
    return bool(pid) and bool(born) and _born(pid) == born and stat(pid)[:1] != ["Z"]


@contextlib.contextmanager
def _cores(folder: Path, count: int) -> Iterator[list[int]]:
    """Hold so many of the machine's cores; whoever asks first gets them first."""
    with contextlib.ExitStack() as stack:
        with open(folder / "turn", "w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            names = [folder / f"core{number}" for number in range(machine.cores())]
            free = [stack.enter_context(open(name, "w")).fileno() for name in names]
            held: list[int] = []
            while len(held) < count:
                found = next((fd for fd in free if fd not in held and _locked(fd)), None)
                if found is None:
                    time.sleep(LOOK_S)
                else:
                    held.append(found)
        yield held


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _cancelled(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise CancelledError


def main() -> int:
    """Run one of the scheduler's commands."""
    import argparse

    parser = argparse.ArgumentParser(prog="relion_dispatch.localqueue", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    submitting = commands.add_parser("submit", help="take a script, print the job's id")
    submitting.add_argument("--name", default="job")
    submitting.add_argument("--cores", type=int, default=1)
    submitting.add_argument("script", type=Path)
    commands.add_parser("run", help="be a job's process").add_argument("job_id")
    for name in ("status", "cancel"):
        commands.add_parser(name).add_argument("job_ids", nargs="*")
    args = parser.parse_args()
    jobs = Jobs(folder())
    if args.command == "submit":
        job_id = submit(jobs, args.script, name=args.name, cores=args.cores)
        sys.stdout.write(f"{job_id}\n")
    elif args.command == "run":
        run(jobs, args.job_id)
    elif args.command == "status":
        sys.stdout.writelines(f"{line}\n" for line in report(jobs, args.job_ids))
    else:
        cancel(jobs, args.job_ids)
    return 0


if __name__ == "__main__":
    sys.exit(main())
