"""Files that appear whole: whoever looks finds the old file or the new one, whatever happens."""

import contextlib
import os
import secrets
import stat
from pathlib import Path

UNFINISHED = r"[0-9a-z_]{8}\.tmp"  # what follows the stem in the name of an unfinished file


def replace(path: Path, content: bytes, mode: int) -> None:
    """Put a new file into the place of `path`, written beside it under another name.

    Args:
        path: the file; a link is replaced and not followed.
        content: all of it.
        mode: its permissions, less the umask.

    Raises:
        OSError: it cannot be written; what was there before is there still.
    """
    temporary = path.with_name(f"{path.stem}{secrets.token_hex(4)}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)  # a full disk may show only here
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def save(path: Path, content: bytes) -> None:
    """Put a user's file into the place of `path`, and make its folder where there is none.

    A link stays a link and its target is replaced, but one that leads nowhere is itself replaced.
    The new file has no permissions that the old one had not.

    Raises:
        OSError: it cannot be written, or something other than a plain file is there; what was there
            before is there still.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    place = Path(os.path.realpath(path))
    try:
        status = place.stat()
    except OSError:  # there is none
        replace(place if place.parent.is_dir() else path, content, 0o666)
        return
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no plain file"
        raise OSError(None, f"it is {kind}")
    replace(place, content, stat.S_IMODE(status.st_mode) & 0o777)


def check_folder(folder: Path) -> None:
    """Make a folder where there is none, and see whether files can be made there.

    Raises:
        OSError: they cannot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{secrets.token_hex(4)}.tmp"
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    os.unlink(temporary)
