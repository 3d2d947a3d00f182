"""A real Grid Engine on one machine, for tests: one ``sge_qmaster``, one ``sge_execd``.

All of its state and configuration is in one folder, with ports of its own; nothing is written
outside. The supervisor of `slurm_cluster` starts and ends it.
It needs root and Debian's packages gridengine-master, gridengine-exec and gridengine-client.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.cluster.slurm_cluster import ClusterError, free_ports, log_tails, supervised, which

#: Where Debian keeps the programs, and what a new installation begins with.
LIBRARY = Path("/usr/lib/gridengine")
SHARE = Path("/usr/share/gridengine")
PROGRAMS = ("sge_qmaster", "sge_execd", "qsub", "qstat", "qdel", "qacct", "qconf")
START_TIMEOUT_S = 90.0

BOOTSTRAP = """\
admin_user root
default_domain none
ignore_fqdn true
spooling_method classic
spooling_lib libspoolc
spooling_params {spool}
binary_path /usr/sbin
qmaster_spool_dir {root}/qmaster
security_mode none
listener_threads 2
worker_threads 2
scheduler_threads 1
"""
PARALLEL_ENVIRONMENT = """\
pe_name smp
slots 999
user_lists NONE
xuser_lists NONE
start_proc_args NONE
stop_proc_args NONE
allocation_rule $pe_slots
control_slaves FALSE
job_is_first_task TRUE
urgency_slots min
accounting_summary FALSE
qsort_args NONE
"""
HOST = """\
hostname localhost
load_scaling NONE
complex_values NONE
user_lists NONE
xuser_lists NONE
projects NONE
xprojects NONE
usage_scaling NONE
report_variables NONE
"""
#: Where the queue, the scheduler and the whole differ from what is usual.
QUEUE = {
    "hostlist": "localhost",
    "load_thresholds": "NONE",
    "qtype": "BATCH",
    "pe_list": "smp",
    "slots": "8",
    "shell": "/bin/bash",
    "shell_start_mode": "unix_behavior",
}
SCHEDULER = {"schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1"}
CONFIGURATION = {
    "min_uid": "0",
    "min_gid": "0",
    "load_report_time": "00:00:02",
    "reporting_params": "accounting=true reporting=false flush_time=00:00:01 joblog=false"
    " sharelog=00:00:00",
}


def missing() -> str:
    """Why Grid Engine cannot run here, in one sentence; empty when it can."""
    if os.geteuid() != 0:
        return "a Grid Engine for tests needs root"
    absent = [name for name in PROGRAMS if which(name) is None]
    packages = "gridengine-master gridengine-exec gridengine-client"
    return f"not installed: {', '.join(absent)} (apt-get install {packages})" if absent else ""


@contextlib.contextmanager
def running(root: Path) -> Iterator[dict[str, str]]:
    """Run Grid Engine in a folder; yields what its commands need in the environment.

    Raises
    ------
    ClusterError
        When it is not up within 90 s.
    """
    port = free_ports(2)
    environment = {
        "SGE_ROOT": str(root / "root"),
        "SGE_CELL": "default",
        "SGE_QMASTER_PORT": str(port),
        "SGE_EXECD_PORT": str(port + 1),
    }
    _spool(root, environment)
    (root / "grid_engine.json").write_text(json.dumps(environment))
    process = supervised(root, owned=True)
    try:
        _wait(root, lambda: _accepts(environment))
        _configure(root, environment)
        (root / "configured").touch()  # the supervisor goes on with sge_execd
        _wait(root, lambda: _has_queue(environment))
        yield environment
    finally:
        process.communicate(timeout=START_TIMEOUT_S)


def _spool(root: Path, environment: dict[str, str]) -> None:
    """Write what ``sge_qmaster`` reads when it starts."""
    common = root / "root/default/common"
    for folder in (common, root / "qmaster/job_scripts", root / "execd"):
        folder.mkdir(parents=True)
    for name in ("bin", "lib", "util", "utilbin"):
        (root / "root" / name).symlink_to(Path("/var/lib/gridengine") / name)
    spool = f"{common};{root}/qmaster"
    (common / "bootstrap").write_text(BOOTSTRAP.format(root=root, spool=spool))
    (common / "act_qmaster").write_text("localhost\n")
    # One machine by two names.
    (common / "host_aliases").write_text(f"localhost {socket.gethostname()}\n")
    first = (SHARE / "default-configuration").read_text()
    settings = {**CONFIGURATION, "execd_spool_dir": str(root / "execd")}
    (root / "configuration").write_text(_changed(first, settings))
    for words in (
        ("spoolinit", "classic", "libspoolc", spool, "init"),
        ("spooldefaults", "configuration", str(root / "configuration")),
        ("spooldefaults", "complexes", str(SHARE / "util/resources/centry")),
        ("spooldefaults", "usersets", str(SHARE / "util/resources/usersets")),
        ("spooldefaults", "managers", "root"),
    ):
        _run([str(LIBRARY / words[0]), *words[1:]], environment)


def _configure(root: Path, environment: dict[str, str]) -> None:
    """Add host, parallel environment and queue, and make the scheduler look every second."""
    _run(["qconf", "-as", "localhost"], environment)
    for option, name, text in (
        ("-Ap", "smp", PARALLEL_ENVIRONMENT),
        ("-Ae", "host", HOST),
        ("-Msconf", "sconf", _changed(_shown(environment, "-ssconf"), SCHEDULER)),
    ):
        (root / name).write_text(text)
        _run(["qconf", option, str(root / name)], environment)
    editor = root / "editor"
    (root / "queue").write_text("")
    editor.write_text(f'#!/bin/sh\ncat "$1" >{root}/queue\n')
    editor.chmod(0o755)
    # The way to a new queue's settings is an editor that keeps them.
    _run(["qconf", "-aq", "all.q"], {**environment, "EDITOR": str(editor)}, check=False)
    (root / "queue").write_text(_changed((root / "queue").read_text(), QUEUE))
    _run(["qconf", "-Aq", str(root / "queue")], environment)


def _changed(text: str, settings: dict[str, str]) -> str:
    """Return lines of ``name value`` with some of the values changed."""
    lines = []
    for line in text.splitlines():
        name = line.split(" ")[0].split("\t")[0]
        lines.append(f"{name} {settings[name]}" if name in settings else line)
    return "\n".join(lines) + "\n"


def _shown(environment: dict[str, str], option: str) -> str:
    return _run(["qconf", option], environment)


def _accepts(environment: dict[str, str]) -> bool:
    return bool(_run(["qconf", "-sh"], environment, check=False))


def _has_queue(environment: dict[str, str]) -> bool:
    """Whether the queue's one instance is up: its load is known then."""
    shown = _run(["qstat", "-f"], environment, check=False)
    line = next((line for line in shown.splitlines() if line.startswith("all.q@")), "")
    return len(line.split()) == 5 and "-NA-" not in line


def _run(argv: list[str], environment: dict[str, str], *, check: bool = True) -> str:
    done = subprocess.run(
        [shutil.which(argv[0]) or argv[0], *argv[1:]],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if check and done.returncode:
        raise ClusterError(f"{' '.join(argv)}: {done.stdout}{done.stderr}")
    return done.stdout if done.returncode == 0 else ""


def _wait(root: Path, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise ClusterError(f"no Grid Engine in {root}:\n{log_tails(root)}")
        time.sleep(0.1)
