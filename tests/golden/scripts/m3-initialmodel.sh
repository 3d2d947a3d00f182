#!/bin/bash
# shellcheck disable=SC2006,SC2046,SC2086 # RELION and its users write their commands
#SBATCH --job-name=InitialModel-job011
#SBATCH --output=InitialModel/job011/run.out
#SBATCH --error=InitialModel/job011/run.err
#SBATCH --open-mode=append
#SBATCH --partition=m3h
#SBATCH --time=01:00:00
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=3200M
#SBATCH --gres=gpu:2
set +u -eo pipefail
relion_dispatch_exit() {
  local code=$? command=$BASH_COMMAND job=InitialModel/job011/ exit_file=InitialModel/job011/run.exit reason=failed
  trap - EXIT
  set +e
  if [ "$code" = 0 ] && [ -e "${job}RELION_JOB_EXIT_FAILURE" ]; then
    code=1 command="a program of the job"
  fi
  if [ -n "$relion_dispatch_main" ]; then
    kill -TERM -- "-$relion_dispatch_main" 2>/dev/null
    command=$relion_dispatch_label
  fi
  if [ "$code" != 0 ] && [ -e "${job}run.stopped" ]; then
    code=75 reason="stopped by itself, to go on later"
    printf 'relion-dispatch: stopped: %s\n' "$(cat "${job}run.stopped")" >&2
    rm -f "${job}RELION_JOB_EXIT_ABORTED" "${job}RELION_JOB_EXIT_FAILURE"
  fi
  [ ! -e "${job}run.stopped" ] || rm -f "${job}run.stopped" "${job}RELION_JOB_ABORT_NOW"
  [ ! -e "${job}RELION_JOB_EXIT_ABORTED" ] || rm -f "${job}RELION_JOB_ABORT_NOW"
  case $code in
    126 | 127) reason="a program is missing or cannot be run" ;;
    137) reason="killed, perhaps for want of memory" ;;
    130 | 143) reason="cancelled, or out of time" ;;
  esac
  if [ "$code" != 0 ]; then
    printf 'relion-dispatch: %s\n' "failed: $command" "exit code $code ($reason)" >&2
    rm -f "${job}RELION_JOB_EXIT_SUCCESS"
    if [ -e "${job}run.heal" ]; then
      rm -f "${job}RELION_JOB_EXIT_FAILURE"
    elif ! [ -e "${job}RELION_JOB_EXIT_ABORTED" ]; then
      : >"${job}RELION_JOB_EXIT_FAILURE"
    fi
  elif ! [ -e "${job}RELION_JOB_EXIT_ABORTED" ]; then
    : >"${job}RELION_JOB_EXIT_SUCCESS"
    rm -f "${job}run.science" "${job}continue.star" "${job}run.heal"
    [ ! -e "${job}attempts.jsonl" ] || printf '{"event": "ended", "time": %s, "state": "%s"}\n' \
      "$(date +%s)" succeeded >>"${job}attempts.jsonl"
  fi
  echo "relion-dispatch: exit code $code after $SECONDS s"
  echo "$code" >"$exit_file.new" && mv -f "$exit_file.new" "$exit_file"
  [ ! -e default_pipeline.star ] || : >.pipeline_has_changed
  exit "$code"
}
trap relion_dispatch_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir -p InitialModel/job011
rm -f InitialModel/job011/RELION_JOB_EXIT_* InitialModel/job011/run.exit
[ ! -e InitialModel/job011/run.stopped ] || rm -f InitialModel/job011/run.stopped InitialModel/job011/RELION_JOB_ABORT_NOW
exec >>InitialModel/job011/run.out 2>>InitialModel/job011/run.err
export RELION_SHELL=bash OMP_NUM_THREADS=1 OMPI_MCA_hwloc_base_binding_policy=none PRTE_MCA_hwloc_default_binding_policy=none
# shellcheck source=/dev/null
type module >/dev/null 2>&1 || . /etc/profile.d/modules.sh 2>/dev/null ||
  module() { echo "relion-dispatch: no module command here for: module $*" >&2; }
module load relion
echo "relion-dispatch: initialmodel on $(hostname), $(date '+%F %T'), 1 rank of 8 threads, 2 GPUs a node, 3200 MB a node"
nvidia-smi -L 2>/dev/null || echo "GPUs: ${CUDA_VISIBLE_DEVICES:-none}"
module list 2>&1 || true
programs="relion_align_symmetry relion_refine"
for program in $programs; do
  command -v "$program" >/dev/null || {
    echo "relion-dispatch: $program is not on PATH: install it or load its module" >&2
    exit 127
  }
done
rm -f InitialModel/job011/continue.star
python -P -m relion_dispatch.pipeline.begin InitialModel/job011/ --root InitialModel/job011/run --science e7c0d54a2a49facf --input Select/job008/particles.star || echo "relion-dispatch: this job starts over: it could not be looked at" >&2
relion_dispatch_stop() {
  relion_dispatch_signalled=1
  [ -n "$relion_dispatch_main" ] || return 0
  echo "$1" >InitialModel/job011/run.stopped
  : >InitialModel/job011/RELION_JOB_ABORT_NOW
}
relion_dispatch_wait() {
  local code=0 other
  wait "$relion_dispatch_main" || code=$?
  while [ -n "$relion_dispatch_signalled" ]; do
    relion_dispatch_signalled="" code=0
    wait "$relion_dispatch_main" || code=$?
  done
  for other in $relion_dispatch_timer $relion_dispatch_guard; do
    kill -- "-$other" 2>/dev/null || :
  done
  [ "$code" = 0 ] || return "$code"
  relion_dispatch_main=""
}
relion_dispatch_signalled="" relion_dispatch_timer="" relion_dispatch_guard=""
trap 'relion_dispatch_stop "a signal"' USR1
relion_dispatch_label=relion_refine
set -m
if [ -e InitialModel/job011/continue.star ]; then
  {
    `which relion_refine` --continue InitialModel/job011/continue.star --o InitialModel/job011/run --iter 200 --pad 1 --j 8 --gpu "" --pipeline_control InitialModel/job011/
  } </dev/null &
else
  {
    `which relion_refine` --o InitialModel/job011/run --iter 200 --grad --denovo_3dref --i Select/job008/particles.star --K 1 --sym C1 --pad 1 --j 8 --gpu "" --pipeline_control InitialModel/job011/
  } </dev/null &
fi
relion_dispatch_main=$!
trap 'relion_dispatch_stop "3480 s have passed, the time limit is near"' USR1
{
  sleep 3480
  kill -USR1 $$
} >/dev/null 2>&1 </dev/null &
relion_dispatch_timer=$!
set +m
relion_dispatch_wait
rm -f InitialModel/job011/RELION_JOB_EXIT_SUCCESS
`which relion_align_symmetry` --i InitialModel/job011/run_it200_model.star --o InitialModel/job011/initial_model.mrc --sym D2 --apply_sym --select_largest_class --pipeline_control InitialModel/job011/
touch InitialModel/job011/RELION_JOB_EXIT_SUCCESS
