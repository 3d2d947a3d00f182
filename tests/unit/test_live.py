"""Profiles against what Slurm says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from relion_dispatch import live, processes, profiles
from relion_dispatch.errors import InputError, SchedulerError
from relion_dispatch.profiles import load_profile

M3 = """\
comp|20|36|184000|(null)|7-00:00:00|up
m3c|10|24|240000|gpu:K80:4(S:0-1)|7-00:00:00|up
m3h|16|28|240000|gpu:P100:2(S:0-1),tmp:100|7-00:00:00|up
m3g|3|36|370000|gpu:V100:3|7-00:00:00|up
"""


def faults(text: str) -> list[str]:
    return list(live.differences(load_profile("m3").cluster, live.read(text)))


def test_a_profile_that_fits() -> None:
    assert faults(M3) == []


@pytest.mark.parametrize(
    "before, after, fault",
    [
        (
            "m3h|16|28|",
            "m3h|16|24|",
            "m3h: cores is 28, the scheduler gives 24: jobs may never start.",
        ),
        ("370000", "360000", "m3g: mem_mb is 370000, the scheduler gives 360000"),
        ("m3h|16", "m3h|3", "m3h: nodes is 4, the scheduler gives 3"),
        (
            "V100:3|7-00:00:00",
            "V100:3|1:00:00",
            "m3g: max_runtime_min is 10080, the scheduler gives 60",
        ),
        ("gpu:P100:2", "gpu:A100:2", "m3h: gpu_type is P100, the scheduler says A100."),
        ("gpu:P100:2", "gpu:P100:1", "m3h: gpus_per_node is 2, its nodes have 1."),
        ("gpu:P100:2", "gpu:4", "m3h: gpus_per_node is 2, its nodes have 4: some lie idle."),
        ("gpu:V100:3", "(null)", "m3g: gpus_per_node is 3, its nodes have 0."),
        ("m3c|", "m3x|", "m3c: the scheduler has no such partition; it has comp, m3g, m3h, m3x."),
        ("7-00:00:00|up\nm3c", "7-00:00:00|down\nm3c", "comp: it takes no jobs now."),
    ],
)
def test_what_does_not_fit_is_said(before: str, after: str, fault: str) -> None:
    found = faults(M3.replace(before, after))

    assert len(found) == 1
    assert found[0].startswith(fault)


def test_nodes_of_several_kinds_need_only_some_that_fit() -> None:
    assert faults(M3 + "m3h|90|12|64000|(null)|7-00:00:00|up\n") == []


def test_a_new_profile_fits_the_scheduler(tmp_path: Path) -> None:
    nodes = live.read(M3 + "odd|2|8|32000|gpu:zx81:1|infinite|up\n")
    place = profiles.new(tmp_path / "mine", live.profile_text(nodes))
    profile = load_profile(place)

    assert list(live.differences(profile.cluster, nodes)) == []
    assert profile.cluster.partitions["m3h"].gpu_mem_mb == 16_280
    assert profile.cluster.partitions["m3h"].gpus_per_node == 2
    text = (place / "dispatch.yaml").read_text()
    assert "# odd: say gpu_mem_mb, which Slurm does not know.\n" in text
    assert yaml.safe_load((place / "config.yaml").read_text())["executor"] == "relion-dispatch"
    with pytest.raises(InputError, match="is a profile already"):
        profiles.new(tmp_path / "mine", text)


@pytest.mark.parametrize(
    "name, memory",
    [
        ("P100", 16_280),
        ("nvidia_a100", 40_536),
        ("Tesla-V100-SXM2", 16_160),
        ("zx81", None),
        (None, None),
    ],
)
def test_gpus_are_known_by_part_of_their_name(name: str | None, memory: int | None) -> None:
    assert live.gpu_facts(name)[0] == memory


def test_the_scheduler_may_be_another_or_away(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = load_profile("m3").cluster
    with pytest.raises(
        InputError, match="only Slurm can be asked, this profile submits with 'qsub'"
    ):
        live.ask(replace(cluster, scheduler=replace(cluster.scheduler, submit=("/opt/qsub",))))
    with pytest.raises(SchedulerError, match="nobody asked for"):
        live.read("slurm_load_partitions: error\n")

    def away(*_: object, **__: object) -> processes.Completed:
        return processes.Completed(returncode=1, stdout="", stderr="Unable to contact\n")

    monkeypatch.setattr(processes, "run", away)
    with pytest.raises(SchedulerError, match="Unable to contact"):
        live.ask(cluster)
