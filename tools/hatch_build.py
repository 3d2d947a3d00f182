"""Put the workflow's files, which stay at the root of the repository, inside the wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WORKFLOW = ("Snakefile", "rules", "workflow", "config", "profiles", "envs")


class WorkflowFiles(BuildHookInterface):  # type: ignore[type-arg]  # its parameter is for other hooks
    """Ship ``WORKFLOW`` as ``relion_dispatch/_workflow/``.

    hatchling's own ``force-include`` would copy the files in an editable install too, where they
    would age beside the ones that ``relion_dispatch.resources`` finds in the repository.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files to a standard wheel (``version``), and to none that is editable."""
        if version != "standard":
            return
        for name in WORKFLOW:
            source = Path(self.root) / name
            build_data["force_include"][str(source)] = f"relion_dispatch/_workflow/{name}"
