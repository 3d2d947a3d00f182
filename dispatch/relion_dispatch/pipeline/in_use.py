"""The profile that Snakemake was started with, which it does not tell its Snakefile."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

#: Snakemake's option and the executor's, each with its shortest abbreviation.
SNAKEMAKES_OPTION = "--profile", "--prof"
EXECUTORS_OPTION = "--relion-dispatch-profile", "--relion-dispatch-pr"


def profile_in_use(argv: Sequence[str], environ: Mapping[str, str], *, remote: bool = False) -> str:
    """Name the profile that sizes the steps: the executor's, or the one Snakemake was started with.

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
    given = _given(argv, *EXECUTORS_OPTION) or _given(argv, *SNAKEMAKES_OPTION)
    given = given or environ.get("SNAKEMAKE_PROFILE") or inherited
    if not given or given == "none":
        return "local"
    # Snakemake takes the profile's own file as well; the cluster file is beside it.
    return os.path.dirname(given) or "." if given.endswith((".yaml", ".yml")) else given


def _given(argv: Sequence[str], option: str, least: str) -> str | None:
    """Find an option's last value, as Snakemake's parser does, abbreviations too."""
    given = None
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        if word == "--":
            break
        name, equals, value = word.partition("=")
        if len(name) >= len(least) and option.startswith(name):
            given = value if equals else following
    return given
