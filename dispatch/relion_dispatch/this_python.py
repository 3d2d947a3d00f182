"""Commands that run a module with the Python that runs us."""

from __future__ import annotations

import sys
from shlex import join


def argv(module: str, *words: str) -> list[str]:
    """Return the command that runs a module, as a list.

    Jobs run in a project's directory, where Python would take a ``select.py`` or ``token.py`` of
    the user's for the module of that name: ``-P`` keeps it from looking there.
    """
    return [sys.executable, "-P", "-m", module, *words]


def python_command(module: str, *words: str) -> str:
    """Return the shell command that runs a module of this package, named without the package."""
    return join(argv(f"relion_dispatch.{module}", *words))
