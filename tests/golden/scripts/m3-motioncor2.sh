#!/bin/bash
# shellcheck disable=SC2006,SC2046,SC2086 # RELION and its users write their commands
#SBATCH --job-name=MotionCorr-job002
#SBATCH --output=MotionCorr/job002/run.out
#SBATCH --error=MotionCorr/job002/run.err
#SBATCH --open-mode=append
#SBATCH --partition=m3h
#SBATCH --time=04:28:00
#SBATCH --nodes=1
#SBATCH --ntasks=2
#SBATCH --cpus-per-task=1
#SBATCH --mem=12600M
#SBATCH --gres=gpu:2
set +u -eo pipefail
relion_dispatch_exit() {
  local code=$? command=$BASH_COMMAND job=MotionCorr/job002/ exit_file=MotionCorr/job002/run.exit reason=failed
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
mkdir -p MotionCorr/job002
rm -f MotionCorr/job002/RELION_JOB_EXIT_* MotionCorr/job002/run.exit
[ ! -e MotionCorr/job002/run.stopped ] || rm -f MotionCorr/job002/run.stopped MotionCorr/job002/RELION_JOB_ABORT_NOW
exec >>MotionCorr/job002/run.out 2>>MotionCorr/job002/run.err
export RELION_SHELL=bash OMP_NUM_THREADS=1 OMPI_MCA_hwloc_base_binding_policy=none PRTE_MCA_hwloc_default_binding_policy=none
# shellcheck source=/dev/null
type module >/dev/null 2>&1 || . /etc/profile.d/modules.sh 2>/dev/null ||
  module() { echo "relion-dispatch: no module command here for: module $*" >&2; }
module load relion
module load motioncor2
echo "relion-dispatch: motioncorr_motioncor2 on $(hostname), $(date '+%F %T'), 2 ranks of 1 thread, 2 GPUs a node, 12600 MB a node"
nvidia-smi -L 2>/dev/null || echo "GPUs: ${CUDA_VISIBLE_DEVICES:-none}"
module list 2>&1 || true
programs="relion_run_motioncorr_mpi"
for program in $programs; do
  command -v "$program" >/dev/null || {
    echo "relion-dispatch: $program is not on PATH: install it or load its module" >&2
    exit 127
  }
done
rm -f MotionCorr/job002/continue.star
python -P -m relion_dispatch.pipeline.begin MotionCorr/job002/ --unfinished --science 1e1456ef4bbbdbae --input Import/job001/movies.star || echo "relion-dispatch: this job starts over: it could not be looked at" >&2
relion_dispatch_stop() {
  relion_dispatch_signalled=1
  [ -n "$relion_dispatch_main" ] || return 0
  echo "$1" >MotionCorr/job002/run.stopped
  : >MotionCorr/job002/RELION_JOB_ABORT_NOW
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
relion_dispatch_label=relion_run_motioncorr_mpi
set -m
if [ -e MotionCorr/job002/continue.star ]; then
  {
    mpirun -n 2 `which relion_run_motioncorr_mpi` --i Import/job001/movies.star --o MotionCorr/job002/ --use_motioncor2 --motioncor2_exe MotionCor2 --other_motioncor2_args " -Tor 0.5 " --gpu "0:1" --pipeline_control MotionCorr/job002/ --only_do_unfinished
  } </dev/null &
else
  {
    mpirun -n 2 `which relion_run_motioncorr_mpi` --i Import/job001/movies.star --o MotionCorr/job002/ --use_motioncor2 --motioncor2_exe MotionCor2 --other_motioncor2_args " -Tor 0.5 " --gpu "0:1" --pipeline_control MotionCorr/job002/
  } </dev/null &
fi
relion_dispatch_main=$!
trap 'relion_dispatch_stop "15960 s have passed, the time limit is near"' USR1
{
  sleep 15960
  kill -USR1 $$
} >/dev/null 2>&1 </dev/null &
relion_dispatch_timer=$!
set +m
relion_dispatch_wait
