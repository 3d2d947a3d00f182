"""Submission scripts from jinja2 templates; the only place that knows jinja2."""

from __future__ import annotations

import contextlib
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from relion_dispatch import remembered
from relion_dispatch.errors import InputError

if TYPE_CHECKING:
    import jinja2
    from jinja2.bccache import Bucket

    from relion_dispatch.plan import Plan

#: What templates see of a plan under its own name, beside its size.
_OF_PLAN = (
    "job_type",
    "relion_job",
    "chain",
    "commands",
    "ntasks",
    "ntasks_per_node",
    "nodes",
    "gpus",
    "name",
    "job_dir",
    "outfile",
    "errfile",
    "exit_file",
    "scheduler_options",
    "gres",
    "modules",
    "notes",
)


def render(plan: Plan) -> str:
    """Render a plan's template.

    Templates see one variable, ``job``: everything in `variables`. They are looked for in the
    profile's folder first, then among the shipped ones, also those that they extend.

    Raises
    ------
    InputError
        When the template is missing, is not valid, or uses a variable that does not exist; the
        message names template and line.
    """
    import jinja2

    try:
        template = _environment(plan.template_dirs, plan.older).get_template(plan.template)
        return template.render(job=variables(plan))
    except jinja2.TemplateSyntaxError as error:
        raise InputError(
            f"{error.filename or error.name}:{error.lineno}: {error.message}"
        ) from None
    except jinja2.TemplateNotFound as error:
        looked = ", ".join(map(str, plan.template_dirs))
        raise InputError(f"no template {error.name} in {looked}") from None
    except Exception as error:  # noqa: BLE001 - whatever a template's expressions may raise
        _complain(plan, error)


@cache
def _environment(template_dirs: tuple[Path, ...], older: bool) -> jinja2.Environment:
    """Keep compiled templates: compiling them takes ten times as long as all the rest."""
    from shlex import quote

    import jinja2

    class AskedFor(jinja2.Undefined):
        """What an older template may ask for (``{% if job.ngpu %}``), but not print."""

        def __str__(self) -> str:
            return self._fail_with_undefined_error()

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([str(folder) for folder in template_dirs]),
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=AskedFor if older else jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - shell scripts, not web pages
        bytecode_cache=_bytecode(),
    )
    environment.filters["sbatch"] = sbatch_word
    environment.filters["quote"] = quote
    return environment


def _bytecode() -> jinja2.BytecodeCache | None:
    """Return where compiled templates are kept; None where that is not possible."""
    import jinja2

    class Cache(jinja2.FileSystemBytecodeCache):
        def dump_bytecode(self, bucket: Bucket) -> None:
            with contextlib.suppress(OSError):  # a full disk is no reason to refuse a job
                super().dump_bytecode(bucket)

    folder = remembered.folder() / "templates"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return None
    return Cache(str(folder)) if os.access(folder, os.W_OK) else None


def variables(plan: Plan) -> dict[str, Any]:
    """Return what templates see as ``job``.

    The names of the older dispatcher (``command``, ``arguments``, ``parameters``,
    ``pre_commands``, ``post_commands``, ``nproc``, ``nthread``, ``ngpu``, ``mem``, …) stand beside
    the plan's own. A job type that says its numbers itself, as there, may call its own parameters
    as it likes: they win.
    """
    at = plan.commands.index(plan.command)
    known = {name: value for name, value in plan.parameters.items() if value not in ("auto", None)}
    sizes = {name: value for name, value in vars(plan.size).items() if name != "notes"}
    own = {
        **{name: getattr(plan, name) for name in _OF_PLAN},
        "command": plan.main.program or "",
        "arguments": plan.main.arguments.strip(),
        "parameters": {name: plan.main.value(name) for name in plan.main.names},
        "pre_commands": list(plan.commands[:at]),
        "post_commands": list(plan.commands[at + 1 :]),
        "final_command": plan.command,
        "body": plan.body.rstrip("\n"),
        "nproc": plan.ntasks,
        "nthread": plan.cpus_per_task,
        "time": clock(plan.runtime_min),
    }
    gpus = {"ngpu": plan.gpus_per_node} if plan.gpus_per_node else {}
    if plan.older:
        return {"mem": f"{plan.mem_mb}M", **sizes, **own, **gpus, **known, "nproc": plan.ntasks}
    return {"mem": f"{plan.mem_mb}M", **known, **sizes, **own, **gpus}


def clock(runtime_min: int | None) -> str:
    """Return minutes as schedulers write them, e.g. 01:00:00 or 2-00:00:00; empty for None."""
    if runtime_min is None:
        return ""
    days, rest = divmod(runtime_min, 24 * 60)
    return f"{f'{days}-' if days else ''}{rest // 60:02d}:{rest % 60:02d}:00"


def sbatch_word(text: str) -> str:
    """Quote a value of an ``#SBATCH`` line: spaces, quotes, and ``%``, which Slurm expands."""
    text = str(text).replace("%", "%%")
    if not any(character in text for character in " \t\"'\\#$"):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _complain(plan: Plan, error: Exception) -> NoReturn:
    """Say in which template, and on which of its lines, rendering failed."""
    place = f"template {plan.template}"
    traceback = error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if any(Path(file).is_relative_to(folder) for folder in plan.template_dirs):
            place = f"{file}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    if isinstance(error, RecursionError):
        raise InputError(f"{place}: it extends itself: extend base.sh.j2 instead") from None
    text = str(error).replace("'dict object' has no attribute", "job has no variable")
    raise InputError(f"{place}: {text}") from None
