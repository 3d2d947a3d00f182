"""Where the workflow's own files are: beside the package in a wheel, above it in a checkout."""

from __future__ import annotations

from pathlib import Path

from relion_dispatch.errors import DispatchError


def workflow_dir() -> Path:
    """Find the folder that holds ``Snakefile``, ``rules/``, ``profiles/``, ``config/`` and more.

    Returns
    -------
    Path
        An absolute path: ``relion_dispatch/_workflow`` of an installed wheel, or the root of the
        repository that an editable install (or ``PYTHONPATH``) points to.

    Raises
    ------
    DispatchError
        When the files are in neither place: the installation is damaged.
    """
    package = Path(__file__).resolve().parent
    installed = package / "_workflow"
    if installed.is_dir():
        return installed
    checkout = package.parents[1]
    if (checkout / "pyproject.toml").is_file():
        return checkout
    raise DispatchError(
        f"the workflow's files are neither in {installed} nor in {checkout}: the installation is"
        " incomplete; install relion-dispatch again"
    )
