"""One function a step: settings, version and paths in, RELION's command lines out.

The lines are those that RELION's own window writes for the version at hand, without what is
decided where a job is sized: no launcher, no ``_mpi``, no ``--j``, no ``--gpu``.
"""

from __future__ import annotations

from relion_dispatch.pipeline.classification import (
    class2d,
    class2d_iterations,
    class3d,
)
from relion_dispatch.pipeline.commandline import without_running_options
from relion_dispatch.pipeline.initialmodel import (
    initial_model,
    initial_model_iterations,
    initial_model_map,
    start_seed,
)
from relion_dispatch.pipeline.picking import picking, topaz_training
from relion_dispatch.pipeline.polishing import ctf_refinement, polishing, polishing_training
from relion_dispatch.pipeline.preprocessing import (
    ctf,
    extraction,
    import_coordinates,
    import_movies,
    import_particles,
    joined_motion_correction,
    micrograph_pixel_size,
    motion_correction,
    reextraction,
    small_box_size,
)
from relion_dispatch.pipeline.refinement import (
    local_resolution,
    mask,
    postprocess,
    refine3d,
    refine_polished,
)

__all__ = [
    "class2d",
    "class2d_iterations",
    "class3d",
    "ctf",
    "ctf_refinement",
    "extraction",
    "import_coordinates",
    "import_movies",
    "import_particles",
    "initial_model",
    "initial_model_iterations",
    "initial_model_map",
    "joined_motion_correction",
    "local_resolution",
    "mask",
    "micrograph_pixel_size",
    "motion_correction",
    "picking",
    "polishing",
    "polishing_training",
    "postprocess",
    "reextraction",
    "refine3d",
    "refine_polished",
    "small_box_size",
    "start_seed",
    "topaz_training",
    "without_running_options",
]
