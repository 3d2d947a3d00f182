"""Which job directory a step writes to: one fixed number per step.

The numbers do not depend on which steps run, so leaving a step out, adding a start or a round
never renames what is there already.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_STARTS = 20
MAX_ROUNDS = 6
FIRST_START = 11
FIRST_ROUND = 40
JOBS_PER_ROUND = 10

# Step: RELION's directory for its job type, job number. The steps are named as in config.yaml.
STEPS: dict[str, tuple[str, int]] = {
    "import": ("Import", 1),
    "motion_correction": ("MotionCorr", 2),
    "ctf": ("CtfFind", 3),
    "picking": ("AutoPick", 4),
    "extraction": ("Extract", 5),
    "class2d": ("Class2D", 6),
    "select2d": ("Select", 7),
    "topaz_training": ("AutoPick", 8),
    "import_coordinates": ("Import", 9),
    "rank_starts": ("Select", 31),
    "class3d": ("Class3D", 32),
    "select3d": ("Select", 33),
    "reextraction": ("Extract", 34),
    "refine3d": ("Refine3D", 35),
    "mask": ("MaskCreate", 36),
    "postprocess": ("PostProcess", 37),
    "local_resolution": ("LocalRes", 38),
}
# The same for the steps of a round; the number is counted from the round's first.
ROUND_STEPS: dict[str, tuple[str, int]] = {
    "ctf_refinement": ("CtfRefine", 1),
    "polishing_training": ("Polish", 2),
    "polishing": ("Polish", 3),
    "refine3d": ("Refine3D", 4),
    "mask": ("MaskCreate", 5),
    "postprocess": ("PostProcess", 6),
    "local_resolution": ("LocalRes", 7),
}
STEP_NAMES = tuple(sorted({*STEPS, *ROUND_STEPS, "initial_model"}))


@dataclass(frozen=True)
class Layout:
    """Job directories of a project, relative to it and with RELION's trailing slash.

    Parameters
    ----------
    first_job
        Number of the first job; all numbers are shifted with it.
    """

    first_job: int = 1

    def dir(self, step: str, *, round: int | None = None) -> str:  # noqa: A002 (RELION's users say round)
        """Directory of a step, such as ``Class3D/job032/``.

        Parameters
        ----------
        step
            A step of :data:`STEPS`, or of :data:`ROUND_STEPS` together with ``round``.
        round
            Round of CTF refinement and polishing, from 1; None or 0 for the steps before them.

        Raises
        ------
        ValueError
            When there is no such step or round.
        """
        steps = ROUND_STEPS if round else STEPS
        if step not in steps:
            where = f"in round {round}" if round else "outside the rounds"
            raise ValueError(f"there is no step {step!r} {where}: {', '.join(steps)}")
        folder, number = steps[step]
        return self._job(folder, number + _round_offset(round))

    def start(self, start: int) -> str:
        """Directory of one start of the initial model, from 1 to :data:`MAX_STARTS`."""
        if not 1 <= start <= MAX_STARTS:
            raise ValueError(f"there is no start {start}: 1 to {MAX_STARTS}")
        return self._job("InitialModel", FIRST_START + start - 1)

    def path(self, step: str, name: str, *, round: int | None = None) -> str:  # noqa: A002
        """Path of a file in a step's directory."""
        return self.dir(step, round=round) + name

    def _job(self, folder: str, number: int) -> str:
        return f"{folder}/job{number + self.first_job - 1:03d}/"


def _round_offset(number: int | None) -> int:
    if not number:
        return 0
    if not 1 <= number <= MAX_ROUNDS:
        raise ValueError(f"there is no round {number}: 1 to {MAX_ROUNDS}")
    return FIRST_ROUND + JOBS_PER_ROUND * (number - 1)
