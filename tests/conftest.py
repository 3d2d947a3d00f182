"""How hypothesis searches, which tests run side by side, and what a missing program means."""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

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
    """Begin with the lanes that take longest."""
    items.sort(key=lambda item: _lane(item.path))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Keep on one worker of pytest-xdist what shares a long fixture."""
    from xdist.scheduler import LoadScopeScheduling

    def lane(nodeid: str) -> str:
        return _lane(config.rootpath / nodeid.partition("::")[0])[1]

    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = lane
    return scheduler


@functools.cache
def _lane(path: Path) -> tuple[int, str]:
    """Return the lane of a file with tests: its place in the order, and its name."""
    folder = path.parent.name
    if folder == "cluster":
        return 1, folder
    if folder != "pipeline":
        return 3, str(path)
    asks_for_it = re.search(r"\bfinished: Finished\b", path.read_text())
    return (0, "finished project") if asks_for_it else (2, str(path))


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
