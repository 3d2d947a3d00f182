"""Judge the map of a 3D classification or refinement.

``python -m relion_dispatch.pipeline.judge`` prints the verdict and its evidence, writes them, and
fails when the pipeline must not go on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from relion_dispatch.errors import DispatchError, InputError
from relion_dispatch.pipeline import evidence, selection, tables, verdict
from relion_dispatch.pipeline.selection import Limits
from relion_dispatch.pipeline.verdict import FSC_LIMIT, Evidence, Thresholds, Verdict


@dataclass(frozen=True, kw_only=True)
class Fsc:
    """Curves of post-processing, per shell from shell 0.

    Attributes
    ----------
    inverse_angst
        Spatial frequency of each shell in 1/Å.
    corrected, randomised
        FSC corrected for the mask's effect, and of masked maps with randomised phases.
    """

    inverse_angst: tuple[float, ...]
    corrected: tuple[float, ...]
    randomised: tuple[float, ...]

    @property
    def resolution_angst(self) -> float:
        """Where the corrected FSC falls below 0.143, linearly between shells.

        RELION's own figure is that of the last whole shell above, which jumps in small boxes. A
        curve that is below from the start has the resolution of its first shell, the box.
        """
        shells = list(zip(self.inverse_angst, self.corrected, strict=True))[1:]
        if shells[0][1] < FSC_LIMIT:
            return 1 / shells[0][0]
        for (k0, c0), (k1, c1) in pairwise(shells):
            if c1 < FSC_LIMIT:
                return 1 / (k0 + (c0 - FSC_LIMIT) / (c0 - c1) * (k1 - k0))
        return 1 / shells[-1][0]


def read_fsc(path: Path) -> Fsc:
    """Read the curves of a ``postprocess.star``.

    Raises
    ------
    InputError
        When there are none.
    """
    tables_ = tables.read(path)
    try:
        table = tables_["fsc"]
        columns = (
            table["rlnResolution"],
            table["rlnFourierShellCorrelationCorrected"],
            table["rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps"],
        )
    except KeyError as error:
        raise InputError(f"{path}: has no {error.args[0]}; is it from post-processing?") from error
    inverse, corrected, randomised = (tuple(float(v) for v in column) for column in columns)
    return Fsc(inverse_angst=inverse, corrected=corrected, randomised=randomised)


def judge(args: argparse.Namespace, limits: Thresholds) -> Verdict:
    """Collect the evidence on a step's map."""
    model = tables.read_model(args.model)
    classes = Limits(min_fraction=args.class_fraction, resolution_factor=args.class_factor)
    best = selection.best_class(selection.judge(model.classes, classes))
    fsc = read_fsc(args.postprocess) if args.postprocess else None
    angst = fsc.resolution_angst if fsc else best.resolution_angst
    agreeing = limits.refined() if fsc else limits
    compared, unknown = evidence.against_2d(args.map, evidence.from_arguments(args), agreeing)
    found = (
        verdict.resolution(angst, verdict.earlier_resolution(args.before), limits),
        verdict.pmax(model.pmax, limits),
        verdict.alignment(
            best.rotation_deg, best.translation_angst, args.particle_diameter / 2, angst
        ),
        *_share(args, limits),
        *(verdict.fsc_shape(fsc.corrected, fsc.randomised) if fsc else ()),
        *compared,
    )
    return Verdict(
        step=args.step,
        evidence=found,
        unknown=(*unknown, verdict.HAND, verdict.SYMMETRY),
        resolution_angst=angst,
    )


def _share(args: argparse.Namespace, limits: Thresholds) -> tuple[Evidence, ...]:
    if args.kept is None or args.of is None:
        return ()
    kept, total = (len(tables.read_particles(path)) for path in (args.kept, args.of))
    return (verdict.share(kept, total, limits),)


def main(argv: Sequence[str] | None = None) -> int:
    """Judge a step; exit code 2 when it is to stop or cannot be judged."""
    args = _arguments(argv)
    try:
        limits = evidence.thresholds(args)
        verdict.settle(judge(args, limits), args.o, limits)
    except DispatchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="judge", description=__doc__)
    parser.add_argument("--step", required=True, help="what is judged, for the report")
    parser.add_argument("--model", type=Path, required=True, help="its last model STAR file")
    parser.add_argument("--map", type=Path, required=True, help="its map")
    parser.add_argument("--o", type=Path, required=True, help="verdict.json to write")
    parser.add_argument("--before", type=Path, help="verdict.json of the step before")
    parser.add_argument("--postprocess", type=Path, help="postprocess.star of its half maps")
    parser.add_argument("--kept", type=Path, help="STAR file of the particles in the map")
    parser.add_argument("--of", type=Path, help="STAR file of the particles before")
    parser.add_argument("--class_fraction", type=float, default=0.0)
    parser.add_argument("--class_factor", type=float, default=1.0)
    evidence.add_arguments(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
