#!/bin/bash
# shellcheck disable=SC2006,SC2046,SC2086 # RELION and its users write their commands
set +u -eo pipefail
relion_dispatch_exit() {
  local code=$? command=$BASH_COMMAND job=ManualPick/job004/ exit_file=ManualPick/job004/run.exit reason=failed
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
mkdir -p ManualPick/job004
rm -f ManualPick/job004/RELION_JOB_EXIT_* ManualPick/job004/run.exit
exec >>ManualPick/job004/run.out 2>>ManualPick/job004/run.err
export RELION_SHELL=bash OMP_NUM_THREADS=1 OMPI_MCA_hwloc_base_binding_policy=none PRTE_MCA_hwloc_default_binding_policy=none OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl_vader_single_copy_mechanism=none
programs="relion_manualpick"
for program in $programs; do
  command -v "$program" >/dev/null || {
    echo "relion-dispatch: $program is not on PATH: install it or load its module" >&2
    exit 127
  }
done
`which relion_manualpick` --i CtfFind/job003/micrographs_ctf.star --odir ManualPick/job004/ --pickname manualpick --allow_save --pipeline_control ManualPick/job004/
