#!/bin/bash
# shellcheck disable=SC2006,SC2046,SC2086 # RELION and its users write their commands
#SBATCH --job-name=Refine3D-job013
#SBATCH --output=Refine3D/job013/run.out
#SBATCH --error=Refine3D/job013/run.err
#SBATCH --open-mode=append
#SBATCH --partition=local
#SBATCH --nodes=1
#SBATCH --ntasks=3
#SBATCH --cpus-per-task=1
#SBATCH --mem=15500M
set +u -eo pipefail
relion_dispatch_exit() {
  local code=$? command=$BASH_COMMAND job=Refine3D/job013/ exit_file=Refine3D/job013/run.exit reason=failed
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
mkdir -p Refine3D/job013
rm -f Refine3D/job013/RELION_JOB_EXIT_* Refine3D/job013/run.exit
exec >>Refine3D/job013/run.out 2>>Refine3D/job013/run.err
export RELION_SHELL=bash OMP_NUM_THREADS=1 OMPI_MCA_hwloc_base_binding_policy=none PRTE_MCA_hwloc_default_binding_policy=none OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl_vader_single_copy_mechanism=none
programs="relion_refine_mpi"
for program in $programs; do
  command -v "$program" >/dev/null || {
    echo "relion-dispatch: $program is not on PATH: install it or load its module" >&2
    exit 127
  }
done
mpirun -n 3 `which relion_refine_mpi` --o Refine3D/job013/run --auto_refine --split_random_halves --i Select/job008/particles.star --ref Class3D/job012/run_it025_class001.mrc --ini_high 50 --pad 2 --healpix_order 2 --auto_local_healpix_order 4 --sym D2 --j 1 --pipeline_control Refine3D/job013/
