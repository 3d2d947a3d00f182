"""Takes a site's ``RELION_QSUB_TEMPLATE`` over into a profile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from relion_dispatch.atomic import write_text
from relion_dispatch.cluster import Cluster
from relion_dispatch.errors import InputError
from relion_dispatch.profiles import TEMPLATE_FOLDERS, Profile, folder_of
from relion_dispatch.qsubtemplate import Imported, imported
from relion_dispatch.resources import workflow_dir


def read(path: str | os.PathLike[str]) -> Imported:
    """Read a ``RELION_QSUB_TEMPLATE`` as a template of a profile.

    Raises
    ------
    InputError
        When the file cannot be read, or for the reasons `imported` gives.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8: save it as UTF-8 text first") from None
    return imported(text, name=str(path))


def advice(made: Imported, cluster: Cluster) -> Iterator[str]:
    """Yield what is left to do in the profile and in the window's settings, a sentence each."""
    if made.submit and cluster.scheduler.program != made.submit:
        yield f"Its header is for {made.submit}: scheduler: {{submit: [{made.submit}]}}"
    if made.launcher and made.launcher != cluster.launcher:
        yield f"Its launcher belongs into the profile: launcher: {made.launcher}"
    for number, own in made.extras:
        yield (
            f"Its XXXextra{number}XXX is job.extra{own} now: a job parameter of the profile, or a"
            f" field of the window (RELION_QSUB_EXTRA{own})."
        )


def add_template(profile: Profile, job_type: str, text: str) -> Path:
    """Write a job type's template into a profile's folder.

    Raises
    ------
    InputError
        When there is no such type, the profile is a shipped one, there is such a template already,
        or the place cannot be written.
    """
    if job_type not in profile.job_types:
        raise InputError(
            f"profile {profile.name} has no job type '{job_type}'; it has"
            f" {', '.join(profile.job_types)}"
        )
    if profile.path.resolve().is_relative_to((workflow_dir() / "profiles").resolve()):
        raise InputError(
            f"{profile.path} is a shipped profile: take one of your own"
            f" (relion-dispatch profile install {profile.path.name} --copy makes one)"
        )
    place = folder_of(profile.path) / TEMPLATE_FOLDERS[0] / f"{job_type}.sh.j2"
    if place.exists():
        raise InputError(f"{place} exists already: remove it, or give another job type by --name")
    try:
        write_text(place, text)
    except OSError as error:
        raise InputError(f"cannot write {place}: {error.strerror}") from None
    return place
