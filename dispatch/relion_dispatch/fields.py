"""The GUI's own fields: what a user may decide there, and how the fields come to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from relion_dispatch.cluster import Cluster
from relion_dispatch.frozen import dataclass


@dataclass(frozen=True, kw_only=True)
class Extra:
    """An extra field of the GUI's Running tab (``RELION_QSUB_EXTRAn``).

    Attributes
    ----------
    parameter
        The job parameter that it sets.
    label, help
        What the GUI shows.
    """

    parameter: str
    label: str
    help: str


#: The extra fields that the hook offers, in order.
EXTRAS = (
    Extra(
        parameter="runtime",
        label="Time limit:",
        help="Minutes, 2h, 1d12h or 2-00:00:00. Empty: the dispatcher decides.",
    ),
    Extra(
        parameter="ngpu",
        label="GPUs on a node:",
        help="0 runs the job on CPUs. Empty: the dispatcher decides.",
    ),
    Extra(
        parameter="nodes",
        label="Nodes:",
        help="Empty: one node, unless the job needs more.",
    ),
    Extra(
        parameter="account",
        label="Account:",
        help="Whom the scheduler charges. Empty: its own default.",
    ),
    Extra(
        parameter="profile",
        label="Profile:",
        help="A profile of relion-dispatch. Empty: the one that RELION was started with.",
    ),
    Extra(
        parameter="explain",
        label="Explain only?",
        help="Yes: nothing is submitted; run.out says how the job would run, and why.",
    ),
)

#: Names of queues that stand for no wish: RELION's own default, and ours.
NO_QUEUE = ("", "auto", "openmpi", "default")

_EXTRA = "RELION_QSUB_EXTRA"
_YES = ("yes", "true", "1", "y")


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a user wrote into the GUI.

    Attributes
    ----------
    overrides
        Job parameters.
    profile
        Name of another profile.
    explain
        Whether the job shall only be explained.
    """

    overrides: Mapping[str, object] = field(default_factory=dict)
    profile: str = ""
    explain: bool = False


def read(comments: Mapping[str, str], environment: Mapping[str, str]) -> Wishes:
    """Read the fields that RELION wrote into the parameter file.

    Parameters
    ----------
    comments
        The fields: queue, mpinodes, extra1, ….
    environment
        Environment variables: which extra field is which shows in ``RELION_QSUB_EXTRAn``. Without
        any of these (a terminal in which RELION was not started) they are the hook's.
    """
    known = {each.label: each.parameter for each in EXTRAS}
    extras = {
        known[label]: comments[f"extra{number}"]
        for number, label in _labels(environment).items()
        if label in known and comments.get(f"extra{number}")
    }
    explain = extras.pop("explain", "").strip().lower() in _YES
    profile = extras.pop("profile", "")
    overrides: dict[str, object] = dict(extras)
    if comments.get("queue", "") not in NO_QUEUE:
        overrides["queue"] = comments["queue"]
    if comments.get("mpinodes", "1").isdigit() and int(comments.get("mpinodes", "1")) > 1:
        overrides["hoped_nproc"] = int(comments["mpinodes"])
    overrides.update({n: value for n, value in comments.items() if n.startswith("extra")})
    return Wishes(overrides=overrides, profile=profile, explain=explain)


def _labels(environment: Mapping[str, str]) -> Mapping[int, str]:
    """Return the labels of the window's extra fields by their numbers."""
    found = {
        int(name[len(_EXTRA) :]): label
        for name, label in environment.items()
        if name.startswith(_EXTRA) and name[len(_EXTRA) :].isdecimal()
    }
    return found or {number: each.label for number, each in enumerate(EXTRAS, start=1)}


def with_partition(overrides: Mapping[str, object], cluster: Cluster) -> dict[str, object]:
    """Turn the GUI's queue into a partition, where the cluster has one of that name."""
    rest = {name: value for name, value in overrides.items() if name != "queue"}
    if overrides.get("queue") in cluster.partitions:
        rest["partition"] = overrides["queue"]
    return rest


def settings(cluster: Cluster, *, profile: str, command: str, template: str) -> dict[str, str]:
    """Return the environment that makes RELION's GUI submit through the dispatcher.

    Parameters
    ----------
    cluster
        The profile's cluster.
    profile
        Its name or path.
    command
        The submit command.
    template
        Path of the submission template.
    """
    cores = [each.cores for each in cluster.partitions.values() if isinstance(each.cores, int)]
    most = str(max(cores, default=64))
    values = {
        "RELION_DISPATCH_PROFILE": profile,
        "RELION_QSUB_COMMAND": command,
        "RELION_QSUB_TEMPLATE": template,
        "RELION_QUEUE_USE": "yes",
        "RELION_QUEUE_NAME": "auto",
        "RELION_QSUB_NRMPI": "1",
        "RELION_QSUB_NRTHREADS": "1",
        "RELION_MPI_MAX": most,
        "RELION_THREAD_MAX": most,
        "RELION_MINIMUM_DEDICATED": "1",
        "RELION_SHELL": "bash",
        "RELION_QSUB_EXTRA_COUNT": str(len(EXTRAS)),
    }
    for number, each in enumerate(EXTRAS, start=1):
        values[f"RELION_QSUB_EXTRA{number}"] = each.label
        values[f"RELION_QSUB_EXTRA{number}_DEFAULT"] = ""
        values[f"RELION_QSUB_EXTRA{number}_HELP"] = each.help
    return values


def shell_text(values: Mapping[str, str], shell: str) -> str:
    """Return settings as a shell reads them.

    Parameters
    ----------
    values
        Variables.
    shell
        ``bash``: for ``eval "$(…)"``. ``csh``: for ``eval "`…`"``. ``module``: a Tcl module file.
    """
    if shell == "module":
        lines = ["#%Module1.0", *(f"setenv {n} {_tcl(v)}" for n, v in values.items())]
    elif shell == "csh":
        lines = [f"setenv {name} {_csh(value)};" for name, value in values.items()]
    else:
        from shlex import quote

        lines = [f"export {name}={quote(value)}" for name, value in values.items()]
    return "\n".join(lines) + "\n"


def _csh(value: str) -> str:
    """Quote for csh, where ``!`` is special even inside single quotes."""
    escaped = value.replace("'", "'\\''").replace("!", "\\!")
    return f"'{escaped}'"


def _tcl(value: str) -> str:
    for character in '\\"$[]':
        value = value.replace(character, f"\\{character}")
    return f'"{value}"'
