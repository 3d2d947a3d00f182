"""The demo over several simulated specimens; prints the table in docs/decisions.md.

Every line must end with a right map or with an honest stop: exit code 1 otherwise. Specimens that
were run before in the same folder are not run again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.demo import runner
from tests.demo.run_demo import FINAL_MAP, MAPS, PROFILE, REQUIRED_ANGST

SEEDS = (33, 34, 35, 36, 37, 38)
HEAD = ("seed", *MAPS, "verdicts", "outcome")


def outcome(project: Path, run: runner.Run, reached_angst: float | None) -> str:
    """Say how a run ended."""
    if run.returncode:
        stopped = "stopped by the sanity check" in run.output
        return "honest stop" if stopped else f"failed, see {project}"
    right = reached_angst is not None and reached_angst <= REQUIRED_ANGST
    return "right" if right else "WRONG"


def row(folder: Path, arguments: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Run the pipeline on one specimen; return its line of the table."""
    data = runner.simulate(folder / f"simulated-{name}", *arguments)
    project = runner.make_project(folder / f"project-{name}", data / "Movies")
    run = runner.snakemake(project, "--profile", str(PROFILE))
    made = {step: path for step, path in MAPS.items() if (project / path).is_file()}
    _, scores = runner.truth(data, *(str(project / path) for path in made.values()))
    reached = {
        step: scores["maps"][str(project / path)]["fsc05"]["angstrom"]
        for step, path in made.items()
    }
    files = sorted(project.glob("*/job*/verdict.json"), key=lambda path: path.parent.name)
    levels = ", ".join(json.loads(path.read_text())["verdict"] for path in files)
    cells = [f"{reached[step]:.1f}" if step in reached else "" for step in MAPS]
    final = next((angst for step, angst in reached.items() if MAPS[step] == FINAL_MAP), None)
    return (name, *cells, levels, outcome(project, run, final))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=runner.ROOT / "demo")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--hard", action="store_true", help="the hard data set instead")
    args = parser.parse_args()
    runs = {str(seed): ("--seed", str(seed)) for seed in args.seeds}
    if args.hard:
        runs = {"hard": ("--preset", "hard")}
    print("Å at FSC 0.5 against the truth\n")
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD))
    outcomes = []
    for name, arguments in runs.items():
        cells = row(args.out, arguments, name)
        print("| " + " | ".join(cells) + " |", flush=True)
        outcomes.append(cells[-1])
    return int(any(each not in ("right", "honest stop") for each in outcomes))


if __name__ == "__main__":
    sys.exit(main())
