"""Judge what a pipeline made of a simulated data set against the truth.

Exit code 0 if all is well, 1 if a map is worse than required, 2 if something cannot be judged.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .align import align, correlation, transform
from .files import read_map
from .fsc import Curve, Resolution, fsc, resample, resolution_at, soft_sphere
from .scores import DefocusScore, PickScore, score_defocus, score_picks
from .settings import SYMMETRIES
from .tables import column_table, read_defocus, read_picks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .fourier import Floats


@dataclass(frozen=True, kw_only=True)
class MapScore:
    """A map against the true one, in the pose that fits best.

    ``curve`` is their FSC in a soft sphere; ``shift`` (Å) and ``mirrored`` say where the map was.
    """

    correlation: float
    fsc05: Resolution
    fsc0143: Resolution
    mirrored: bool
    shift: float
    curve: Curve


def score_map(
    volume: Floats, angpix: float, truth: Floats, truth_angpix: float, symmetry: str
) -> MapScore:
    """Compare a map with the true one, whatever its sampling, orientation and hand.

    Parameters
    ----------
    volume, truth
        Cubic maps of even sizes, pixels of ``angpix`` and ``truth_angpix`` Å.
    symmetry
        ``D2`` if both have it about the same axes, else ``C1`` (which also finds a map of
        another orientation, in several times the time).
    """
    mask = soft_sphere(truth, truth_angpix)
    same = resample(volume, angpix, truth.shape[0], truth_angpix)
    pose = align(same, truth, mask, truth_angpix, symmetry)
    aligned = transform(same, pose, truth_angpix) * mask
    curve = fsc(aligned, truth * mask, truth_angpix, finest=2 * angpix)
    return MapScore(
        correlation=correlation(aligned[mask > 0], (truth * mask)[mask > 0]),
        fsc05=resolution_at(curve, 0.5),
        fsc0143=resolution_at(curve, 0.143),
        mirrored=pose.mirrored,
        shift=float(np.linalg.norm(pose.shift)),
        curve=curve,
    )


@dataclass(frozen=True, kw_only=True)
class Truth:
    """A simulated data set's folder and the parameters it was made with."""

    folder: Path
    angpix: float
    diameter: float
    symmetry: str

    @classmethod
    def read(cls, folder: Path) -> Truth:
        """Read ``params.json``.

        Raises
        ------
        ValueError
            If the folder holds no simulated data set.
        """
        path = folder / "params.json"
        if not path.is_file():
            raise ValueError(f"{folder} is no simulated data set: it has no params.json")
        found = json.loads(path.read_text(encoding="utf-8"))
        names = ("angpix", "diameter", "symmetry")
        if missing := [name for name in names if name not in found]:
            raise ValueError(f"{path} lacks {', '.join(missing)}; simulate the data set anew")
        return cls(folder=folder, **{name: found[name] for name in names})

    def score_map(self, path: Path, symmetry: str | None = None) -> MapScore:
        """Compare an MRC map with ``truth.mrc``."""
        volume, angpix = read_map(path)
        truth, truth_angpix = read_map(self.folder / "truth.mrc")
        return score_map(volume, angpix, truth, truth_angpix, symmetry or self.symmetry)

    def score_picks(
        self, path: Path, angpix: float | None = None, tolerance: float | None = None
    ) -> PickScore:
        """Compare coordinates with ``truth_particles.star``; see `tables.read_picks`.

        Parameters
        ----------
        angpix
            Pixel size of the micrographs, Å; that of the movies by default.
        tolerance
            Å; a quarter of the specimen's diameter by default.
        """
        table = column_table(self.folder / "truth_particles.star", "rlnCoordinateX")
        names = table["rlnMicrographName"].astype(str).to_numpy()
        places = table[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy(float) * self.angpix
        true = {name: places[names == name] for name in self.movies()}
        picks = read_picks(path, true, angpix or self.angpix)
        return score_picks(picks, true, tolerance or self.diameter / 4)

    def score_defocus(self, path: Path) -> DefocusScore:
        """Compare a ``micrographs_ctf.star`` with ``truth_micrographs.star``."""
        true = read_defocus(self.folder / "truth_micrographs.star", self.movies())
        return score_defocus(read_defocus(path, true), true)

    def movies(self) -> list[str]:
        """Return the movies' names."""
        table = column_table(self.folder / "truth_micrographs.star", "rlnMicrographName")
        return [str(name) for name in table["rlnMicrographName"]]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser(prog="simulator.truth", description=__doc__)
    add = parser.add_argument
    add("truth", type=Path, help="folder of the simulated data set")
    add("maps", type=Path, nargs="*", help="MRC maps to compare with the true one")
    add("--symmetry", choices=SYMMETRIES, help="D2: axes as in the truth; C1: any orientation")
    add("--picks", type=Path, action="append", default=[], help="coordinates, or a picking job")
    add("--picks-angpix", type=float, help="pixel size of the micrographs they were picked on, Å")
    add("--tolerance", type=float, help="how far off a pick may be, Å (diameter / 4)")
    add("--defocus", type=Path, help="micrographs_ctf.star")
    add("--require-fsc05", type=float, metavar="Å", help="fail if a map is worse at FSC 0.5")
    add("--json", action="store_true", help="print one JSON object")
    return parser.parse_args(arguments)


def judge(options: argparse.Namespace) -> dict[str, Any]:
    """Return the scores of everything a command line names, by kind and path."""
    truth = Truth.read(options.truth)
    picked = (options.picks_angpix, options.tolerance)
    return {
        "maps": {str(path): truth.score_map(path, options.symmetry) for path in options.maps},
        "picks": {str(path): truth.score_picks(path, *picked) for path in options.picks},
        "defocus": truth.score_defocus(options.defocus) if options.defocus else None,
    }


def failures(maps: dict[str, MapScore], require_fsc05: float | None) -> list[str]:
    """Return a sentence for every map that is worse than required at FSC 0.5 (Å)."""
    return [
        f"{path} agrees with the truth only to {score.fsc05} at FSC 0.5; "
        f"{require_fsc05:g} Å or better is required"
        for path, score in maps.items()
        if require_fsc05 is not None and score.fsc05.angstrom > require_fsc05
    ]


def as_text(scores: dict[str, Any]) -> str:
    """Return the scores as lines for people."""
    lines = [
        f"{path}: FSC 0.5 {s.fsc05}, FSC 0.143 {s.fsc0143}, correlation {s.correlation:.3f}, "
        f"{'mirror image' if s.mirrored else 'same hand'}, {s.shift:.1f} Å off centre"
        for path, s in scores["maps"].items()
    ]
    lines += [
        f"{path}: {s.picks} picks, recall {s.recall:.3f}, precision {s.precision:.3f}, "
        f"position error {s.median_error:.1f} Å median, {s.rms_error:.1f} Å rms, "
        f"mean offset ({s.offset_x:+.1f}, {s.offset_y:+.1f}) Å"
        for path, s in scores["picks"].items()
    ]
    if s := scores["defocus"]:
        lines.append(
            f"defocus: rms error {s.rms_percent:.2f} %, worst {s.worst_percent:.2f} %, offset "
            f"{s.offset:+.0f} Å, astigmatism {s.rms_astigmatism:.0f} Å rms, {s.micrographs} "
            f"micrographs, {s.missing} missing"
        )
    return "\n".join(lines)


def as_json(scores: dict[str, Any], failed: list[str]) -> str:
    """Return the scores as one JSON object; what is unknown is null."""
    maps = {}
    for path, score in scores["maps"].items():
        frequency = np.arange(len(score.curve.values)) / score.curve.width
        curve = {
            "frequency": frequency.round(6).tolist(),
            "fsc": score.curve.values.round(4).tolist(),
        }
        maps[path] = asdict(score) | {"curve": curve}
    picks = {path: _finite(asdict(score)) for path, score in scores["picks"].items()}
    defocus = asdict(scores["defocus"]) if scores["defocus"] else None
    found = {"maps": maps, "picks": picks, "defocus": defocus, "failures": failed}
    return json.dumps(found, indent=2, allow_nan=False)


def _finite(numbers: dict[str, float]) -> dict[str, float | None]:
    return {name: value if np.isfinite(value) else None for name, value in numbers.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = parse(arguments)
    try:
        scores = judge(options)
    except (ValueError, OSError) as error:
        print(f"simulator.truth: {error}", file=sys.stderr)
        return 2
    failed = failures(scores["maps"], options.require_fsc05)
    print(as_json(scores, failed) if options.json else as_text(scores))
    for sentence in failed:
        print(f"simulator.truth: {sentence}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
