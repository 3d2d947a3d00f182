"""One trial from its small projects to its page."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relion_dispatch import atomic
from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import settings
from relion_dispatch.pipeline.preprocessing import micrograph_pixel_size
from relion_dispatch.trial import running, scratch
from relion_dispatch.trial.running import Place
from relion_dispatch.trial.variants import STEPS, Variant, changed

if TYPE_CHECKING:
    from relion_dispatch.trial.results import Micrograph

PAGE = "index.html"
_BASE = "base"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A step, its variants, and the micrographs they are tried on.

    Attributes
    ----------
    project, folder
        The project and the trial's own folder in it.
    step
        What is tried.
    config
        The project's configuration.
    images
        Movies or micrographs, relative to the project.
    variants
        What is tried with them.
    """

    project: Path
    folder: Path
    step: str
    config: Mapping[str, Any]
    images: tuple[str, ...]
    variants: tuple[Variant, ...]

    def place(self, variant: Variant) -> Path:
        """Folder of a variant's small project."""
        return self.folder / str(variant.number)

    def run(self, where: Place, *, quiet: bool) -> dict[int, str]:
        """Run what comes before the step once, and the step in every variant.

        Returns
        -------
        dict
            Why variants failed, by their numbers.

        Raises
        ------
        InputError
            When what comes before the step fails.
        OSError
            When something cannot be written.
        """
        base = self.folder / _BASE
        scratch.make(base, self.project, self.config, self.images)
        before, until = self._rules()
        if before and running.run_all({_BASE: base}, before, where, quiet=quiet):
            raise InputError(f"the steps before {self.step} failed:\n{running.reason(base)}")
        for each in self.variants:
            scratch.copy(base, self.place(each))
            config = changed(self.config, each.values)
            scratch.make(self.place(each), self.project, config, self.images)
        folders = {str(each.number): self.place(each) for each in self.variants}
        failed = running.run_all(folders, until, where, quiet=quiet)
        return {int(number): running.reason(folders[number]) for number in failed}

    def _rules(self) -> tuple[str, str]:
        """Return the last rule before the step, if any, and the last one of all."""
        before, until = STEPS[self.step]
        moves = self.config.get("start", "movies") == "movies"
        return "" if before == "motion_correction" and not moves else before, until

    def results(
        self, failed: Mapping[int, str]
    ) -> tuple[dict[int, Sequence[Micrograph]], dict[int, str]]:
        """Read what variants have left.

        Returns
        -------
        tuple
            Micrographs by the number of their variant, and why others failed, those included that
            have left none.
        """
        from relion_dispatch.trial import results

        found: dict[int, Sequence[Micrograph]] = {}
        why = dict(failed)
        for each in self.variants:
            if each.number in failed:
                continue
            try:
                found[each.number] = results.read(self.place(each))
            except InputError as problem:
                why[each.number] = f"no micrograph is left: {problem}"
        return found, why

    def report(
        self, found: Mapping[int, Sequence[Micrograph]], failed: Mapping[int, str]
    ) -> Iterator[str]:
        """Write the page; yield what is to be said."""
        from relion_dispatch.trial.page import SHOWN, page
        from relion_dispatch.trial.results import medians

        project = shlex.quote(os.path.abspath(self.project))
        text = page(
            self.step,
            self.variants,
            found,
            failed,
            diameter_px=self._diameter_px(),
            choose=f"relion-dispatch try {project} --trial {self.folder.name} --choose",
        )
        atomic.write_text(self.folder / PAGE, text)
        for each in self.variants:
            values = medians(found.get(each.number, ()))
            shown = (name for name in SHOWN[self.step][1] if name in values)
            words = ", ".join(f"{name} {values[name]:.4g}" for name in shown)
            why = failed.get(each.number, "")
            yield f"{each.number}: {each.label}: {f'failed: {why}' if why else words}"
        yield f"Pictures: {os.path.abspath(self.folder / PAGE)}"

    def _diameter_px(self) -> float:
        """Diameter of a particle in px of the micrographs; 0 when unknown."""
        chosen = settings.load(self.config)
        angpix = micrograph_pixel_size(chosen)
        return (chosen.sample.particle_diameter or 0.0) / angpix if angpix else 0.0
