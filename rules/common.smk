import os
import sys

from snakemake.exceptions import WorkflowError

from relion_dispatch.errors import DispatchError
from relion_dispatch.pipeline import commands, hooks
from relion_dispatch.pipeline.in_use import profile_in_use
from relion_dispatch.pipeline.steps import Project
from relion_dispatch.project.planned import remember
from relion_dispatch.report import stages as reporting
from relion_dispatch.sharding.jobs import Step, import_lines

# A project without the module statement keeps its options here.
if os.path.exists("config.yaml"):

    configfile: "config.yaml"


def load_project():
    """The pipeline that the configuration asks for; a wrong one is the user's error, not ours."""
    try:
        profile = profile_in_use(sys.argv, os.environ, remote=workflow.remote_exec)
        inside = workflow.remote_exec or workflow.subprocess_exec
        cores = None if inside else workflow.resource_settings.cores
        given = workflow.resource_settings.overwrite_resources
        return Project.load(config, profile, only_noted=inside, cores=cores, given=given)
    except DispatchError as error:
        raise WorkflowError(str(error)) from None


PROJECT = load_project()
remember(PROJECT)
SETTINGS, VERSION = PROJECT.settings, PROJECT.version
path = PROJECT.path
