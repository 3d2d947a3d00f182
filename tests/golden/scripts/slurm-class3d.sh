#!/bin/bash
# shellcheck disable=SC2006,SC2046,SC2086 # RELION and its users write their commands
#SBATCH --job-name=Class3D-job012
#SBATCH --output=Class3D/job012/run.out
#SBATCH --error=Class3D/job012/run.err
#SBATCH --open-mode=append
#SBATCH --partition=gpu
#SBATCH --time=12:00:00
#SBATCH --nodes=1
#SBATCH --ntasks=17
#SBATCH --cpus-per-task=1
#SBATCH --mem=48800M
#SBATCH --gres=gpu:4
set +u -eo pipefail
relion_dispatch_exit() {
  local code=$? command=$BASH_COMMAND job=Class3D/job012/ exit_file=Class3D/job012/run.exit reason=failed
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
mkdir -p Class3D/job012
rm -f Class3D/job012/RELION_JOB_EXIT_* Class3D/job012/run.exit
exec >>Class3D/job012/run.out 2>>Class3D/job012/run.err
export RELION_SHELL=bash OMP_NUM_THREADS=1 OMPI_MCA_hwloc_base_binding_policy=none PRTE_MCA_hwloc_default_binding_policy=none
echo "relion-dispatch: class3d on $(hostname), $(date '+%F %T'), 17 ranks of 1 threads, 4 GPUs a node, 48800 MB a node"
nvidia-smi -L 2>/dev/null || echo "GPUs: ${CUDA_VISIBLE_DEVICES:-none}"
programs="relion_refine_mpi"
for program in $programs; do
  command -v "$program" >/dev/null || {
    echo "relion-dispatch: $program is not on PATH: install it or load its module" >&2
    exit 127
  }
done
mpirun -n 17 `which relion_refine_mpi` --o Class3D/job012/run --i Select/job008/particles.star --ref InitialModel/job011/initial_model.mrc --ini_high 50 --pad 1 --K 4 --healpix_order 2 --sym C1 --j 1 --gpu "" --pipeline_control Class3D/job012/
