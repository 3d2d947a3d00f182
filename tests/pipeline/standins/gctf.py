"""In Gctf's place: writes the same CTF for every micrograph, where RELION reads it back.

RELION's side is ``executeGctf`` and ``getCtffind3Results`` in ``src/ctffind_runner.cpp``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

LOG = """\
CS[mm], HT[kV], ac, XMAG, DStep[um]
2.7 300.0 0.1 10000.0 3.5
Defocus_U Defocus_V Angle CCC
13000.0 12500.0 30.0 0.150 Final Values
Resolution limit estimated by EPA: 8.500
"""


def main() -> None:
    """Write a log for each micrograph of the command line."""
    if sys.argv[1:] == ["--version"]:
        print("Gctf stand-in 0.0.1")
        return
    for micrograph in (Path(word) for word in sys.argv[1:] if word.endswith(".mrc")):
        micrograph.with_name(f"{micrograph.stem}_gctf.log").write_text(LOG)
        micrograph.with_suffix(".ctf").touch()
        micrograph.with_suffix(".arguments").write_text(json.dumps(sys.argv[1:]))


if __name__ == "__main__":
    main()
