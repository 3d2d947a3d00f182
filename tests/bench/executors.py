"""Compare ways to get many trivial jobs done, side by side on the tests' own Slurm.

    python -m tests.bench.executors --jobs 40 1000 --limit-minutes 10

prints a table in Markdown: a plain ``sbatch`` loop, our executor, cluster-generic, and Snakemake's
official slurm plugin, all with their defaults, and Snakemake without a cluster. The last three run
from an environment of their own, made on first use from the dependency group ``bench``, so that the
other executors never come near the project's. Times are of this machine: look at their ratios.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.contestants import Contestant, Cost, loop, run, snakemake
from tests.cluster import slurm_cluster
from tests.cluster.project import PROFILE
from tests.cluster.slurm_cluster import Cluster

ROOT = Path(__file__).parents[2]
SLURM_CONF = Path("/etc/slurm/slurm.conf")
SBATCH = "sbatch --parsable --output=/dev/null --mem={resources.mem_mb} --time={resources.runtime}"
LOOP = "sbatch loop"
LOCAL = "snakemake, no cluster"
OURS = "relion-dispatch"
GENERIC = "cluster-generic"
OFFICIAL = "slurm plugin"


def contestants(venv: Path) -> list[Contestant]:
    """Return who takes part; the other executors are in the environment ``venv``."""
    own = str(Path(sys.executable).with_name("snakemake"))
    other = str(venv / "bin" / "snakemake")
    generic = ("--executor", "cluster-generic", "--cluster-generic-submit-cmd", SBATCH)
    many = ("--jobs", "1000")
    return [
        Contestant(name=LOOP, command=loop),
        Contestant(name=LOCAL, command=snakemake(own, "--cores", "2"), on_slurm=False),
        Contestant(name=OURS, command=snakemake(own, "--profile", str(PROFILE), *many)),
        Contestant(name=GENERIC, command=snakemake(other, *generic, *many)),
        Contestant(name=OFFICIAL, command=snakemake(other, "--executor", "slurm", *many)),
    ]


def environment(venv: Path) -> Path:
    """Make the environment of the other executors, unless it is there."""
    if not (venv / "bin" / "snakemake").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "--quiet", "install"]
        limits = ["--constraint", str(ROOT / "tools" / "constraints.txt")]
        subprocess.run([*pip, *limits, "pip"], check=True, cwd=ROOT)
        subprocess.run([*pip, *limits, "snakemake", "--group", "bench"], check=True, cwd=ROOT)
    return venv


@contextmanager
def scheduler(root: Path) -> Iterator[None]:
    """Run a Slurm like M3, with accounting, for as long as it takes."""
    before = dict(os.environ)
    with slurm_cluster.running(Cluster(root=root, accounting=True)) as cluster:
        os.environ.update(cluster.env)
        # The slurm plugin takes SLURM_CONF from its jobs, whose srun then looks here.
        SLURM_CONF.parent.mkdir(exist_ok=True)
        SLURM_CONF.symlink_to(cluster.conf)
        try:
            yield
        finally:
            SLURM_CONF.unlink()
            os.environ.clear()
            os.environ.update(before)


def table(n_jobs: int, costs: dict[str, Cost]) -> str:
    """Return the costs in Markdown, and the ratios that matter."""
    lines = [
        f"| {n_jobs} jobs | done | wall | jobs/s | CPU of head | submissions/job | questions/job |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, cost in costs.items():
        done = max(cost.done, 1)
        calls = f"{cost.submissions / done:.2f} | {cost.questions / done:.2f}"
        done_of = f"{cost.done}{f' ({cost.end})' if cost.end else ''}"
        lines.append(
            f"| {name} | {done_of} | {cost.wall_s:.1f} s | {cost.done / cost.wall_s:.1f}"
            f" | {cost.cpu_s:.1f} s | {calls if name != LOCAL else '– | –'} |"
        )
    return "\n".join([*lines, "", *ratios(n_jobs, costs)])


def ratios(n_jobs: int, costs: dict[str, Cost]) -> Iterator[str]:
    """Yield what our executor costs in terms of the others, per job where not all were done."""
    if OURS not in costs:
        return
    ours = costs[OURS].wall_s / costs[OURS].done
    if LOOP in costs and LOCAL in costs:
        both = costs[LOOP].wall_s + costs[LOCAL].wall_s
        yield f"- {OURS} takes {costs[OURS].wall_s / both:.2f} × the loop and Snakemake alone."
    for name in (LOOP, GENERIC, OFFICIAL):
        if name in costs and costs[name].done:
            other = costs[name].wall_s / costs[name].done
            share = "" if costs[name].done == n_jobs else ", by the jobs it got done"
            yield f"- {name} takes {other / ours:.1f} × the time of {OURS}{share}."


def main() -> int:
    """Print the tables."""
    args = arguments()
    if reason := slurm_cluster.missing(accounting=True):
        print(reason, file=sys.stderr)
        return 2
    if SLURM_CONF.exists() or SLURM_CONF.is_symlink():
        print(f"{SLURM_CONF} is in the way: this is no machine for this", file=sys.stderr)
        return 2
    wanted = [c for c in contestants(args.venv) if not args.only or c.name in args.only]
    if any(each.name in (GENERIC, OFFICIAL) for each in wanted):
        environment(args.venv)
    with tempfile.TemporaryDirectory(prefix="executors-") as temporary:
        for n_jobs in args.jobs:
            with scheduler(Path(temporary, f"slurm-{n_jobs}")):
                costs = {}
                for number, each in enumerate(wanted):
                    folder = Path(temporary, f"{n_jobs}-{number}")
                    costs[each.name] = run(each, folder, n_jobs, args.limit_minutes * 60)
                    print(f"{each.name}: {costs[each.name]}", file=sys.stderr, flush=True)
            print(f"{table(n_jobs, costs)}\n", flush=True)
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, nargs="+", default=[40, 1000])
    parser.add_argument("--limit-minutes", type=float, default=10, help="of each run")
    parser.add_argument(
        "--only", nargs="+", choices=(LOOP, LOCAL, OURS, GENERIC, OFFICIAL), default=[]
    )
    parser.add_argument("--venv", type=Path, default=ROOT / "demo" / "bench" / "executors")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
