"""Choose classes without a person: by share of particles, resolution and accuracy.

``python -m relion_dispatch.pipeline.selection`` writes a Select job from a classification.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relion_dispatch import atomic
from relion_dispatch.errors import DispatchError, InputError
from relion_dispatch.pipeline import tables
from relion_dispatch.pipeline.tables import ClassStatistics, Model

if TYPE_CHECKING:
    from pandas import DataFrame

#: RELION's names of the two results: numbers up to 3.1, labels from 4.0 on.
NODES = {
    "3": ("3", "5"),
    "4": ("ParticlesData.star.relion", "ImagesData.star.relion.classaverages"),
    "5": ("ParticleGroupMetadata.star.relion", "Image2DGroupMetadata.star.relion.classaverages"),
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a class must reach to be kept.

    Attributes
    ----------
    min_fraction
        Share of all particles.
    resolution_factor
        Times the resolution of the best class that has ``min_fraction``.
    max_resolution_angst
        No class worse than this, in Å; None: no fixed limit.
    min_particles
        Fewer kept particles than this are an error.
    """

    min_fraction: float
    resolution_factor: float
    max_resolution_angst: float | None = None
    min_particles: int = 0


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A class, and why it is kept (``reason`` is empty) or not."""

    statistics: ClassStatistics
    reason: str

    @property
    def kept(self) -> bool:
        """Whether its particles go on."""
        return not self.reason


def judge(classes: Sequence[ClassStatistics], limits: Limits) -> tuple[Judged, ...]:
    """Judge each class against the limits, the resolution relative to the best of them."""
    filled = [each for each in classes if each.fraction >= limits.min_fraction]
    best = min((each.resolution_angst for each in filled), default=math.inf)
    worst = min(best * limits.resolution_factor, limits.max_resolution_angst or math.inf)
    return tuple(Judged(statistics=each, reason=_reason(each, limits, worst)) for each in classes)


def _reason(each: ClassStatistics, limits: Limits, worst_angst: float) -> str:
    if each.fraction < limits.min_fraction:
        return f"holds {each.fraction:.1%} of the particles, less than {limits.min_fraction:.1%}"
    if not each.resolution_angst <= worst_angst or math.isinf(each.resolution_angst):
        return f"reaches {each.resolution_angst:.1f} Å, not {worst_angst:.1f} Å"
    return ""


def best_class(judged: Sequence[Judged]) -> ClassStatistics:
    """Return the kept class with the best resolution, then accuracy, then share of particles.

    Raises
    ------
    InputError
        When no class is kept.
    """
    kept = [each.statistics for each in judged if each.kept]
    if not kept:
        raise InputError(_nothing_left(judged))
    return min(
        kept,
        key=lambda c: (c.resolution_angst, _nan_last(c.rotation_deg), -c.fraction),
    )


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _nothing_left(judged: Sequence[Judged]) -> str:
    reasons = "; ".join(f"class {each.statistics.number} {each.reason}" for each in judged)
    return (
        f"no class is good enough: {reasons}. Look at the class averages; then loosen min_fraction"
        " or resolution_factor, or mend picking and particle_diameter"
    )


def report(judged: Sequence[Judged]) -> str:
    """Return the judgement as lines of text."""
    lines = ["class  share  resolution  kept"]
    for each in judged:
        c = each.statistics
        verdict = "yes" if each.kept else f"no: {each.reason}"
        lines.append(f"{c.number:5d} {c.fraction:6.1%} {c.resolution_angst:9.1f} Å  {verdict}")
    return "\n".join(lines) + "\n"


def write(
    model: Model, judged: Sequence[Judged], data: dict[str, Any], out: Path, *, relion: str
) -> int:
    """Write a Select job as RELION's window does; return the number of particles kept.

    Raises
    ------
    InputError
        When no particle is left.
    """
    numbers = [each.statistics.number for each in judged if each.kept]
    particles: DataFrame = data["particles"]
    chosen = particles[particles["rlnClassNumber"].isin(numbers)]
    if chosen.empty:
        raise InputError(f"no particle is in the good classes ({', '.join(map(str, numbers))})")
    write_star({**data, "particles": chosen}, out / "particles.star")
    write_star({"": _averages(judged)}, out / "class_averages.star")
    flags = "".join(f"{int(each.kept)}\n" for each in judged)
    atomic.write_text(
        out / "backup_selection.star",
        f"# version 30001\n\ndata_\n\nloop_\n_rlnSelected #1\n{flags}",
    )
    write_nodes(out, zip(("particles.star", "class_averages.star"), NODES[relion], strict=True))
    return len(chosen)


def _averages(judged: Sequence[Judged]) -> DataFrame:
    import pandas as pd

    kept = [each.statistics for each in judged if each.kept]
    return pd.DataFrame(
        {
            "rlnReferenceImage": [c.image for c in kept],
            "rlnClassDistribution": [c.fraction for c in kept],
            "rlnEstimatedResolution": [c.resolution_angst for c in kept],
        }
    )


def write_star(data: dict[str, Any], path: Path) -> None:
    """Write STAR tables atomically; a table that is a mapping has one row without a loop."""
    import starfile

    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}")
    # As many digits as RELION writes at most; the library's own default loses small numbers.
    starfile.write(data, draft, overwrite=True, float_format="%.12g")
    draft.replace(path)


def write_nodes(out: Path, nodes: Any) -> None:
    """Write ``RELION_OUTPUT_NODES.star``, by which the GUI finds a job's results."""
    rows = "".join(f"{out.as_posix()}/{name} {kind}\n" for name, kind in nodes)
    head = "# version 30001\n\ndata_output_nodes\n\nloop_\n"
    names = "_rlnPipeLineNodeName #1\n_rlnPipeLineNodeType #2\n"
    atomic.write_text(out / "RELION_OUTPUT_NODES.star", head + names + rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Select classes; exit code 2 when nothing useful is left."""
    args = _arguments(argv)
    limits = Limits(
        min_fraction=args.min_fraction,
        resolution_factor=args.resolution_factor,
        max_resolution_angst=args.max_resolution,
        min_particles=args.min_particles,
    )
    try:
        _select(args, limits)
    except DispatchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _select(args: argparse.Namespace, limits: Limits) -> None:
    model = tables.read_model(args.model)
    judged = judge(model.classes, limits)
    print(report(judged), end="")
    best = best_class(judged)
    kept = write(model, judged, tables.read(args.data), args.o, relion=args.relion)
    print(f"kept {kept} particles; best class {best.number} at {best.resolution_angst:.1f} Å")
    if kept < limits.min_particles:
        raise InputError(
            f"{kept} particles are left, fewer than min_particles: {limits.min_particles}. Look at"
            f" the class averages in {args.model.parent}/"
        )
    if args.best_map is not None:
        copy_atomically(Path(best.image), args.best_map)


def copy_atomically(source: Path, target: Path) -> None:
    """Copy a file so that ``target`` is never half there.

    Raises
    ------
    InputError
        When ``source`` cannot be read.
    """
    import shutil

    draft = target.with_name(f".{target.name}")
    try:
        shutil.copyfile(source, draft)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise InputError(f"{source}: cannot be copied: {error.strerror}") from error
    draft.replace(target)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="selection", description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--o", type=Path, required=True, help="the Select job's directory")
    parser.add_argument("--min_fraction", type=float, required=True)
    parser.add_argument("--resolution_factor", type=float, required=True)
    parser.add_argument("--max_resolution", type=float)
    parser.add_argument("--min_particles", type=int, default=0)
    parser.add_argument("--best_map", type=Path, help="copy the best class's map to this file")
    parser.add_argument("--relion", choices=sorted(NODES), default="3", help="major version")
    parser.add_argument("--pipeline_control", help="accepted as RELION's programs do; unused")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
