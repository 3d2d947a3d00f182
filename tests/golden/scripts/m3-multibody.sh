#!/bin/bash
# shellcheck disable=SC2006,SC2046,SC2086 # RELION and its users write their commands
#SBATCH --job-name=MultiBody-job014
#SBATCH --output=MultiBody/job014/run.out
#SBATCH --error=MultiBody/job014/run.err
#SBATCH --open-mode=append
#SBATCH --partition=m3h
#SBATCH --time=09:39:00
#SBATCH --nodes=1
#SBATCH --ntasks=9
#SBATCH --cpus-per-task=2
#SBATCH --mem=59300M
#SBATCH --gres=gpu:2
set +u -eo pipefail
relion_dispatch_exit() {
  local code=$? command=$BASH_COMMAND job=MultiBody/job014/ exit_file=MultiBody/job014/run.exit reason=failed
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
mkdir -p MultiBody/job014
rm -f MultiBody/job014/RELION_JOB_EXIT_* MultiBody/job014/run.exit
[ ! -e MultiBody/job014/run.stopped ] || rm -f MultiBody/job014/run.stopped MultiBody/job014/RELION_JOB_ABORT_NOW
exec >>MultiBody/job014/run.out 2>>MultiBody/job014/run.err
export RELION_SHELL=bash OMP_NUM_THREADS=1 OMPI_MCA_hwloc_base_binding_policy=none PRTE_MCA_hwloc_default_binding_policy=none
# shellcheck source=/dev/null
type module >/dev/null 2>&1 || . /etc/profile.d/modules.sh 2>/dev/null ||
  module() { echo "relion-dispatch: no module command here for: module $*" >&2; }
module load relion
echo "relion-dispatch: refine_multibody on $(hostname), $(date '+%F %T'), 9 ranks of 2 threads, 2 GPUs a node, 59300 MB a node"
nvidia-smi -L 2>/dev/null || echo "GPUs: ${CUDA_VISIBLE_DEVICES:-none}"
module list 2>&1 || true
programs="relion_flex_analyse relion_refine_mpi"
for program in $programs; do
  command -v "$program" >/dev/null || {
    echo "relion-dispatch: $program is not on PATH: install it or load its module" >&2
    exit 127
  }
done
rm -f MultiBody/job014/continue.star
python -P -m relion_dispatch.pipeline.begin MultiBody/job014/ --root MultiBody/job014/run --science e8ad889dd31b4ace --input Refine3D/job013/run_it019_optimiser.star bodies.star || echo "relion-dispatch: this job starts over: it could not be looked at" >&2
relion_dispatch_stop() {
  relion_dispatch_signalled=1
  [ -n "$relion_dispatch_main" ] || return 0
  echo "$1" >MultiBody/job014/run.stopped
  : >MultiBody/job014/RELION_JOB_ABORT_NOW
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
relion_dispatch_label=relion_refine_mpi
set -m
if [ -e MultiBody/job014/continue.star ]; then
  {
    mpirun -n 9 `which relion_refine_mpi` --continue MultiBody/job014/continue.star --o MultiBody/job014/run --multibody_masks bodies.star --pad 2 --j 2 --gpu "" --pipeline_control MultiBody/job014/ --dont_combine_weights_via_disc
  } </dev/null &
else
  {
    mpirun -n 9 `which relion_refine_mpi` --continue Refine3D/job013/run_it019_optimiser.star --o MultiBody/job014/run --multibody_masks bodies.star --pad 2 --j 2 --gpu "" --pipeline_control MultiBody/job014/ --dont_combine_weights_via_disc
  } </dev/null &
fi
relion_dispatch_main=$!
trap 'relion_dispatch_stop "34620 s have passed, the time limit is near"' USR1
{
  sleep 34620
  kill -USR1 $$
} >/dev/null 2>&1 </dev/null &
relion_dispatch_timer=$!
set +m
relion_dispatch_wait
`which relion_flex_analyse` --PCA_orient --model MultiBody/job014/run_model.star --data MultiBody/job014/run_data.star --bodies bodies.star --o MultiBody/job014/analyse --pipeline_control MultiBody/job014/
