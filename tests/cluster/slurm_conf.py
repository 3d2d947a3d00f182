"""The test cluster's nodes, and the configuration files that describe them to Slurm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class NodeGroup:
    """Alike nodes, which make up one partition."""

    partition: str
    count: int
    cpus: int
    mem_mb: int
    gpu: str = ""
    gpus: int = 0

    @property
    def hostlist(self) -> str:
        """The nodes in Slurm's notation, for example ``m3h[000-003]``."""
        return f"{self.partition}[000-{self.count - 1:03d}]"

    @property
    def names(self) -> tuple[str, ...]:
        """Each node's name."""
        return tuple(f"{self.partition}{number:03d}" for number in range(self.count))


# M3's kinds of nodes: the guide gives the GPUs and cores of m3c and m3h.
M3 = (
    NodeGroup(partition="comp", count=2, cpus=36, mem_mb=184000),
    NodeGroup(partition="m3c", count=2, cpus=24, mem_mb=240000, gpu="K80", gpus=4),
    NodeGroup(partition="m3h", count=4, cpus=28, mem_mb=240000, gpu="P100", gpus=2),
    NodeGroup(partition="m3g", count=2, cpus=36, mem_mb=370000, gpu="V100", gpus=3),
)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where a cluster lives and what it consists of."""

    root: Path
    groups: tuple[NodeGroup, ...] = M3
    accounting: bool = False
    min_job_age_s: int = 120
    requeue: bool = False
    prolog: str = ""
    base_port: int = 0

    @property
    def conf(self) -> Path:
        """The ``slurm.conf`` that clients name in ``SLURM_CONF``."""
        return self.root / "slurm.conf"

    @property
    def sockets(self) -> Path:
        """The folder for sockets, by a short path; the nodes keep their state beside theirs."""
        return (self.root / "sockets").resolve()

    @property
    def env(self) -> dict[str, str]:
        """What must be in the environment of ``sbatch`` and its like."""
        return {"SLURM_CONF": str(self.conf)}

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node's name."""
        return tuple(name for group in self.groups for name in group.names)


def slurm_conf(cluster: Cluster) -> str:
    """Slurm's configuration: no cgroups, nodes that may claim more than the machine has."""
    root, port = cluster.root, cluster.base_port
    lines = [
        "ClusterName=m3test",
        "SlurmctldHost=localhost(127.0.0.1)",
        f"SlurmctldPort={port}",
        "SlurmUser=root",
        "SlurmdUser=root",
        "AuthType=auth/munge",
        f"AuthInfo=socket={cluster.sockets}/munge",
        f"StateSaveLocation={root}/state",
        f"SlurmdSpoolDir={cluster.sockets}/%n",
        f"SlurmctldPidFile={root}/slurmctld.pid",
        f"SlurmdPidFile={root}/slurmd-%n.pid",
        f"SlurmctldLogFile={root}/slurmctld.log",
        f"SlurmdLogFile={root}/slurmd-%n.log",
        "SlurmdParameters=config_overrides",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "MpiDefault=none",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core_Memory",
        "SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=2",
        "GresTypes=gpu",
        "ReturnToService=2",
        f"JobRequeue={int(cluster.requeue)}",
        "KillWait=10",
        "CompleteWait=0",
        f"MinJobAge={cluster.min_job_age_s}",
        "MaxJobCount=20000",
        "SlurmdTimeout=30",
        "UnkillableStepTimeout=60",
    ]
    if cluster.prolog:
        lines.append(f"Prolog={cluster.prolog}")
    if cluster.accounting:
        lines += [
            "AccountingStorageType=accounting_storage/slurmdbd",
            "AccountingStorageHost=127.0.0.1",
            f"AccountingStoragePort={port + 1}",
            f"AccountingStoragePass={cluster.sockets}/munge",
            "AccountingStoreFlags=job_comment",
            "AccountingStorageTRES=gres/gpu",
            "JobAcctGatherType=jobacct_gather/linux",
            "JobAcctGatherFrequency=1",
            # Without cgroups Slurm itself watches what jobs use, and ends those that use too much.
            "JobAcctGatherParams=OverMemoryKill",
        ]
    first_port = port + 3
    for group in cluster.groups:
        lines += [_node_line(group, first_port), _partition_line(group)]
        first_port += group.count
    return "\n".join(lines) + "\n"


def _node_line(group: NodeGroup, first_port: int) -> str:
    gres = f" Gres=gpu:{group.gpu}:{group.gpus}" if group.gpus else ""
    return (
        f"NodeName={group.hostlist} NodeHostname=localhost NodeAddr=127.0.0.1 "
        f"Port=[{first_port}-{first_port + group.count - 1}] "
        f"CPUs={group.cpus} RealMemory={group.mem_mb}{gres}"
    )


def _partition_line(group: NodeGroup) -> str:
    default = " Default=YES" if not group.gpus else ""
    return (
        f"PartitionName={group.partition} Nodes={group.hostlist} MaxTime=7-00:00:00 "
        f"DefaultTime=1:00:00 DefMemPerCPU=1000 State=UP{default}"
    )


def gres_conf(cluster: Cluster) -> str:
    """Pretended GPUs: Slurm only asks that the files exist and are character devices."""
    lines = ["AutoDetect=off"]
    for group in cluster.groups:
        if group.gpus:
            files = f"{cluster.root}/gpu[0-{group.gpus - 1}]"
            lines.append(f"NodeName={group.hostlist} Name=gpu Type={group.gpu} File={files}")
    return "\n".join(lines) + "\n"


def slurmdbd_conf(cluster: Cluster) -> str:
    """The accounting daemon's configuration; its database listens on 127.0.0.1 alone."""
    return "\n".join(
        [
            "AuthType=auth/munge",
            f"AuthInfo=socket={cluster.sockets}/munge",
            "DbdHost=localhost",
            "DbdAddr=127.0.0.1",
            f"DbdPort={cluster.base_port + 1}",
            "SlurmUser=root",
            f"PidFile={cluster.root}/slurmdbd.pid",
            f"LogFile={cluster.root}/slurmdbd.log",
            "StorageType=accounting_storage/mysql",
            "StorageHost=127.0.0.1",
            f"StoragePort={cluster.base_port + 2}",
            "StorageUser=slurm",
            "StoragePass=slurm",
            "StorageLoc=slurm_acct_db",
            "",
        ]
    )
