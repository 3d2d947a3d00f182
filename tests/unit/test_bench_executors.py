"""How the executors' benchmark counts and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench import contestants, executors
from tests.bench.contestants import Cost

if TYPE_CHECKING:
    import pytest

SDIAG = """\
Remote Procedure Call statistics by message type
	REQUEST_SUBMIT_BATCH_JOB                ( 4003) count:26     ave_time:2091   total_time:54374
	REQUEST_JOB_INFO                        ( 2003) count:160    ave_time:1819   total_time:291173
	REQUEST_PARTITION_INFO                  ( 2009) count:162    ave_time:1388   total_time:224871
	REQUEST_COMPLETE_BATCH_SCRIPT           ( 5018) count:26     ave_time:2296   total_time:59721
	MESSAGE_NODE_REGISTRATION_STATUS        ( 1002) count:14     ave_time:839    total_time:11748

Remote Procedure Call statistics by user
	root            (       0) count:411    ave_time:1629   total_time:669783
"""
STATS = "Rollup statistics\n\tDBD_GET_JOBS_COND  ( 1444) count:7  ave_time:3 total_time:21\n"


def test_calls_of_clients_are_counted_and_those_of_nodes_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    printed = {"sdiag": SDIAG, "sacctmgr": STATS}
    monkeypatch.setattr(contestants, "_printed", lambda *words: printed[words[0]])
    assert contestants._calls() == {
        "REQUEST_SUBMIT_BATCH_JOB": 26,
        "REQUEST_JOB_INFO": 160,
        "REQUEST_PARTITION_INFO": 162,
        "DBD_GET_JOBS_COND": 7,
    }


def test_ratios_go_by_the_jobs_that_were_done() -> None:
    def cost(done: int, wall_s: float) -> Cost:
        return Cost(done=done, wall_s=wall_s, cpu_s=1.0, submissions=done, questions=2 * done)

    costs = {
        executors.LOOP: cost(40, 2.0),
        executors.LOCAL: cost(40, 4.0),
        executors.OURS: cost(40, 3.0),
        executors.OFFICIAL: cost(20, 30.0),
    }
    text = executors.table(40, costs)
    assert "| slurm plugin | 20 | 30.0 s | 0.7 | 1.0 s | 1.00 | 2.00 |" in text
    assert "| snakemake, no cluster | 40 | 4.0 s | 10.0 | 1.0 s | – | – |" in text
    assert "- relion-dispatch takes 0.50 × the loop and Snakemake alone." in text
    assert (
        "- slurm plugin takes 20.0 × the time of relion-dispatch, by the jobs it got done." in text
    )
