"""Keep the best of several initial models made from the same particles with different seeds.

``python -m relion_dispatch.pipeline.starts`` ranks them, judges the winner and copies its map.

The measure is RELION's log-likelihood in one expectation step from each finished map, on the same
particles, at the same resolution. It ranked right and wrong starts rightly where others did not:
the likelihood that a start itself ends with is of a random subset; wrong starts agree with each
other as well as right ones; in a classification with all of them as references the second best
swallowed the best.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from relion_dispatch import atomic
from relion_dispatch.errors import DispatchError
from relion_dispatch.pipeline import evidence, selection, tables, verdict
from relion_dispatch.pipeline.tables import Model
from relion_dispatch.pipeline.verdict import Evidence, Level, Verdict

#: Difference in log-likelihood per particle below which starts count as equally good. Right starts
#: differed by up to 0.3, right and wrong ones by 4 and more.
EQUAL = 1.5


@dataclass(frozen=True, kw_only=True)
class Start:
    """A finished start: its number, its finished map, and the model of its comparison."""

    number: int
    map: Path
    model: Model

    @property
    def likelihood(self) -> float:
        """Log-likelihood per particle."""
        return self.model.log_likelihood / max(1, self.model.particles)


def rank(starts: Sequence[Start]) -> list[Start]:
    """Sort starts, the likeliest first; the mean Pmax decides between equals."""
    return sorted(starts, key=lambda s: (s.likelihood, s.model.pmax), reverse=True)


def table(ranked: Sequence[Start]) -> str:
    """Return the ranking as lines of text."""
    lines = ["rank  start  log-likelihood per particle    Pmax  resolution  map"]
    for place, start in enumerate(ranked, start=1):
        m = start.model
        lines.append(
            f"{place:4d}  {start.number:5d}  {start.likelihood:27.2f}  {m.pmax:6.3f}"
            f"  {m.best_resolution_angst:8.1f} Å  {start.map}"
        )
    return "\n".join(lines) + "\n"


def support(ranked: Sequence[Start]) -> Evidence:
    """Say how many starts are as likely as the winner; one that no other start found is doubtful.

    Wrong starts end in many different places, each with a likelihood of its own.
    """
    gaps = [ranked[0].likelihood - start.likelihood for start in ranked]
    equals = sum(gap <= EQUAL for gap in gaps)
    name = "likelihood"
    if len(ranked) == 1:
        text = "there is only one start: nothing to compare its likelihood with"
        return Evidence(name=name, value=1.0, level=Level.DOUBTFUL, text=text)
    text = f"{equals} of {len(ranked)} starts are as likely as the best"
    if equals < len(ranked):
        text += f"; the next is less likely by {gaps[equals]:.1f} per particle"
    level = Level.FINE if equals > 1 else Level.DOUBTFUL
    return Evidence(name=name, value=float(equals), level=level, text=text)


def judge(
    ranked: Sequence[Start], against_2d: evidence.Against2D, limits: verdict.Thresholds
) -> Verdict:
    """Judge the winner."""
    winner = ranked[0]
    compared, unknown = evidence.against_2d(winner.map, against_2d, limits)
    found = (
        support(ranked),
        verdict.pmax(winner.model.pmax, limits),
        *compared,
    )
    always = ("whether all starts share one mistake: agreement between them proves nothing",)
    return Verdict(
        step="initial_model",
        evidence=found,
        unknown=(*unknown, *always, verdict.HAND, verdict.SYMMETRY),
        resolution_angst=winner.model.best_resolution_angst,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Rank starts; exit code 2 when the best one is not good enough."""
    args = _arguments(argv)
    try:
        ranked = rank(
            [
                Start(number=number, map=map_, model=tables.read_model(model))
                for number, (map_, model) in enumerate(args.start, start=1)
            ]
        )
        ranking = table(ranked)
        print(ranking, end="")
        atomic.write_text(args.o / "ranking.txt", ranking)
        limits = evidence.thresholds(args)
        verdict.settle(
            judge(ranked, evidence.from_arguments(args), limits), args.o / "verdict.json", limits
        )
        selection.copy_atomically(ranked[0].map, args.o / "initial_model.mrc")
    except DispatchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="starts", description=__doc__)
    parser.add_argument(
        "--start", nargs=2, type=Path, action="append", required=True, metavar=("MAP", "MODEL")
    )
    parser.add_argument("--o", type=Path, required=True, help="the Select job's directory")
    evidence.add_arguments(parser)
    # RELION's window gives it to every External job, such as a copy of this one.
    parser.add_argument("--j", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
