"""Profiles: folders that hold Snakemake's settings, a cluster file and templates."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path

from relion_dispatch import config, machine
from relion_dispatch.calibration import factors
from relion_dispatch.calibration.factors import Factors
from relion_dispatch.cluster import Cluster
from relion_dispatch.errors import InputError
from relion_dispatch.frozen import dataclass
from relion_dispatch.healing.settings import Healing
from relion_dispatch.jobtypes import JobType, Resolved

#: Names of template folders inside a profile's folder.
TEMPLATE_FOLDERS = ("templates", "job_template")

#: The shipped templates.
TEMPLATES = Path(__file__).parent / "templates"

#: Names the profile where the command line does not.
VARIABLE = "RELION_DISPATCH_PROFILE"

#: Names a site's own cluster file, laid over every profile.
SITE_VARIABLE = "RELION_DISPATCH_SITE"

#: Names of Snakemake's settings inside a profile's folder.
SNAKEMAKE_FILES = ("config.yaml", "profile.yaml")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Where and how jobs run.

    Attributes
    ----------
    name, path
        The name it was asked for by, and its folder (or cluster file).
    files
        The cluster files it was laid together from, the strongest last.
    cluster, job_types, healing
        What they say.
    template_dirs
        Folders of templates, the first that has one wins.
    factors
        What finished jobs have taught, see `relion_dispatch.calibration`.
    """

    name: str
    path: Path
    files: tuple[Path, ...]
    cluster: Cluster
    job_types: Mapping[str, JobType]
    template_dirs: tuple[Path, ...]
    healing: Healing = field(default_factory=Healing)
    factors: Factors = factors.NONE

    def template_for(self, resolved: Resolved) -> str:
        """Return the template's file name: of the nearest type in the chain that has one.

        Raises
        ------
        InputError
            When none of the chain's types has one.
        """
        types = zip(reversed(resolved.chain), reversed(resolved.types), strict=True)
        names = [f"{each.template or name}.sh.j2" for name, each in types]
        for name in names:
            if any((folder / name).is_file() for folder in self.template_dirs):
                return name
        looked = ", ".join(map(str, self.template_dirs))
        raise InputError(f"no template {' or '.join(names)} for {resolved.name} in {looked}")


def load_profile(name: str | os.PathLike[str] | None = None, *, project: Path = Path()) -> Profile:
    """Read a profile.

    Parameters
    ----------
    name
        Name or path; without it that of ``$RELION_DISPATCH_PROFILE``.
    project
        Project directory: its own ``dispatch.yaml``, if any, is laid on top.

    Raises
    ------
    InputError
        When there is no such profile, or a file of it is wrong.
    """
    given = os.fspath(name) if name else os.environ.get(VARIABLE, "")
    if not given:
        raise InputError(
            f"which profile? Give --profile or set ${VARIABLE}; known are {', '.join(names())}"
        )
    path = find(given)
    files = tuple(_files(path, project))
    loaded = config.load(files)
    return Profile(
        name=given,
        path=path,
        files=files,
        cluster=machine.resolved(loaded.cluster),
        job_types=loaded.job_types,
        template_dirs=_template_dirs(path),
        healing=loaded.healing,
        factors=factors.load(folder_of(path), given),
    )


def shipped_job_types() -> Mapping[str, JobType]:
    """Return the job types of the shipped defaults."""
    return config.load([config.DEFAULTS]).job_types


def find(name: str) -> Path:
    """Return the folder (or cluster file) of a profile.

    A path as it is, then Snakemake's places (the user's and the site's configuration), then the
    profiles shipped with the package.

    Raises
    ------
    InputError
        When there is none.
    """
    for place in _places(name):
        if cluster_file(place) is not None or is_snakemake_profile(place):
            return place
    raise InputError(
        f"no profile '{name}': looked for {', '.join(map(str, _places(name)))};"
        f" shipped are {', '.join(shipped())}"
    )


def names() -> tuple[str, ...]:
    """Return the names of all profiles that can be found by name."""
    found: dict[str, None] = {}
    for folder in (*_config_dirs(), _shipped_dir()):
        if folder.is_dir():
            found.update(dict.fromkeys(sorted(p.name for p in folder.iterdir() if cluster_file(p))))
    return tuple(found)


def shipped() -> tuple[str, ...]:
    """Return the names of the shipped profiles."""
    return tuple(sorted(p.name for p in _shipped_dir().iterdir() if cluster_file(p)))


def cluster_file(place: Path) -> Path | None:
    """Return the cluster file of a profile's folder, or of a site of the older dispatcher."""
    if place.is_file():
        return place
    for folder in (place, place / "config"):
        for name in config.FILE_NAMES:
            if (folder / name).is_file():
                return folder / name
    return None


def install(name: str, *, site: bool = False, copy: bool = False) -> Path:
    """Make Snakemake find a profile by its name.

    Parameters
    ----------
    name
        Name or path of the profile.
    site
        For all users of the machine instead of this user.
    copy
        A copy that can be edited instead of a link.

    Returns
    -------
    Path
        Where it is now.

    Raises
    ------
    InputError
        When there is another profile of that name already, or the place cannot be written.
    """
    import shutil

    source = find(name).resolve()
    folder = _config_dirs()[1 if site else 0]
    place = folder / source.name
    if place.exists() and place.resolve() == source:
        return place
    if place.exists() or place.is_symlink():
        raise InputError(f"{place} exists already: remove it, or give the new profile another name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if copy:
            shutil.copytree(source, place)
        else:
            place.symlink_to(source, target_is_directory=True)
    except OSError as error:
        raise InputError(f"cannot install {place}: {error.strerror}") from None
    return place


def slurm() -> Cluster:
    """Return the shipped defaults for Slurm, without partitions."""
    return config.load([config.DEFAULTS]).cluster


def new(folder: str | os.PathLike[str], cluster_text: str) -> Path:
    """Write a new profile: a cluster file, and Snakemake's settings for clusters.

    Raises
    ------
    InputError
        When there is one already, or the place cannot be written.
    """
    from relion_dispatch.atomic import write_text

    place = Path(folder).absolute()
    if cluster_file(place) or is_snakemake_profile(place):
        raise InputError(f"{place} is a profile already: remove it, or give another folder")
    settings = (_shipped_dir() / "slurm" / SNAKEMAKE_FILES[0]).read_text(encoding="utf-8")
    try:
        write_text(place / config.FILE_NAMES[0], cluster_text)
        write_text(place / SNAKEMAKE_FILES[0], settings)
    except OSError as error:
        raise InputError(f"cannot write {place}: {error.strerror}") from None
    return place


def shown(profile: Profile) -> str:
    """Return a profile as a cluster file in YAML, all layers together."""
    from dataclasses import asdict

    import yaml

    types = {name: _said(asdict(each)) for name, each in profile.job_types.items()}
    data = {
        "cluster": _said(asdict(profile.cluster)),
        "healing": _said(asdict(profile.healing)),
        "job_types": types,
    }
    files = "".join(f"# {path}\n" for path in profile.files)
    folders = "".join(f"# {path}\n" for path in profile.template_dirs)
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return f"# Laid together from:\n{files}# Templates from:\n{folders}{text}"


def _said(value: object) -> object:
    """Return plain lists and mappings, without what says nothing."""
    if isinstance(value, Mapping):
        items = {name: _said(each) for name, each in value.items()}
        return {name: each for name, each in items.items() if each not in (None, [], {})}
    return list(value) if isinstance(value, tuple) else value


def is_snakemake_profile(place: Path) -> bool:
    """Say whether a folder has settings of Snakemake's."""
    return any((place / name).is_file() for name in SNAKEMAKE_FILES)


def _places(name: str) -> list[Path]:
    path = Path(name).expanduser()
    if path.is_absolute() or len(path.parts) > 1:
        return [path]
    return [path, *(folder / name for folder in _config_dirs()), _shipped_dir() / name]


def _config_dirs() -> list[Path]:
    """Return Snakemake's own places for profiles, in its order."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"))
    sites = os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    return [home / "snakemake", *(Path(site) / "snakemake" for site in sites.split(os.pathsep))]


def _shipped_dir() -> Path:
    from relion_dispatch.resources import workflow_dir

    return workflow_dir() / "profiles"


def _files(path: Path, project: Path) -> Iterator[Path]:
    """Yield the cluster files that make a profile, the strongest last."""
    yield config.DEFAULTS
    own = cluster_file(path)
    if own is None:
        raise InputError(
            f"profile {path} has no cluster file; it needs one of {', '.join(config.FILE_NAMES)}"
        )
    yield own
    site = os.environ.get(SITE_VARIABLE)
    if site:
        yield Path(site)
    of_project = project / config.FILE_NAMES[0]
    if of_project.is_file() and of_project.resolve() != own.resolve():
        yield of_project


def folder_of(path: Path) -> Path:
    """Return the folder of a profile that is given by its cluster file or its folder.

    The older dispatcher's site has its file in ``config/``, beside its templates.
    """
    folder = path.parent if path.is_file() else path
    older = path.is_file() or (folder.parent / TEMPLATE_FOLDERS[1]).is_dir()
    return folder.parent if older and folder.name == "config" else folder


def _template_dirs(path: Path) -> tuple[Path, ...]:
    own = (folder_of(path) / name for name in TEMPLATE_FOLDERS)
    return (*(each.resolve() for each in own if each.is_dir()), TEMPLATES)
