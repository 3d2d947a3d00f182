"""The report of a real run in a real browser, with the network off."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from relion_dispatch.healing import attempts
from relion_dispatch.report.refresh import PAGE, refresh
from tests.browser import Page, browser
from tests.pipeline.conftest import Finished
from tests.unit.tiny_project import tiny

pytestmark = [pytest.mark.relion, pytest.mark.browser]

WIDTHS = (1280, 390)
#: Å; what stages of the run leave, from the last on: without them it is as in the middle of a run.
LATER = ("LocalRes", "PostProcess", "MaskCreate", "Refine3D", "Polish", "CtfRefine", "Class3D")

FIGURES = """
[...document.querySelectorAll('svg.figure')].map(svg => {
  const box = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll('text')];
  const scale = svg.getScreenCTM().a;
  return {
    name: svg.getAttribute('aria-label'),
    width: box.width, height: box.height,
    painted: [...svg.querySelectorAll('polyline, circle, rect, path, image')]
      .filter(each => { const b = each.getBoundingClientRect(); return b.width + b.height > 1; })
      .length,
    overlapping: (() => {
      const boxes = [...svg.querySelectorAll('.tick')].map(t => [t, t.getBoundingClientRect()]);
      return boxes.filter(([, a], at) => boxes.slice(at + 1).some(([, b]) =>
        a.left < b.right && b.left < a.right && a.top + 1 < b.bottom && b.top + 1 < a.bottom))
        .map(([t]) => t.textContent);
    })(),
    smallest: Math.min(99, ...texts.map(t => scale * parseFloat(getComputedStyle(t).fontSize))),
    outside: texts.filter(t => {
      const b = t.getBoundingClientRect();
      return b.left < box.left - 1 || b.right > box.right + 3 || b.bottom > box.bottom + 2;
    }).map(t => t.textContent),
    x: box.x + scrollX, y: box.y + scrollY,
  };
})
"""

IMAGES = """
[...document.images].map(each => ({
  alt: each.alt, loaded: each.complete && each.naturalWidth > 0,
  width: each.getBoundingClientRect().width,
}))
"""

# Text and what lies behind it, as relative luminances (WCAG 2.2, contrast ratio).
FAINT = """
(() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = each => {
    for (let up = each; up; up = up.parentElement) {
      const colour = parse(getComputedStyle(up).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.5) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const each of document.querySelectorAll('body *')) {
    const own = [...each.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || each.matches('title, .skip') || !each.checkVisibility()) continue;
    const style = getComputedStyle(each);
    const colour = each instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [light(parse(colour)), light(behind(each))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) found.push([each.textContent.trim().slice(0, 40), ratio]);
  }
  return found;
})()
"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def report(finished: Finished) -> Path:
    return finished.project / PAGE


@pytest.fixture(scope="module")
def half_way(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run that has come as far as 2D classes."""
    project = finished.copy(tmp_path_factory.mktemp("half way") / "project")
    for folder in LATER:
        shutil.rmtree(project / folder)
    for job in ("job031", "job033"):
        shutil.rmtree(project / "Select" / job)
    return refresh(project)


@pytest.fixture(scope="module")
def tried_again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a job that ran out of memory once, with much to say about it."""
    project = tiny(tmp_path_factory.mktemp("tried again"))
    project.begin()
    project.preprocess()
    folder = project.root / "MotionCorr/job002"
    attempts.note(folder, 1, attempts.STARTED)
    said = [f"node {number:03d}: some of the step tasks have been killed" for number in range(3)]
    attempts.note(folder, 1, attempts.ENDED, state="failed", failure="memory", evidence=said)
    return refresh(project.root)


def assert_quiet(page: Page) -> None:
    """Check that the page has told nothing and asked for nothing."""
    assert page.told == []
    assert page.requests == []


def test_the_run_itself_has_left_the_report(finished: Finished, report: Path) -> None:
    assert report.is_file()
    left = sorted((finished.project / ".relion_dispatch/report").glob("after_*.txt"))
    assert len(left) == 8
    for path in left:
        assert path.read_text() == "report.html was made\n"


@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_is_drawn_and_can_be_read(page: Page, report: Path, width: int) -> None:
    page.open(report, width=width)
    assert_quiet(page)
    figures = page.ask(FIGURES)
    assert len(figures) >= 22
    for figure in figures:
        assert figure["width"] > 250, figure
        assert figure["height"] > 100, figure
        assert figure["painted"] > 0, figure
        assert figure["smallest"] > 9, figure
        assert figure["outside"] == [], figure
        assert figure["overlapping"] == [], figure
    pictures = page.ask(IMAGES)
    assert len(pictures) > 60
    for picture in pictures:
        assert picture["loaded"], picture
        assert picture["width"] > 60, picture
    assert_quiet(page)


@pytest.mark.parametrize("width", [*WIDTHS, 700, 1920])
def test_nothing_is_wider_than_the_window(page: Page, report: Path, width: int) -> None:
    page.open(report, width=width)
    assert page.ask("document.documentElement.scrollWidth") <= width
    beyond = page.ask(
        "[...document.querySelectorAll('main *')].filter(each => !each.closest('.scroll, pre, svg')"
        f" && each.getBoundingClientRect().right > {width} + 1).map(each => each.outerHTML)"
    )
    assert beyond == []


def test_all_parts_can_be_chosen_at_once(page: Page, report: Path) -> None:
    page.open(report, width=1280)
    beyond = "[...document.querySelectorAll('nav a')]"
    beyond += ".filter(each => each.getBoundingClientRect().right > 1280)"
    assert page.ask(f"{beyond}.map(each => each.textContent)") == []


@pytest.mark.parametrize("width", WIDTHS)
def test_no_cell_hides_its_text(page: Page, tried_again: Path, width: int) -> None:
    page.open(tried_again, width=width)
    cells = page.ask(
        "[...document.querySelectorAll('td')].filter(each => each.checkVisibility())"
        ".map(each => [each.textContent, each.scrollWidth > each.clientWidth + 1])"
    )
    assert any("node 002: some of the step tasks have been killed" in text for text, _ in cells)
    assert [text for text, hidden in cells if hidden] == []


def test_figures_are_no_empty_frames(page: Page, report: Path) -> None:
    page.open(report, width=1280)
    figures = page.ask(FIGURES)
    boxes = [{side: each[side] for side in ("x", "y", "width", "height")} for each in figures]
    drawn = [page.picture(**box) for box in boxes]
    page.ask("document.querySelectorAll('svg').forEach(each => each.style.visibility = 'hidden')")
    for figure, box, picture in zip(figures, boxes, drawn, strict=True):
        assert len(picture) > 3 * len(page.picture(**box)), figure["name"]


@pytest.mark.parametrize("scheme, dark", [("light", False), ("dark", True)])
@pytest.mark.parametrize("width", WIDTHS)
def test_text_stands_out_in_both_schemes(
    page: Page, report: Path, width: int, scheme: str, dark: bool
) -> None:
    page.open(report, width=width, scheme=scheme)
    colour = page.ask("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, colour[4:-1].split(","))) < 200) == dark
    page.ask("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.ask(FAINT) == []


def test_it_can_be_read_with_the_keyboard(page: Page, report: Path) -> None:
    page.open(report, width=1280)
    page.key("Tab")
    assert page.ask("document.activeElement.textContent") == "Skip to the content"
    links = page.ask("[...document.querySelectorAll('nav a')].map(a => a.getAttribute('href'))")
    assert len(links) >= 14
    missing = [each for each in links if not page.ask(f"!!document.querySelector('{each}')")]
    assert missing == []


@pytest.mark.parametrize("width", WIDTHS)
def test_half_way_it_says_what_is_to_come(page: Page, half_way: Path, width: int) -> None:
    page.open(half_way, width=width)
    assert_quiet(page)
    assert page.ask("document.querySelector('.badge').textContent") == "in progress"
    waiting = page.ask("[...document.querySelectorAll('section.waiting')].map(each => each.id)")
    assert {"class3d", "refine3d", "round-1", "refine3d-1", "local-resolution"} <= set(waiting)
    assert "class2d" not in waiting
    assert page.ask("document.querySelectorAll('section.failed').length") == 0
    assert page.ask("document.documentElement.scrollWidth") <= width


def test_no_script_runs_and_no_other_style_is_taken(page: Page, report: Path) -> None:
    page.open(report, width=1280)
    page.ask(
        "(() => { const each = document.createElement('style');"
        " each.textContent = 'body { background: rgb(1, 2, 3) }'; document.head.append(each); })()"
    )
    assert page.ask("getComputedStyle(document.body).backgroundColor") != "rgb(1, 2, 3)"
    assert any("Content Security Policy" in each for each in page.told), json.dumps(page.told)
