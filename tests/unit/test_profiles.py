"""Where profiles are looked for, and how they are installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from relion_dispatch import cli, profiles
from relion_dispatch.engine import Request, plan
from relion_dispatch.errors import InputError

PARTITION = "cluster: {partitions: {here: {cores: 3}}}\n"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the user, the site and the working directory folders of their own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "site"))
    monkeypatch.delenv("RELION_DISPATCH_PROFILE", raising=False)
    monkeypatch.delenv("RELION_DISPATCH_SITE", raising=False)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return tmp_path


def make(folder: Path, text: str = PARTITION) -> Path:
    folder.mkdir(parents=True)
    (folder / "dispatch.yaml").write_text(text)
    return folder


def test_snakemakes_places_come_first_then_the_shipped_ones(places: Path) -> None:
    assert profiles.find("m3").name == "m3"
    site = make(places / "site/snakemake/m3")
    assert profiles.find("m3") == site
    user = make(places / "user/snakemake/m3")
    assert profiles.find("m3") == user
    make(places / "cwd/m3")
    assert profiles.find("m3") == Path("m3")


def test_a_path_is_taken_as_it_is(places: Path) -> None:
    folder = make(places / "elsewhere")

    assert profiles.load_profile(folder).cluster.partitions["here"].cores == 3
    assert profiles.load_profile(folder / "dispatch.yaml").path == folder / "dispatch.yaml"
    with pytest.raises(InputError, match="no profile"):
        profiles.load_profile(places / "nowhere")


def test_the_environment_names_the_profile(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"Give --profile or set \$RELION_DISPATCH_PROFILE.*m3"):
        profiles.load_profile()
    monkeypatch.setenv("RELION_DISPATCH_PROFILE", "m3")
    assert "m3h" in profiles.load_profile().cluster.partitions


def test_an_unknown_profile_says_where_it_was_looked_for() -> None:
    with pytest.raises(InputError, match=r"no profile 'm4'.*snakemake/m4.*shipped are fmi, local"):
        profiles.load_profile("m4")


def test_site_and_project_are_laid_on_top(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = places / "site.yaml"
    site.write_text("cluster: {modules: [relion/5.0], default_runtime_min: 7}\n")
    monkeypatch.setenv("RELION_DISPATCH_SITE", str(site))
    make(places / "project", "cluster: {default_runtime_min: 8}\n")
    profile = profiles.load_profile("m3", project=places / "project")

    assert profile.cluster.modules == ("relion/5.0",)
    assert profile.cluster.default_runtime_min == 8
    assert [path.name for path in profile.files][1:] == [
        "dispatch.yaml",
        "site.yaml",
        "dispatch.yaml",
    ]


def test_a_snakemake_profile_without_a_cluster_file_is_not_enough(places: Path) -> None:
    folder = places / "bare"
    folder.mkdir()
    (folder / "config.yaml").write_text("jobs: 3\n")

    with pytest.raises(
        InputError, match=r"bare has no cluster file; it needs one of dispatch\.yaml"
    ):
        profiles.load_profile(folder)


def test_the_older_layout_is_a_profile(places: Path) -> None:
    site = places / "older"
    (site / "config").mkdir(parents=True)
    (site / "job_template").mkdir()
    (site / "config/dispatch_config.json").write_text('{"a": {"match_command": "relion_refine"}}')

    profile = profiles.load_profile(site)
    assert list(profile.job_types) == ["a"]
    assert profile.template_dirs[0] == site / "job_template"
    for part in ("config", "config/dispatch_config.json"):
        assert profiles.load_profile(site / part).template_dirs[0] == site / "job_template"


def test_install_links_for_the_user_or_the_site(places: Path) -> None:
    place = profiles.install("m3")
    assert place == places / "user/snakemake/m3"
    assert place.is_symlink()
    assert profiles.find("m3") == place
    assert profiles.install("m3") == place  # twice is once

    copied = profiles.install("slurm", site=True, copy=True)
    assert copied == places / "site/snakemake/slurm"
    assert not copied.is_symlink()
    assert (copied / "config.yaml").is_file()


def test_install_says_who_finds_it(places: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["profile", "install", "m3"]) == 0
    assert "snakemake and relion-dispatch find it by --profile m3 now" in capfd.readouterr().out

    assert cli.main(["profile", "install", str(make(places / "bare"))]) == 0
    assert "relion-dispatch finds (snakemake wants a config.yaml too)" in capfd.readouterr().out


def test_install_overwrites_nothing(places: Path) -> None:
    source = make(places / "elsewhere/m3")
    make(places / "user/snakemake/m3")

    with pytest.raises(InputError, match="exists already"):
        profiles.install(str(source))


def test_show_is_a_cluster_file_again(places: Path) -> None:
    text = profiles.shown(profiles.load_profile("m3"))
    make(places / "again", text)
    again, before = profiles.load_profile(places / "again"), profiles.load_profile("m3")

    assert again.cluster == before.cluster
    assert again.job_types == before.job_types


def test_modules_may_stand_in_one_text(places: Path) -> None:
    text = f"{PARTITION[:-2]}, modules: relion cuda}}\n"
    profile = profiles.load_profile(make(places / "site", text))

    assert plan(Request(commands=("relion_import --i a",)), profile).modules == ("relion", "cuda")


def test_auto_is_this_machine() -> None:
    partition = profiles.load_profile("local").cluster.partitions["local"]

    assert isinstance(partition.cores, int)
    assert partition.cores >= 1
    assert isinstance(partition.mem_mb, int)
    assert partition.mem_mb > 100
