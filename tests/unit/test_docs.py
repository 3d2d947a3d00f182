"""What the documentation says, as far as that is cheap to check."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from relion_dispatch import cli
from relion_dispatch.cluster import Cluster, Partition
from relion_dispatch.engine import Request, plan
from relion_dispatch.fields import EXTRAS
from relion_dispatch.healing.settings import Healing
from relion_dispatch.jobtypes import JobType
from relion_dispatch.pipeline import starts, verdict
from relion_dispatch.pipeline.layout import FIRST_START, ROUND_STEPS, STEPS, Layout
from relion_dispatch.profiles import load_profile, shipped
from relion_dispatch.render import variables

ROOT = Path(__file__).parents[2]
PAGES = (
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / name for name in ("config/README.md", "envs/README.md", "tests/simulator/README.md")),
)
DEFAULTS = yaml.safe_load((ROOT / "config/config.yaml").read_text())
LAYOUT = Layout()
#: A reader's own cluster and his older dispatcher's folder.
NAMED = re.compile(r"`([^`]+)`")
READERS_PROFILES = {"mycluster", "/shared/relion_dispatch"}
FILE = re.compile(r"\.(?:cpp|h|j2|json|mrc|py|star|txt|yaml)$")
JOB = "relion_refine_mpi --o Refine3D/job001/run --auto_refine --i a.star --ref map.mrc"


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def page(name: str) -> str:
    return (ROOT / name).read_text()


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def code_spans(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(text))


def rows(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def headings(text: str) -> set[str]:
    """Return the anchors that GitHub gives to headings."""
    found = re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in found}


# ------------------------------------------------------------------------------ links and commands


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path.read_text())):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        linked = path.parent / file if file else path
        assert linked.exists(), target
        assert not anchor or anchor in headings(linked.read_text()), target


def commands(text: str, program: str) -> Iterator[list[str]]:
    """Yield the command lines of a program, in blocks and in the middle of sentences."""
    lines = "\n".join([*code_blocks(text, "console"), *code_spans(text)])
    for found in re.findall(rf"(?:^|[(\s`]){program} (.*)$", lines, re.MULTILINE):
        until = re.split(r"\s(?:&&|\||>|#)\s|[)`]", found)[0]
        yield shlex.split(until)


ALL_COMMANDS = sorted(
    {tuple(each) for path in PAGES for each in commands(path.read_text(), "relion-dispatch")}
)


@pytest.mark.parametrize("words", ALL_COMMANDS, ids=" ".join)
def test_every_command_is_understood(words: tuple[str, ...]) -> None:
    given, _ = cli._split(list(words))
    if given in (["submit"], ["env"], ["explain"], ["init"], ["profile", "list"]):
        return  # the command's name alone, in a sentence
    assert vars(cli._parser(given[:1]).parse_args(given))["run"]


def test_commands_are_found() -> None:
    assert ("env", "--profile", "m3") in ALL_COMMANDS
    assert ("profile", "install", "m3") in ALL_COMMANDS
    assert any(each[0] == "init" and "--movies" in each for each in ALL_COMMANDS)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_profile_named_is_shipped(path: Path) -> None:
    text = path.read_text()
    named = set(re.findall(r"--profile[ =]([\w/.]+)", text))
    named |= set(re.findall(r"profile (?:show|install) (\w+)", text))
    assert named <= {*shipped(), *READERS_PROFILES}


def test_the_shipped_profiles_are_listed() -> None:
    first = {name for row in rows(page("docs/profiles.md")) for name in NAMED.findall(row[0])}
    assert set(shipped()) <= first


# --------------------------------------------------------------------------------------- pipeline


def step_rows() -> Iterator[tuple[str, str, str, int | None]]:
    """Yield step, directory and options of the tables of steps, with the round."""
    first, later = page("docs/pipeline.md").split("| step of round 1 |")
    for text, round_ in ((first, None), (later, 1)):
        for row in rows(text):
            if len(row) == 5 and row[0].startswith("`"):
                yield row[0].split("`")[1], row[1], row[4], round_


def test_the_steps_write_where_the_table_says() -> None:
    for step, directory, _, round_ in step_rows():
        name = step.removeprefix("relion_").removeprefix("judge_").removesuffix(f"_{round_}")
        if step == "initial_model_1":
            assert (
                directory == f"`InitialModel/job{FIRST_START:03d}`, `job{FIRST_START + 1:03d}`, …"
            )
        else:
            assert directory == f"`{LAYOUT.dir(name, round=round_).rstrip('/')}`", step


def test_every_step_is_in_the_table() -> None:
    told = {(step, round_) for step, _, _, round_ in step_rows()}
    once = {"relion_import" if step == "import" else step for step in STEPS}
    rounds = {step if step == "local_resolution" else f"{step}_1" for step in ROUND_STEPS}
    assert {step for step, round_ in told if not round_} >= once
    assert {step for step, round_ in told if round_} >= rounds


def test_the_rules_have_the_names_of_the_table() -> None:
    text = "\n".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    rules = set(re.findall(r"^ *(?:rule|checkpoint) (\w+):", text, re.MULTILINE))
    rules |= {f"{each}_1" for each in re.findall(r'f"(\w+)_\{', text)}
    rules |= set(re.findall(r'else "(\w+)"$', text, re.MULTILINE))
    assert {step for step, *_ in step_rows()} <= rules


@pytest.mark.parametrize("name", ["docs/pipeline.md", "docs/decisions.md", "README.md"])
def test_job_directories_are_the_pipelines(name: str) -> None:
    own = {LAYOUT.dir(step) for step in STEPS} | {LAYOUT.start(1)}
    own |= {LAYOUT.dir(step, round=1) for step in ROUND_STEPS}
    named = set(re.findall(r"`([A-Z]\w+/job0\d\d)(?:/[\w.]*)?`", page(name)))
    assert {f"{each}/" for each in named} <= own


# ---------------------------------------------------------------------------------------- options


def look_up(path: str) -> Any:
    """Return an option's default; raises KeyError."""
    value = DEFAULTS
    for name in path.split("."):
        value = value[name]
    return value


def options(text: str) -> set[str]:
    """Return what is written like an option of a block: `block.option`."""
    spans = (
        re.fullmatch(r"([a-z]\w*(?:\.[a-z_]\w*)+)(?:: .*)?", each) for each in code_spans(text)
    )
    found = {span[1] for span in spans if span}
    return {each for each in found if each.split(".")[0] in DEFAULTS and not FILE.search(each)}


def keys(value: object, prefix: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield f"{prefix}{name}"
            yield from keys(each, f"{prefix}{name}.")


def inline_yaml(text: str) -> Iterator[Mapping[str, Any]]:
    """Yield bits of configuration in sentences: `block: {option: value}`, `option: value`."""
    for span in code_spans(text):
        if re.fullmatch(r"[a-z]\w*: .+", span) and span.split(":")[0] in DEFAULTS:
            yield yaml.safe_load(span)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_option_exists(path: Path) -> None:
    text = path.read_text()
    named = options(text)
    for bit in inline_yaml(text):
        named |= {each for each in keys(bit) if not each.startswith("sizing.")}
    for each in named:
        look_up(each)


def test_options_are_found() -> None:
    assert "initial_model.starts" in options(page("docs/decisions.md"))
    assert {"verdict": {"stop": False}} in list(inline_yaml(page("docs/decisions.md")))


def test_the_options_of_steps_exist() -> None:
    for _, _, named, _ in step_rows():
        for each in re.findall(r"`([^`]+)`", named):
            look_up(each)


def test_defaults_are_told_as_they_are() -> None:
    text = page("docs/decisions.md")
    told = re.findall(r"`([a-z_0-9]+\.[a-z_0-9]+)` \((null|[\d.]+)\)", text)
    assert len(told) >= 12
    for option, value in told:
        assert yaml.safe_load(value) == look_up(option), option


def test_the_verdicts_fixed_limits_are_told_as_they_are() -> None:
    text = page("docs/decisions.md")
    assert f"within {starts.EQUAL:g} per particle" in text
    assert f"more than {verdict.MAX_LOSS - 1:.0%} worse".replace("%", " %") in text
    assert f"falls below {verdict.FSC_LIMIT:g}" in text
    assert f"rises above {verdict.MAX_RISE:g}" in text
    assert f"| above {verdict.MAX_LEAK:g} |" in text


# --------------------------------------------------------------------------------------- profiles


@pytest.mark.parametrize(
    "title, described",
    [
        ("key of `cluster`", Cluster),
        ("key of a partition", Partition),
        ("key of `healing`", Healing),
        ("key of a job type", JobType),
    ],
)
def test_the_keys_of_a_cluster_file_are_told(title: str, described: type) -> None:
    table = page("docs/profiles.md").split(f"| {title} |")[1].split("\n\n")[0]
    told = {name for row in rows(table) for name in re.findall(r"`(\w+)`", row[0])}
    # Two keys tell about a type and not how it runs.
    fields = {field.name for field in dataclasses.fields(described)}
    assert told == fields - {"description", "relion_job"}


@pytest.mark.parametrize("text", code_blocks(page("docs/profiles.md"), "yaml"))
def test_the_examples_are_cluster_files(text: str, tmp_path: Path) -> None:
    (tmp_path / "dispatch.yaml").write_text(text)
    profile = load_profile(tmp_path)
    for name, each in yaml.safe_load(text).get("job_types", {}).items():
        assert profile.job_types[name].job_parameters.items() >= each["job_parameters"].items()


def test_the_example_of_a_template_is_one(tmp_path: Path) -> None:
    (text,) = code_blocks(page("docs/profiles.md"), "jinja")
    cluster = code_blocks(page("docs/profiles.md"), "yaml")[0]
    (tmp_path / "dispatch.yaml").write_text(cluster)
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/gpu.sh.j2").write_text(text)
    made = plan(Request(commands=(JOB,)), load_profile(tmp_path))
    assert made.chain == ("submit", "gpu", "refine", "refine3d")
    assert made.script.index("#SBATCH") < made.script.index("nvidia-cuda-mps-control -d")


def test_what_templates_see_is_there() -> None:
    named = set(re.findall(r"`job\.(\w+)`", page("docs/profiles.md")))
    assert len(named) > 10
    assert named <= set(variables(plan(Request(commands=(JOB,)), load_profile("m3")))) | {"star"}


def test_the_windows_fields_are_told() -> None:
    first = {row[0] for row in rows(page("docs/gui.md"))}
    assert {each.label.rstrip(":") for each in EXTRAS} <= first
