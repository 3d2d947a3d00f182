"""What RELION's versions call job types, states and files in their book-keeping.

RELION 3.1 writes numbers, 4.0 and 5.0 write words, not all of them the same. The tables are those
of ``src/pipeline_jobs.h`` of the branches ver3.1, ver4.0 and ver5.0. All versions are read; what is
written is of the RELION that the project uses.
"""

from __future__ import annotations

from dataclasses import dataclass

RUNNING, SCHEDULED, SUCCEEDED = "Running", "Scheduled", "Succeeded"
FAILED, ABORTED = "Failed", "Aborted"
#: At the place of its number in RELION 3.1.
STATES = (RUNNING, SCHEDULED, SUCCEEDED, FAILED, ABORTED)

#: Directory of a job type: its number in RELION 3.1, its label from 4.0 on.
JOB_TYPES = {
    "Import": (0, "relion.import"),
    "MotionCorr": (1, "relion.motioncorr"),
    "CtfFind": (2, "relion.ctffind"),
    "ManualPick": (3, "relion.manualpick"),
    "AutoPick": (4, "relion.autopick"),
    "Extract": (5, "relion.extract"),
    "Select": (7, "relion.select"),
    "Class2D": (8, "relion.class2d"),
    "Class3D": (9, "relion.class3d"),
    "Refine3D": (10, "relion.refine3d"),
    "MaskCreate": (12, "relion.maskcreate"),
    "JoinStar": (13, "relion.joinstar"),
    "Subtract": (14, "relion.subtract"),
    "PostProcess": (15, "relion.postprocess"),
    "LocalRes": (16, "relion.localres"),
    "InitialModel": (18, "relion.initialmodel"),
    "MultiBody": (19, "relion.multibody"),
    "Polish": (20, "relion.polish"),
    "CtfRefine": (21, "relion.ctfrefine"),
    "External": (99, "relion.external"),
}

#: Kinds of files: number in RELION 3.1, label in 4.0, label in 5.0. A kind's name is RELION 3.1's
#: kind, and behind a colon the job that makes it where the later labels tell that.
_MOVIES4, _MOVIES5 = "MicrographMoviesData.star.relion", "MicrographMovieGroupMetadata.star.relion"
_MICS4, _MICS5 = "MicrographsData.star.relion", "MicrographGroupMetadata.star.relion"
_COORDS4, _COORDS5 = "MicrographsCoords.star.relion", "MicrographCoordsGroup.star.relion"
_PARTS4, _PARTS5 = "ParticlesData.star.relion", "ParticleGroupMetadata.star.relion"
_IMAGES4, _IMAGES5 = "ImagesData.star.relion", "Image2DGroupMetadata.star.relion"
_OPT4, _OPT5 = "ProcessData.star.relion.optimiser", "OptimiserData.star.relion"
_MAP, _LOG = "DensityMap.mrc", "LogFile.pdf.relion"
_POST = "ProcessData.star.relion.postprocess"

FILE_KINDS: dict[str, tuple[int, str, str]] = {
    "movies": (0, _MOVIES4, _MOVIES5),
    "micrographs": (1, _MICS4, _MICS5),
    "micrographs:motioncorr": (1, f"{_MICS4}.motioncorr", f"{_MICS5}.motioncorr"),
    "micrographs:ctf": (1, f"{_MICS4}.ctf", f"{_MICS5}.ctf"),
    "coordinates": (2, _COORDS4, _COORDS5),
    "coordinates:autopick": (2, f"{_COORDS4}.autopick", f"{_COORDS5}.autopick"),
    "coordinates:reextract": (2, f"{_COORDS4}.reextract", f"{_COORDS5}.reextract"),
    "particles": (3, _PARTS4, _PARTS5),
    "particles:class2d": (3, f"{_PARTS4}.class2d", f"{_PARTS5}.class2d"),
    # The window of 5.0 gives the particles of a 3D classification this label too.
    "particles:class3d": (3, f"{_PARTS4}.class3d", f"{_PARTS5}.refine3d"),
    "particles:refine3d": (3, f"{_PARTS4}.refine3d", f"{_PARTS5}.refine3d"),
    "particles:ctfrefine": (3, f"{_PARTS4}.ctfrefine", f"{_PARTS5}.ctfrefine"),
    "particles:anisomagrefine": (3, f"{_PARTS4}.anisomagrefine", f"{_PARTS5}.anisomagrefine"),
    "particles:polished": (3, f"{_PARTS4}.polished", f"{_PARTS5}.polished"),
    "references": (5, _IMAGES4, _IMAGES5),
    "references:classaverages": (5, f"{_IMAGES4}.classaverages", f"{_IMAGES5}.classaverages"),
    "map": (6, _MAP, _MAP),
    "map:initialmodel": (6, f"{_MAP}.relion.initialmodel", f"{_MAP}.relion.initialmodel"),
    "map:class3d": (6, f"{_MAP}.relion.class3d", f"{_MAP}.relion.class3d"),
    "map:refine3d": (6, f"{_MAP}.relion.refine3d", f"{_MAP}.relion.refine3d"),
    "mask": (7, "Mask3D.mrc", "Mask3D.mrc"),
    "mask:maskcreate": (7, "Mask3D.mrc.relion", "Mask3D.mrc.relion"),
    "optimiser": (9, _OPT4, _OPT5),
    "optimiser:class2d": (9, f"{_OPT4}.class2d", f"{_OPT5}.class2d"),
    "optimiser:class3d": (9, f"{_OPT4}.class3d", f"{_OPT5}.class3d"),
    "optimiser:refine3d": (9, f"{_OPT4}.refine3d", f"{_OPT5}.refine3d"),
    # Only RELION 3.1 makes selections from model files; later ones use the optimiser's.
    "model": (8, _OPT4, _OPT5),
    "halfmap": (10, f"{_MAP}.halfmap", f"{_MAP}.halfmap"),
    "halfmap:refine3d": (
        10,
        f"{_MAP}.relion.halfmap.refine3d",
        f"{_MAP}.relion.halfmap.refine3d",
    ),
    "finalmap:postprocess": (11, f"{_MAP}.relion.postprocess", f"{_MAP}.relion.postprocess"),
    "finalmap:masked": (
        11,
        f"{_MAP}.relion.postprocess.masked",
        f"{_MAP}.relion.postprocess.masked",
    ),
    "finalmap:localres": (
        11,
        f"{_MAP}.relion.localresfiltered",
        f"{_MAP}.relion.localresfiltered",
    ),
    "localres": (12, "Image3D.mrc.resmap.localresmap", "Image3D.mrc.resmap.localresmap"),
    "log:motioncorr": (13, f"{_LOG}.motioncorr", f"{_LOG}.motioncorr"),
    "log:ctffind": (13, f"{_LOG}.ctffind", f"{_LOG}.ctffind"),
    "log:autopick": (13, f"{_LOG}.autopick", f"{_LOG}.autopick"),
    "log:postprocess": (13, f"{_LOG}.postprocess", f"{_LOG}.postprocess"),
    "log:localres": (13, f"{_LOG}.localres", f"{_LOG}.localres"),
    "log:ctfrefine": (13, f"{_LOG}.ctfrefine", f"{_LOG}.ctfrefine"),
    "log:polish": (13, f"{_LOG}.polish", f"{_LOG}.polish"),
    "postprocess": (14, _POST, _POST),
    "polishparams": (15, "ProcessData.txt.relion.polish.params", "ParamsData.txt.relion.polish"),
    "topazmodel": (13, "ProcessData.sav.topaz.model", "ParamsData.sav.topaz.model"),
}

#: A number's kind when nothing more is known of the file.
_KIND_OF_NUMBER = {
    0: "movies",
    1: "micrographs",
    2: "coordinates",
    3: "particles",
    5: "references",
    6: "map",
    7: "mask",
    8: "model",
    9: "optimiser",
    10: "halfmap",
    11: "finalmap:postprocess",
    12: "localres",
    13: "log:postprocess",
    14: "postprocess",
    15: "polishparams",
}
#: What a label of 4.0 or 5.0 contains, and its number; the first that fits counts.
_NUMBER_OF_LABEL = (
    ("LogFile", 13),
    ("MicrographMovie", 0),
    ("MicrographsCoords", 2),
    ("MicrographCoords", 2),
    ("Micrograph", 1),
    ("Particle", 3),
    ("ImagesData", 5),
    ("Image2D", 5),
    ("Mask3D", 7),
    ("halfmap", 10),
    (".postprocess.masked", 11),
    ("DensityMap.mrc.relion.postprocess", 11),
    ("localresfiltered", 11),
    ("DensityMap", 6),
    ("optimiser", 9),
    ("OptimiserData", 9),
    ("localresmap", 12),
    ("ProcessData.star.relion.postprocess", 14),
    ("relion.polish", 15),
)
_UNKNOWN_NUMBER = 13
#: Words of 4.0's labels and what 5.0 made of them (``PipeLine::convertOldNodeTypeLabel``).
_RENAMED = (
    ("ParticlesData", "ParticleGroupMetadata"),
    ("MicrographMoviesData", "MicrographMovieGroupMetadata"),
    ("MicrographsData", "MicrographGroupMetadata"),
    ("MicrographsCoords", "MicrographCoordsGroup"),
    ("ImagesData", "Image2DGroupMetadata"),
)


@dataclass(frozen=True, kw_only=True)
class Flavour:
    """How one version of RELION writes its book-keeping.

    Attributes
    ----------
    name
        The version, such as ``3.1``.
    format
        Number of the STAR format in front of each table.
    column
        Column of a file's kind in :data:`FILE_KINDS`; 0 for numbers.
    """

    name: str
    format: int
    column: int

    @property
    def words(self) -> bool:
        """Whether types and states are words."""
        return self.column > 0

    @property
    def depth(self) -> bool:
        """Whether files have a depth of their label."""
        return self.column > 1

    def kind(self, kind: str) -> str:
        """Write a kind of file of :data:`FILE_KINDS`."""
        return str(FILE_KINDS[kind][self.column])

    def job_type(self, folder: str, sub: str = "") -> str:
        """Write a job type, by its directory of :data:`JOB_TYPES`; ``sub`` as in ``.own``."""
        number, label = JOB_TYPES[folder]
        return f"{label}{sub}" if self.words else str(number)

    def state(self, state: str) -> str:
        """Write one of :data:`STATES`."""
        return state if self.words else str(STATES.index(state))


RELION_3_1 = Flavour(name="3.1", format=30001, column=0)
RELION_4_0 = Flavour(name="4.0", format=30001, column=1)
RELION_5_0 = Flavour(name="5.0", format=50001, column=2)
FLAVOURS = {each.name: each for each in (RELION_3_1, RELION_4_0, RELION_5_0)}


def flavour(major: int) -> Flavour:
    """Return how a RELION writes, by its major version."""
    return {3: RELION_3_1, 4: RELION_4_0}.get(major, RELION_5_0)


def state_of(text: str) -> str:
    """Read a state, a word or a number; what is none comes back as it is."""
    return STATES[int(text)] if text.isdigit() and int(text) < len(STATES) else text


def convert_kind(text: str, to: Flavour) -> str:
    """Write another version's kind of file, number or label, as ``to`` does."""
    if text.isdigit():
        kind = _KIND_OF_NUMBER.get(int(text))
        return text if not to.words else to.kind(kind) if kind else _unknown(to)
    if not to.words:
        found = (number for word, number in _NUMBER_OF_LABEL if word in text)
        return str(next(found, _UNKNOWN_NUMBER))
    for old, new in _RENAMED:
        before, after = (old, new) if to.depth else (new, old)
        if before in text:
            return text.replace(before, after)
    return text


def _unknown(to: Flavour) -> str:
    return to.kind("log:postprocess")


def convert_job_type(text: str, to: Flavour) -> str:
    """Write another version's job type, number or label, as ``to`` does."""
    if text.isdigit() == (not to.words):
        return text
    for number, label in JOB_TYPES.values():
        if text == str(number):
            return label
        if text == label or text.startswith(f"{label}."):
            return str(number)
    return text
