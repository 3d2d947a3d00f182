"""Command lines for going on: RELION's ``--continue`` and ``--only_do_unfinished``.

What a continued run is given follows RELION's window (``src/pipeline_jobs.cpp``, 3.1 to 5.0) and
what the program reads in one (``MlOptimiser::parseContinue``): everything about the computation,
nothing about the start, and no sampling, which has become finer since.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from shlex import quote

from relion_dispatch.calls import main_command
from relion_dispatch.command import Command
from relion_dispatch.healing.directory import CONTINUE_FILE, fingerprint
from relion_dispatch.pipeline.commandline import without_running_options
from relion_dispatch.this_python import python_command

BEGIN = "pipeline.begin"

#: Options of ``relion_refine`` that belong to a new run alone: input, references, model, CTF,
#: masks on images, helices, gradient descent; and the sampling, which the run has changed.
INITIAL = (
    *("i", "ref", "continue", "o", "K", "sym", "random_seed", "firstiter_cc", "ini_high"),
    *("auto_refine", "split_random_halves", "low_resol_join_halves", "denovo_3dref"),
    *("ctf", "ctf_corrected_ref", "ctf_intact_first_peak", "ctf_phase_flipped"),
    *("ctf_multiplied", "only_flip_phases", "norm", "scale", "flatten_solvent", "zero_mask"),
    *("model", "sampling", "offset", "limit_tilt", "init_angles"),
    *("healpix_order", "psi_step", "offset_range", "offset_step", "oversampling", "perturb"),
    *("sigma_ang", "sigma_rot", "sigma_tilt", "sigma_psi", "sigma_off", "fast_subsets"),
    *("sgd", "sgd_ini_iter", "sgd_inbetween_iter", "sgd_fin_iter", "sgd_ini_resol"),
    *("sgd_fin_resol", "sgd_ini_subset", "sgd_fin_subset", "sgd_write_iter", "sgd_stepsize"),
    *("grad", "som"),
    *("helix", "helical_outer_diameter", "helical_inner_diameter", "helical_nr_asu"),
    *("helical_twist_initial", "helical_rise_initial", "helical_z_percentage"),
    *("helical_symmetry_search", "helical_twist_min", "helical_twist_max"),
    *("helical_twist_inistep", "helical_rise_min", "helical_rise_max"),
    *("helical_rise_inistep", "ignore_helical_symmetry", "helical_keep_tilt_prior_fixed"),
)

#: Programs that leave out what is finished, item by item.
UNFINISHED = frozenset(
    {
        "relion_run_motioncorr",
        "relion_run_ctffind",
        "relion_autopick",
        "relion_preprocess",
        "relion_ctf_refine",
        "relion_motion_refine",
    }
)
_REFINE = "relion_refine"
_ONLY_UNFINISHED = "only_do_unfinished"
#: Training and other modes of these programs that go item by item in no way.
_WHOLE = ("min_p", "topaz_train", "combine", "do_at_most")


def output_root(command: Command) -> str:
    """Return what a refinement's files begin with; empty for other programs."""
    return (command.value("o") or "") if command.program == _REFINE else ""


def does_unfinished(command: Command) -> bool:
    """Whether a command can be told to do only what is not finished."""
    return (
        command.program in UNFINISHED
        and not any(command.has(name) for name in _WHOLE)
        and not command.has(_ONLY_UNFINISHED)
    )


def continued(command: Command, job_dir: str) -> Command | None:
    """Return the command that goes on where another attempt at this one has stopped.

    Parameters
    ----------
    command
        A finished command: with its ranks, threads and GPUs.
    job_dir
        The job's directory with a slash at its end.

    Returns
    -------
    Command or None
        None for a program that always starts over.
    """
    if does_unfinished(command):
        return command.with_option(_ONLY_UNFINISHED, None)
    root = output_root(command)
    if not root or not job_dir:
        return None
    words = command.without(*INITIAL)
    head = f"{command.before}{command.program_word}"
    given = f" --continue {quote(job_dir + CONTINUE_FILE)} --o {quote(root)}"
    return Command.parse(f"{head}{given}{words.arguments}")


def begin_command(commands: Sequence[str], job_dir: str, *, clean: bool) -> str:
    """Write the command that comes before a job's own, and makes ready to start or to go on.

    Parameters
    ----------
    commands
        The job's commands as RELION wrote them, without anything that says how they run.
    job_dir
        The job's directory with a slash at its end.
    clean
        Whether the directory is emptied where there is nothing to go on from.
    """
    parsed = [Command.parse(line) for line in commands]
    main = main_command(parsed)
    words = [job_dir]
    words += ["--clean"] if clean else []
    if root := output_root(main):
        words += ["--root", root]
    elif does_unfinished(main):
        words += ["--unfinished"]
    else:
        return python_command(BEGIN, *words)
    words += ["--science", science(commands)]
    files = sorted(set(_files(parsed, job_dir)))
    return python_command(BEGIN, *words, *(["--input", *files] if files else []))


def starts_over(commands: Iterable[str]) -> bool:
    """Whether one of these commands makes the job's directory anew, whatever there was."""
    return any(" -m relion_dispatch.sharding.begin " in line for line in commands)


def begins(commands: Iterable[str]) -> bool:
    """Whether one of these commands makes ready already."""
    return any(f" -m relion_dispatch.{BEGIN} " in line for line in commands)


def science(commands: Iterable[str]) -> str:
    """Return a fingerprint of what commands compute, without anything that says how they run."""
    lines = without_running_options(tuple(_unsized(line) for line in commands))
    text = "\n".join(" ".join(line.split()) for line in lines)
    return hashlib.sha256(text.encode("utf-8", errors="surrogateescape")).hexdigest()[:16]


def _unsized(line: str) -> str:
    """Leave out threads, GPUs and ranks, which a window writes into commands."""
    command = Command.parse(line)
    if not command.relion:
        return line
    return str(command.without("j", "gpu").without_launcher().with_program_mpi(mpi=False))


def job_fingerprint(commands: Sequence[str], job_dir: str) -> str:
    """Return the fingerprint that `begin` takes of a job, as its input files are now."""
    lines = [line for line in commands if not begins([line])]
    files = sorted(set(_files([Command.parse(line) for line in lines], job_dir)))
    return fingerprint(science(lines), files)


def _files(commands: Iterable[Command], job_dir: str) -> Iterator[str]:
    """Yield the values of options that look like files outside the job's directory."""
    for command in commands:
        if not command.relion:
            continue
        for name in command.names:
            for value in command.values(name):
                if _FILE.fullmatch(value) and not value.startswith(job_dir or "\0"):
                    yield value


_FILE = re.compile(r"[^*?$`:]+\.(?:star|mrcs?|tiff?|eer|txt|box)")
