"""Command lines as RELION and its users write them: read, edited, and otherwise left alone."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from relion_dispatch.command import Command
from relion_dispatch.errors import InputError
from relion_dispatch.shellwords import quote

REFINE = (
    "`which relion_refine_mpi` --o Refine3D/job019/run --auto_refine --split_random_halves"
    " --i Extract/job018/particles.star --firstiter_cc --ini_high 50  --pad 2  --ctf"
    ' --j 6 --gpu "4:5:6:7"  --pipeline_control Refine3D/job019/'
)


# ---- Any text ----------------------------------------------------------------------------------


@given(st.text() | st.text(alphabet=" \t\n\\'\"`$(){}<>&|;#=-arelion_2", max_size=60))
def test_what_parses_comes_out_as_it_was(text: str) -> None:
    try:
        command = Command.parse(text)
    except InputError:
        assume(False)
    assert str(command) == text
    assert command.before + command.program_word + command.arguments == text


# ---- Commands put together from parts, so that what is in them is known -------------------------

LAUNCHERS = [
    ("", False),
    ("mpirun -np 5 --oversubscribe --mca btl self,vader,tcp", True),
    ("mpirun --np 5", True),
    ("mpirun -n 11 --hostfile mpi-hosts-10gpu", True),
    ("mpirun -np 8 -machinefile machinefile", True),
    ("/opt/openmpi/bin/mpiexec -n $NP -x LD_LIBRARY_PATH --bind-to none", True),
    ("srun", True),
    ("srun -n 5 --job-name relion_job --mem=4G --cpu-bind cores -N2", True),
    ("$MPIRUN -n 4", True),
    ("site_mpirun -np 4", True),
    ("time", False),
    ("/usr/bin/time -v", False),
    ("env -u DISPLAY OMP_NUM_THREADS=1", False),
    ('OMP_NUM_THREADS=1 PATH="/a b:$PATH"', False),
    ("nohup nice -n 10", False),
    ("numactl -C 0-3 --interleave=all", False),
    ("taskset -c 0-3", False),
    ("taskset 0xff", False),
    ("timeout -k 5 3600", False),
    ("singularity exec --nv -B /data,/scratch /images/relion_4.0.sif", False),
    ("./wrapper.sh", False),
]
PROGRAMS = [
    "relion_refine",
    "`which relion_refine`",
    "$(which relion_refine)",
    '"$(command -v relion_refine)"',
    "/opt/relion_4.0/bin/relion_refine",
    "${RELION_HOME}/bin/relion_refine",
    '"/opt/my relion/bin/relion_refine"',
    "`/usr/bin/which relion_refine`",
]
TAILS = [
    "",
    "  ",
    " > run.out 2>> run.err",
    " 2>&1 | tee log",
    " && echo x > y",
    " ; touch done",
    " # note",
]

names = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,12}", fullmatch=True).map(str)
values = st.text().filter(lambda text: "\0" not in text) | st.sampled_from(
    ["", "-1", "-30.5", "-.5", " -Tor 0.5 ", "0,1:2,3", "Movies/*.tif", "--x", "-o", "--", "a=b"]
)


@dataclass(frozen=True)
class Built:
    """A command line and what went into it."""

    launcher: str
    parallel: bool
    program: str
    options: tuple[tuple[str, str | None], ...]
    tail: str

    @property
    def head(self) -> str:
        return f"{self.launcher} {self.program}" if self.launcher else self.program

    def text(self, without: str = "") -> str:
        return (
            self.head
            + "".join(
                f"  --{name}" if value is None else f" --{name} {written(value)}"
                for name, value in self.options
                if name != without
            )
            + self.tail
        )


def written(value: str) -> str:
    return f'"{value}"' if value.startswith("-") and quote(value) == value else quote(value)


@st.composite
def built(draw: st.DrawFn) -> Built:
    launcher, parallel = draw(st.sampled_from(LAUNCHERS))
    options = draw(st.lists(st.tuples(names, st.none() | values), max_size=6))
    program, tail = draw(st.sampled_from(PROGRAMS)), draw(st.sampled_from(TAILS))
    return Built(launcher, parallel, program, tuple(options), tail)


@given(built())
def test_the_parts_are_found(parts: Built) -> None:
    command = Command.parse(parts.text())
    assert command.program == "relion_refine"
    assert command.relion
    assert not command.mpi
    assert command.program_word == parts.program
    assert " ".join(command.launcher) == parts.launcher
    assert command.names == tuple(name for name, _ in parts.options)
    for name, _ in parts.options:
        expected = tuple(value or "" for key, value in parts.options if key == name)
        assert command.values(name) == expected
        assert command.value(name) == expected[-1]
        assert command.has(name)


@given(built(), names, values)
@example(Built("", False, "relion_refine", (), ""), "gpu", "0:1")
def test_an_added_option_is_found_again_and_all_else_stays(
    parts: Built, name: str, value: str
) -> None:
    assume(name not in dict(parts.options))
    command = Command.parse(parts.text())
    added = command.with_option(name, value)
    assert added.value(name) == value
    assert added.names == (*command.names, name)
    assert added.before == command.before
    assert added.arguments.endswith(parts.tail)
    assert added.without(name) == command


@given(built(), names)
def test_an_added_bare_option_is_found_again(parts: Built, name: str) -> None:
    command = Command.parse(parts.text()).with_option(name, None)
    assert command.values(name) == ("",)


@given(built().filter(lambda parts: parts.options), st.data(), st.none() | values)
def test_a_changed_option_stays_in_its_place(parts: Built, data: st.DataObject, value: str) -> None:
    name = data.draw(st.sampled_from([name for name, _ in parts.options]))
    command = Command.parse(parts.text())
    changed = command.with_option(name, value)
    assert changed.values(name) == (value or "",)
    assert changed.names == tuple(
        key
        for number, key in enumerate(command.names)
        if key != name or number == command.names.index(name)
    )
    assert all(changed.values(key) == command.values(key) for key in command.names if key != name)
    assert changed.before == command.before
    assert changed.arguments.endswith(parts.tail)


@given(built().filter(lambda parts: parts.options), st.data())
def test_a_removed_option_leaves_the_other_bytes(parts: Built, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([name for name, _ in parts.options]))
    assert str(Command.parse(parts.text()).without(name)) == parts.text(without=name)


@given(built())
def test_the_mpi_version_is_the_same_command_but_for_its_name(parts: Built) -> None:
    command = Command.parse(parts.text())
    mpi = command.with_program_mpi(True)
    assert mpi.mpi
    assert mpi.program == "relion_refine"
    assert len(str(mpi)) == len(str(command)) + len("_mpi")
    assert str(mpi).replace("relion_refine_mpi", "relion_refine") == str(command)
    assert mpi.with_program_mpi(True) == mpi
    assert mpi.with_program_mpi(False) == command


@given(built())
def test_a_launcher_takes_the_place_of_the_other(parts: Built) -> None:
    command = Command.parse(parts.text())
    launched = command.with_launcher("mpirun -n 3")
    assert launched.arguments == command.arguments
    assert launched.launcher.count("-n") >= 1
    assert "mpirun -n 3" in " ".join(launched.launcher)
    assert launched.with_launcher("mpirun -n 3") == launched
    bare = command.without_launcher()
    assert bare.arguments == command.arguments
    assert bare.program_word == command.program_word
    assert " ".join(bare.launcher) == ("" if parts.parallel else parts.launcher)
    assert launched.without_launcher() == bare


# ---- Examples ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line, program, mpi, launcher",
    [
        (REFINE, "relion_refine", True, ""),
        ("$(which relion_run_motioncorr) --i a", "relion_run_motioncorr", False, ""),
        ("relion_import  --do_movies", "relion_import", False, ""),
        ("unset DISPLAY && relion_schemer --run", "relion_schemer", False, ""),
        (
            "cd x; time mpirun -np 1 `which relion_refine` --o a",
            "relion_refine",
            False,
            "time mpirun -np 1",
        ),
        (
            "/software/RELION/latest4/bin/relion_tomo_subtomo_mpi --i a",
            "relion_tomo_subtomo",
            True,
            "",
        ),
        ("relion_python_tomo_import SerialEM --x y", "relion_python_tomo_import", False, ""),
        ("filament_embedding.py --o External/job443/", "filament_embedding.py", False, ""),
        ("python3 -u /data/scripts/run.py --o x", "run.py", False, "python3 -u"),
        ("python -m topaz.main --o x", "topaz.main", False, "python -m"),
        ("bash -c 'relion_refine --o x'", "bash", False, ""),
        (
            "conda run -n blush relion_python_blush a.star",
            "relion_python_blush",
            False,
            "conda run -n blush",
        ),
        ("mpirun -n 4 ./external.py --o x", "external.py", False, "mpirun -n 4"),
        ("script.py --dir relion_test --o x", "script.py", False, ""),
        ("script.py --log --dir relion_test", "script.py", False, ""),
        (
            "./wrapper.sh mpirun -n 4 `which relion_refine_mpi`",
            "relion_refine",
            True,
            "./wrapper.sh mpirun -n 4",
        ),
        ("wrapper --quiet `which relion_refine` --o x", "relion_refine", False, "wrapper --quiet"),
        ("$RELION --o x", "$RELION", False, ""),
        ("mpirun_here -v", "mpirun_here", False, ""),
        ("(relion_refine --o x) 2> log", "relion_refine", False, ""),
        ("{ relion_refine --o x; }", "relion_refine", False, "{"),
        ("if relion_refine --o x; then echo y; fi", "relion_refine", False, "if"),
        ("for i in 1 2; do relion_refine --o $i; done", "relion_refine", False, "do"),
        ("cat list | relion_refine --o x", "relion_refine", False, ""),
        ("./prepare.sh && relion_refine --o x", "relion_refine", False, ""),
        ("mpirun -n 2 -- relion_refine", "relion_refine", False, "mpirun -n 2 --"),
        ("`which relion_refine`_mpi --o x", "relion_refine", True, ""),
        ("> run.out relion_refine --o x", "relion_refine", False, ""),
        ("relion_refine", "relion_refine", False, ""),
        ("python", "python", False, ""),
    ],
)
def test_program_and_launcher(line: str, program: str, mpi: bool, launcher: str) -> None:
    command = Command.parse(line)
    assert (command.program, command.mpi) == (program, mpi)
    assert command.relion == program.startswith("relion_")
    assert " ".join(command.launcher) == launcher


@pytest.mark.parametrize(
    "line",
    [
        "",
        "   ",
        "# relion_refine --o x",
        "echo CtfFind/job047/micrographs_ctf.star > ManualPick/job048/coords_suffix.star",
        "rm -f InitialModel/job008/RELION_JOB_EXIT_SUCCESS",
        "ln -s ../../a.mrc LocalRes/job031/half1.mrc",
        "mkdir relion_refine && cd relion_refine",
        "X=$(relion_refine --version)",
        "mpirun -n 5",
        "module load relion_4.0; export A=relion_refine",
    ],
)
def test_lines_without_a_program(line: str) -> None:
    command = Command.parse(line)
    assert command.program is None
    assert not command.relion
    assert not command.mpi
    assert command.names == ()
    assert command.value("o") is None
    assert str(command) == line
    assert command.before == line
    assert command.with_program_mpi(True) is command
    assert command.without_launcher() is command
    with pytest.raises(InputError, match="no program"):
        command.with_option("j", "1")
    with pytest.raises(InputError, match="no program"):
        command.with_launcher("srun")


@pytest.mark.parametrize(
    "arguments, name, value",
    [
        ("--gpu", "gpu", ""),
        ("--gpu --j 4", "gpu", ""),
        ('--gpu ""', "gpu", ""),
        ('--gpu "" --j 4', "gpu", ""),
        ('--gpu "0,1:2,3"', "gpu", "0,1:2,3"),
        ('--gpu "0 1 2 3"', "gpu", "0 1 2 3"),
        ("--gpu 0,1,2,3", "gpu", "0,1,2,3"),
        ("--gpu > log", "gpu", ""),
        ("--gpu 2> log 0:1", "gpu", "0:1"),
        ("--gpu # bare", "gpu", ""),
        ("--gpu && echo x", "gpu", ""),
        ("--ctfWin -1 --is_ctffind4", "ctfWin", "-1"),
        ("--adhoc_bfac -30 --j 1", "adhoc_bfac", "-30"),
        ("--select_eigenvalue_min -100 --x", "select_eigenvalue_min", "-100"),
        ("--bfac -.5e3", "bfac", "-.5e3"),
        ('--other_motioncor2_args " -Tor 0.5 " --j 1', "other_motioncor2_args", " -Tor 0.5 "),
        ('--other_motioncor2_args "-Tor 0.5"', "other_motioncor2_args", "-Tor 0.5"),
        ('--combine --i " a.star b.star "', "i", " a.star b.star "),
        ('--i "Movies/*.tif"', "i", "Movies/*.tif"),
        ("--i Movies/*.tif", "i", "Movies/*.tif"),
        ("--scratch_dir /lscratch/$SLURM_JOB_ID", "scratch_dir", "/lscratch/$SLURM_JOB_ID"),
        ("--j ${N:-4}", "j", "${N:-4}"),
        ("--j 1 --j 2", "j", "2"),
        ("--j=4", "j", "4"),
        ("--name='a b=c'", "name", "a b=c"),
        ("--name= --j 4", "name", ""),
        ("-n 5", "n", "5"),
        ("-ang 30", "ang", "30"),
        ("--o a\\\n --j 4", "j", "4"),
        (
            "--tilt-image-movie-pattern './frames/*.eer'",
            "tilt-image-movie-pattern",
            "./frames/*.eer",
        ),
        ("--3d x", "3d", "x"),
        ("--i -", "i", "-"),
    ],
)
def test_values(arguments: str, name: str, value: str) -> None:
    command = Command.parse(f"relion_x {arguments}")
    assert command.value(name) == value
    assert command.value(f"--{name}") == value


def test_an_option_of_another_command_of_the_line_is_none_of_this() -> None:
    command = Command.parse("prepare --gpu 1 && relion_refine --o x | tee --j 2")
    assert command.names == ("o",)


def test_repeated_options_are_all_there() -> None:
    command = Command.parse("relion_refine --j 1 --gpu 0 --j 2")
    assert command.names == ("j", "gpu", "j")
    assert command.values("j") == ("1", "2")


@pytest.mark.parametrize(
    "line, names, expected",
    [
        ('relion_x --j 2 --gpu ""  --z 1', ["gpu"], "relion_x --j 2  --z 1"),
        ("relion_x --j 2 --gpu", ["j", "gpu"], "relion_x"),
        ("relion_x --j 1 --a --j 2 --b", ["j"], "relion_x --a --b"),
        ("relion_x --j=4 --a", ["j"], "relion_x --a"),
        ("relion_x --a --j 2>log", ["j"], "relion_x --a 2>log"),
        ("relion_x2 --gpu>log", ["gpu"], "relion_x2 >log"),
        ("relion_x --a \\\n  --j 2 \\\n  --b", ["j"], "relion_x --a \\\n  --b"),
        ("relion_x --a", ["j"], "relion_x --a"),
        ("relion_x --j 2&& echo --j 3", ["j"], "relion_x&& echo --j 3"),
        ("(relion_x --j 2)", ["--j"], "(relion_x)"),
    ],
)
def test_without(line: str, names: list[str], expected: str) -> None:
    assert str(Command.parse(line).without(*names)) == expected


@pytest.mark.parametrize(
    "line, name, value, expected",
    [
        ('relion_x --gpu "0" --j 2  ', "gpu", "0:1", "relion_x --gpu 0:1 --j 2  "),
        ('relion_x --gpu "0" --j 2', "gpu", "", 'relion_x --gpu "" --j 2'),
        ("relion_x --gpu --j 2", "gpu", "0", "relion_x --gpu 0 --j 2"),
        ("relion_x --gpu 0 --j 2", "gpu", None, "relion_x --gpu --j 2"),
        ("relion_x --gpu 0 in.mrc", "gpu", None, "relion_x in.mrc --gpu"),
        ("relion_x --gpu=0 --j 2", "gpu", "1 2", 'relion_x --gpu="1 2" --j 2'),
        ("relion_x --gpu=0", "gpu", None, "relion_x --gpu"),
        ("relion_x --o a  > b && echo c", "j", "2", "relion_x --o a --j 2  > b && echo c"),
        ("relion_x --o a> b", "j", "2", "relion_x --o a --j 2 > b"),
        ("relion_x --j 4> b", "j", "2", "relion_x --j 2 4> b"),
        ("relion_x --j '4'> b", "j", "2", "relion_x --j 2 > b"),
        ("relion_x --j 1 --a --j 2", "j", "3", "relion_x --j 3 --a"),
        ("relion_x > b --o a", "j", "2", "relion_x > b --o a --j 2"),
        ("relion_x", "-n", "5", "relion_x -n 5"),
        ("relion_x -n 4", "n", "5", "relion_x -n 5"),
        ("relion_x --o a # note", "fast_subsets", None, "relion_x --o a --fast_subsets # note"),
        ("relion_x", "args", "-Tor 0.5", 'relion_x --args "-Tor 0.5"'),
        ("relion_x", "args", "-Tor", 'relion_x --args "-Tor"'),
        ("relion_x", "adhoc_bfac", "-30", "relion_x --adhoc_bfac -30"),
        ("relion_x", "dir", "$HOME", "relion_x --dir '$HOME'"),
    ],
)
def test_with_option(line: str, name: str, value: str | None, expected: str) -> None:
    changed = Command.parse(line).with_option(name, value)
    assert str(changed) == expected
    assert changed.value(name) == (value or "")


def test_raw_values_are_taken_as_they_are() -> None:
    command = Command.parse("relion_x --o a")
    assert str(command.with_option("gpu", '""', raw=True)) == 'relion_x --o a --gpu ""'
    assert str(command.with_option("j", "$N", raw=True)) == "relion_x --o a --j $N"
    assert str(command.with_option("fast_subsets", "", raw=True)) == "relion_x --o a --fast_subsets"
    with pytest.raises(InputError, match="left open"):
        command.with_option("j", '"', raw=True)


@pytest.mark.parametrize("name", ["", "-", "--", "a b", "a=b", "a;b", "---a", "-1", "$x"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(InputError, match="cannot be the name of an option"):
        Command.parse("relion_x").with_option(name, "1")


def test_a_nul_cannot_be_given() -> None:
    with pytest.raises(InputError, match="NUL"):
        Command.parse("relion_x").with_option("a", "\0")


@pytest.mark.parametrize(
    "line, expected",
    [
        ("relion_refine --o a", "L relion_refine --o a"),
        ("mpirun -np 5 relion_refine_mpi --o a", "L relion_refine_mpi --o a"),
        ("time mpirun  -np 5   `which relion_refine_mpi`", "time L   `which relion_refine_mpi`"),
        ("A=1 relion_refine", "A=1 L relion_refine"),
        ("env A=1 relion_refine", "env A=1 L relion_refine"),
        ("srun mpirun -n 4 relion_refine", "L relion_refine"),
        ("mpirun -n 4 env A=1 relion_refine", "L env A=1 relion_refine"),
        ("python a.py --o b", "L python a.py --o b"),
        ("singularity exec i.sif relion_refine", "L singularity exec i.sif relion_refine"),
        ("cd x && relion_refine | tee y", "cd x && L relion_refine | tee y"),
    ],
)
def test_with_launcher(line: str, expected: str) -> None:
    changed = Command.parse(line).with_launcher("mpirun -n 3")
    assert str(changed) == expected.replace("L", "mpirun -n 3")


@pytest.mark.parametrize(
    "line, expected",
    [
        ("mpirun -np 5 relion_refine_mpi --o a", "relion_refine_mpi --o a"),
        ("time mpirun -np 5 relion_refine --o a", "time relion_refine --o a"),
        ("srun mpirun -n 4 relion_refine", "relion_refine"),
        ("OMP_NUM_THREADS=1 srun -n 4 relion_refine", "OMP_NUM_THREADS=1 relion_refine"),
        ("relion_refine --o a", "relion_refine --o a"),
    ],
)
def test_without_launcher(line: str, expected: str) -> None:
    assert str(Command.parse(line).without_launcher()) == expected


@pytest.mark.parametrize(
    "line, expected",
    [
        ("`which relion_refine`", "`which relion_refine_mpi`"),
        (
            '"$(which relion_refine)" --o relion_refine',
            '"$(which relion_refine_mpi)" --o relion_refine',
        ),
        ("/opt/relion_refine/relion_refine", "/opt/relion_refine/relion_refine_mpi"),
        ("cp relion_refine b; relion_refine", "cp relion_refine b; relion_refine_mpi"),
        ("filament.py --o a", "filament.py --o a"),
    ],
)
def test_with_program_mpi(line: str, expected: str) -> None:
    assert str(Command.parse(line).with_program_mpi(True)) == expected


def test_a_program_hidden_in_quotes_is_not_edited_blindly() -> None:
    command = Command.parse('relion_"refine" --o a')
    assert command.program == "relion_refine"
    with pytest.raises(InputError, match="plainly"):
        command.with_program_mpi(True)


def test_malformed_quoting_says_where() -> None:
    with pytest.raises(InputError, match=r"column 27 is left open: \" -Tor 0.5 --j 2"):
        Command.parse('relion_x --other_mc2_args " -Tor 0.5 --j 2')


def test_commands_are_equal_when_their_lines_are() -> None:
    assert Command.parse(REFINE) == Command.parse(REFINE)
    assert len({Command.parse(REFINE), Command.parse(REFINE)}) == 1
    assert repr(Command.parse("relion_x")) == "Command(text='relion_x')"
