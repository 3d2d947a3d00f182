"""Cluster files: layers, faults with file and line, the older format, the shipped schema."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from relion_dispatch import config, profiles
from relion_dispatch.errors import InputError

GOOD = """cluster:
  partitions:
    cpu: {cores: 8, mem_mb: 16000}
job_types:
  mine:
    inherits: submit
    match_command: relion_mine
    job_parameters: {nproc: 3}
"""


def write(folder: Path, text: str, name: str = "dispatch.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def loaded(*paths: Path) -> config.ClusterFile:
    return config.layer([config.read(path) for path in (config.DEFAULTS, *paths)])


def test_new_types_come_before_those_below(tmp_path: Path) -> None:
    names = list(loaded(write(tmp_path, GOOD)).job_types)

    assert names[0] == "mine"
    assert names[1:3] == ["submit", "gpu"]


def test_a_type_that_both_have_is_merged_in_its_place(tmp_path: Path) -> None:
    text = "job_types: {class2d: {job_parameters: {workers_per_gpu: 2}, relion_job: Other}}"
    types = loaded(write(tmp_path, text)).job_types

    assert next(iter(types)) == "submit"
    assert types["class2d"].match_command == ("relion_refine",)
    assert types["class2d"].relion_job == ("Other",)
    assert types["class2d"].job_parameters["workers_per_gpu"] == 2


def test_the_strongest_layer_wins_key_by_key(tmp_path: Path) -> None:
    first = write(tmp_path, GOOD, "first.yaml")
    second = write(tmp_path, '{"cluster": {"partitions": {"cpu": {"cores": 4}}}}', "second.json")
    partition = loaded(first, second).cluster.partitions["cpu"]

    assert (partition.cores, partition.mem_mb) == (4, 16000)


@pytest.mark.parametrize(
    "text, message",
    [
        ("cluster:\n  modulse: [a]\n", r":2: unknown key 'modulse'; did you mean 'modules'\?"),
        ("clutser:\n  modules: [a]\njob_types: {}\n", r":1: .*did you mean 'cluster'\?"),
        ("job_types:\n  a:\n    matchcommand: x\n", r":3: .*did you mean 'match_command'\?.*a\)"),
        (
            "cluster:\n  partitions:\n    a:\n      cores: many\n",
            ":4: expected a whole number or auto, found 'many'",
        ),
        (
            "cluster:\n  partitions:\n    a: 3\n",
            r":3: expected a mapping of cores, mem_mb.*found 3",
        ),
        ("cluster:\n  gpu_memory_model: magic\n", ":2: expected one of relion, fmi.*'magic'"),
        ("job_types:\n  a:\n    threads: 3\n", ":3: expected true or false, found 3"),
        ("cluster: [\n", ":2: not valid YAML"),
        ("- a\n", "expected a mapping"),
        ("job_types: {a: {inherits: b}}", "'a' inherits from 'b', which does not exist"),
        ("job_types:\n  a: {ranks: every}\n  a: {gpu: none}\n", ":3: .*'a' stands here twice"),
        ("job_types: {a: {adjust_GPU_nproc_to_mem: 4}}", "'a': adjust_GPU_nproc_to_mem takes two"),
        ("job_types: {a: {inherits: sumbit}}", "did you mean submit"),
        ("job_types: {a: {inherits: b}, b: {inherits: a}}", "in a circle: a -> b -> a"),
    ],
)
def test_faults_are_named_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)

    with pytest.raises(InputError, match=message) as caught:
        loaded(path)
    assert str(caught.value).startswith(str(path))


def test_faults_in_json_have_their_line_too(tmp_path: Path) -> None:
    path = write(tmp_path, '{\n  "gpu": {\n\t"nomatch_parametr": "a"\n  }\n}', "a.json")

    with pytest.raises(InputError, match=r"a\.json:3: .*did you mean 'nomatch_parameter'\?"):
        config.read(path)


def test_broken_json_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.json:2: not valid JSON"):
        config.read(write(tmp_path, '{\n"a" 1}', "a.json"))


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.yaml: cannot be read"):
        config.read(tmp_path / "no.yaml")


def test_the_older_format_stands_alone_and_may_repeat_comments(tmp_path: Path) -> None:
    text = """{"__comment__": "a", "one": {"match_command": "relion_refine",
        "__comment__": 1, "__comment__": 2}, "__comment__": "b"}"""
    file = loaded(write(tmp_path, text, "dispatch_config.json"))

    assert list(file.job_types) == ["one"]
    assert file.cluster.gpu_memory_model == "fmi"
    assert file.cluster.scheduler.submit == ("sbatch",)


def test_the_shipped_schema_is_that_of_the_dataclasses() -> None:
    shipped = config.DEFAULTS.with_name("dispatch.schema.json").read_text()

    assert shipped == config.schema_text(), "run python -m relion_dispatch.config"


@pytest.mark.parametrize("name", [*profiles.shipped(), "defaults"])
def test_shipped_files_keep_to_the_schema(name: str) -> None:
    path = config.DEFAULTS if name == "defaults" else profiles.cluster_file(profiles.find(name))
    assert path is not None
    validator = jsonschema.Draft202012Validator(json.loads(config.schema_text()))

    assert list(validator.iter_errors(yaml.safe_load(path.read_text()))) == []


@pytest.mark.parametrize(
    "data",
    [
        {"cluster": {"modulse": []}},
        {"cluster": {"partitions": {"a": {"cores": "many"}}}},
        {"job_types": {"a": {"matchcommand": "x"}}},
        {"gpu": {"nomatch_parametr": "a"}},
    ],
)
def test_the_schema_refuses_what_the_program_refuses(data: object) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(config.schema_text()))

    assert not validator.is_valid(data)


def test_every_key_is_described() -> None:
    described = json.loads(config.schema_text())["$defs"]

    lacking = [
        f"{name}.{key}"
        for name, each in described.items()
        for key, value in each["properties"].items()
        if not value["description"]
    ]
    assert lacking == []
