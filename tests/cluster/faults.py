"""Faults that jobs die of, made to happen to real RELION on the test cluster.

``python -m tests.cluster.faults`` starts a cluster, lets them all happen, and prints what became of
the jobs: the table of docs/healing.md.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from relion_dispatch.healing import attempts
from relion_dispatch.healing.attempts import Attempt
from tests.cluster.project import PROFILE, Project, lines, relion_dispatch, wait_until
from tests.cluster.slurm_conf import Cluster
from tests.unit import phantoms

BOX, ANGPIX, PARTICLES = 24, 4.0, 60

#: A slow machine, or a busy one, may take so long for a job.
JOB_S = 600.0

_START = (
    "--i Data/particles.star --ref Data/reference.mrc --firstiter_cc --ini_high 40"
    " --particle_diameter 85 --flatten_solvent --zero_mask --oversampling 1 --healpix_order 1"
    " --offset_range 2"
    " --offset_step 2 --sym C1 --norm --scale --pad 1 --pool 30 --maxsig 5 --random_seed 1"
    " --dont_combine_weights_via_disc --j 1"
)

#: RELION's own words (src/acc/cuda/custom_allocator.cuh, src/error.h) from a program that has them
#: where it is given GPUs, and is RELION itself without: there is no GPU here.
STANDIN = """#!/bin/bash
case " $* " in *" --gpu "*) ;; *) exec /usr/bin/relion_refine_mpi "$@" ;; esac
[ "$OMPI_COMM_WORLD_RANK" != 0 ] || sleep 60
printf 'ERROR: CudaCustomAllocator out of memory\\n [requestedSpace:             1672740864 B]\\n'
printf 'in: /relion/src/acc/cuda/custom_allocator.cuh, line 539\\nERROR: \\n\\n' >&2
printf 'You ran out of memory on the GPU(s).\\n\\n' >&2
exit 1
"""


#: With these, and three times the particles, a refinement finds its orientations, and ends alike
#: wherever it was stopped. RELION reads the last of an option that is there twice.
_SURE = "--ini_high 15 --healpix_order 2 --pad 2"


def sure_refinement(folder: str) -> str:
    """Return the command of a refinement whose result depends on nothing but its data."""
    return f"{refinement(folder)} {_SURE}"


def refinement(folder: str) -> str:
    """Return the command of a refinement of two halves."""
    return (
        f"`which relion_refine_mpi` --o {folder}/run --auto_refine --split_random_halves {_START}"
        f" --auto_local_healpix_order 3 --low_resol_join_halves 40 --perturb 0"
        f" --pipeline_control {folder}/"
    )


def classification(folder: str, iterations: int, more: str = "") -> str:
    """Return the command of a classification with one class; ``more`` wins over what is before."""
    return (
        f"`which relion_refine_mpi` --o {folder}/run --K 1 --iter {iterations} --tau2_fudge 4"
        f" {_START} --pipeline_control {folder}/ {more}"
    )


def write_data(project: Path, box: int = BOX, particles: int = PARTICLES) -> None:
    """Write projections of a few blobs with a little noise, and the blobs themselves.

    As RELION wants them: the background is nought on average, and its noise has a deviation of 1.
    """
    volume = phantoms.blobs(3, side=box)
    images = np.asarray(phantoms.views(volume, particles))
    images = 3 * images / images.std() + np.random.default_rng(1).normal(0, 1, images.shape)
    angpix = BOX * ANGPIX / box
    phantoms.write(project / "Data/particles.mrcs", images, angpix)
    phantoms.write(project / "Data/reference.mrc", volume, angpix)
    rows = "".join(
        f"{number:06d}@Data/particles.mrcs 1 mic{number % 3}.mrc\n"
        for number in range(1, particles + 1)
    )
    optics = {
        "OpticsGroupName": "one",
        "OpticsGroup": 1,
        "Voltage": 300,
        "SphericalAberration": 2.7,
        "AmplitudeContrast": 0.1,
        "ImagePixelSize": angpix,
        "ImageSize": box,
        "ImageDimensionality": 2,
    }
    labels = "".join(f"_rln{name}\n" for name in optics)
    values = " ".join(map(str, optics.values()))
    (project / "Data/particles.star").write_text(
        f"\n# version 30001\n\ndata_optics\n\nloop_\n{labels}{values}\n\n\n"
        "# version 30001\n\ndata_particles\n\nloop_\n"
        f"_rlnImageName\n_rlnOpticsGroup\n_rlnMicrographName\n{rows}\n"
    )


def prepare(project: Project, **healing: object) -> None:
    """Make a project: data, nodes of three cores, RELION, and the stand-in for its GPU build."""
    write_data(project.path)
    mpi = {"OMPI_MCA_btl": "self,tcp", "OMPI_MCA_mpi_yield_when_idle": "1"}
    comp = {"cores": 3, "mem_mb": 8000}
    settings = {
        "cluster": {"environment": mpi, "partitions": {"comp": comp}},
        "healing": {"attempts": 9, **healing},
    }
    (project.path / "dispatch.yaml").write_text(yaml.safe_dump(settings))
    programs = project.path / "bin"
    programs.mkdir()
    (programs / "relion_refine_mpi").write_text(STANDIN)
    (programs / "relion_refine_mpi").chmod(0o755)
    project.environment["PATH"] = f"{programs}:{os.environ['PATH']}"


@dataclass(frozen=True)
class Job:
    """A job of the workflow: its rule, its directory, its command, and its size's own values."""

    rule: str
    folder: str
    command: str
    output: str
    overrides: str = "{}"

    @property
    def text(self) -> str:
        """The rule."""
        return f"""
rule {self.rule}:
    output: "{self.folder}/{self.output}"
    log: out="{self.folder}/run.out", err="{self.folder}/run.err"
    params:
        relion=[{self.command!r}],
        overrides={self.overrides},
    shell: "exit 1"
"""


#: Each dies of something else.
JOBS = (
    Job(
        "gpu",
        "Class3D/job001",
        classification("Class3D/job001", 1, '--gpu ""'),
        "run_it001_model.star",
    ),
    Job(
        "memory",
        "Class3D/job002",
        classification("Class3D/job002", 2),
        "run_it002_model.star",
        '{"mem": "30M", "ngpu": 0}',
    ),
    Job(
        "wrong",
        "Class3D/job003",
        classification("Class3D/job003", 1, "--i Data/nothing.star"),
        "run_it001_model.star",
        '{"ngpu": 0}',
    ),
    Job(
        "node",
        "Class3D/job004",
        classification("Class3D/job004", 12, "--healpix_order 2"),
        "run_it012_model.star",
        '{"ngpu": 0}',
    ),
)


def write_workflow(project: Project, jobs: Sequence[Job] = JOBS) -> None:
    """Write a Snakefile of these jobs."""
    wanted = ", ".join(f'"{each.folder}/{each.output}"' for each in jobs)
    rules = "".join(each.text for each in jobs)
    (project.path / "Snakefile").write_text(f"rule all:\n    input: {wanted}\n{rules}")


def history(project: Project, folder: str) -> tuple[Attempt, ...]:
    """Return a job's attempts."""
    return attempts.read(project.path / folder)


@contextlib.contextmanager
def killed_node(cluster: Cluster, project: Project, folder: str) -> Iterator[str]:
    """Kill the node under a job that has finished its third iteration: its daemon and its programs.

    The daemon is only frozen, so that it can come back; to the controller it is dead.
    """
    third = project.path / folder / "run_it003_optimiser.star"
    wait_for(third.exists)
    attempt = history(project, folder)[-1]
    daemon = int((cluster.root / f"slurmd-{attempt.node}.pid").read_text())
    os.kill(daemon, signal.SIGSTOP)
    for pid in _of_job(attempt.job_id):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    try:
        yield attempt.node
    finally:
        os.kill(daemon, signal.SIGCONT)
        wait_until(lambda: lines(["sinfo", "-h", "-n", attempt.node, "-o", "%t"]) == ["idle"])


def _of_job(job_id: str) -> list[int]:
    """Return the processes of a job, by the environment that it gives them."""
    wanted, found = f"SLURM_JOB_ID={job_id}".encode(), []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def wait_for(condition: object, patience_s: float = JOB_S) -> None:
    """Wait for something that takes its time on a busy machine."""
    assert callable(condition)
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def run_faults(project: Project, cluster: Cluster) -> str:
    """Let all the faults of `JOBS` happen; return what the head has printed."""
    prepare(project)
    write_workflow(project)
    head = project.start("--keep-going", "--retries", "3", "--jobs", "8")
    with killed_node(cluster, project, "Class3D/job004"):
        head.process.wait(timeout=JOB_S)
    return head.output


def submit(project: Project, folder: str, command: str, **parameters: object) -> str:
    """Submit a job as RELION's window does; return what is printed."""
    path = project.path / folder
    path.mkdir(parents=True, exist_ok=True)
    text = "\n".join([f"{folder}/run.out", f"{folder}/run.err", command, ""])
    (path / "run_submit.script").write_text(text)
    given = [f"--set={name}={value}" for name, value in parameters.items()]
    words = ("submit", "--profile", str(PROFILE), *given, f"{folder}/run_submit.script")
    done = relion_dispatch(*words, cwd=project.path, environment=project.environment)
    return done.stdout + done.stderr


def uninterrupted(project: Project, folder: str) -> float:
    """Run a refinement with nothing in its way; return the seconds that it takes."""
    write_data(project.path, particles=3 * PARTICLES)
    (project.path / folder).mkdir(parents=True)
    command = f"mpirun --oversubscribe -n 3 {sure_refinement(folder)} >{folder}/run.out 2>&1"
    mpi = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    started = time.monotonic()
    subprocess.run(
        ["bash", "-c", command],
        cwd=project.path,
        env={**os.environ, **project.environment, **mpi},
        check=True,
        timeout=JOB_S,
    )
    return time.monotonic() - started


def stage(project: Project, box: int, gpu_mem_mb: int) -> None:
    """Give the project larger images, and nodes of one GPU that hardly holds them.

    RELION's build for CPUs, which takes no notice of ``--gpu``, does the work.
    """
    (project.path / "bin/relion_refine_mpi").unlink()
    write_data(project.path, box)
    path = project.path / "dispatch.yaml"
    settings = yaml.safe_load(path.read_text())
    one = {"gpus_per_node": 1, "gpu_mem_mb": gpu_mem_mb, "cores": 5}
    settings["cluster"]["partitions"]["m3h"] = one
    path.write_text(yaml.safe_dump(settings))


def limit_time(project: Project, slice_s: int) -> None:
    """Give jobs a minute at most, of which they use so many seconds."""
    path = project.path / "dispatch.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["cluster"]["partitions"]["comp"]["max_runtime_min"] = 1
    settings["cluster"]["partitions"] |= {name: {"max_runtime_min": 1} for name in _OTHERS}
    settings["healing"]["stop_before_limit_s"] = 60 - slice_s
    path.write_text(yaml.safe_dump(settings))


_OTHERS = ("m3c", "m3h", "m3g")


def ended(project: Project, folder: str) -> str:
    """Wait for the end of a job of the window; return its marker."""
    markers = ("RELION_JOB_EXIT_SUCCESS", "RELION_JOB_EXIT_FAILURE")
    path = project.path / folder
    wait_for(lambda: any((path / name).exists() for name in markers))
    return next(name for name in markers if (path / name).exists())


def row(what: str, tried: Sequence[Attempt]) -> str:
    """Return a line of the table: what happened, attempts, how it ended, work lost."""
    failed = [each for each in tried if each.failure]
    lost = sum(each.lost_s or 0 for each in failed)
    last = tried[-1]
    good = not last.failure
    steps = dict.fromkeys(each.decision for each in failed)
    end = "finished" if good else "failed"
    return f"| {what} | {len(tried)} | {end} | {lost:.0f} | {' '.join(steps)} |"


def main() -> int:
    """Print the table."""
    from tests.cluster import slurm_cluster

    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        root = Path(folder)
        made = Cluster(root=root / "cluster", accounting=True)
        cluster = stack.enter_context(slurm_cluster.running(made))
        os.environ |= cluster.env
        (root / "faults").mkdir()
        (root / "time").mkdir()
        faults, slices = Project(root / "faults"), Project(root / "time")
        run_faults(faults, cluster)
        prepare(slices)
        took_s = uninterrupted(slices, "Refine3D/job001")
        limit_time(slices, max(round(took_s / 3), 12))
        submit(slices, "Refine3D/job002", sure_refinement("Refine3D/job002"), ngpu=0)
        ended(slices, "Refine3D/job002")
        rows = [
            row("a limit of a third of the time needed", history(slices, "Refine3D/job002")),
            *(row(_NAMES[each.rule], history(faults, each.folder)) for each in JOBS),
        ]
        sys.stdout.write("\n".join([*TITLE, *rows, ""]))
    return 0


_NAMES = {
    "gpu": "GPU memory full, whatever the size",
    "memory": "memory limit exceeded",
    "wrong": "a missing input file",
    "node": "the node killed behind iteration 3",
}
TITLE = ("| fault | attempts | end | work lost (s) | decisions |", "|---|---|---|---|---|")

if __name__ == "__main__":
    sys.exit(main())
