"""Tables of what may stand in front of a RELION program, and of what is no program of a job.

A launcher is ``mpirun -n 5``, ``srun``, ``time``, ``env A=b``, ``python``, …. To see where it
ends and the program begins one has to know which of its options take a value.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Role(enum.Enum):
    """What words in front of a program do."""

    PREFIX = "prefix"  # stays where it is whatever launches the ranks: time, env, VAR=x
    PARALLEL = "parallel"  # starts the ranks: mpirun, srun
    WRAPPER = "wrapper"  # belongs to the program itself: python, singularity exec


@dataclass(frozen=True, kw_only=True, slots=True)
class Launcher:
    """How one launcher reads its command line.

    Parameters
    ----------
    role
        What it does.
    one, two
        Its options that take one value, and two.
    operands
        How many words that are no options it takes before the program: ``timeout 10 program``.
    """

    role: Role = Role.PREFIX
    one: frozenset[str] = frozenset()
    two: frozenset[str] = frozenset()
    operands: int = 0


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MPI_ONE = """
    -n -np --n --np -c -N -H -host --host -hosts --hosts -hostfile --hostfile -machinefile
    --machinefile -machine -f -x -wdir --wdir -wd --wd -path --path -prefix --prefix -npernode
    --npernode -npersocket --npersocket -ppn --ppn -perhost --perhost -map-by --map-by -bind-to
    --bind-to -rank-by --rank-by -rf -rankfile --rankfile -am --am -tune --tune -output-filename
    --output-filename -cpu-set --cpu-set -cpu-list --cpu-list -cpus-per-proc --cpus-per-proc
    -cpus-per-rank --cpus-per-rank -timeout --timeout -genvlist -envlist -launcher -bootstrap
    -rmk -iface -configfile -s -stdin --stdin -max-restarts --max-restarts -personality
    --personality --preload-files -default-hostfile --default-hostfile --N --app --rf -cf --cf
    -report-uri --report-uri -report-pid --report-pid -report-events --report-events -xterm --xterm
    -launch-agent --launch-agent -max-vm-size --max-vm-size -hnp --hnp -ompi-server --ompi-server
    -debugger --debugger -xml-file --xml-file --cartofile --ppr"""
_MPI_TWO = "-mca --mca -gmca --gmca -prtemca --prtemca -genv -env --omca"
_SRUN_ONE = """
    -A --account -b --begin -c --cpus-per-task -C --constraint -d --dependency -D --chdir -e --error
    -G --gpus -i --input -J --job-name -L --licenses -m --distribution -M --clusters -n --ntasks -N
    --nodes -o --output -p --partition -q --qos -r --relative -t --time -T --threads -w --nodelist
    -W --wait -x --exclude --comment --cpu-bind --cpu_bind --cores-per-socket --epilog --export
    --gpu-bind --gpu-freq --gpus-per-node --gpus-per-socket --gpus-per-task --gres --gres-flags
    --het-group --hint --jobid --mem --mem-bind --mem-per-cpu --mem-per-gpu --mpi --network
    --ntasks-per-core --ntasks-per-gpu --ntasks-per-node --ntasks-per-socket --open-mode --priority
    --profile --prolog --reservation --signal --slurmd-debug --sockets-per-node --switches
    --task-epilog --task-prolog --threads-per-core --time-min --tmp --tres-per-task --wckey -B
    --extra-node-info -F --nodefile -S --core-spec --accel-bind --acctg-freq --bb --bbf
    --bcast-exclude --cluster-constraint --container --cpu-freq --cpus-per-gpu --deadline
    --delay-boot --gid --mail-type --mail-user --mcs-label --mincpus --msg-timeout --power --prefer
    --thread-spec --uid"""
_APRUN_ONE = "-n -N -d -S -j -cc -L -e -m -p -r -ss -a -g -c -b -l -t --np --nrs"
_CONTAINER_ONE = """
    -B --bind -e --env --env-file -H --home -W --workdir --pwd --cwd -S --scratch --app --network
    --overlay --security --hostname --mount -n --name -p --prefix"""

MPIRUN = Launcher(role=Role.PARALLEL, one=_set(_MPI_ONE), two=_set(_MPI_TWO))
"""An MPI library's launcher; also how a launcher of unknown name is read."""

RANKS = _set("-n -np --n --np --ntasks")
"""Options that say how many ranks are to start."""

_APRUN = Launcher(role=Role.PARALLEL, one=_set(_APRUN_ONE))
_BARE = Launcher()
_INTERPRETER = Launcher(role=Role.WRAPPER, one=_set("-W -X -c -e"))

LAUNCHERS: dict[str, Launcher] = {
    **dict.fromkeys(("mpirun", "mpirun.openmpi", "mpirun.mpich", "mpirun_rsh"), MPIRUN),
    **dict.fromkeys(("mpiexec", "mpiexec.openmpi", "mpiexec.mpich", "mpiexec.hydra"), MPIRUN),
    **dict.fromkeys(("orterun", "prterun", "prun", "ibrun"), MPIRUN),
    **dict.fromkeys(("aprun", "jsrun", "lrun"), _APRUN),
    "srun": Launcher(role=Role.PARALLEL, one=_set(_SRUN_ONE)),
    "time": Launcher(one=_set("-f --format -o --output")),
    "env": Launcher(one=_set("-u --unset -C --chdir -S")),
    "nice": Launcher(one=_set("-n --adjustment")),
    "ionice": Launcher(one=_set("-c --class -n --classdata")),
    "timeout": Launcher(one=_set("-s --signal -k --kill-after"), operands=1),
    "taskset": Launcher(operands=1),
    "numactl": Launcher(one=_set("-i -m -N -C -p")),
    "stdbuf": Launcher(one=_set("-i -o -e")),
    "sudo": Launcher(one=_set("-u -g -C -D")),
    "strace": Launcher(one=_set("-o -e -s -E")),
    "xvfb-run": Launcher(one=_set("-e -f -n -p -s -w")),
    "nsys": Launcher(role=Role.WRAPPER, one=_set("-o -t"), operands=1),
    **dict.fromkeys(("nohup", "setsid", "exec", "command", "eval", "builtin"), _BARE),
    **dict.fromkeys(("if", "then", "elif", "else", "while", "until", "do", "!", "{"), _BARE),
    **dict.fromkeys(("python", "python2", "python3", "perl", "Rscript", "gdb"), _INTERPRETER),
    **dict.fromkeys(("sh", "bash", "csh", "tcsh", "zsh", "ksh", "valgrind"), _INTERPRETER),
    **dict.fromkeys(
        ("singularity", "apptainer"),
        Launcher(role=Role.WRAPPER, one=_set(_CONTAINER_ONE), operands=2),
    ),
    **dict.fromkeys(
        ("conda", "mamba", "micromamba"),
        Launcher(role=Role.WRAPPER, one=_set(_CONTAINER_ONE), operands=1),
    ),
}
"""The launchers by name."""

UTILITIES = _set(
    """echo printf rm touch cp mv ln mkdir rmdir cd pushd popd export unset set setenv unsetenv
    module ml source . test [ [[ cat ls sleep wait exit true false : which type hash ulimit limit
    unlimit umask chmod chown sed awk grep tail head sort tee date hostname pwd return trap alias
    shift read local declare readonly typeset let for case select function fi done esac } ]] find
    xargs nvidia-smi scontrol squeue sbatch qsub bsub kill"""
)
"""Commands of the shell and small utilities: never the program of a job."""
