"""The page of a trial: pictures and numbers of all variants side by side, in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from relion_dispatch.report import images
from relion_dispatch.report.axes import number
from relion_dispatch.report.images import Image
from relion_dispatch.trial.results import NUMBERS, PICKS, Micrograph, medians
from relion_dispatch.trial.variants import Variant

#: What is worth a look when a step is tried: pictures and numbers.
SHOWN: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "motion_correction": (
        ("track", "spectrum", "image"),
        ("motion", "early motion", "rings fit to", "figure of merit"),
    ),
    "ctf": (
        ("spectrum", "image"),
        ("defocus U", "astigmatism", "rings fit to", "figure of merit"),
    ),
    "picking": (("image",), ("picks",)),
}
UNITS = {name: unit for name, unit, _ in (*NUMBERS.values(), PICKS)}
_TRACK = 120  # px a side
_STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 80rem; padding: 0 1rem;
  color: #1a1a1a; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid #ddd; text-align: right; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
.row { display: flex; gap: 1rem; overflow-x: auto; }
figure { margin: 0; flex: none; width: min(300px, 80vw); }
figcaption { font-size: .875rem; }
img, svg { display: block; width: 100%; height: auto; background: #eee; margin-bottom: .25rem; }
circle { fill: none; stroke: #ffb000; stroke-width: 1.5; }
polyline { fill: none; stroke: #0b62a4; stroke-width: 1; }
code { background: #f2f2f2; padding: .1rem .3rem; overflow-wrap: anywhere; }
.failed { color: #a40000; white-space: pre-wrap; }
"""


def page(
    step: str,
    variants: Sequence[Variant],
    found: Mapping[int, Sequence[Micrograph]],
    failed: Mapping[int, str],
    *,
    diameter_px: float,
    choose: str,
) -> str:
    """Write the page.

    Parameters
    ----------
    step
        What was tried.
    variants
        With which values.
    found
        Micrographs of those that ran, by number.
    failed
        Why the others did not.
    diameter_px
        Of the circles around picks, in px of the micrographs.
    choose
        The command that writes a choice to the configuration, without the number.
    """
    count = max(map(len, found.values()), default=0)
    title = f"{step} tried on {count} micrograph{'s' if count != 1 else ''}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>To take a variant over into config.yaml: <code>{escape(choose)} NUMBER</code></p>",
        *_summary(variants, found, failed, SHOWN[step][1]),
        *_micrographs(variants, found, diameter_px, step),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _summary(
    variants: Sequence[Variant],
    found: Mapping[int, Sequence[Micrograph]],
    failed: Mapping[int, str],
    wanted: Sequence[str],
) -> list[str]:
    """Write a table with the medians of each variant."""
    middles = {number_: medians(each) for number_, each in found.items()}
    names = [name for name in wanted if any(name in each for each in middles.values())]
    head = "".join(f"<th>{escape(_with_unit(name))}</th>" for name in names)
    rows = []
    for each in variants:
        if each.number in failed:
            words = f'<td class="failed" colspan="{max(len(names), 1)}">failed</td>'
        else:
            values = middles.get(each.number, {})
            words = "".join(f"<td>{_value(values.get(name))}</td>" for name in names)
        rows.append(f"<tr><td>{each.number}</td><td>{escape(each.label)}</td>{words}</tr>")
    reasons = [f'<p class="failed">{n}: {escape(why)}</p>' for n, why in failed.items() if why]
    table = f"<table><tr><th>variant</th><th>values</th>{head}</tr>{''.join(rows)}</table>"
    return [f'<h2>Medians</h2><div class="wide">{table}</div>', *reasons]


def _with_unit(name: str) -> str:
    return f"{name} ({UNITS[name]})" if UNITS[name] else name


def _value(value: float | None) -> str:
    return "" if value is None else escape(number(value))


def _micrographs(
    variants: Sequence[Variant],
    found: Mapping[int, Sequence[Micrograph]],
    diameter_px: float,
    step: str,
) -> list[str]:
    """Write a row for each micrograph, with every variant's pictures."""
    names = dict.fromkeys(each.name for shown in found.values() for each in shown)
    by_name = {n: {each.name: each for each in shown} for n, shown in found.items()}
    reach = _reach(found)
    parts = []
    for name in names:
        figures = [
            _figure(each, step, by_name[each.number][name], (diameter_px, reach))
            for each in variants
            if name in by_name.get(each.number, {})
        ]
        parts.append(f'<h2>{escape(name)}</h2><div class="row">{"".join(figures)}</div>')
    return parts


def _reach(found: Mapping[int, Sequence[Micrograph]]) -> float:
    """Return how far frames move at most in Å: one scale for all drift plots."""
    shifts = (each.track for shown in found.values() for each in shown)
    return max((abs(value) for track in shifts for point in track for value in point), default=1.0)


def _figure(variant: Variant, step: str, shown: Micrograph, scales: tuple[float, float]) -> str:
    diameter_px, reach = scales
    radius = max(3.0, diameter_px / shown.factor / 2)
    drawings = {
        "image": _image(shown.image, f"micrograph {shown.name}", shown.picks, radius),
        "spectrum": _image(shown.spectrum, f"power spectrum and fit of {shown.name}"),
        "track": _drift(shown.track, reach),
    }
    pictures, names = SHOWN[step]
    values = ", ".join(
        f"{name} {_value(shown.numbers[name])} {UNITS[name]}".rstrip()
        for name in names
        if name in shown.numbers
    )
    drawn = "".join(drawings[each] for each in pictures)
    caption = f"<b>{variant.number}</b>: {escape(variant.label)}<br>{values}"
    return f"<figure>{drawn}<figcaption>{caption}</figcaption></figure>"


def _image(
    image: Image | None,
    words: str,
    picks: Sequence[tuple[float, float]] = (),
    radius: float = 0.0,
) -> str:
    if image is None:
        return ""
    height, width = image.shape
    uri = images.uri(images.grey(image))
    circles = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>' for x, y in picks)
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(words)}">'
        f'<image width="{width}" height="{height}" href="{uri}"/>{circles}</svg>'
    )


def _drift(track: Sequence[tuple[float, float]], reach: float) -> str:
    """Draw how the frames moved, from the first at the centre."""
    if not track:
        return ""
    scale, middle = 0.45 * _TRACK / (reach or 1.0), _TRACK / 2
    points = " ".join(f"{middle + x * scale:.1f},{middle - y * scale:.1f}" for x, y in track)
    words = f"movement of the frames; from edge to edge {2.22 * reach:.3g} Å"
    return (
        f'<svg viewBox="0 0 {_TRACK} {_TRACK}" role="img" aria-label="{escape(words)}">'
        f'<title>{escape(words)}</title><polyline points="{points}"/></svg>'
    )
