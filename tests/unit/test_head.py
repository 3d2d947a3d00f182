"""The head with stand-ins for PBS, Grid Engine and LSF: the same commands, jobs run at once."""

from __future__ import annotations

import os
import pwd
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from relion_dispatch import recovery
from relion_dispatch.client import Client
from relion_dispatch.errors import SchedulerError
from relion_dispatch.head import Head, Limits
from relion_dispatch.ledger import Entry, Phase
from relion_dispatch.reports import State
from relion_dispatch.schedulers import LSF, PBS, SGE, SLURM, Definition
from relion_dispatch.submitter import Submission, Together
from relion_dispatch.watch import Verdict

pytestmark = pytest.mark.slow

# Jobs are folders in $QUEUE named by their ids, with the job's name and process id inside. Each
# stand-in prints what the real command would.
SUBMIT = r"""
while [ $# -gt 1 ]; do case $1 in -N | -J) name=$2; shift 2 ;; *) shift ;; esac; done
if [ -n "$FROM_STDIN" ]; then cat > "$QUEUE/script.$$"; set -- "$QUEUE/script.$$"; fi
id=$(ls -d "$QUEUE"/job.* 2>/dev/null | wc -l); id=$((id + 100))
mkdir "$QUEUE/job.$id"; echo "$name" > "$QUEUE/job.$id/name"
# A real one starts no job itself: nothing that we hold open may pass on to the job.
for fd in /proc/$$/fd/*; do fd=${fd##*/}; [ "$fd" -gt 2 ] && eval "exec $fd>&-"; done
setsid bash "$1" >/dev/null 2>&1 </dev/null & echo $! > "$QUEUE/job.$id/pid"
"""
EACH = r"""
for job in "$QUEUE"/job.*; do
  [ -e "$job/pid" ] || continue
  id=${job##*.}; name=$(cat "$job/name")
  # Not kill -0: a job that has ended may wait for its parent as a zombie.
  if grep -q . "/proc/$(cat "$job/pid")/cmdline" 2>/dev/null; then alive=1; else alive=; fi
"""
CANCEL = r"""
for id; do kill -- -"$(cat "$QUEUE/job.${id%%.*}/pid")" 2>/dev/null; done; exit 0
"""
STAND_INS = {
    "pbs": {
        "qsub": SUBMIT + 'echo "$id.server"',
        "qstat": EACH
        + '[ -n "$alive" ] && printf "Job Id: $id.server\\n    Job_Name = $name\\n'
        + '    job_state = R\\n\\n"; done; exit 0',
        "qdel": CANCEL,
    },
    "sge": {
        "qsub": SUBMIT + 'echo "Your job $id (\\"$name\\") has been submitted"',
        "qstat": 'echo "<job_info><queue_info>"'
        + EACH
        + '[ -n "$alive" ] && echo "<job_list><JB_job_number>$id</JB_job_number>'
        + '<JB_name>$name</JB_name><state>r</state></job_list>"; done'
        + '; echo "</queue_info></job_info>"',
        "qacct": 'echo "error: job id $2 not found" >&2; exit 1',
        "qdel": CANCEL,
    },
    "lsf": {
        "bsub": 'FROM_STDIN=1; set -- "$@" -\n' + SUBMIT + 'echo "Job <$id> is submitted."',
        "bjobs": EACH
        + '[ -n "$alive" ] && echo "$id|RUN|-|node|-|$name" || '
        + 'echo "$id|$(cat "$job/said" 2>/dev/null || echo DONE)|-|node|-|$name"; done',
        "bkill": CANCEL,
    },
}
DEFINITIONS = {"pbs": PBS, "sge": SGE, "lsf": LSF}
TASKS = [(1, "a"), (2, "b")]
LIMITS = Limits(least_poll_s=0.01, patience_s=0.2)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in front of all others on PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (tmp_path / "queue").mkdir()
    monkeypatch.setenv("QUEUE", str(tmp_path / "queue"))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return programs


def install(path: Path, programs: dict[str, str]) -> None:
    for name, text in programs.items():
        (path / name).write_text(f"#!/bin/bash\n{text}\n")
        (path / name).chmod(0o755)


@pytest.fixture
def heads(tmp_path: Path) -> Iterator[Callable[[Definition], Head]]:
    """Start heads of one project, one after the other."""
    started: list[Head] = []

    def start(definition: Definition) -> Head:
        for head in started:
            head.close()
        started.append(Head(definition, tmp_path / "own", LIMITS, said.append))
        return started[-1]

    said: list[str] = []
    yield start
    for head in started:
        head.close()


def submitted(head: Head, tmp_path: Path, command: str, key: str = "k") -> Entry:
    """Submit a script that leaves its exit code, and return the entry with its id."""
    exit_file = tmp_path / f"{key}.exit"
    script = tmp_path / f"{key}.run"
    script.write_text(f"#!/bin/bash\n({command})\necho $? > {exit_file}\n")
    entry = head.new_entry(key, "f", "A Label", str(exit_file))
    head.intend([entry])
    done = threading.Event()
    taken: list[Entry] = []
    refused: list[str] = []

    def accept(entry: Entry) -> None:
        taken.append(entry)
        done.set()

    def refuse(reason: str) -> None:
        refused.append(reason)
        done.set()

    head.submit(Submission(entry=entry, command=(), script=script, taken=accept, refused=refuse))
    assert done.wait(10)
    if refused:
        raise SchedulerError(refused[0])
    return taken[0]


def ended(head: Head, entry: Entry) -> Verdict:
    deadline = time.monotonic() + 10
    while not (verdicts := head.poll([entry])):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    head.collected(entry, verdicts[entry.token])
    return verdicts[entry.token]


def wait_for_its_end(entry: Entry, tmp_path: Path) -> None:
    """Wait until a job's process is gone, without a head."""
    process = tmp_path / "queue" / f"job.{entry.job_id.partition('.')[0]}" / "pid"
    command = Path("/proc") / process.read_text().strip() / "cmdline"
    deadline = time.monotonic() + 10
    while command.exists() and command.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.01)


Heads = Callable[[Definition], Head]


@pytest.mark.parametrize("name", STAND_INS)
def test_jobs_succeed_and_fail(name: str, path: Path, tmp_path: Path, heads: Heads) -> None:
    install(path, STAND_INS[name])
    head = heads(DEFINITIONS[name])
    good = submitted(head, tmp_path, "true", "good")
    bad = submitted(head, tmp_path, "exit 3", "bad")
    assert good.job_id != bad.job_id
    assert ended(head, good).state is State.SUCCEEDED
    verdict = ended(head, bad)
    assert (verdict.state, verdict.exit_code) == (State.FAILED, 3)


@pytest.mark.parametrize("name", STAND_INS)
def test_cancelled_jobs_end(name: str, path: Path, tmp_path: Path, heads: Heads) -> None:
    install(path, STAND_INS[name])
    head = heads(DEFINITIONS[name])
    entry = submitted(head, tmp_path, "sleep 60")
    assert head.poll([entry]) == {}
    (tmp_path / "queue" / f"job.{entry.job_id.partition('.')[0]}" / "said").write_text("EXIT")
    head.cancel()
    assert ended(head, entry).state in {State.ENDED, State.FAILED}


@pytest.mark.parametrize("name", STAND_INS)
def test_the_next_head_takes_up_what_runs(
    name: str, path: Path, tmp_path: Path, heads: Heads
) -> None:
    install(path, STAND_INS[name])
    entry = submitted(heads(DEFINITIONS[name]), tmp_path, "sleep 0.2")
    head = heads(DEFINITIONS[name])
    again = head.earlier("k", "f", complete=False, marked=entry.token)
    assert again == entry
    assert ended(head, entry).state is State.SUCCEEDED
    assert (
        head.earlier("k", "f", complete=True, marked="") is None
    )  # collected: a run anew is meant


def test_a_job_done_meanwhile_is_not_run_again(path: Path, tmp_path: Path, heads: Heads) -> None:
    install(path, STAND_INS["pbs"])
    entry = submitted(heads(PBS), tmp_path, "true")
    wait_for_its_end(entry, tmp_path)
    head = heads(PBS)
    again = head.earlier("k", "f", complete=True, marked=entry.token)
    assert again is not None
    assert again.phase is Phase.SUCCEEDED
    assert head.earlier("k", "f", complete=False, marked=entry.token) is None
    assert head.earlier("k", "g", complete=True, marked=entry.token) is None


def test_a_job_that_failed_meanwhile_runs_again(path: Path, tmp_path: Path, heads: Heads) -> None:
    install(path, STAND_INS["pbs"])
    entry = submitted(heads(PBS), tmp_path, "exit 1")
    wait_for_its_end(entry, tmp_path)
    assert heads(PBS).earlier("k", "f", complete=True, marked=entry.token) is None


def test_a_job_that_is_out_of_date_is_ended(path: Path, tmp_path: Path, heads: Heads) -> None:
    install(path, STAND_INS["pbs"])
    submitted(heads(PBS), tmp_path, "sleep 60")
    head = heads(PBS)
    assert head.earlier("k", "other", complete=False, marked="") is None
    assert head.earlier("k", "f", complete=False, marked="") is None  # gone for good


@pytest.mark.parametrize("name", STAND_INS)
def test_a_submission_that_nobody_noted_is_found_by_its_name(
    name: str, path: Path, tmp_path: Path, heads: Heads
) -> None:
    install(path, STAND_INS[name])
    head = heads(DEFINITIONS[name])
    entry = submitted(head, tmp_path, "sleep 0.5")
    journal = tmp_path / "own" / "ledger.jsonl"
    head.close()
    journal.write_text(journal.read_text().splitlines(keepends=True)[0])  # the intention alone
    again = heads(DEFINITIONS[name]).earlier("k", "f", complete=False, marked="")
    assert again == entry


def test_an_intention_that_came_to_nothing_is_struck_out(
    path: Path, tmp_path: Path, heads: Heads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "SETTLE_S", 0.1)
    install(path, STAND_INS["pbs"])
    head = heads(PBS)
    journal = tmp_path / "own" / "ledger.jsonl"
    head.intend([head.new_entry("k", "f", "x", "nowhere")])
    text = journal.read_text()
    head.close()
    journal.write_text(text)
    head = heads(PBS)
    assert head.earlier("k", "f", complete=False, marked="") is None
    assert '"refused"' in journal.read_text()


def test_a_refusal_is_told_in_the_schedulers_words(
    path: Path, tmp_path: Path, heads: Heads
) -> None:
    install(path, {**STAND_INS["pbs"], "qsub": "echo 'qsub: Unknown queue MSG=nope' >&2; exit 170"})
    with pytest.raises(SchedulerError, match=r"'qsub' \(exit code 170\) says: qsub: Unknown queue"):
        submitted(heads(PBS), tmp_path, "true")


def test_a_submission_without_an_answer_is_not_made_twice(
    path: Path, tmp_path: Path, heads: Heads
) -> None:
    """The first try reaches the queue, but what comes back says that it did not."""
    busy = "echo 'qsub: cannot connect to server' >&2; exit 1"
    install(path, {**STAND_INS["pbs"], "qsub": f"{SUBMIT}\n{busy}"})
    entry = submitted(heads(PBS), tmp_path, "sleep 3")
    assert entry.job_id == "100.server"
    assert len(list((tmp_path / "queue").glob("job.*"))) == 1


@pytest.mark.parametrize("end", ["echo 'qsub: odd' >&2; exit 1", "kill -9 $$"])
def test_an_error_after_the_job_was_taken_is_no_refusal(
    end: str, path: Path, tmp_path: Path, heads: Heads
) -> None:
    install(path, {**STAND_INS["pbs"], "qsub": f"{SUBMIT}\n{end}"})
    entry = submitted(heads(PBS), tmp_path, "sleep 3")
    assert entry.job_id == "100.server"
    assert len(list((tmp_path / "queue").glob("job.*"))) == 1


def test_an_error_after_an_array_was_taken_is_no_refusal(
    path: Path, tmp_path: Path, heads: Heads
) -> None:
    took = 'echo "$*" | grep -o "one.j[a-z0-9]*" >> "$QUEUE/taken"; echo odd >&2; exit 1'
    listing = 'sed "s/.*/7_1|RUNNING||n||&\\n7_2|RUNNING||n||&/" "$QUEUE/taken"'
    install(path, {"sbatch": took, "squeue": listing, "scancel": "true"})
    head = heads(SLURM)
    name = head.new_name("one")
    entries = [head.new_entry(k, "f", "one", "nowhere", name=f"{name}[{n}]") for n, k in TASKS]
    head.intend(entries)
    taken: queue.Queue[str] = queue.Queue()
    members = {
        n: Submission(
            entry=entry,
            command=(),
            script=path,
            taken=lambda entry: taken.put(entry.job_id),
            refused=taken.put,
        )
        for n, entry in enumerate(entries, 1)
    }
    head.submit_together(Together(name=name, command=(), script=path, members=members))
    assert {taken.get(timeout=10), taken.get(timeout=10)} == {"7_1", "7_2"}
    assert (tmp_path / "queue/taken").read_text() == f"{name}\n"


def test_jobs_that_cannot_be_cancelled_are_told(path: Path, tmp_path: Path, heads: Heads) -> None:
    away = "echo 'qdel: cannot connect to server' >&2; exit 1"
    install(path, {**STAND_INS["pbs"], "qdel": away})
    head = heads(PBS)
    entry = submitted(head, tmp_path, "sleep 3")
    with pytest.raises(SchedulerError, match=r"'qdel' .*cannot connect to server"):
        head.cancel()
    assert head.busy()
    install(path, {"qdel": "echo 'qdel: Job has finished 100.server' >&2; exit 35"})
    head.cancel()
    assert not head.busy()
    assert f'"{entry.token}", "phase": "cancelled"' in (tmp_path / "own/ledger.jsonl").read_text()


def test_a_head_begins_where_there_are_no_records(path: Path, tmp_path: Path, heads: Heads) -> None:
    """A job that has failed meanwhile is one that the records are asked for."""
    none = 'case "$*" in *-x*) echo "qstat: no job history" >&2; exit 1;; esac\n'
    install(path, {**STAND_INS["pbs"], "qstat": none + STAND_INS["pbs"]["qstat"]})
    entry = submitted(heads(PBS), tmp_path, "exit 1")
    wait_for_its_end(entry, tmp_path)
    assert heads(PBS).earlier("k", "f", complete=False, marked=entry.token) is None


def test_an_id_that_another_job_has_by_now_is_not_ours(
    path: Path, tmp_path: Path, heads: Heads
) -> None:
    install(path, STAND_INS["pbs"])
    entry = submitted(heads(PBS), tmp_path, "sleep 3")
    (tmp_path / "queue/job.100/name").write_text("of-somebody")
    head = heads(PBS)
    assert head.earlier("k", "other", complete=False, marked=entry.token) is None
    pid = (tmp_path / "queue/job.100/pid").read_text().strip()
    assert Path("/proc", pid, "cmdline").read_bytes()  # it has not been ended


def test_jobs_that_were_not_taken_up_are_not_cancelled(
    path: Path, tmp_path: Path, heads: Heads
) -> None:
    install(path, STAND_INS["pbs"])
    head = heads(PBS)
    entry = submitted(head, tmp_path, "sleep 3")
    head.close()
    said: list[str] = []
    head = Head(PBS, tmp_path / "own", LIMITS, said.append)
    head.cancel()
    assert said[-1] == "1 jobs of an earlier run, which this one has not taken up, go on"
    assert head.poll([entry]) == {}
    head.close()


def test_what_a_user_leaves_out_of_own_queues_is_not_left_out(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(path, {"squeue": 'env > $QUEUE/squeue; echo "$*" >> $QUEUE/squeue'})
    install(path, {"scancel": "env > $QUEUE/scancel"})
    for name in ("SQUEUE_PARTITION", "SCANCEL_INTERACTIVE", "LOGNAME", "SLURM_JWT"):
        monkeypatch.setenv(name, "somebody")
    client = Client(SLURM)
    client.status(["7"])
    client.cancel(["7"])
    assert "SCANCEL_" not in (tmp_path / "queue/scancel").read_text()
    asked = (tmp_path / "queue/squeue").read_text()
    assert "SQUEUE_" not in asked
    assert "SLURM_JWT=somebody" in asked
    assert f"--user={pwd.getpwuid(os.getuid()).pw_name}" in asked


def test_a_question_that_a_signal_has_ended_is_asked_again(path: Path, tmp_path: Path) -> None:
    dies = 'echo asked >>"$QUEUE/asked"; (( $(wc -l <"$QUEUE/asked") > {} )) || kill -PIPE $$\n'
    install(path, {"squeue": f"{dies.format(2)}echo '7|RUNNING'", "scancel": dies.format(100)})
    assert Client(SLURM).status(["7"])["7"].state is State.RUNNING
    assert (tmp_path / "queue/asked").read_text().count("asked") == 3
    with pytest.raises(SchedulerError, match="-13"):
        Client(SLURM).cancel(["7"])


def test_cancelling_finds_a_submission_that_hangs(path: Path, tmp_path: Path, heads: Heads) -> None:
    busy = "echo 'qsub: cannot connect to server' >&2; exit 1"
    install(path, {**STAND_INS["pbs"], "qsub": f"{SUBMIT}\n{busy}"})
    head = heads(PBS)
    entry = head.new_entry("k", "f", "x", str(tmp_path / "k.exit"))
    head.intend([entry])
    script = tmp_path / "k.run"
    script.write_text("sleep 60\n")
    nothing = Submission(
        entry=entry, command=(), script=script, taken=lambda _: None, refused=lambda _: None
    )
    head.submit(nothing)
    while not list((tmp_path / "queue").glob("job.*/pid")):
        time.sleep(0.01)
    head.cancel()
    wait_for_its_end(replace(entry, job_id="100"), tmp_path)


def test_what_was_never_handed_on_is_struck_out(path: Path, tmp_path: Path, heads: Heads) -> None:
    install(path, STAND_INS["pbs"])
    head = heads(PBS)
    head.intend([head.new_entry("k", "f", "x", "nowhere")])
    head.cancel()
    assert '"refused"' in (tmp_path / "own" / "ledger.jsonl").read_text()


def test_submissions_keep_to_the_speed_limit(path: Path, tmp_path: Path) -> None:
    install(path, STAND_INS["pbs"])
    head = Head(PBS, tmp_path / "own", Limits(submissions_per_s=20), lambda _: None)
    start = time.monotonic()
    for number in range(4):
        submitted(head, tmp_path, "true", str(number))
    assert time.monotonic() - start >= 3 / 20
    head.close()


def test_a_missing_scheduler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SchedulerError, match="'sbatch' is not on PATH"):
        Head(SLURM, tmp_path / "own", LIMITS, lambda _: None)
