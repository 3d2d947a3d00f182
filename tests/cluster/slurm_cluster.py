"""A real Slurm that looks like M3, on one machine, for tests and benchmarks.

One ``slurmctld`` and one ``slurmd`` per pretended node, all on 127.0.0.1 with ports, keys and
state of their own in one folder, so that several clusters, or a real one, do not meet. Nothing
is written outside that folder, but for sockets: their paths must not have more than 107 bytes. A
supervising process starts the daemons and ends them, with whatever the jobs left running, as soon
as it is told to or its owner dies.

By hand, from the root of the repository::

    python -m tests.cluster.slurm_cluster start /some/folder --accounting
    export SLURM_CONF=/some/folder/slurm.conf
    sinfo
    python -m tests.cluster.slurm_cluster stop /some/folder

It needs root and Debian's packages slurm-wlm and munge (slurmdbd and mariadb-server for
``--accounting``).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.cluster.slurm_conf import Cluster, gres_conf, slurm_conf, slurmdbd_conf

__all__ = ["Cluster", "ClusterError", "missing", "running", "start", "stop"]

SUPERVISOR = Path(__file__).with_name("supervisor.py")
START_TIMEOUT_S = 90.0
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
ACCOUNTING_PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db", "sacctmgr", "sacct")


class ClusterError(RuntimeError):
    """The cluster did not start; the message carries the tails of the daemons' logs."""


def missing(accounting: bool = False) -> str:
    """Why no cluster can run here, in one sentence; empty when it can."""
    if os.geteuid() != 0:
        return "a Slurm cluster for tests needs root: its daemons start jobs for other users"
    wanted = PROGRAMS + (ACCOUNTING_PROGRAMS if accounting else ())
    absent = [name for name in wanted if which(name) is None]
    if absent:
        packages = "slurm-wlm munge slurmdbd mariadb-server"
        return f"not installed: {', '.join(absent)} (apt-get install {packages})"
    return ""


def which(program: str) -> str | None:
    """Find a program, also where only root's PATH leads."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@contextlib.contextmanager
def running(cluster: Cluster) -> Iterator[Cluster]:
    """Start a cluster, hand it over, and stop it, also if this process dies meanwhile."""
    started, process = start(cluster, owned=True)
    try:
        yield started
    finally:
        process.communicate(timeout=START_TIMEOUT_S)  # closes its input, which means stop


def start(cluster: Cluster, *, owned: bool) -> tuple[Cluster, subprocess.Popen[bytes]]:
    """Start a cluster.

    Parameters
    ----------
    cluster
        Its folder may exist but must hold no running cluster.
    owned
        Whether it ends together with the process that calls this.

    Raises
    ------
    ClusterError
        When it is not up within 90 s.
    """
    cluster = replace(cluster, base_port=free_ports(len(cluster.nodes) + 3))
    _write_configuration(cluster)
    process = supervised(cluster.root, owned=owned)
    _wait_until_up(cluster, process)
    return cluster, process


def supervised(root: Path, *, owned: bool) -> subprocess.Popen[bytes]:
    """Start the supervisor of the cluster whose configuration is in a folder."""
    with open(root / "supervisor.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(SUPERVISOR), str(root)],
            stdin=subprocess.PIPE if owned else subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    (root / "supervisor.pid").write_text(str(process.pid))
    return process


def stop(root: Path) -> None:
    """Stop the cluster that lives in ``root``."""
    pid = int((root / "supervisor.pid").read_text())
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        for _ in range(300):
            os.kill(pid, 0)
            time.sleep(0.1)


def _wait_until_up(cluster: Cluster, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not (cluster.root / "ready").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.terminate()
            raise ClusterError(f"no cluster in {cluster.root}:\n{log_tails(cluster.root)}")
        time.sleep(0.05)


def log_tails(root: Path) -> str:
    """Return the ends of all the daemons' logs."""
    tails = []
    for log in sorted(root.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-8:]
        tails.append(f"--- {log.name}\n" + "\n".join(lines))
    return "\n".join(tails)


def free_ports(count: int) -> int:
    """Return the first of ``count`` neighbouring ports that nobody listens on."""
    for _ in range(200):
        base = random.randrange(20000, 32000 - count)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(base, base + count):
                    stack.enter_context(contextlib.closing(socket.socket())).bind(("", port))
            except OSError:
                continue
            return base
    raise ClusterError("no free range of ports on this machine")


def _write_configuration(cluster: Cluster) -> None:
    root = cluster.root
    for folder in ("state", "munge", "mysql"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    sockets = tempfile.mkdtemp(prefix="slurm-", dir="/tmp")
    os.chmod(sockets, 0o755)  # munged refuses a socket that its clients could not reach
    (root / "sockets").unlink(missing_ok=True)
    (root / "sockets").symlink_to(sockets)
    (root / "ready").unlink(missing_ok=True)
    key = root / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    cluster.conf.write_text(slurm_conf(cluster))
    (root / "gres.conf").write_text(gres_conf(cluster))
    for number in range(max((group.gpus for group in cluster.groups), default=0)):
        device = root / f"gpu{number}"
        device.unlink(missing_ok=True)
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # a twin of /dev/null
    dbd = root / "slurmdbd.conf"
    dbd.unlink(missing_ok=True)
    if cluster.accounting:
        dbd.write_text(slurmdbd_conf(cluster))
        dbd.chmod(0o600)


def main() -> int:
    """Start or stop a cluster by hand."""
    parser = argparse.ArgumentParser(description="a Slurm like M3 on this machine")
    parser.add_argument("action", choices=("start", "stop"))
    parser.add_argument("root", type=Path, help="the folder that holds all of its state")
    parser.add_argument("--accounting", action="store_true", help="with slurmdbd and sacct")
    args = parser.parse_args()
    if args.action == "stop":
        stop(args.root)
        return 0
    if reason := missing(args.accounting):
        print(reason, file=sys.stderr)
        return 2
    cluster, _ = start(Cluster(root=args.root.absolute(), accounting=args.accounting), owned=False)
    print(f"export SLURM_CONF={cluster.conf}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
