"""The whole pipeline on simulated movies with real RELION, judged against the truth.

Exit code 0 when the map is right, 1 when it is wrong or the pipeline failed, 3 when the pipeline
itself stopped because its map looked wrong.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.demo import runner

PROFILE = runner.ROOT / "profiles" / "local"
#: Å at FSC 0.5; the movies' Nyquist frequency is 7 Å.
REQUIRED_ANGST = 12.0
FINAL_MAP = "PostProcess/job046/postprocess.mrc"
MAPS = {
    "initial model": "Select/job031/initial_model.mrc",
    "3D class": "Select/job033/best_class.mrc",
    "refined": "Refine3D/job035/run_class001.mrc",
    "polished and refined": "Refine3D/job044/run_class001.mrc",
    "sharpened": FINAL_MAP,
}


def main() -> int:
    """Simulate, run, judge, and print a table."""
    args = arguments()
    began = time.monotonic()
    print("simulating movies ...", flush=True)
    data = runner.simulate(args.out / f"simulated-{args.seed}", "--seed", str(args.seed))
    project = runner.make_project(args.out / f"project-{args.seed}", data / "Movies")
    print(f"running the pipeline in {project} ...", flush=True)
    run = runner.snakemake(
        project, "--profile", str(PROFILE), say=lambda line: print(line, flush=True)
    )
    (args.out / f"snakemake-{args.seed}.log").write_text(run.output)
    print(f"\npipeline: {run.wall_s:.0f} s (exit code {run.returncode})")
    print("\n".join(runner.verdicts(project)))
    print(f"the report: {project / 'report.html'}")
    if run.returncode:
        print(run.output[-3000:], file=sys.stderr)
        stopped = "stopped by the sanity check" in run.output
        print("honest stop" if stopped else "the pipeline failed", file=sys.stderr)
        return 3 if stopped else 1
    code = compare(data, project, args.require)
    print(f"total {time.monotonic() - began:.0f} s")
    return code


def compare(data: Path, project: Path, required_angst: float) -> int:
    """Print how every map compares with the truth; 1 when the last one is not good enough."""
    _, scores = runner.truth(
        data,
        *(str(project / path) for path in MAPS.values()),
        *("--picks", str(project / "AutoPick/job004")),
        *("--defocus", str(project / "CtfFind/job003/micrographs_ctf.star")),
    )
    print("against the truth:")
    for name, path in MAPS.items():
        score = scores["maps"][str(project / path)]
        at = {cut: score[cut]["angstrom"] for cut in ("fsc05", "fsc0143")}
        print(f"  {name:<22} FSC 0.5 {at['fsc05']:5.2f} Å, FSC 0.143 {at['fsc0143']:5.2f} Å")
    for picks in scores["picks"].values():
        print(f"  picks: recall {picks['recall']:.3f}, precision {picks['precision']:.3f}")
    print(f"  defocus: {scores['defocus']['rms_percent']:.2f} % rms error")
    good = scores["maps"][str(project / FINAL_MAP)]["fsc05"]["angstrom"] <= required_angst
    print(
        f"the map is {'right' if good else 'WRONG'}: {required_angst:g} Å at FSC 0.5 are required"
    )
    return 0 if good else 1


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=runner.ROOT / "demo", help="working folder")
    parser.add_argument("--seed", type=int, default=7, help="of the simulated specimen and movies")
    parser.add_argument("--require", type=float, default=REQUIRED_ANGST, help="Å at FSC 0.5")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
