"""Measure what the workflow and the dispatcher add; `make bench` prints this table.

Times are ratios of things measured side by side in one run: machines differ and are noisy.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

from tests.bench import overhead, startup, submitting
from tests.cluster import slurm_cluster
from tests.demo import runner


def main() -> int:
    """Print the table."""
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    empty, pipeline = startup.dry_run(args.out)
    print(f"snakemake -n, empty Snakefile       {empty:7.2f} s")
    print(f"snakemake -n, whole pipeline        {pipeline:7.2f} s = {pipeline / empty:.2f} times")
    bare, hook = startup.hook(args.out)
    print(f"python -c pass                      {bare:7.3f} s")
    print(f"relion-dispatch submit --dry-run    {hook:7.3f} s = {hook / bare:.1f} times")
    print_submitting()
    if args.quick:
        return 0
    wall, chain, intervals = overhead.measure(args.out, args.seed)
    spent: defaultdict[str, float] = defaultdict(float)
    for each in intervals:
        spent[each.name] += each.seconds
    for name, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"  {name:<33} {seconds:7.1f} s")
    print(f"snakemake, whole demo               {wall:7.1f} s")
    print(f"longest chain of RELION's programs  {chain:7.1f} s")
    print(f"added by the workflow               {wall - chain:7.1f} s = {wall / chain - 1:.1%}")
    return 0


def print_submitting() -> None:
    """Print what the dispatcher costs over ``sbatch``; where there is no Slurm, why not."""
    if reason := slurm_cluster.missing():
        print(f"sbatch and relion-dispatch submit were not compared: {reason}")
        return
    for found in submitting.measure():
        print(f"job with {found.rows:,} particles          on the clock   of a core")
        sbatch, dispatch = found.sbatch, found.dispatch
        for name, cost in (("sbatch", sbatch), ("relion-dispatch submit", dispatch)):
            print(f"  {name:<33} {cost.wall_s:7.3f} s    {cost.cpu_s:7.3f} s")
        wall_s, cpu_s = dispatch.wall_s - sbatch.wall_s, dispatch.cpu_s - sbatch.cpu_s
        print(f"  {'added':<33} {wall_s:7.3f} s    {cpu_s:7.3f} s")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=runner.ROOT / "demo" / "bench")
    parser.add_argument("--seed", type=int, default=7, help="of the simulated specimen and movies")
    parser.add_argument("--quick", action="store_true", help="only what starts quickly")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
