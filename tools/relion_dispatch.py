#!python
"""The name that sites already give to RELION_QSUB_COMMAND; the same as ``relion-dispatch submit``.

Python searches the folder of the program it runs before everything else, so every program installed
in this folder (``snakemake``, ``relion-dispatch``) finds *this file* when it imports
``relion_dispatch``. Imported, the file therefore puts the package in its own place.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path


def load_package() -> None:
    """Load the package ``relion_dispatch`` from wherever else Python looks."""
    here = Path(__file__).resolve().parent
    elsewhere = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    spec = PathFinder.find_spec("relion_dispatch", elsewhere)
    if spec is None or spec.loader is None:
        raise ImportError(f"the package relion_dispatch is not installed beside {__file__}")
    package = module_from_spec(spec)
    sys.modules["relion_dispatch"] = package
    spec.loader.exec_module(package)


load_package()

if __name__ == "__main__":
    from relion_dispatch.cli import main

    sys.exit(main(["submit", *sys.argv[1:]]))
