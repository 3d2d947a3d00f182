"""Files that are either whole or absent."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# The umask can only be read by changing it, for all threads: so once, and not at each file.
_UMASK = os.umask(0o077)
os.umask(_UMASK)


def write_text(path: str | os.PathLike[str], text: str, *, mode: int = 0o644) -> None:
    """Write ``text`` to ``path`` so that no reader ever sees half of it.

    Parameters
    ----------
    path
        The file to write; missing parent folders are made.
    text
        Its whole content, written as UTF-8 with surrogate escapes, so that file names of any
        bytes survive.
    mode
        Permission bits of the new file, before the umask.

    Raises
    ------
    OSError
        When the folder or the file cannot be written; an existing file is then unchanged.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        os.chmod(temporary, mode & ~_UMASK)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
