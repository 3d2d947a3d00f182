"""The profile that Snakemake was started with, which it does not tell its Snakefile."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

PROFILE_OPTION = "--profile"
LEAST_OPTION = "--prof"  # the shortest that no other option begins with


def profile_in_use(argv: Sequence[str], environ: Mapping[str, str], *, remote: bool = False) -> str:
    """Name the profile that sizes the steps: the one Snakemake was started with.

    Snakemake does not tell a Snakefile its profile, so this reads what Snakemake read.

    Parameters
    ----------
    argv, environ
        Of the running ``snakemake``.
    remote
        Whether this is Snakemake again inside a job; the profile is then in the environment.

    Returns
    -------
    str
        A profile's name or path; ``local`` when Snakemake was started without one.
    """
    inherited = environ.get("RELION_DISPATCH_PROFILE") if remote else None
    given = _given_profile(argv) or environ.get("SNAKEMAKE_PROFILE") or inherited
    if not given or given == "none":
        return "local"
    # Snakemake takes the profile's own file as well; the cluster file is beside it.
    return os.path.dirname(given) or "." if given.endswith((".yaml", ".yml")) else given


def _given_profile(argv: Sequence[str]) -> str | None:
    """Find the last profile on a command line, as Snakemake's parser does, abbreviations too."""
    given = None
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        if word == "--":
            break
        name, equals, value = word.partition("=")
        if len(name) >= len(LEAST_OPTION) and PROFILE_OPTION.startswith(name):
            given = value if equals else following
    return given
