"""How hypothesis searches, which tests run side by side, and what a missing program means."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
from hypothesis import settings

# The programs whose absence makes a marked test meaningless.
PROGRAMS = {
    "relion": ("relion_refine_mpi",),
    "slurm": ("slurmctld",),
    "grid_engine": ("sge_qmaster", "sge_execd", "qsub"),
    "gui": ("relion", "Xvfb", "xdotool", "import"),
    "browser": ("chromium",),
}

# A machine with more work than cores makes any deadline a matter of luck. In continuous integration
# examples are the same each time, so that a change is judged by what it changed; elsewhere each run
# looks at others.
settings.register_profile("relion-dispatch", deadline=None, derandomize=bool(os.environ.get("CI")))
# For `make unit`, which is run all the time; `make test` searches further, and "search" furthest.
settings.register_profile("quick", deadline=None, max_examples=15)
settings.register_profile("search", deadline=None, max_examples=3000)
settings.load_profile("relion-dispatch")

# In the background of a script Ctrl-C is ignored, and what tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _cache_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what is remembered between starts out of the user's own cache."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep on one worker of pytest-xdist what shares a long fixture; begin with the longest."""
    lanes = {item: _lane(item) for item in items}
    for item, (_, name) in lanes.items():
        item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=lambda item: lanes[item][0])


def _lane(item: pytest.Item) -> tuple[int, str]:
    """Return a test's place in the order and the name of its lane."""
    folder = item.path.parent.name
    if "finished" in getattr(item, "fixturenames", ()):
        return 0, "finished project"
    if folder == "cluster":
        return 1, folder
    return (2 if folder == "pipeline" else 3), f"{folder}/{item.path.stem}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or with CI set fail, a test that needs a program which is not installed."""
    for mark, programs in PROGRAMS.items():
        absent = [program for program in programs if not _on_path(program)]
        if item.get_closest_marker(mark) is None or not absent:
            continue
        missing = f"needs {', '.join(absent)}, not on PATH; `make test` installs what is missing"
        if os.environ.get("CI"):
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)


def _on_path(program: str) -> bool:
    # Debian keeps daemons where an ordinary user's PATH does not look.
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    return shutil.which(program, path=path) is not None
