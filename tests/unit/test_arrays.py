from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relion_dispatch import arrays, scheduler_calls
from relion_dispatch.schedulers import PBS, SLURM
from relion_dispatch.throttle import Gate, Room

SCRIPT = """\
#!/bin/bash
# a comment
#SBATCH --job-name=one
#SBATCH --output=a/run.out
#SBATCH -e a/run.err
#SBATCH --partition=m3h
#SBATCH --export-file=x

#SBATCH --mem=5M
set -e
#SBATCH --time=1
"""


def test_the_header_is_what_a_job_is_given() -> None:
    assert arrays.header(SCRIPT) == (
        "#SBATCH --partition=m3h",
        "#SBATCH --export-file=x",
        "#SBATCH --mem=5M",
    )


@given(
    kinds=st.lists(st.integers(0, 2)),
    least=st.integers(0, 5),
    most=st.integers(1, 7),
)
def test_every_job_is_in_one_batch_of_its_kind(kinds: list[int], least: int, most: int) -> None:
    items = list(enumerate(kinds))
    found = list(arrays.batches(items, lambda each: each[1], least=least, most=most))
    assert sorted(each for batch in found for each in batch) == items
    for batch in found:
        assert len({kind for _, kind in batch}) == 1
        assert len(batch) == 1 or least <= len(batch) <= most
    if least == 0:
        assert all(len(batch) == 1 for batch in found)


def run_task(folder: Path, text: str, number: int) -> None:
    (folder / "array.sh").write_text(text)
    subprocess.run(
        ["bash", "array.sh"],
        cwd=folder,
        env={"SLURM_ARRAY_TASK_ID": str(number), "PATH": "/bin:/usr/bin"},
        check=True,
    )


def test_an_array_runs_each_jobs_own_script_into_its_own_logs(tmp_path: Path) -> None:
    tasks = []
    for number, name in enumerate(("a", "b's $c"), 2):
        script = tmp_path / f"{name}.run"
        script.write_text(f"#!/bin/bash\necho out {number}; echo err {number} >&2\n")
        script.chmod(0o755)
        tasks.append(
            arrays.Task(
                number=number,
                script=Path(script.name),
                outfile=f"{name}.out",
                errfile=f"{name}.err",
            )
        )
    text = arrays.script(["#SBATCH --mem=5M"], tasks, Path("logs/%a.log"))
    assert arrays.header(text) == ("#SBATCH --mem=5M", "#SBATCH --array=2,3")
    run_task(tmp_path, text, 3)
    assert (tmp_path / "b's $c.out").read_text() == "out 3\n"
    assert (tmp_path / "b's $c.err").read_text() == "err 3\n"
    assert not (tmp_path / "a.out").exists()


def test_tasks_are_known_by_their_arrays_name_and_their_number() -> None:
    text = "7_12|RUNNING|None|c1||one.jabc\n8|PENDING|Priority|||two.jdef\n"
    names = {each.job_id: each.name for each in scheduler_calls.read(SLURM, text).values()}
    assert names == {"7_12": arrays.member_name("one.jabc", 12), "8": "two.jdef"}
    assert not PBS.arrays
    assert arrays.task_of(names["7_12"]) == ("one.jabc", "12")
    assert arrays.task_of(names["8"]) == ("", "")


def test_tasks_that_are_put_together_in_the_records_are_each_found() -> None:
    text = "7_[2-4,9%5]|CANCELLED by 0||||one.jabc\n8_[1]|PENDING||||two.jdef\n9|RUNNING\n"
    found = scheduler_calls.read(SLURM, text)
    assert list(found) == ["7_2", "7_3", "7_4", "7_9", "8_1", "9"]
    assert found["7_3"].name == arrays.member_name("one.jabc", 3)
    assert arrays.expanded("7_[1-3,5...]") == ["7_[1-3,5...]"]  # cut short: nobody knows which


@pytest.mark.parametrize("printed, job_id", [("Submitted batch job 7\n", "7"), ("7_12\n", "7_12")])
def test_ids_of_tasks_are_ids(printed: str, job_id: str) -> None:
    assert scheduler_calls.parse_job_id(SLURM, printed) == job_id


def entered(room: Room, counts: Sequence[int]) -> list[int]:
    """Which of several lots have got in, one thread each."""
    stopping, got = threading.Event(), []

    def enter(count: int) -> None:
        if room.entered(count, stopping):
            got.append(count)

    threads = [threading.Thread(target=enter, args=(count,)) for count in counts]
    for thread in threads:
        thread.start()
        time.sleep(0.02)
    stopping.set()
    for thread in threads:
        thread.join()
    return got


def test_no_more_jobs_than_allowed_are_at_the_scheduler() -> None:
    assert entered(Room(0), [50, 50]) == [50, 50]
    assert entered(Room(3), [2, 2, 1]) == [2, 1]
    assert entered(Room(3), [5, 1]) == [5]  # alone it may be too many
    room = Room(2)
    room.enter_anyway()
    assert entered(room, [1, 1]) == [1]
    room.leave(2)
    assert entered(room, [2]) == [2]


def test_nothing_passes_a_gate_that_is_closed() -> None:
    gate, stopping = Gate(0.001), threading.Event()
    assert gate.passed(stopping)
    stopping.set()
    assert not gate.passed(stopping)
