"""The one place that starts processes: argument lists, no shell string, always a time limit."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from relion_dispatch.errors import DispatchError, InputError
from relion_dispatch.frozen import dataclass

#: A program that was started and may still run.
Process = subprocess.Popen[bytes]


@dataclass(frozen=True, kw_only=True)
class Completed:
    """What a finished process left: exit code and decoded output."""

    returncode: int
    stdout: str
    stderr: str


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    input_text: str | None = None,
    error: type[DispatchError] = InputError,
    shielded: bool = False,
    pass_fds: Sequence[int] = (),
) -> Completed:
    """Run a program and wait for it.

    Parameters
    ----------
    argv
        Program and arguments.
    timeout_s
        Seconds after which the program is killed.
    cwd, env, input_text
        Working directory, whole environment, text for standard input.
    error
        The error class for a program that is missing or too slow.
    shielded
        Run it in a session of its own, out of reach of a Ctrl-C typed at our terminal.
    pass_fds
        File descriptors of ours that it keeps open.

    Returns
    -------
    Completed
        Whatever the exit code is: judging it is the caller's business.

    Raises
    ------
    DispatchError
        Of class ``error``, when the program cannot be started or outlasts ``timeout_s``.
    """
    try:
        done = subprocess.run(
            list(argv),
            cwd=cwd,
            env=None if env is None else dict(env),
            input=input_text,
            stdin=subprocess.DEVNULL if input_text is None else None,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            start_new_session=shielded,
            pass_fds=pass_fds,
            encoding="utf-8",
            errors="surrogateescape",
        )
    except FileNotFoundError:
        raise error(f"'{argv[0]}' is not on PATH: install it or load its module") from None
    except PermissionError:
        raise error(f"'{argv[0]}' may not be run: check its permissions") from None
    except subprocess.TimeoutExpired:
        raise error(f"'{argv[0]}' gave no answer within {timeout_s:g} s") from None
    return Completed(returncode=done.returncode, stdout=done.stdout, stderr=done.stderr)


def start(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    apart: bool = True,
    pass_fds: Sequence[int] = (),
) -> Process:
    """Start a program without waiting for it.

    Parameters
    ----------
    argv
        Program and arguments.
    env
        Its whole environment; ours by default.
    log
        Where its output goes; without it into ours.
    apart
        In a session of its own, out of reach of a Ctrl-C at our terminal.
    pass_fds
        File descriptors of ours that it keeps open.

    Raises
    ------
    InputError
        When it cannot be started.
    """
    with contextlib.ExitStack() as stack:
        output = None if log is None else stack.enter_context(open(log, "wb"))
        try:
            return subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=None if env is None else dict(env),
                start_new_session=apart,
                pass_fds=pass_fds,
            )
        except OSError as error:
            raise InputError(f"'{argv[0]}' cannot be started: {error.strerror}") from None
