"""The report of whole and half-done projects, without a browser."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from relion_dispatch import cli
from relion_dispatch.errors import InputError
from relion_dispatch.healing import attempts
from relion_dispatch.report import __main__ as rule
from relion_dispatch.report import stages
from relion_dispatch.report.content import Figure
from relion_dispatch.report.parts import classes
from relion_dispatch.report.parts.refinement import orientations
from relion_dispatch.report.refresh import PAGE, refresh
from relion_dispatch.report.source import load
from relion_dispatch.report.stages import FOLDER
from tests.unit.star_files import loop
from tests.unit.tiny_project import CLASSES, CONFIG, Tiny, postprocess_star, tiny

pytestmark = pytest.mark.slow

ODD = "a<b>&'{:03d}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    project = tiny(tmp_path_factory.mktemp("whole") / "Tom & <Jerry>", pattern=ODD)
    project.finish()
    refresh(project.root)
    return project


def page(project: Tiny) -> str:
    return (project.root / PAGE).read_text(encoding="utf-8")


def words(text: str) -> str:
    """Return what a reader sees, without marks."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)))


def section(text: str, name: str) -> str:
    found = re.search(rf'<section id="{name}".*?</section>', text, re.DOTALL)
    assert found, name
    return found[0]


class Outline(HTMLParser):
    """Checks that elements are closed in order, and collects what the page refers to."""

    EMPTY = frozenset(("meta", "link", "img", "br", "wbr"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.EMPTY:
            self.open.append(tag)
        self._note(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)

    def _note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


# ---------------------------------------------------------------------------------- a whole project


def test_the_page_is_whole_and_refers_to_nothing_outside(whole: Tiny) -> None:
    outline = Outline()
    outline.feed(page(whole))
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    for address in outline.addresses:
        assert address.startswith(("#", "data:")), address
        assert not address.startswith("#") or address[1:] in outline.ids
    assert "script" not in outline.tags
    # Its security policy knows one style sheet, and would refuse any other style.
    assert "style" not in outline.attributes
    assert not any(name.startswith("on") for name in outline.attributes)


def test_nothing_is_missing_and_nothing_failed(whole: Tiny) -> None:
    text = page(whole)
    assert re.findall(r'<p class="text (?:failed|missing)">(.*?)</p>', text) == []
    assert '<span class="badge finished">' in text


def test_names_of_the_data_are_text(whole: Tiny) -> None:
    text = page(whole)
    assert "a<b>" not in text
    assert "a&lt;b&gt;&amp;&#x27;" in text or "a&lt;b&gt;&amp;&#39;" in text
    assert "Tom &amp; &lt;Jerry&gt;" in text


def test_the_way_has_counts_and_resolutions(whole: Tiny) -> None:
    way = words(section(page(whole), "way"))
    total = whole.total
    for station in (
        "Movies 6 movies",
        "Picks 24 picks",
        f"2D classes {total - CLASSES} kept 20.0 Å",
        "Initial model 2 starts 18.0 Å",
        f"3D classes {total - 2 * CLASSES} kept 15.0 Å",
        f"Final map, round 1 {total - 2 * CLASSES} particles 11.1 Å",
    ):
        assert station in way


def test_the_fsc_crosses_between_shells(whole: Tiny) -> None:
    # From 0.243 at 0.08 to 0.043 at 0.10 1/Å: 0.143 is in the middle, at 1 / 0.09 Å.
    text = words(section(page(whole), "refine3d-1"))
    assert "falls below 0.143 at 11.11 Å" in text
    assert "RELION's own figure, of whole shells: 10.00 Å" in text
    assert "B-factor of −120 Å²" in text


@pytest.mark.parametrize(
    "name, figures",
    [
        ("micrographs", ["Drift", "Defocus", "Astigmatism", "Resolution of the CTF fit"]),
        ("particles", ["Particles per micrograph", "Figure of merit of the picks"]),
        ("refine3d", ["FSC", "Guinier plot", "Orientations", "Convergence"]),
        ("round-1", ["Tracks of the particles", "B-factors of the frames", "Change of defocus"]),
        ("local-resolution", ["Local resolution in the mask"]),
        ("resources", []),
    ],
)
def test_every_part_has_its_figures(whole: Tiny, name: str, figures: list[str]) -> None:
    text = section(page(whole), name)
    drawn = re.findall(r"<h3>([^<]*)</h3>\s*<svg", text)
    for figure in figures:
        assert any(each.startswith(figure) for each in drawn), (figure, drawn)
    assert text.count("<svg") == text.count('role="img"')


def test_classes_are_kept_or_rejected(whole: Tiny) -> None:
    text = section(page(whole), "class2d")
    assert text.count('class="picture kept"') == CLASSES - 1
    assert text.count('class="picture rejected"') == 1
    assert f"4 classes with {whole.total - 4} particles" in words(text)


def test_classes_that_are_not_shown_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classes, "SHOWN", 2)
    project = tiny(tmp_path)
    project.begin()
    project.preprocess()
    project.pick()
    project.classify_2d()
    refresh(tmp_path)
    text = section(page(project), "class2d")
    assert text.count('class="picture kept"') == 2
    assert f"Smaller classes that are not shown: {CLASSES - 2}." in words(text)


def test_every_picture_says_what_it_shows(whole: Tiny) -> None:
    pictures = re.findall(r"<img [^>]*>", page(whole))
    assert len(pictures) > 40
    assert all(re.search(r'alt="[^"]{10,}"', each) for each in pictures)


def test_the_paragraph_of_methods_is_true_to_the_project(whole: Tiny) -> None:
    text = words(section(page(whole), "methods"))
    assert "RELION 3.1.3" in text
    assert "the estimator of relion-dispatch" in text
    assert "CTFFIND4" not in text
    assert "stochastic gradient descent" in text
    assert "VDAM" not in text
    assert "6 movies (300 kV, 5 Å per pixel, 12 frames of 1.5 e/Å² each)" in text
    cited = {int(each) for found in re.findall(r"\[([\d, ]+)\]", text) for each in found.split(",")}
    listed = {int(each) for each in re.findall(r"\[(\d+)\] [A-ZÖ]\w+ [A-Z]", text)}
    assert cited == listed == set(range(1, len(listed) + 1))


def test_parameters_and_versions_are_listed(whole: Tiny) -> None:
    text = words(section(page(whole), "records"))
    assert "class2d.iterations 3" in text
    assert "snakemake 9.27.1" in text


# ------------------------------------------------------------------------------------- on the way


def test_it_says_what_is_not_there_yet(tmp_path: Path) -> None:
    project = tiny(tmp_path)
    project.begin()
    refresh(tmp_path)
    text = page(project)
    assert "in progress" in text
    assert "Waiting for MotionCorr/job002/corrected_micrographs.star." in words(text)
    assert text.count("not yet") == 10
    project.preprocess()
    refresh(tmp_path)
    text = page(project)
    assert "Waiting for MotionCorr" not in words(text)
    assert "Waiting for Extract/job005/particles.star." in words(text)
    assert "Beam-induced motion was corrected" in words(text)
    assert "picked" not in words(section(text, "methods"))


def test_only_what_has_changed_is_made_again(tmp_path: Path) -> None:
    project = tiny(tmp_path)
    project.begin()
    project.preprocess()
    refresh(tmp_path)
    kept = tmp_path / FOLDER / "micrographs.json"
    before = kept.stat().st_mtime_ns
    project.pick()
    refresh(tmp_path)
    assert kept.stat().st_mtime_ns == before
    assert (tmp_path / FOLDER / "particles.json").is_file()
    refresh(tmp_path, fresh=True)
    assert kept.stat().st_mtime_ns > before


def test_a_part_kept_by_another_version_is_made_again(tmp_path: Path) -> None:
    project = tiny(tmp_path)
    project.begin()
    project.preprocess()
    refresh(tmp_path)
    kept = tmp_path / FOLDER / "micrographs.json"
    record = json.loads(kept.read_text())
    record["blocks"] = [{"block": "Hologram"}]
    kept.write_text(json.dumps(record))
    refresh(tmp_path)
    assert "Drift" in section(page(project), "micrographs")


@pytest.mark.parametrize(
    "name, part",
    [
        ("CtfFind/job003/micrographs_ctf.star", "micrographs"),
        ("PostProcess/job037/postprocess.star", "refine3d"),
        ("PostProcess/job037/postprocess.mrc", "refine3d"),
        ("Class2D/job006/run_it003_model.star", "class2d"),
        ("Polish/job043/bfactors.star", "round-1"),
    ],
)
def test_a_broken_file_spoils_its_own_part_only(tmp_path: Path, name: str, part: str) -> None:
    project = tiny(tmp_path)
    project.finish()
    project.write(name, "data_\n\nloop_\n_rlnNonsense #1\n1\n")
    refresh(tmp_path)
    text = page(project)
    failed = set(re.findall(r'<section id="([\w-]+)" class="failed"', text))
    assert failed <= {part, "way", "methods"}
    assert part in failed or "No B-factors" in words(section(text, part))


def test_what_failed_stands_at_the_top(tmp_path: Path) -> None:
    project = tiny(tmp_path)
    project.begin()
    project.preprocess()
    project.write("AutoPick/job004/run.out", "")
    project.write("AutoPick/job004/RELION_JOB_EXIT_FAILURE", "")
    project.write("AutoPick/job004/run.err", "ERROR: <no> such\x1b file\n")
    refresh(tmp_path)
    assert "Did not succeed: picking in AutoPick/job004, " in words(page(project))
    said = words(section(page(project), "resources"))
    assert "picking failed: the end of AutoPick/job004/run.err ERROR: <no> such file" in said


def test_a_verdict_to_stop_is_shown_though_no_step_follows(tmp_path: Path) -> None:
    project = tiny(tmp_path)
    project.begin()
    project.write(
        "Select/job031/verdict.txt",
        "initial_model: stop\n  stop      the map's projections do not show it\n"
        "  unknown   the hand\n",
    )
    refresh(tmp_path)
    text = words(section(page(project), "verdicts"))
    assert "Initial model ✗ stop" in text
    assert "✗ stop The map's projections do not show it." in text


def test_attempts_are_told_with_their_reasons(tmp_path: Path) -> None:
    project = tiny(tmp_path)
    project.begin()
    project.preprocess()
    folder = tmp_path / "MotionCorr/job002"
    asked = {"ntasks": 2, "cpus_per_task": 4, "gpus_per_node": 1, "mem_mb": 8192, "runtime_min": 60}
    attempts.note(folder, 1, attempts.SUBMITTED, asked=asked)
    attempts.note(folder, 1, attempts.STARTED)
    attempts.note(
        folder, 1, attempts.ENDED, state="out of memory", failure="memory", evidence=["oom-kill"]
    )
    attempts.note(folder, 1, attempts.DECIDED, decision="Takes 1.5 times the memory.")
    attempts.note(folder, 2, attempts.SUBMITTED, asked={**asked, "mem_mb": 12288})
    attempts.note(folder, 2, attempts.STARTED)
    used = {"mem_mb": 9216, "cpu_s": 80, "elapsed_s": 20}
    attempts.note(folder, 2, attempts.ENDED, state="succeeded", used=used)
    refresh(tmp_path)
    text = words(section(page(project), "resources"))
    assert "tried again 1" in text
    assert "oom-kill Takes 1.5 times the memory." in text
    assert "1 h 00 min 2 4 50% 1 9.0 GB 12.0 GB" in text


def test_the_use_of_this_machine_is_what_linux_has_measured(tmp_path: Path) -> None:
    project = tiny(tmp_path)
    project.begin()
    project.preprocess()
    project.write(".relion_dispatch/jobs/MotionCorr-job002.process", "vm 12 345\n15.00 20.00\n")
    refresh(tmp_path)
    text = words(section(page(project), "resources"))
    assert re.search(r"MotionCorr/job002 finished [\d.]+ s – – – 75% –", text), text


def record(project: Tiny, name: str, log: str, **values: object) -> None:
    """Write what Snakemake keeps of a job."""
    text = json.dumps({"log": [f"{log}/run.err", f"{log}/run.out"], **values})
    project.write(f".snakemake/metadata/{name}", text)


def test_times_and_commands_are_those_of_snakemakes_records(tmp_path: Path) -> None:
    project = tiny(tmp_path)
    project.begin()
    project.preprocess()
    begin = "set -e\npython -m relion_dispatch.pipeline.begin CtfFind/job003/\n"
    line = "mpirun -n 3 `which relion_run_ctffind_mpi` --i a.star --o CtfFind/job003/ --j 2\n"
    record(project, "ctf", "CtfFind/job003", starttime=10, endtime=75, shellcmd=begin + line)
    for shard in ("0001", "0002"):
        where = f"MotionCorr/job002/.shards/{shard}"
        record(project, shard, where, starttime=1, endtime=4, shellcmd=begin + "relion_shard\n")
    record(project, "import", "Import/job001", starttime=1, endtime=2, shellcmd="")
    record(project, "join", "MotionCorr/job002", starttime=4, endtime=5, shellcmd="join")
    refresh(tmp_path)
    text = page(project)
    shown = words(section(text, "resources"))
    assert "ctf CtfFind/job003 finished 1 min 05 s – 3 2 – 0 – –" in shown
    assert "motion_correction (2 parts) MotionCorr/job002 finished 7.0 s" in shown
    assert "CPU-hours 0.11" in shown  # 65 s on 6 cores, 7 s on one
    assert "from first to last 1 min 14 s" in shown
    commands = html.unescape(re.findall(r"<pre[^>]*>(.*?)</pre>", text, re.DOTALL)[0])
    assert commands == f"# motion_correction\nrelion_shard\n\n# ctf\n{line}".rstrip()


@pytest.mark.parametrize("version", ["3.1.3", "4.0.1", "5.0.0"])
def test_every_version_has_its_own_citations(tmp_path: Path, version: str) -> None:
    project = tiny(tmp_path)
    project.begin(version)
    project.preprocess()
    refresh(tmp_path)
    text = words(section(page(project), "methods"))
    assert f"RELION {version}" in text
    assert ("RELION-4.0" in text) == (version != "3.1.3")


@pytest.mark.parametrize(
    "config, absent",
    [
        (
            {
                "start": "particles",
                "particles": "own.star",
                "polishing": {"enabled": False},
            },
            {"micrographs", "particles"},
        ),
        ({"polishing_rounds": 0}, {"round-1", "refine3d-1"}),
        ({"class2d": {"enabled": False}}, {"class2d"}),
        (
            {
                "refine3d": {"enabled": False},
                "local_resolution": {"enabled": False},
                "polishing_rounds": 0,
            },
            {"refine3d", "local-resolution"},
        ),
    ],
)
def test_parts_that_a_project_does_not_have_are_left_out(
    tmp_path: Path, config: dict[str, Any], absent: set[str]
) -> None:
    project = tiny(tmp_path)
    project.begin(**config)
    refresh(tmp_path)
    names = set(re.findall(r'<section id="([\w-]+)"', page(project)))
    assert not names & absent
    assert {"way", "resources", "methods"} <= names
    assert 'class="failed"' not in page(project)


def test_ten_thousand_micrographs_make_no_larger_page(tmp_path: Path) -> None:
    project = Tiny(root=tmp_path, names=tiny(tmp_path, 10_000).names, per_micrograph=2)
    project.begin()
    project.preprocess()
    project.pick()
    # One that stands out is drawn, wherever it is.
    name = "CtfFind/job003/micrographs_ctf.star"
    text = (tmp_path / name).read_text().replace("/mov7777.mrc ", "/mov7777.mrc 99")
    project.write(name, text)
    refresh(tmp_path)
    written = page(project)
    assert len(written) < 2_000_000
    assert section(written, "micrographs").count("<circle") < 6 * 700
    assert "mov7777.mrc" in words(section(written, "micrographs"))


# -------------------------------------------------------------------------------------- by hand


def test_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = tiny(tmp_path / "project")
    project.begin()
    output = tmp_path / "elsewhere" / "talk.html"
    assert cli.main(["report", str(project.root), "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    assert output.is_file()
    assert not (project.root / PAGE).exists()


def test_a_folder_that_is_no_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(tmp_path)]) == InputError.exit_code
    assert "has no config.yaml" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_fsc_that_never_falls(tmp_path: Path) -> None:
    project = tiny(tmp_path)
    project.finish()
    high = re.sub(r"0\.043|0\.02 ", "0.5 ", postprocess_star())
    project.write("PostProcess/job046/postprocess.star", high)
    refresh(tmp_path)
    assert "never falls below 0.143" in words(section(page(project), "refine3d-1"))


def drawn_directions(root: Path, symmetry: str, angles: Sequence[tuple[float, float]]) -> Figure:
    project = tiny(root)
    project.begin(sample={**CONFIG["sample"], "symmetry": symmetry})
    name = "Refine3D/job035/run_data.star"
    project.write(name, loop("particles", ("rlnAngleRot", "rlnAngleTilt"), angles))
    return orientations(load(root), name)


def test_directions_are_drawn_in_the_part_that_is_searched(tmp_path: Path) -> None:
    # RELION has turned them by a little: three lie just beyond an edge, each beside one inside.
    angles = [(0.5, 30), (-179.5, 30), (179.5, 60), (-0.5, 60), (90.2, 89.9), (-90.2, 90.1)]
    drawn = drawn_directions(tmp_path, "D2", angles)
    across = re.findall(r'text-anchor="middle">([\d−]+)<', drawn.svg)
    assert (across[0], across[-1]) == ("0", "180")
    assert "6 particles" in drawn.caption
    assert "bright: 2 in one field" in drawn.caption


@pytest.mark.parametrize("symmetry", ["C1", "C7", "D1", "D7", "T", "O", "I1"])
def test_directions_beyond_the_edges_are_counted(tmp_path: Path, symmetry: str) -> None:
    drawn = drawn_directions(tmp_path, symmetry, [(151, 91.9)] * 5 + [(100, 45)] * 4)
    assert "bright: 5 in one field" in drawn.caption


def test_a_model_without_a_resolution_spoils_nothing(tmp_path: Path) -> None:
    project = tiny(tmp_path)
    project.begin()
    project.write("Select/job031/verdict.json", '{"verdict": "stop", "resolution_angst": Infinity}')
    refresh(tmp_path)
    assert "✗ stop" in section(page(project), "way")
    assert 'class="failed"' not in page(project)


def test_what_an_aborted_job_said_last_is_shown(tmp_path: Path) -> None:
    project = tiny(tmp_path)
    project.begin()
    project.preprocess()
    for name in ("run.out", "RELION_JOB_EXIT_ABORTED"):
        project.write(f"AutoPick/job004/{name}", "")
    project.write("AutoPick/job004/run.err", "no more\n")
    refresh(tmp_path)
    said = words(section(page(project), "resources"))
    assert "picking aborted: the end of AutoPick/job004/run.err no more" in said


# ---------------------------------------------------------------------------------- as rules do it


def test_a_rule_makes_the_report_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tiny(tmp_path)
    project.begin()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["report", "--o", stages.marker("ctf")])
    monkeypatch.setattr("os.nice", lambda by: by)
    assert rule.main() == 0
    assert (tmp_path / stages.marker("ctf")).read_text() == "report.html was made\n"
    assert page(project)


def test_a_report_that_fails_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["report", "--o", stages.marker("ctf")])
    monkeypatch.setattr("os.nice", lambda by: by)
    assert rule.main() == 0
    assert "has no config.yaml" in capsys.readouterr().out
    assert "no report could be made" in (tmp_path / stages.marker("ctf")).read_text()


def test_when_a_run_fails_there_is_a_report_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tiny(tmp_path)
    project.begin()
    monkeypatch.chdir(tmp_path)
    stages.report_failure()
    assert "in progress" in page(project)
    monkeypatch.setattr(stages, "TIMEOUT_S", 0.001)
    stages.report_failure()
    assert "no report" in capsys.readouterr().err


def test_the_page_is_in_one_piece_while_others_read_it(tmp_path: Path) -> None:
    """Reports that are made at the same time wait for each other, and none loses a part."""
    project = tiny(tmp_path)
    project.begin()
    project.preprocess()
    with ThreadPoolExecutor(3) as pool:
        for made in [pool.submit(refresh, tmp_path, fresh=True) for _ in range(6)]:
            assert made.result() == tmp_path / PAGE
            assert page(project).endswith("</html>")
    assert "Drift" in section(page(project), "micrographs")
