"""A small CTF estimator that speaks CTFFIND4's language, for machines without CTFFIND4 or Gctf.

RELION drives it unchanged: ``relion_run_ctffind --is_ctffind4 --ctffind_exe
relion-dispatch-ctffind``. It reads CTFFIND4's dialog from standard input and writes CTFFIND4's
results files and log. RELION starts it once for each micrograph, so this module imports only what
every Python has loaded anyway, and numpy and mrcfile come in when there is something to estimate.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from relion_dispatch.errors import DispatchError

USAGE = """\
usage: relion-dispatch-ctffind [--amplitude-spectrum-input] < answers

Estimates the CTF of one micrograph as CTFFIND4 does when RELION runs it:
  relion_run_ctffind --is_ctffind4 --ctffind_exe relion-dispatch-ctffind ...
The answers to CTFFIND4's questions come from standard input, one a line.

  --amplitude-spectrum-input  the input image is an amplitude spectrum (RELION's --use_given_ps)
  --help                      show this message
  --version                   show the version
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Estimate the CTF of one micrograph.

    Parameters
    ----------
    argv
        Arguments without the program's name; those of this process by default.

    Returns
    -------
    int
        Exit code: 0, or that of the error, whose message goes to standard error in one line.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    amplitude_spectrum = "--amplitude-spectrum-input" in arguments
    unknown = [word for word in arguments if word != "--amplitude-spectrum-input"]
    if unknown:
        return _without_dialog(unknown)
    # RELION runs as many of these side by side as there are cores.
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    try:
        from relion_dispatch.ctf.run import run

        text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
        log = run(text, amplitude_spectrum=amplitude_spectrum)
    except DispatchError as error:
        return _complain(str(error), error.exit_code)
    sys.stdout.write(log)
    return 0


def _without_dialog(words: list[str]) -> int:
    from relion_dispatch import __version__

    if "--help" in words or "-h" in words:
        sys.stdout.write(USAGE)
    elif "--version" in words:
        sys.stdout.write(f"relion-dispatch-ctffind {__version__}\n")
    else:
        hint = "; did you forget --is_ctffind4?" if "--old-school-input-ctffind4" in words else ""
        return _complain(f"unknown option {words[0]}{hint}; see --help", DispatchError.exit_code)
    return 0


def _complain(message: str, exit_code: int) -> int:
    one_line = " ".join(message.split())
    printable = one_line.encode("utf-8", "replace").decode()
    sys.stderr.write(f"relion-dispatch-ctffind: error: {printable}\n")
    return exit_code
