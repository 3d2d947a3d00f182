#!/bin/bash
# Sets this checkout up, and is quick when nothing is missing:
#
#   tools/setup.sh          programs (RELION, Open MPI, Ghostscript) and the environment in .venv
#   tools/setup.sh slurm    also what the tests' own Slurm and Grid Engine clusters need, and RELION's
#                           window on a screen in memory, and a browser
#
# Programs are looked for on PATH: one from a module or a local build is as good as Debian's. What is
# missing is installed with apt-get, as root or through `sudo -n`; where that cannot be done the
# script says what to type and exits with 1. It never asks anything. PYTHON names the interpreter
# to build .venv with; the default is the first on PATH that is new enough.

set -euo pipefail
exec </dev/null
cd "$(dirname "$0")/.."

# An ordinary user's PATH lacks the folders of the daemons on Debian; and .venv, which may be
# activated, must not be made from itself.
export PATH="${PATH//"$PWD/.venv/bin:"/}:/usr/sbin:/sbin"
# Modules of other software set these; they would leak into the environment or break it.
unset PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX

# program:Debian package, or a header that mpicc has to find
PROGRAMS=(relion_refine_mpi:relion mpirun:openmpi-bin gs:ghostscript)
SLURM_PROGRAMS=(
    slurmctld:slurm-wlm slurmd:slurm-wlm sbatch:slurm-wlm munged:munge
    slurmdbd:slurmdbd mariadbd:mariadb-server
    sge_qmaster:gridengine-master sge_execd:gridengine-exec qsub:gridengine-client
    relion:relion-gui Xvfb:xvfb xdotool:xdotool import:imagemagick chromium:chromium
    gcc:gcc mpi.h:libopenmpi-dev csh:tcsh
)
# What .venv is made from.
STAMPED_FILES=(pyproject.toml tools/constraints.txt tools/setup.sh)

say() {
    printf 'setup: %s\n' "$*" >&2
}

# Whether a program is on PATH, or a header where the MPI compiler finds it.
is_there() {
    case $1 in
    *.h) mpicc -include "$1" -E -x c /dev/null >/dev/null 2>&1 ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

# The packages behind those of the given program:package pairs whose program is not there.
missing_packages() {
    local pair
    for pair in "$@"; do
        is_there "${pair%%:*}" || printf '%s\n' "${pair#*:}"
    done | sort -u
}

# The first Python on PATH that is new enough and can make an environment with pip in it.
find_python() {
    local candidate
    local -a candidates=(python3 python3.13 python3.12 python3.11 /usr/bin/python3)
    [ -n "${PYTHON:-}" ] && candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
            2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

stamp() {
    printf '%s\n' "$PWD"
    cat "${STAMPED_FILES[@]}" | sha256sum
}

up_to_date() {
    [ -x .venv/bin/python ] && [ "$(stamp)" = "$(cat .venv/setup-stamp 2>/dev/null)" ]
}

# Debian keeps what it takes to make an environment in a package of its own.
missing_python_package() {
    up_to_date || [ -n "${PYTHON:-}" ] || find_python >/dev/null || echo python3-venv
}

give_up_on_packages() {
    local reason=$1
    shift
    {
        printf 'setup: programs of these Debian packages are missing: %s\n' "$*"
        printf 'setup: %s. On Debian or Ubuntu type as root:\n\n' "$reason"
        printf '    apt-get update && apt-get install --no-install-recommends %s\n\n' "$*"
        printf 'setup: elsewhere install the same programs, or load their modules, so that they are\n'
        printf 'setup: on PATH. Then run the same command again.\n'
    } >&2
    exit 1
}

give_up_on_python() {
    say "Python 3.11 or newer with its venv and ensurepip modules is needed; ${PYTHON:-python3} is not."
    say "On Debian 12 or newer type as root: apt-get update && apt-get install python3-venv"
    say "Elsewhere name another one: make PYTHON=/path/to/python3.12"
    exit 1
}

# Runs its arguments as root; says nothing and fails where that is not possible without a password.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        command -v sudo >/dev/null && sudo -n "$@"
    fi
}

# While this script lives, Debian's package scripts start no daemon: the tests start their own, and
# a machine without an init system could not. Left behind by a crash, the file forbids nothing.
POLICY=/usr/sbin/policy-rc.d
hold_services() {
    [ ! -e "$POLICY" ] || return 0
    trap 'as_root rm -f "$POLICY"' EXIT
    printf '#!/bin/sh\nkill -0 %d 2>/dev/null && exit 101\nexit 0\n' $$ | as_root tee "$POLICY" >/dev/null
    as_root chmod 755 "$POLICY"
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@"
}

# Installs Debian packages, and leaves it to the caller to see whether that was any use: a package
# whose post-install script could not restart a service is still there.
install_packages() {
    say "installing Debian packages: $*"
    hold_services
    local log
    log=$(mktemp)
    # Package lists may be absent or old; fetching them takes longer than trying without.
    if {
        apt_get install --no-install-recommends "$@" ||
            { apt_get update && apt_get install --no-install-recommends "$@"; }
    } >"$log" 2>&1; then
        rm -f "$log"
    else
        say "apt-get reported errors; all it said is in $log"
    fi
}

# Why packages cannot be installed here; nothing where they can.
obstacle() {
    if ! command -v apt-get >/dev/null; then
        echo "There is no apt-get here"
    elif ! as_root true 2>/dev/null; then
        echo "Installing them needs root's rights"
    fi
}

# Sees to the programs of the given program:package pairs, and to a Python where Debian has one.
ensure_programs() {
    local -a packages
    mapfile -t packages < <(
        missing_packages "$@"
        ! command -v apt-get >/dev/null || missing_python_package
    )
    [ ${#packages[@]} -gt 0 ] || return 0
    local reason
    reason=$(obstacle)
    [ -z "$reason" ] || give_up_on_packages "$reason" "${packages[@]}"
    install_packages "${packages[@]}"
    hash -r
    mapfile -t packages < <(missing_packages "$@")
    [ ${#packages[@]} -eq 0 ] || give_up_on_packages "apt-get could not install them" "${packages[@]}"
}

pip_install() {
    if ! .venv/bin/python -m pip --no-input --disable-pip-version-check install -q \
        --constraint tools/constraints.txt "$@" >.venv/setup.log 2>&1; then
        tail -n 30 .venv/setup.log >&2
        say "pip could not install what pyproject.toml asks for (above; all of it in .venv/setup.log)"
        exit 1
    fi
}

ensure_environment() {
    up_to_date && return 0
    # One at a time: two makes started together would spoil each other's environment.
    exec 9<tools/setup.sh
    flock 9
    up_to_date && return 0
    # An environment that was begun and not finished, was made in another place, or whose Python is
    # gone, is made anew.
    if [ "$(head -n 1 .venv/setup-stamp 2>/dev/null)" != "$PWD" ] ||
        ! .venv/bin/python -c '' 2>/dev/null; then
        local python
        python=$(find_python) || give_up_on_python
        say "making .venv with $python"
        rm -rf .venv
        "$python" -m venv .venv
    fi
    say "installing Python packages into .venv"
    # Dependency groups need a newer pip than the one that comes with older Pythons.
    pip_install pip
    pip_install --editable . --group dev
    stamp >.venv/setup-stamp
}

main() {
    local -a programs=("${PROGRAMS[@]}")
    if [ "${1:-}" = slurm ]; then
        programs+=("${SLURM_PROGRAMS[@]}")
    fi
    ensure_programs "${programs[@]}"
    ensure_environment
}

main "$@"
