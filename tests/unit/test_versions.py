from __future__ import annotations

from pathlib import Path

import pytest

from relion_dispatch.errors import InputError
from relion_dispatch.pipeline import versions
from relion_dispatch.pipeline.versions import V3_1, V4_0, V5_0, Version

PRINTED = "RELION version: {} \nPrecision: BASE=double\n\n"


class FakeRelion:
    """A ``relion_refine`` on PATH that prints a version and counts how often it is asked."""

    def __init__(self, folder: Path) -> None:
        self.program = folder / "relion_refine"
        self.asked = folder / "asked"

    def install(self, version: str) -> None:
        text = PRINTED.format(version)
        self.program.write_text(f"#!/bin/sh\necho x >> '{self.asked}'\nprintf '{text}'\n")
        self.program.chmod(0o755)

    @property
    def times_asked(self) -> int:
        return len(self.asked.read_text().splitlines()) if self.asked.exists() else 0


@pytest.fixture
def relion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRelion:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return FakeRelion(tmp_path / "bin")


@pytest.mark.parametrize(
    "text,version",
    [
        (PRINTED.format("3.1.3"), Version(3, 1, 3)),
        (PRINTED.format("3.1.3-commit-eba72d"), Version(3, 1, 3)),
        (PRINTED.format("4.0.1-commit-ex8c2cc7"), Version(4, 0, 1)),
        (PRINTED.format("5.0-beta-3-commit-6331fe"), Version(5, 0)),
        ("4.0", Version(4, 0)),
    ],
)
def test_what_relion_prints(text: str, version: Version) -> None:
    assert Version.parse(text) == version


def test_versions_compare_as_numbers() -> None:
    assert V3_1 < Version(3, 1, 3) < V4_0 < Version(4, 0, 10) < V5_0 < Version(5, 10)
    assert str(Version(3, 1, 3)) == "3.1.3"


@pytest.mark.parametrize("text", ["", "command not found", "RELION version: unknown"])
def test_no_version(text: str) -> None:
    with pytest.raises(InputError, match="no RELION version"):
        Version.parse(text)


def test_too_old() -> None:
    with pytest.raises(InputError, match=r"RELION 3\.0\.8 is too old.*3\.1"):
        Version.parse("RELION version: 3.0.8")


def test_what_each_version_can_do() -> None:
    facts = [
        "coordinate_lists", "vdam", "float16", "topaz", "figure_of_merit", "center_classes",
        "grids_by_default", "assumes_corrected_references", "resizes_references",
        "topaz_in_relion", "gctf", "blush",
    ]  # fmt: skip
    can = {
        version: {fact for fact in facts if getattr(version, fact)}
        for version in (Version(3, 1, 3), Version(4, 0, 1), Version(5, 0, 0))
    }
    old, middle, new = can.values()
    assert old == {"grids_by_default", "gctf"}
    assert middle - old == set(facts[:6]) | {"assumes_corrected_references"}
    assert new - middle == {"resizes_references", "topaz_in_relion", "blush"}
    assert middle - new == {"gctf"}


def test_relion_is_asked_once(relion: FakeRelion) -> None:
    relion.install("3.1.3")
    assert [versions.installed() for _ in range(3)] == [Version(3, 1, 3)] * 3
    assert relion.times_asked == 1


def test_an_update_is_noticed(relion: FakeRelion) -> None:
    relion.install("3.1.3")
    versions.installed()
    relion.install("4.0.1-commit-1a2b3c")
    assert versions.installed() == Version(4, 0, 1)


def test_a_damaged_memory_is_replaced(relion: FakeRelion, tmp_path: Path) -> None:
    relion.install("5.0.0")
    memory = tmp_path / "cache" / "relion-dispatch" / "relion-versions.json"
    memory.parent.mkdir(parents=True)
    memory.write_text("[not json")
    assert versions.installed() == V5_0
    assert versions.installed() == V5_0
    assert relion.times_asked == 1


def test_a_home_that_cannot_be_written_to(
    relion: FakeRelion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relion.install("5.0.0")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert versions.installed() == V5_0


def test_no_relion(relion: FakeRelion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(relion.program.parent))
    with pytest.raises(InputError, match=r"relion_refine.*load RELION's module.*relion_version"):
        versions.installed()


def test_a_configured_version_needs_no_relion(
    relion: FakeRelion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(relion.program.parent))
    assert versions.resolve("4.0") == V4_0


def test_auto_asks_relion(relion: FakeRelion) -> None:
    relion.install("3.1.3")
    assert versions.resolve("auto") == Version(3, 1, 3)
