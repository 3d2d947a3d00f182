"""The one family of errors, each with the exit code the command line returns for it."""

from __future__ import annotations


class DispatchError(Exception):
    """Base of every error this package raises on purpose.

    The message says what is wrong, where, and what to do about it; ``exit_code`` is what the
    command line returns.
    """

    exit_code = 2


class InputError(DispatchError):
    """The user's input or configuration is wrong."""


class NoMatchError(DispatchError):
    """No job type matches the command."""

    exit_code = 3


class DoesNotFitError(DispatchError):
    """The job does not fit any part of the cluster."""

    exit_code = 4


class SchedulerError(DispatchError):
    """The scheduler refused the job or cannot be reached."""

    exit_code = 5
