"""A project as the pipeline leaves it, of a few kilobytes: STAR files and images made by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import yaml

from tests.unit.star_files import class_row, loop, pairs, write_model

SIDE, ANGPIX = 24, 5.0
CLASSES = 5
CONFIG: Mapping[str, Any] = {
    "movies": "Movies/*.mrcs",
    "optics": {"pixel_size": ANGPIX, "voltage": 300},
    "dose": {"per_frame": 1.5},
    "sample": {
        "particle_diameter": 90,
        "symmetry": "D2",
        "box_size": SIDE,
        "small_box_size": SIDE,
    },
    "ctf": {"program": "builtin"},
    "class2d": {"algorithm": "em", "classes": CLASSES, "iterations": 3},
    "initial_model": {"starts": 2},
    "class3d": {"classes": 2, "iterations": 2},
}


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """A project and what it is made of.

    Attributes
    ----------
    root
        Its directory.
    names
        Its micrographs.
    per_micrograph
        How many particles each of them has.
    """

    root: Path
    names: tuple[str, ...]
    per_micrograph: int = 4

    # ------------------------------------------------------------------------------------ writing

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def image(self, name: str, pixels: np.ndarray[Any, Any], angpix: float = ANGPIX) -> None:
        """Write an MRC file of the project."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with mrcfile.new(path, overwrite=True) as handle:
            handle.set_data(pixels.astype(np.float32))
            handle.voxel_size = angpix

    def ran(self, *directories: str) -> None:
        """Leave what a job leaves when it ends well."""
        for directory in directories:
            self.write(f"{directory}/run.out", "relion-dispatch: exit code 0 after 3 s\n")
            self.write(f"{directory}/RELION_JOB_EXIT_SUCCESS", "")

    # ------------------------------------------------------------------------------------- stages

    def begin(self, version: str = "3.1.3", **config: Any) -> None:
        """Write the configuration and what the check before the first job keeps."""
        self.write("config.yaml", yaml.safe_dump({**CONFIG, **config}))
        check = {
            "facts": {"frames": 12, "dose (e/Å²)": 18.0},
            "versions": {"RELION": version, "snakemake": "9.27.1", "relion-dispatch": "0.1.0"},
        }
        self.write(".relion_dispatch/check.json", json.dumps(check))

    def preprocess(self) -> None:
        """Import movies, correct their motion, estimate CTFs."""
        movies = loop("movies", ("rlnMicrographMovieName",), [(name,) for name in self.names])
        self.write("Import/job001/movies.star", movies)
        labels = ("rlnMicrographName", "rlnMicrographMetadata", "rlnAccumMotionTotal")
        random = np.random.default_rng(3)
        drift = random.normal(9, 1, len(self.names))
        rows = [
            (name, f"{name.removesuffix('.mrc')}.star", f"{value:.3f}")
            for name, value in zip(self.names, drift, strict=True)
        ]
        text = loop("optics", ("rlnOpticsGroup",), [(1,)]) + loop("micrographs", labels, rows)
        self.write("MotionCorr/job002/corrected_micrographs.star", text)
        fit = ("rlnMicrographName", "rlnDefocusU", "rlnDefocusV", "rlnCtfMaxResolution")
        defocus = random.normal(15000, 800, len(self.names))
        fits = [
            (name, f"{u:.1f}", f"{u - 150:.1f}", "7.0")
            for name, u in zip(self.names, defocus, strict=True)
        ]
        text = loop("optics", ("rlnOpticsGroup",), [(1,)]) + loop("micrographs", fit, fits)
        self.write("CtfFind/job003/micrographs_ctf.star", text)
        self.ran("Import/job001", "MotionCorr/job002", "CtfFind/job003")

    def frames(self, name: str) -> None:
        """Write a movie's tracks and its micrograph."""
        shifts = loop(
            "global_shift",
            ("rlnMicrographFrameNumber", "rlnMicrographShiftX", "rlnMicrographShiftY"),
            [(frame, 0.3 * frame, -0.2 * frame) for frame in range(1, 13)],
        )
        general = pairs("general", rlnMicrographOriginalPixelSize=ANGPIX)
        self.write(f"{name.removesuffix('.mrc')}.star", general + shifts)
        self.image(name, np.random.default_rng(1).normal(size=(96, 128)))

    def particles(self, name: str, count: int, *, images: str = "Extract/job005/a.mrcs") -> None:
        """Write a table of the first so many particles, classes and orientations included."""
        labels = (
            *("rlnImageName", "rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY"),
            *("rlnAutopickFigureOfMerit", "rlnClassNumber", "rlnAngleRot", "rlnAngleTilt"),
            *("rlnDefocusU", "rlnDefocusV"),
        )
        random = np.random.default_rng(7)
        rows = [
            (
                f"{at + 1:06d}@{images}",
                self.names[at // self.per_micrograph % len(self.names)],
                *(f"{value:.2f}" for value in random.uniform(50, 400, 2)),
                f"{random.uniform(0.1, 0.5):.4f}",
                at % CLASSES + 1,
                f"{random.uniform(-180, 180):.2f}",
                f"{random.uniform(0, 90):.2f}",
                15000 + at,
                14900 + at,
            )
            for at in range(count)
        ]
        text = loop("optics", ("rlnOpticsGroup",), [(1,)]) + loop("particles", labels, rows)
        self.write(name, text)

    @property
    def total(self) -> int:
        """How many particles there are."""
        return self.per_micrograph * len(self.names)

    def pick(self) -> None:
        """Pick and extract particles."""
        rows = [(name, self.per_micrograph) for name in self.names]
        summary = loop("", ("rlnMicrographName", "rlnGroupNrParticles"), rows)
        self.write("AutoPick/job004/summary.star", summary)
        self.particles("Extract/job005/particles.star", self.total)
        self.ran("AutoPick/job004", "Extract/job005")

    def classify_2d(self) -> None:
        """Classify in 2D, and keep all but the last class."""
        root = "Class2D/job006/run_it003"
        rows = [
            class_row(0.2, 20.0 + at, image=f"{at + 1:06d}@{root}_classes.mrcs")
            for at in range(CLASSES)
        ]
        write_model(self.root / f"{root}_model.star", rows, particles=self.total)
        self.particles(f"{root}_data.star", self.total)
        self.image(f"{root}_classes.mrcs", np.random.default_rng(2).normal(size=(CLASSES, 16, 16)))
        kept = [(f"{at + 1}@{root}_classes.mrcs",) for at in range(CLASSES - 1)]
        averages = loop("", ("rlnReferenceImage",), kept)
        self.write("Select/job007/class_averages.star", averages)
        self.particles("Select/job007/particles.star", self.total - CLASSES)
        self.ran("Class2D/job006", "Select/job007")

    def verdict(self, name: str, level: str = "fine", resolution: float = 12.0) -> None:
        """Write a verdict."""
        evidence = [{"name": "Pmax", "value": 0.5, "level": level, "text": "average Pmax 0.50"}]
        values = {
            "verdict": level,
            "evidence": evidence,
            "unknown": ["the hand"],
            "resolution_angst": resolution,
        }
        self.write(name, json.dumps(values))

    def ball(self, name: str, side: int = SIDE) -> None:
        """Write a map of a ball."""
        axes = np.indices((side, side, side)) - side / 2
        distance = np.sqrt(np.square(axes).sum(axis=0))
        self.image(name, np.exp(-np.square(distance / (0.25 * side))), ANGPIX * SIDE / side)

    def model_3d(self) -> None:
        """Make initial models and 3D classes."""
        for start, job in ((1, "job011"), (2, "job012")):
            root = f"InitialModel/{job}"
            write_model(
                self.root / root / "score_it001_model.star",
                [class_row(1.0, 18.0)],
                likelihood=1000.0 + start,
                particles=self.total,
            )
            self.ball(f"{root}/run_it300_class001.mrc")
            self.ran(root)
        self.ball("Select/job031/initial_model.mrc")
        self.verdict("Select/job031/verdict.json", resolution=18.0)
        root = "Class3D/job032/run_it002"
        rows = [class_row(0.5, 15.0, image=f"{root}_class00{at}.mrc") for at in (1, 2)]
        write_model(self.root / f"{root}_model.star", rows, particles=self.total)
        self.particles(f"{root}_data.star", self.total)
        for at in (1, 2):
            self.ball(f"{root}_class00{at}.mrc")
        averages = loop("", ("rlnReferenceImage",), [(f"{root}_class001.mrc",)])
        self.write("Select/job033/class_averages.star", averages)
        self.particles("Select/job033/particles.star", self.total - 2 * CLASSES)
        self.verdict("Select/job033/verdict.json", resolution=15.0)
        self.ran("Select/job031", "Class3D/job032", "Select/job033")

    def refine(self, refined: str, mask: str, postprocess: str) -> None:
        """Refine, and measure the resolution."""
        self.ball(f"{refined}/run_class001.mrc")
        self.particles(f"{refined}/run_data.star", self.total - 2 * CLASSES)
        for at, angst in ((0, 20), (1, 15), (2, 12)):
            model = pairs("model_general", rlnCurrentResolution=angst)
            self.write(f"{refined}/run_it{at:03d}_half1_model.star", model)
        self.ball(f"{mask}/mask.mrc")
        for name in ("postprocess", "postprocess_masked"):
            self.ball(f"{postprocess}/{name}.mrc")
        self.write(f"{postprocess}/postprocess.star", postprocess_star())
        self.verdict(f"{refined}/verdict.json")
        self.ran(refined, mask, postprocess)

    def polish(self) -> None:
        """Do one round of CTF refinement and polishing."""
        self.particles("CtfRefine/job041/particles_ctf_refine.star", self.total - 2 * CLASSES)
        self.particles("Polish/job043/shiny.star", self.total - 2 * CLASSES)
        rows = [(frame, -10.0 * frame, 0.0) for frame in range(12)]
        labels = ("rlnMovieFrameNumber", "rlnBfactorUsedForSharpening", "rlnFitted")
        self.write("Polish/job043/bfactors.star", loop("perframe_bfactors", labels, rows))
        for name in self.names:
            text = pairs("general", rlnParticleNumber=self.per_micrograph)
            for at in range(self.per_micrograph):
                steps = [(0.5 * frame, 0.25 * frame) for frame in range(12)]
                text += loop(str(at), ("rlnOriginXAngst", "rlnOriginYAngst"), steps)
            stem = Path(name).stem
            self.write(f"Polish/job043/Movies/{stem}_tracks.star", text)
        self.ran("CtfRefine/job041", "Polish/job043")

    def finish(self) -> None:
        """Do everything."""
        self.begin()
        self.preprocess()
        for name in self.names[:8]:
            self.frames(name)
        self.pick()
        self.classify_2d()
        self.model_3d()
        self.refine("Refine3D/job035", "MaskCreate/job036", "PostProcess/job037")
        self.polish()
        self.refine("Refine3D/job044", "MaskCreate/job045", "PostProcess/job046")
        values = np.full((SIDE, SIDE, SIDE), 9.0)
        values[: SIDE // 2] = 11.0
        self.image("LocalRes/job047/relion_locres.mrc", values)
        self.ran("LocalRes/job047")


def postprocess_star() -> str:
    """Write what post-processing writes: the corrected FSC is 0.143 between two shells."""
    general = pairs(
        "general",
        rlnFinalResolution="10.0",
        rlnBfactorUsedForSharpening="-120.4",
        rlnFittedSlopeGuinierPlot="-30.1",
        rlnFittedInterceptGuinierPlot="-6.0",
    )
    labels = (
        "rlnResolution",
        "rlnFourierShellCorrelationCorrected",
        "rlnFourierShellCorrelationUnmaskedMaps",
        "rlnFourierShellCorrelationMaskedMaps",
        "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps",
    )
    curve = (1.0, 0.95, 0.8, 0.5, 0.243, 0.043, 0.02)
    rows = [(0.02 * at or 0.001, value, value - 0.1, value, 0.01) for at, value in enumerate(curve)]
    guinier = loop(
        "guinier",
        ("rlnResolutionSquared", "rlnLogAmplitudesOriginal", "rlnLogAmplitudesSharpened"),
        [((0.02 * at) ** 2, -6 - 0.2 * at, -99.0 if at == 6 else -6.0) for at in range(7)],
    )
    return general + loop("fsc", labels, rows) + guinier


def tiny(root: Path, micrographs: int = 6, pattern: str = "mov{:03d}") -> Tiny:
    """Describe a project; nothing is written yet."""
    names = (
        f"MotionCorr/job002/Movies/{pattern.format(at)}.mrc" for at in range(1, micrographs + 1)
    )
    return Tiny(root=root, names=tuple(names))
