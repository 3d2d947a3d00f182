"""The program ``relion_dispatch.py``, the name sites already give to ``RELION_QSUB_COMMAND``.

Python searches the folder of the program it runs before everything else. So every program that is
installed beside ``relion_dispatch.py`` (``snakemake``, ``relion-dispatch``) finds *that file* when
it imports ``relion_dispatch``. The file in turn imports this module, which puts the package where
the file would have been. It has to live outside the package for that.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path


def _load_package() -> None:
    """Make ``relion_dispatch`` the package that lies beside this module."""
    spec = PathFinder.find_spec("relion_dispatch", [str(Path(__file__).parent)])
    if spec is None or spec.loader is None:
        raise ImportError(f"the package relion_dispatch is not beside {__file__}")
    package = module_from_spec(spec)
    sys.modules["relion_dispatch"] = package
    spec.loader.exec_module(package)


_load_package()


def main() -> int:
    """Run ``relion-dispatch submit`` with the arguments of this program.

    Returns
    -------
    int
        The exit code of ``relion-dispatch submit``.
    """
    from relion_dispatch import cli

    return cli.main(["submit", *sys.argv[1:]])
