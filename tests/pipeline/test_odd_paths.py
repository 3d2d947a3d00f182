"""What RELION really does with odd names, on movies of a second: the reasons of the check's rules.

Where a test says that RELION loses or confuses files, a newer RELION may do better; the rule in
``relion_dispatch.pipeline.check.names`` can then go.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from relion_dispatch import starscan
from relion_dispatch.pipeline import commands, settings, versions
from relion_dispatch.pipeline.check import names
from relion_dispatch.pipeline.layout import Layout

pytestmark = pytest.mark.relion

ENVIRONMENT = {
    "RELION_SHELL": "bash",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMP_NUM_THREADS": "1",
}
CONFIG: Mapping[str, Any] = {
    "movies": "Movies/*.mrc*",
    "micrographs": "Mics/*.mrc",
    "optics": {"pixel_size": 3.5, "voltage": 300},
    "dose": {"per_frame": 3},
    "sample": {"particle_diameter": 60, "box_size": 32, "small_box_size": 32},
    "motion_correction": {"patches_x": 1, "patches_y": 1},
    "ctf": {"program": "builtin", "max_resolution": 8},
    "polishing": {"enabled": False},
}
LAYOUT = Layout()
PLAIN = "plain.mrcs"
# What the check lets through, in one name; and what it refuses in names of movies.
ALLOWED = "x@y+z=,~!^é-µ.a"
SHELL = tuple(c for c in names.SHELL_CHARACTERS if c not in "*?[]{}")  # those it may leave alone

# In CTFFIND's place: the same answer for every image, but none for an image that is not there.
STAND_IN = """\
#!/bin/sh
read -r input; read -r output; read -r pixel; read -r kv; read -r cs; read -r q0; cat > /dev/null
[ -e "$input" ] || exit 1
text="${output%.ctf}.txt"
{
    echo "# Pixel size: $pixel Angstroms ; acceleration voltage: $kv keV ;" \\
        "spherical aberration: $cs mm ; amplitude contrast: $q0"
    echo "# Columns: #1 - micrograph number; #2 - defocus 1 [Angstroms]"
    echo "1.0 15000.0 14800.0 30.0 0.0 0.1 8.0"
} > "$text"
cp "$input" "$output"
echo "Summary of results : $text"
"""


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three frames with a dozen dark spots."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[:512, :512]
    dose = np.full((512, 512), 6.0)
    for cy, cx in random.uniform(40, 472, (12, 2)):
        dose -= 2.5 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 128)
    frames = random.poisson(np.maximum(dose, 0), (3, 512, 512)).astype(np.int8)
    path = tmp_path_factory.mktemp("movie") / "m.mrcs"
    with mrcfile.new(path) as handle:
        handle.set_data(frames)
        handle.voxel_size = 3.5
    return path


@pytest.fixture(scope="module")
def micrograph(movie: Path) -> Path:
    """The sum of its frames."""
    path = movie.with_name("m.mrc")
    with mrcfile.open(movie) as frames, mrcfile.new(path) as handle:
        handle.set_data(frames.data.sum(axis=0).astype(np.float32))
        handle.voxel_size = 3.5
    return path


@pytest.fixture(scope="module")
def ctffind(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A program in CTFFIND's place, at a path that must be quoted."""
    path = tmp_path_factory.mktemp("tools") / "my ctffind's"
    path.write_text(STAND_IN)
    path.chmod(0o755)
    return str(path)


def fill(project: Path, folder: str, image: Path, files: Sequence[str]) -> None:
    for name in files:
        path = project / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, path)


def bash(project: Path, lines: Sequence[str], *, mpi: bool = False) -> bool:
    """Run RELION's command lines; whether all succeeded."""
    for line in lines:
        command = line
        if mpi and "relion_run_" in line:
            command = "mpirun -n 2 --oversubscribe " + line.replace("`", "_mpi`").replace(
                "_mpi`which", "`which"
            )
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=project,
            env=os.environ | ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=600,
        )
        if done.returncode:
            return False
    return True


def until_ctf(project: Path, ctffind: str, *, mpi: bool = False, **changes: Any) -> bool:
    """Run import, motion correction of movies, and CTF estimation; whether all succeeded."""
    chosen = settings.load({**CONFIG, **changes})
    version = versions.installed()
    imported = LAYOUT.path("import", f"{chosen.start}.star")
    corrected = imported
    steps = [commands.import_movies(chosen, out=LAYOUT.dir("import"))]
    if chosen.start == "movies":
        out = LAYOUT.dir("motion_correction")
        steps.append(commands.motion_correction(chosen, version, movies=imported, out=out))
        corrected = out + "corrected_micrographs.star"
    out = LAYOUT.dir("ctf")
    steps.append(commands.ctf(chosen, micrographs=corrected, out=out, builtin=ctffind))
    for step in ("import", "motion_correction", "ctf"):
        (project / LAYOUT.dir(step)).mkdir(parents=True)
    return all(bash(project, lines, mpi=mpi) for lines in steps)


def column(project: Path, path: str, block: str, label: str) -> tuple[str, ...]:
    """Values of a column; empty without the file or table."""
    if not (project / path).exists():
        return ()
    found = {each.name: each for each in starscan.scan(project / path)}
    return found[block].column(label) if block in found else ()


def micrographs(project: Path) -> tuple[str, ...]:
    """Micrographs that have CTFs."""
    return column(
        project, LAYOUT.path("ctf", "micrographs_ctf.star"), "micrographs", "rlnMicrographName"
    )


@pytest.mark.parametrize("length, works", [(179, True), (180, False)])
def test_project_path(
    tmp_path: Path, micrograph: Path, ctffind: str, length: int, works: bool
) -> None:
    """Any characters are fine, with MPI too; from 180 bytes on no micrograph gets a CTF."""
    start = tmp_path / 'it\'s "my" {project}; $HOME `id` & (é) #1% *\\'
    filler = length - len(os.fsencode(start))
    project = Path(f"{start}{'x' * filler}")
    fill(project, "Mics", micrograph, ["a.mrc", "b.mrc"])
    # RELION itself may or may not notice: it uses memory that nothing was written to.
    assert until_ctf(project, ctffind, mpi=True, start="micrographs") or not works
    assert len(micrographs(project)) == (2 if works else 0)
    found = list(names.check_project_path(project, estimates_ctf=True))
    assert [each.code for each in found] == ([] if works else ["project-path"])


def test_odd_names_that_work(tmp_path: Path, movie: Path, ctffind: str) -> None:
    fill(tmp_path, "Movies", movie, [PLAIN, f"{ALLOWED}.mrcs", f"{ALLOWED}/{PLAIN}"])
    assert list(names.check_names([f"Movies/{ALLOWED}/{ALLOWED}.mrcs"], "movies")) == []
    assert until_ctf(tmp_path, ctffind, movies="Movies/*.mrcs")
    assert len(micrographs(tmp_path)) == 2
    chosen, version = settings.load(CONFIG), versions.installed()
    corrected = LAYOUT.path("ctf", "micrographs_ctf.star")
    for step in ("picking", "extraction"):
        (tmp_path / LAYOUT.dir(step)).mkdir(parents=True)
    picked = LAYOUT.dir("picking")
    lines = commands.picking(chosen, version, micrographs=corrected, out=picked)
    assert bash(tmp_path, lines)
    name = "autopick.star" if version.coordinate_lists else "coords_suffix_autopick.star"
    lines = commands.extraction(
        chosen,
        version,
        micrographs=corrected,
        coordinates=picked + name,
        out=LAYOUT.dir("extraction"),
    )
    assert bash(tmp_path, lines)
    particles = LAYOUT.path("extraction", "particles.star")
    of = column(tmp_path, particles, "particles", "rlnMicrographName")
    assert len(set(of)) == 2


def test_shell_characters_lose_movies_without_an_error(
    tmp_path: Path, movie: Path, ctffind: str
) -> None:
    odd = [f"x{c}y.mrcs" for c in SHELL]
    fill(tmp_path, "Movies", movie, [PLAIN, *odd])
    assert until_ctf(tmp_path, ctffind, movies="Movies/*.mrcs")
    assert [Path(name).name for name in micrographs(tmp_path)] == ["plain.mrc"]
    found = list(names.check_names([f"Movies/{name}" for name in odd], "movies"))
    assert len(found[0].files) == len(odd)


@pytest.mark.parametrize("character", [*names.FORMAT_CHARACTERS, "\t", "\n"])
def test_format_characters_stop_motion_correction(
    tmp_path: Path, movie: Path, ctffind: str, character: str
) -> None:
    name = f"x{character}y.mrcs"
    fill(tmp_path, "Movies", movie, [name])
    assert not until_ctf(tmp_path, ctffind)
    assert list(names.check_names([name], "movies"))


def test_movies_of_one_name_overwrite_each_other(tmp_path: Path, movie: Path, ctffind: str) -> None:
    files = ["a.mrc", "a.mrcs", "b.c.mrcs", "b_c.mrcs"]
    fill(tmp_path, "Movies", movie, files)
    assert until_ctf(tmp_path, ctffind)
    assert len(micrographs(tmp_path)) == 4
    assert len(set(micrographs(tmp_path))) == 2
    found = list(names.check_collisions([f"Movies/{name}" for name in files]))
    assert len(found[0].files) == 4


def test_micrographs_in_job_folders_overwrite_each_other(
    tmp_path: Path, micrograph: Path, ctffind: str
) -> None:
    files = ["job001/a.mrc", "job002/a.mrc"]
    fill(tmp_path, "Mics", micrograph, files)
    assert until_ctf(tmp_path, ctffind, start="micrographs", micrographs="Mics/*/*.mrc")
    written = [*(tmp_path / LAYOUT.dir("ctf")).rglob("*.ctf")]
    assert len(micrographs(tmp_path)) == 2
    assert len(written) == 1
    assert list(names.check_job_folders([f"Mics/{name}" for name in files]))
