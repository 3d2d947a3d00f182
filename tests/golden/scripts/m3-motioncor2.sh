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
#SBATCH --mem=13900M
#SBATCH --gres=gpu:2
set +u -eo pipefail
relion_dispatch_exit() {
  local code=$? command=$BASH_COMMAND job=MotionCorr/job002/ exit_file=MotionCorr/job002/run.exit reason=failed
  trap - EXIT
  set +e
  if [ "$code" = 0 ] && [ -e "${job}RELION_JOB_EXIT_FAILURE" ]; then
    code=1 command="a program of the job"
  fi
  case $code in
    126 | 127) reason="a program is missing or cannot be run" ;;
    137) reason="killed, perhaps for want of memory" ;;
    130 | 143) reason="cancelled, or out of time" ;;
  esac
  if [ "$code" != 0 ]; then
    printf 'relion-dispatch: %s\n' "failed: $command" "exit code $code ($reason)" >&2
    rm -f "${job}RELION_JOB_EXIT_SUCCESS"
    [ -e "${job}RELION_JOB_EXIT_ABORTED" ] || : >"${job}RELION_JOB_EXIT_FAILURE"
  elif ! [ -e "${job}RELION_JOB_EXIT_ABORTED" ]; then
    : >"${job}RELION_JOB_EXIT_SUCCESS"
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
exec >>MotionCorr/job002/run.out 2>>MotionCorr/job002/run.err
export RELION_SHELL=bash OMP_NUM_THREADS=1 OMPI_MCA_hwloc_base_binding_policy=none PRTE_MCA_hwloc_default_binding_policy=none
# shellcheck source=/dev/null
type module >/dev/null 2>&1 || . /etc/profile.d/modules.sh 2>/dev/null ||
  module() { echo "relion-dispatch: no module command here for: module $*" >&2; }
module load relion
module load motioncor2
echo "relion-dispatch: motioncorr_motioncor2 on $(hostname), $(date '+%F %T'), 2 ranks of 1 threads, 2 GPUs a node, 13900 MB a node"
nvidia-smi -L 2>/dev/null || echo "GPUs: ${CUDA_VISIBLE_DEVICES:-none}"
module list 2>&1 || true
programs="relion_run_motioncorr_mpi"
for program in $programs; do
  command -v "$program" >/dev/null || {
    echo "relion-dispatch: $program is not on PATH: install it or load its module" >&2
    exit 127
  }
done
mpirun -n 2 `which relion_run_motioncorr_mpi` --i Import/job001/movies.star --o MotionCorr/job002/ --use_motioncor2 --motioncor2_exe MotionCor2 --other_motioncor2_args " -Tor 0.5 " --gpu "0:1" --pipeline_control MotionCorr/job002/
