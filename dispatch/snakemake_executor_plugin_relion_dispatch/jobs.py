"""What Snakemake's jobs are to the engine: requests."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relion_dispatch.engine import Request
from relion_dispatch.errors import InputError
from relion_dispatch.head import FOLDER
from relion_dispatch.pipeline.wished import PARAMETERS, known, parameters
from snakemake_executor_plugin_relion_dispatch.identity import fingerprint, identity

if TYPE_CHECKING:
    from snakemake_executor_plugin_relion_dispatch import Executor

#: Resources that no job parameter stands for, and the options of ``sbatch`` that they become.
OPTIONS = {"slurm_account": "--account", "qos": "--qos", "constraint": "--constraint"}

_LONGEST_ARGUMENT = 100_000  # a kernel takes 128 KiB

# Snakemake's own shell sets these for every job.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A Snakemake job as the scheduler will see it.

    Attributes
    ----------
    job
        Snakemake's job.
    key, fingerprint
        What tells it from other jobs; what it does, and of which input.
    rule, label
        Its rule, and what people know it by.
    request
        What the engine is asked for.
    logs
        Its logs, the most telling first.
    prepare
        Makes room for its output; does nothing for a job that does so itself.
    submit_options
        Further options of the submit command.
    attempt, changes
        Which attempt at it this is, and what is changed after the earlier ones.
    """

    job: Any
    key: str
    fingerprint: str
    rule: str
    label: str
    request: Request
    logs: tuple[Path, ...]
    prepare: Callable[[], None]
    submit_options: tuple[str, ...] = ()
    attempt: int = 1
    changes: Mapping[str, object] = field(default_factory=dict)

    @property
    def exit_file(self) -> Path:
        """Where the job leaves its exit code."""
        return Path(self.request.exit_file)

    @property
    def script(self) -> Path:
        """The script that is submitted."""
        return Path(f"{self.request.script_path}.run")


def describe(job: Any, executor: Executor) -> Work:
    """Describe a Snakemake job.

    Raises
    ------
    InputError
        When a rule's ``params.relion`` is no list of commands.
    """
    reason = why_wrapped(job, executor.workflow)
    commands = None if reason else relion_commands(job)
    if commands:
        overrides = _asked(job, _set_by_user(job, executor.workflow))
        request, logs = _relion_request(job, commands, overrides)
    else:
        command = executor.format_job_exec(job) if reason else job.shellcmd
        request, logs = _plain_request(job, command)

    def prepare() -> None:
        for stale in (request.outfile, request.errfile):
            Path(stale).unlink(missing_ok=True)
        if not reason:
            executor.workflow.async_run(job.prepare())

    return Work(
        job=job,
        key=identity(job),
        fingerprint=fingerprint(job, commands),
        rule=job.name,
        label=request.name,
        request=request,
        logs=logs,
        prepare=prepare,
        submit_options=tuple(_submit_options(job)),
    )


def why_wrapped(job: Any, workflow: Any) -> str:
    """Say why a job needs Snakemake on the compute node; empty when it does not."""
    if job.is_group():
        return "a group"
    if not job.is_shell:
        return "no shell command"
    from snakemake.settings.types import DeploymentMethod, SharedFSUsage
    from snakemake.shell import shell

    deployed = workflow.deployment_settings.deployment_method
    files = [*job.input, *job.output]
    reasons = {
        "a benchmark": job.benchmark is not None,
        "a shadow directory": job.is_shadow,
        "a conda environment": DeploymentMethod.CONDA in deployed and bool(job.conda_env),
        "a container": DeploymentMethod.APPTAINER in deployed and bool(job.container_img_url),
        "modules": DeploymentMethod.ENV_MODULES in deployed and bool(job.env_modules),
        "pipes or services": bool(job.pipe_or_service_output),
        "storage": any(getattr(each, "is_storage", False) for each in files),
        "no shared file system": workflow.storage_settings.shared_fs_usage != SharedFSUsage.all(),
        "the cache": workflow.workflow_settings.cache is not None and bool(job.rule.cache),
        "a shell of its own": bool(
            job.resources.get("shell_exec")
            or getattr(shell, "_process_prefix", None)
            or getattr(shell, "_process_suffix", None)
            or Path(shell.get_executable() or "").name != "bash"
        ),
        "values known on the node only": "<TBD>" in job.shellcmd,
        "a temporary directory of its own": _has_own_tmpdir(job),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _has_own_tmpdir(job: Any) -> bool:
    """Whether a plain job is to have another temporary directory than the node's."""
    given = job.rule.resources.get("tmpdir")
    return given is not None and given.raw != "system_tmpdir" and not job.params.get("relion")


def relion_commands(job: Any) -> tuple[str, ...]:
    """Return the RELION commands that a rule gives in ``params.relion``; none when it does not."""
    given = job.params.get("relion")
    if not given:
        return ()
    if isinstance(given, str) or not all(isinstance(line, str) for line in given):
        raise InputError(f"rule {job.name}: params.relion must be a list of commands, a line each")
    return tuple(given)


def _relion_request(
    job: Any, commands: Sequence[str], overrides: Mapping[str, object]
) -> tuple[Request, tuple[Path, ...]]:
    """Ask for the job that RELION's GUI would submit with the same commands."""
    from relion_dispatch.data import DataFacts

    out = job.log.get("out") or str(Path(job.output[0]).parent / "run.out")
    folder = Path(out).parent
    err = job.log.get("err") or str(folder / "run.err")
    request = Request(
        commands=tuple(commands),
        outfile=str(out),
        errfile=str(err),
        name=str(folder).replace("/", "-"),
        data=DataFacts(**job.params.get("data", {})),
        overrides={**job.params.get("overrides", {}), **overrides},
        attempt=job.attempt,
        exit_file=str(folder / "run.exit"),
        script_path=str(folder / "run_submit.script"),
    )
    return request, (Path(err), Path(out))


def _plain_request(job: Any, command: str) -> tuple[Request, tuple[Path, ...]]:
    """Ask for a job that is just a shell command, with the resources that its rule gives."""
    label = _label(job)
    folder = FOLDER / "jobs" / f"{label[:60]}-{identity(job)[:8]}"
    overrides: dict[str, object] = {"job_type": "plain", "nproc": 1, "nthread": job.threads}
    overrides |= _asked(job, ("mem_mb", "runtime", "slurm_partition", "gpu", "nodes", "tasks"))
    exports = " ".join(f"{name}={job.threads}" for name in _THREAD_VARIABLES)
    request = Request(
        commands=(f"export {exports}", _in_bash(command, folder)),
        outfile=str(folder / "run.out"),
        errfile=str(folder / "run.err"),
        name=label,
        overrides=overrides,
        attempt=1,  # the rule's resources have grown with the attempt already
        exit_file=str(folder / "run.exit"),
        script_path=str(folder / "run_submit.script"),
    )
    own = tuple(Path(each) for each in job.log) if not job.is_group() else ()
    return request, (*own, folder / "run.err", folder / "run.out")


def _in_bash(command: str, folder: Path) -> str:
    """Return one shell line that runs a command as Snakemake's own shell does."""
    text = f"set -euo pipefail; {command}"
    if len(text) < _LONGEST_ARGUMENT:
        return f"bash -c {shlex.quote(text)}"
    from relion_dispatch import atomic

    atomic.write_text(folder / "command.sh", f"{text}\n")
    return f"bash {shlex.quote(str(folder / 'command.sh'))}"


def _set_by_user(job: Any, workflow: Any) -> list[str]:
    """Return the resources that were set with ``--set-resources`` or in a profile.

    All others of RELION's rules come from the engine, which plans better now that the data exist.
    """
    given = workflow.resource_settings.overwrite_resources.get(job.rule.name, {})
    return [name for name in PARAMETERS if name in given or (name == "mem_mb" and "mem" in given)]


def _asked(job: Any, names: Iterable[str]) -> dict[str, object]:
    return parameters(job.resources, names)


def _submit_options(job: Any) -> Iterable[str]:
    for name, option in OPTIONS.items():
        if value := known(job.resources, name):
            yield f"{option}={value}"
    extra = str(known(job.resources, "slurm_extra") or "")
    try:
        yield from shlex.split(extra)
    except ValueError as error:
        raise InputError(
            f"rule {job.name}: slurm_extra='{extra}' cannot be read: {error}"
        ) from None


def _label(job: Any) -> str:
    if job.is_group():
        words = [str(job.name)]
    else:
        words = [job.rule.name, *(str(value) for value in job.wildcards_dict.values())]
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", "-".join(words))
