"""Has RELION turn and flip a gain reference, as it does before it starts MotionCor2."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from relion_dispatch import processes
from relion_dispatch.errors import DispatchError, InputError

PROGRAM = "relion_run_motioncorr"
_MOST_S = 3600.0


def main(argv: Sequence[str] | None = None) -> int:
    """Write ``gain.mrc`` in the job's directory: RELION does so even when nothing is to be done."""
    parser = argparse.ArgumentParser(prog="sharding.gain", description=__doc__, allow_abbrev=False)
    parser.add_argument("--i", required=True, metavar="STAR", help="a list of movies")
    parser.add_argument("--o", required=True, metavar="DIR", help="the job's directory")
    parser.add_argument("--file", required=True, help="the gain reference")
    parser.add_argument("--rotation", required=True, help="as --gain_rot of RELION")
    parser.add_argument("--flip", required=True, help="as --gain_flip of RELION")
    args = parser.parse_args(argv)
    words = [PROGRAM, "--use_own", "--i", args.i, "--o", args.o, "--gainref", args.file]
    words += ["--gain_rot", args.rotation, "--gain_flip", args.flip]
    try:
        # Were nothing excluded, it would correct the movies.
        nothing = ["--only_do_unfinished", "--do_at_most", "0"]
        done = processes.run([*words, *nothing], timeout_s=_MOST_S)
        sys.stdout.write(done.stdout)
        if done.returncode != 0:
            raise InputError(f"RELION could not turn {args.file}:\n{done.stderr.strip()}")
    except DispatchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
