"""``python -m relion_dispatch.ctf`` is ``relion-dispatch-ctffind``."""

import sys

from relion_dispatch.ctf import main

sys.exit(main())
