"""Starts a test cluster's daemons, watches them, and ends them with everything they started.

It is the daemons' nearest reaper: jobs that outlive their ``slurmd`` become its children, so
that ending its descendants ends all there is. The daemons get a signal should it die itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
LIBC = ctypes.CDLL(None, use_errno=True)
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def main() -> None:
    """Run the cluster described in the folder given as the only argument."""
    root = Path(sys.argv[1])
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        _start_daemons(root)
        (root / "ready").touch()
        _serve()
    finally:
        _end_descendants()
        shutil.rmtree(_sockets(root), ignore_errors=True)


def _sockets(root: Path) -> Path:
    """Return the folder for sockets, by a short path: theirs must not have more than 107 bytes."""
    return (root / "sockets").resolve()


def _serve() -> None:
    """Reap what ends until the owner closes our input; with no owner, until SIGTERM."""
    owned = not os.path.samestat(os.fstat(0), os.stat(os.devnull))
    while True:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if owned and select.select([0], [], [], 0.2)[0]:
            return
        if not owned:
            time.sleep(0.2)


def _start_daemons(root: Path) -> None:
    if (root / "grid_engine.json").exists():
        _start_grid_engine(root)
    else:
        _start_slurm(root)


def _start_grid_engine(root: Path) -> None:
    own = json.loads((root / "grid_engine.json").read_text())
    environment = {**os.environ, **own, "PATH": PATH, "SGE_ND": "1"}  # no daemon: stay here
    _spawn(["sge_qmaster"], root / "qmaster.log", environment)
    _wait("the configuration", (root / "configured").exists)
    _spawn(["sge_execd"], root / "execd.log", environment)


def _start_slurm(root: Path) -> None:
    environment = {**os.environ, "SLURM_CONF": str(root / "slurm.conf"), "PATH": PATH}
    _start_munge(root)
    if (root / "slurmdbd.conf").exists():
        _start_accounting(root, environment)
    _spawn(["slurmctld", "-D"], root / "slurmctld.out.log", environment)
    configuration = (root / "slurm.conf").read_text()
    nodes = _nodes(configuration)
    for node in nodes:
        _spawn(["slurmd", "-D", "-N", node], root / f"slurmd-{node}.out.log", environment)
    _wait("every node idle", lambda: _idle_nodes(environment) == len(nodes))


def _start_munge(root: Path) -> None:
    options = {
        "socket": _sockets(root) / "munge",
        "key-file": root / "munge.key",
        "pid-file": root / "munge/pid",
        "log-file": root / "munged.log",
        "seed-file": root / "munge/seed",
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    # --force: the folders' owner and mode are a test's, not a distribution's.
    _spawn(["munged", "--foreground", "--force", *arguments], root / "munged.out.log")
    _wait("munged", (_sockets(root) / "munge").exists)


def _start_accounting(root: Path, environment: dict[str, str]) -> None:
    port = re.search(r"StoragePort=(\d+)", (root / "slurmdbd.conf").read_text())
    assert port is not None
    first_statements = root / "mysql.sql"
    first_statements.write_text(
        "CREATE DATABASE IF NOT EXISTS slurm_acct_db;\n"
        "CREATE USER IF NOT EXISTS 'slurm'@'127.0.0.1' IDENTIFIED BY 'slurm';\n"
        "CREATE USER IF NOT EXISTS 'slurm'@'localhost' IDENTIFIED BY 'slurm';\n"
        "GRANT ALL ON slurm_acct_db.* TO 'slurm'@'127.0.0.1', 'slurm'@'localhost';\n"
    )
    data = root / "mysql"
    common = ["--no-defaults", f"--datadir={data}", "--user=root"]
    _run(["mariadb-install-db", *common, "--skip-test-db"], root / "mariadb-install.log")
    _spawn(
        [
            "mariadbd",
            *common,
            f"--init-file={first_statements}",
            f"--socket={_sockets(root)}/mysql",
            f"--pid-file={root}/mysql.pid",
            f"--port={port[1]}",
            "--bind-address=127.0.0.1",
            "--innodb-flush-log-at-trx-commit=0",
            "--skip-log-bin",
        ],
        root / "mariadbd.log",
    )
    _wait("MariaDB", (_sockets(root) / "mysql").exists)
    _spawn(["slurmdbd", "-D"], root / "slurmdbd.out.log", environment)
    add = ["sacctmgr", "-i", "add", "cluster", "m3test"]
    _wait("slurmdbd", lambda: _succeeds(add, environment))


def _nodes(configuration: str) -> list[str]:
    names = []
    for prefix, last in re.findall(r"^NodeName=(\w+)\[000-(\d+)\]", configuration, re.MULTILINE):
        names += [f"{prefix}{number:03d}" for number in range(int(last) + 1)]
    return names


def _idle_nodes(environment: dict[str, str]) -> int:
    done = subprocess.run(
        ["sinfo", "-h", "-N", "-t", "idle", "-o", "%N"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return len(set(done.stdout.split()))


def _succeeds(argv: list[str], environment: dict[str, str]) -> bool:
    return subprocess.run(argv, env=environment, capture_output=True, check=False).returncode == 0


def _wait(what: str, condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not there after {timeout_s:g} s")
        time.sleep(0.1)


def _run(argv: list[str], log: Path) -> None:
    with open(log, "ab") as output:
        subprocess.run(
            [shutil.which(argv[0], path=PATH) or argv[0], *argv[1:]],
            stdout=output,
            stderr=subprocess.STDOUT,
            check=True,
        )


def _spawn(argv: list[str], log: Path, environment: dict[str, str] | None = None) -> None:
    program = shutil.which(argv[0], path=PATH) or argv[0]
    with open(log, "ab") as output:
        subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", program, *argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )


def _end_descendants() -> None:
    """Ask every descendant to end, then make them; new orphans of theirs come to us."""
    for number, patience_s in ((signal.SIGTERM, 1.5), (signal.SIGKILL, 10.0)):
        deadline = time.monotonic() + patience_s
        for pid in _descendants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while time.monotonic() < deadline:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    time.sleep(0.02)
            except ChildProcessError:
                return


def _descendants() -> list[int]:
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{entry}/stat").read_text()
                parents[int(entry)] = int(stat.rpartition(")")[2].split()[1])
    found = [os.getpid()]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


if __name__ == "__main__":
    main()
