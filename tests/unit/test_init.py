from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from relion_dispatch import init
from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import newproject, proposal
from relion_dispatch.pipeline.proposal import Wishes
from tests.unit import tiny_images

NUMBERS = ("--voltage=300", "--dose-per-frame=3", "--diameter=120", "--symmetry=D2")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of movies as a microscope leaves them."""
    for number in range(3):
        tiny_images.write_mrc(tmp_path / f"data/m{number}.mrcs")
    return tmp_path / "data"


def run(project: Path, *words: str | Path) -> int:
    parser = argparse.ArgumentParser()
    init.add_arguments(parser)
    # The programs of the machine that runs the tests are no part of them.
    return init.main(parser.parse_args([str(project), "--profile=m3", *map(str, words)]))


def config(project: Path) -> dict[str, Any]:
    content = yaml.safe_load((project / "config.yaml").read_text())
    assert isinstance(content, dict)
    return content


def test_project_that_needs_no_editing(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "new/project"
    assert run(project, "--movies", data, *NUMBERS) == 0
    assert sorted(path.name for path in project.iterdir()) == [
        ".gui_projectdir",
        "Movies",
        "Snakefile",
        "config.yaml",
    ]
    assert os.readlink(project / "Movies") == str(data)
    written = config(project)
    assert written["movies"] == "Movies/*.mrcs"
    assert written["optics"]["pixel_size"] == 1.5
    assert written["sample"]["box_size"] == 112
    told = capsys.readouterr().out
    for sentence in ("3 MRC movies", "from the movies' headers", "1.4 times", "no gain reference"):
        assert sentence in told
    assert f"cd {project} && snakemake --profile m3" in told
    assert "profile install m3" in told


def test_missing_numbers_are_told_and_the_project_is_made(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "project"
    assert run(project, "--movies", data) == InputError.exit_code
    assert config(project)["optics"]["voltage"] is None
    told = capsys.readouterr().out
    for option in ("optics.voltage", "dose.per_frame", "sample.particle_diameter"):
        assert f"{option} is missing" in told


def test_flags_win(tmp_path: Path, data: Path) -> None:
    project = tmp_path / "project"
    words = ("--pixel-size=1.47", "--box=128", "--small-box=64", "--cs=2", "--bin=2", "--ctf=gctf")
    run(project, "--movies", data, *NUMBERS, *words, "--amplitude-contrast=0.07")
    written = config(project)
    assert written["optics"]["pixel_size"] == 1.47
    assert written["optics"]["spherical_aberration"] == 2
    assert written["optics"]["amplitude_contrast"] == 0.07
    assert written["sample"]["box_size"] == 128
    assert written["sample"]["small_box_size"] == 64
    assert written["motion_correction"]["bin_factor"] == 2
    assert written["ctf"]["program"] == "gctf"


def test_nothing_is_overwritten_without_force(tmp_path: Path, data: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "config.yaml").write_text("mine: 1\n")
    with pytest.raises(InputError, match=r"has config\.yaml already: --force"):
        run(project, "--movies", data)
    assert sorted(os.listdir(project)) == ["config.yaml"]
    run(project, "--movies", data, "--force")
    assert "mine" not in config(project)


def test_movies_of_its_own_are_not_replaced(tmp_path: Path, data: Path) -> None:
    project = tmp_path / "project"
    (project / "Movies").mkdir(parents=True)
    for force in ((), ("--force",)):
        with pytest.raises(InputError, match="is there already"):
            run(project, "--movies", data, *force)
        assert os.listdir(project) == ["Movies"]


def test_another_link_needs_force(tmp_path: Path, data: Path) -> None:
    project = tmp_path / "project"
    run(project, "--movies", data)
    other = tmp_path / "other"
    tiny_images.write_mrc(other / "x.mrcs")
    for name in init.FILES:
        (project / name).unlink()
    with pytest.raises(InputError, match="no link to"):
        run(project, "--movies", other)
    run(project, "--movies", other, "--force")
    assert os.readlink(project / "Movies") == str(other)


def test_links_are_never_made_in_the_folder_of_the_data(tmp_path: Path, data: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    for path in data.iterdir():
        (links / path.name).symlink_to(path)
    project = tmp_path / "project"
    run(project, "--movies", links)
    tiny_images.write_mrc(links / "odd name.mrcs")
    there = sorted((path.name, path.is_symlink(), path.resolve()) for path in links.iterdir())
    with pytest.raises(InputError, match="Movies is a link, and has to be a folder"):
        run(project, "--movies", links, "--force")
    assert there == sorted((p.name, p.is_symlink(), p.resolve()) for p in links.iterdir())


def test_links_to_other_movies_are_not_mixed_in(tmp_path: Path) -> None:
    for name in ("a 1", "a 2", "b 1"):
        tiny_images.write_mrc(tmp_path / name[0] / f"{name}.mrcs")
    project = tmp_path / "project"
    run(project, "--movies", tmp_path / "a")
    with pytest.raises(InputError, match=r"holds 2 other movies already, such as Movies/a_1\.mrcs"):
        run(project, "--movies", tmp_path / "b", "--force")
    assert run(project, "--movies", tmp_path / "a", *NUMBERS, "--force") == 0


def test_movies_of_its_own_with_odd_names_get_links_elsewhere(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for name in ("a b", "c"):
        tiny_images.write_mrc(project / f"Movies/{name}.mrcs")
    assert run(project, *NUMBERS) == 0
    assert config(project)["movies"] == "MovieLinks/*.mrcs"
    assert sorted(os.listdir(project / "MovieLinks")) == ["a_b.mrcs", "c.mrcs"]


def test_movies_inside_the_project_stay_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    tiny_images.write_mrc(project / "Movies/a.mrcs")
    tiny_images.write_mrc(project / "Raw/grid1/b.mrcs")
    run(project)
    assert config(project)["movies"] == "Movies/*.mrcs"
    monkeypatch.chdir(project)
    run(Path(), "--movies", "Raw/*/*.mrcs", "--force")
    assert config(project)["movies"] == "Raw/*/*.mrcs"
    assert not (project / "Movies").is_symlink()


def test_project_without_movies(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="where are the movies"):
        run(tmp_path / "project")
    assert not (tmp_path / "project").exists()


def test_no_such_profile(tmp_path: Path, data: Path) -> None:
    with pytest.raises(InputError, match="no profile 'm4'"):
        run(tmp_path / "project", "--movies", data, "--profile=m4")
    assert not (tmp_path / "project").exists()


def test_a_file_is_no_project(tmp_path: Path, data: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        run(tmp_path / "file", "--movies", data)


@pytest.mark.parametrize(
    "given, why",
    [
        ("data/*.tiff", r"in data there are other images: 3 \*\.mrcs"),
        ("data/*.MRCS", "upper and lower case differ"),
        ("dataa/*.mrcs", "is it data?"),
        ("dataa", "there is no .*/dataa: is it data?"),
        ("elsewhere", "there is no .*/elsewhere: give a folder"),
        ("empty", "holds no movies"),
        ("maps", "only single images or maps such as"),
    ],
)
def test_no_movies_found(tmp_path: Path, data: Path, given: str, why: str) -> None:
    (tmp_path / "empty").mkdir()
    tiny_images.write_map(tmp_path / "maps/map.mrc")
    tiny_images.write_mrc(tmp_path / "maps/image.mrcs", sections=1)
    with pytest.raises(InputError, match=why):
        newproject.find_movies(tmp_path / given)


@pytest.mark.parametrize(
    "make, pattern, count",
    [
        (lambda d: tiny_images.write_mrc(d / "sum.mrc", sections=1), "*.mrcs", 3),
        (lambda d: tiny_images.write_mrc(d / "gain.mrc", sections=1), "*.mrcs", 3),
        (lambda d: tiny_images.write_mrc(d / "gain.mrcs", sections=1), "m*.mrcs", 3),
        (lambda d: tiny_images.write_tiff(d / "x.tif"), "*.mrcs", 3),
    ],
)
def test_movies_among_other_files(
    data: Path, make: Callable[[Path], object], pattern: str, count: int
) -> None:
    make(data)
    source = newproject.find_movies(data)
    assert (source.pattern, len(source.names), source.exact) == (pattern, count, True)


def test_a_pattern_finds_movies_that_come_later(tmp_path: Path) -> None:
    for name in ("20240105_1130.mrcs", "20240105_1131.mrcs"):
        tiny_images.write_mrc(tmp_path / name)
    tiny_images.write_mrc(tmp_path / "gain.mrcs", sections=1, mode=2)
    assert newproject.find_movies(tmp_path).pattern == "2*.mrcs"
    tiny_images.write_mrc(tmp_path / "2024_gain.mrcs", sections=1, mode=2)
    assert newproject.find_movies(tmp_path).pattern == "20240*.mrcs"


def test_movies_that_are_left_out_are_told(data: Path) -> None:
    tiny_images.write_tiff(data / "x.tif")
    tiny_images.write_mrc(data / "below/y.mrcs")
    tiny_images.write_mrc(data / "below/sum.mrc", sections=1)
    draft = propose(data)
    assert "left out: 1 *.tif, 1 */*.mrcs; --movies 'PATTERN' takes others" in draft.told


def test_movies_in_folders_below(tmp_path: Path) -> None:
    for square in (1, 2):
        folder = tmp_path / f"disc/GridSquare_{square}/Data"
        tiny_images.write_tiff(folder / f"f{square}_fractions.tiff")
    source = newproject.find_movies(tmp_path / "disc")
    assert source.pattern == "*/*/*.tiff"
    assert len(source.names) == 2


def test_odd_names_get_plain_links(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("my movie.mrcs", "my;movie.mrcs"):
        tiny_images.write_mrc(data / name)
    project = tmp_path / "my project"
    assert run(project, "--movies", data, *NUMBERS) == 0
    links = {path.name: os.readlink(path) for path in (project / "Movies").iterdir()}
    assert links == {
        **{f"m{number}.mrcs": str(data / f"m{number}.mrcs") for number in range(3)},
        "my_movie.mrcs": str(data / "my movie.mrcs"),
        "my_movie_2.mrcs": str(data / "my;movie.mrcs"),
    }
    assert "2 movies have names that RELION cannot take" in capsys.readouterr().out
    assert f"cd '{project}'" in init._next_commands(project, "m3")[-1]


def test_gain_that_no_pattern_leaves_out(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("a.mrcs", "b.mrcs"):
        tiny_images.write_mrc(data / name)
    gain = tiny_images.write_mrc(data / "gain.mrcs", sections=1, mode=2)
    project = tmp_path / "project"
    run(project, "--movies", data, *NUMBERS)
    assert sorted(os.listdir(project / "Movies")) == ["a.mrcs", "b.mrcs"]
    assert gain.exists()


def test_plain_names_stay_apart() -> None:
    names = ["a b.mrc", "a_b.mrc", "a.b.mrc", "d/a;b.mrc", "é.mrc"]
    given = newproject.plain_names(names)
    roots = [os.path.splitext(name)[0].replace(".", "_") for name in given.values()]
    assert len(set(roots)) == len(names)
    assert given["é.mrc"] == "é.mrc"


# -------------------------------------------------------------------------------------------- gain
def propose(data: Path, **wishes: Any) -> proposal.Draft:
    return proposal.propose(Wishes(movies=str(data), here=False, **wishes), data.parent / "project")


@pytest.mark.parametrize("place", ["data/gain.mrc", "gain_ref.tif", "data/CountRefGain.mrc"])
def test_gain_is_found(tmp_path: Path, data: Path, place: str) -> None:
    if place.endswith("tif"):
        tiny_images.write_tiff(tmp_path / place, width=640, height=640, frames=1)
    else:
        tiny_images.write_mrc(tmp_path / place, sections=1, mode=2)
    draft = propose(data)
    name = os.path.basename(place)
    assert draft.values["gain.file"] == name
    assert draft.links[name] == tmp_path / place
    assert any("found beside the movies" in sentence for sentence in draft.told)


def test_gain_of_another_size_is_none(tmp_path: Path, data: Path) -> None:
    tiny_images.write_mrc(tmp_path / "gain.mrc", width=320, sections=1, mode=2)
    assert "gain.file" not in propose(data).values


def test_several_gains_are_told(tmp_path: Path, data: Path) -> None:
    for name in ("gain1.mrc", "gain2.mrc"):
        tiny_images.write_mrc(tmp_path / name, sections=1, mode=2)
    draft = propose(data)
    assert "gain.file" not in draft.values
    assert any("choose one with --gain" in sentence for sentence in draft.undecided)
    assert run(tmp_path / "project", "--movies", data, *NUMBERS) == InputError.exit_code
    assert run(tmp_path / "other", "--movies", data, *NUMBERS, "--gain=none") == 0
    assert "null                 # [given] gain" in (tmp_path / "other/config.yaml").read_text()
    chosen = propose(data, gain=str(tmp_path / "gain2.mrc"))
    assert chosen.links["gain2.mrc"] == tmp_path / "gain2.mrc"


def test_corrected_movies_need_no_gain(tmp_path: Path, data: Path) -> None:
    tiny_images.write_mrc(tmp_path / "gain.mrc", sections=1, mode=2)
    for path in data.iterdir():
        tiny_images.write_mrc(path, mode=2)
    assert "gain.file" not in propose(data).values
    assert "gain.file" not in propose(data, gain="none").values


@pytest.mark.parametrize(
    "name, link", [("my gain.tiff", "my_gain.tiff"), ("x.gain", "x.gain.tiff")]
)
def test_gain_with_a_name_that_relion_does_not_take(tmp_path: Path, name: str, link: str) -> None:
    project = tmp_path / "project"
    tiny_images.write_mrc(project / "Movies/a.mrcs", width=64, height=48)
    gain = tiny_images.write_tiff(project / name, frames=1, bits=32, sample_format=3)
    draft = proposal.propose(Wishes(gain=str(gain), here=False), project)
    assert draft.values["gain.file"] == link
    assert draft.links == {link: gain}


def test_eer_gain(tmp_path: Path) -> None:
    tiny_images.write_eer(tmp_path / "data/a.eer")
    tiny_images.write_tiff(
        tmp_path / "data/x.gain", width=4096, height=4096, frames=1, pixels=[b"?"], compression=5
    )
    assert propose(tmp_path / "data").values["gain.file"] == "x.gain"
    tiny_images.write_eer(tmp_path / "data/b.eer")
    draft = propose(tmp_path / "data", gain=str(tmp_path / "data/x.gain"))
    assert draft.values["movies"] == "Movies/*.eer"


# ---------------------------------------------------------------------------------- other decisions
def test_small_movies_get_no_power_spectra(data: Path) -> None:
    assert "motion_correction.power_spectra" not in propose(data).values
    for path in data.iterdir():
        tiny_images.write_mrc(path, width=500)
    assert propose(data).values["motion_correction.power_spectra"] is False


def test_header_without_pixel_size(data: Path) -> None:
    for path in data.iterdir():
        tiny_images.write_mrc(path, angpix=1.0)
    assert "optics.pixel_size" not in propose(data).values


def test_ctf_program(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(**wishes: Any) -> dict[str, Any]:
        made = proposal.propose(Wishes(movies=str(data), **wishes), tmp_path / "project")
        return {name: value for name, value in made.values.items() if name.startswith("ctf.")}

    monkeypatch.delenv("RELION_CTFFIND_EXECUTABLE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert chosen() == {"ctf.program": "builtin"}
    assert chosen(here=False) == {}
    assert chosen(options={"ctf.program": "gctf"}) == {"ctf.program": "gctf"}
    program = tmp_path / "ctffind"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert chosen() == {"ctf.executable": str(program)}
    monkeypatch.setenv("RELION_CTFFIND_EXECUTABLE", "/opt/ctffind")
    assert chosen() == {}


@pytest.mark.slow
def test_snakemake_reads_the_module(tmp_path: Path, data: Path) -> None:
    """The Snakefile pulls in whatever workflow is installed, with the project's own options."""
    project = tmp_path / "it's {here}; $HOME"
    run(project, "--movies", data, *NUMBERS)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/one.smk").write_text(
        'rule one:\n    output: "out.txt"\n    shell: "echo {config[movies]} > {output}"\n'
    )
    (tmp_path / "Snakefile").write_text(
        'include: "rules/one.smk"\nrule all:\n    input: "out.txt"\n    default_target: True\n'
    )
    snakefile = project / "Snakefile"
    stand_in = snakefile.read_text().replace(
        "from relion_dispatch.resources import workflow_dir",
        'from pathlib import Path\n\ndef workflow_dir():\n    return Path("..").resolve()\n',
    )
    assert stand_in != snakefile.read_text()
    snakefile.write_text(stand_in)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "-n", "-p"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "echo Movies/*.mrcs > out.txt" in done.stdout + done.stderr


def test_help_starts_quickly() -> None:
    code = (
        "import sys, argparse; from relion_dispatch import init;"
        "init.add_arguments(argparse.ArgumentParser());"
        "print([m for m in ('numpy', 'yaml', 'snakemake', 'mrcfile') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
