"""Compiled kernels on disk: private to the user, found by content, never trusted unread.

One file for each kernel, ``<key>.o``: a SHA-256 of the key and the rest, then the object (for a GPU
its PTX and sizes as JSON). Files appear whole, so processes that compile the same kernel at once do
the same work twice and nothing worse.

What is loaded is run. So a file must be a plain file of the user's that nobody else may write, and
match its digest; otherwise its kernel is compiled again. The folder may hold other files: the cache
touches only files with its names and the user as owner.
"""

import contextlib
import errno
import hashlib
import os
import re
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

from evops import files
from evops.errors import EvopsCacheWarning, EvopsError

_DIGEST_BYTES = 32  # of SHA-256
_WRITTEN_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_SUFFIX = ".o"
# People point EVOPS_CACHE_DIR at folders of theirs, where "*.o" would take their files.
_OURS = re.compile(rf"[0-9a-f]{{64}}({re.escape(_SUFFIX)}|{files.UNFINISHED})")


def folder() -> Path:
    """Where kernels are kept: EVOPS_CACHE_DIR, else XDG_CACHE_HOME/evops, else ~/.cache/evops.

    Raises:
        EvopsError: the environment names none, and the user has no home.
    """
    if chosen := os.environ.get("EVOPS_CACHE_DIR"):
        return Path(chosen)
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # the XDG specification wants others to be ignored
        # Not Path.home(), which raises where there is neither HOME nor a passwd entry; this gives
        # "~".
        home = Path(os.path.expanduser("~"))
        if not home.is_absolute():
            raise EvopsError(
                "there is no home folder to keep compiled kernels in; set EVOPS_CACHE_DIR to a "
                "folder of your own"
            )
        base = home / ".cache"
    return base / "evops"


def load(key: str) -> bytes | None:
    """The kernel that is kept under this key; None if there is none that may be trusted."""
    try:
        path = folder() / f"{key}{_SUFFIX}"
    except EvopsError:  # `store`, which follows, warns; two warnings would say the same
        return None
    try:
        with _opened(path.parent, os.O_RDONLY | os.O_DIRECTORY) as (_, parent):
            if _distrust(parent):  # `store` warns
                return None
        # The handle is checked, not the path: another file could take its place before it is read.
        with _opened(path, os.O_RDONLY) as (handle, status):
            wrong = _distrust(status)
            if wrong is None and not stat.S_ISREG(status.st_mode):
                wrong = "it is not a plain file"
            if wrong is None:
                with open(handle, "rb", closefd=False) as file:  # `_opened` closes it
                    content = file.read()
                code = content[_DIGEST_BYTES:]
                if content[:_DIGEST_BYTES] == _digest(key, code):
                    return code
                wrong = "its content does not match its digest"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        # ELOOP is what O_NOFOLLOW gives.
        wrong = "it is a link" if error.errno == errno.ELOOP else error.strerror
    _warn(f"the compiled kernel {path} is not used: {wrong}; it is compiled again")
    return None


def store(key: str, code: bytes) -> None:
    """Keep a compiled kernel. If that fails, warn and go on: the kernel itself is there."""
    try:
        directory = folder()
    except EvopsError as error:
        _warn(f"compiled kernels are not kept: {error}")
        return
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        wrong = _distrust(directory.stat())
        if wrong is not None:
            raise PermissionError(None, wrong)
        files.replace(directory / f"{key}{_SUFFIX}", _digest(key, code) + code, 0o600)
    except OSError as error:
        _warn(
            f"compiled kernels are not kept in {directory}: {error.strerror or error}; "
            "set EVOPS_CACHE_DIR to a folder of your own"
        )


def other_owner() -> int | None:
    """The id of the user who owns the folder, if that is somebody else."""
    try:
        owner = folder().stat().st_uid
    except (FileNotFoundError, NotADirectoryError):
        return None
    return None if owner == os.geteuid() else owner


def entries() -> list[Path]:
    """The files of the cache, also unfinished ones, which a killed process leaves."""
    return [path for path, _ in _entries()]


def usage() -> tuple[int, int]:
    """Number of entries, and their bytes."""
    sizes = [size for _, size in _entries()]
    return len(sizes), sum(sizes)


def clear() -> tuple[int, int]:
    """Delete every entry, and return their number and bytes."""
    deleted = []
    for path, size in _entries():
        with contextlib.suppress(FileNotFoundError):  # another process may delete them, too
            path.unlink()
            deleted.append(size)
    return len(deleted), sum(deleted)


def _entries() -> list[tuple[Path, int]]:
    """Files that have a name of the cache's and belong to the user, as the folder does."""
    directory, found = folder(), []
    if not directory.is_dir() or other_owner() is not None:
        return found
    for path in sorted(p for p in directory.iterdir() if _OURS.fullmatch(p.name)):
        with contextlib.suppress(FileNotFoundError):
            status = path.lstat()  # of a link itself, which is no entry
            if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
                found.append((path, status.st_size))
    return found


def _digest(key: str, code: bytes) -> bytes:
    # With the key: a file under the name of another kernel does not match.
    return hashlib.sha256(key.encode() + code).digest()


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[tuple[int, os.stat_result]]:
    """A file descriptor and its status; links to files are not followed, pipes not waited for."""
    # A folder may be a link, as people move caches to other disks.
    links = 0 if flags & os.O_DIRECTORY else os.O_NOFOLLOW
    handle = os.open(path, flags | links | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield handle, os.fstat(handle)
    finally:
        os.close(handle)


def _distrust(status: os.stat_result) -> str | None:
    """Why a file or folder may be the work of another user, or None."""
    if status.st_uid != os.geteuid():
        return f"it belongs to user {status.st_uid}"
    if status.st_mode & _WRITTEN_BY_OTHERS:
        return f"others may write to it (mode {stat.S_IMODE(status.st_mode):o})"
    return None


def _warn(message: str) -> None:
    warnings.warn(message, EvopsCacheWarning, stacklevel=2)
