"""Compiled kernels on disk: private to the user, found by content, never trusted unread.

One file for each kernel, ``<key>.o``: the SHA-256 of the rest and of the key, then the object, or
for a GPU its PTX and sizes as JSON. Files appear whole, so processes that compile the same kernel
at once do the same work twice and nothing worse. What the user does not own, others may write, is
no plain file, or does not match its digest is not read further, and compiled again. The folder may
hold other files: what does not have a name and an owner of the cache's is never touched.
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

_DIGEST_BYTES = 32
_WRITTEN_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_SUFFIX = ".o"
_OURS = re.compile(rf"[0-9a-f]{{64}}({re.escape(_SUFFIX)}|{files.UNFINISHED})")


def folder() -> Path:
    """Where kernels are kept: EVOPS_CACHE_DIR, else XDG_CACHE_HOME/evops, else ~/.cache/evops.

    Raises:
        EvopsError: the environment names none, and the user has no home.
    """
    if chosen := os.environ.get("EVOPS_CACHE_DIR"):
        return Path(chosen)
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # to be ignored, as its specification has it
        home = Path(os.path.expanduser("~"))  # "~" where neither HOME nor a passwd entry is there
        if not home.is_absolute():
            raise EvopsError(
                "there is no home folder to keep compiled kernels in; set EVOPS_CACHE_DIR to a "
                "folder of your own"
            )
        base = home / ".cache"
    return base / "evops"


def load(key: str) -> bytes | None:
    """What is kept under this key; None where there is none that may be trusted."""
    try:
        path = folder() / f"{key}{_SUFFIX}"
    except EvopsError:  # `store` will say so
        return None
    try:
        with _opened(path.parent, os.O_RDONLY | os.O_DIRECTORY) as (_, parent):
            if _distrust(parent):  # `store` will say so
                return None
        with _opened(path, os.O_RDONLY) as (handle, status):
            wrong = _distrust(status)
            if wrong is None and not stat.S_ISREG(status.st_mode):
                wrong = "it is not a plain file"
            if wrong is None:
                with open(handle, "rb", closefd=False) as file:
                    content = file.read()
                code = content[_DIGEST_BYTES:]
                if content[:_DIGEST_BYTES] == _digest(key, code):
                    return code
                wrong = "its content does not match its digest"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        wrong = "it is a link" if error.errno == errno.ELOOP else error.strerror
    _warn(f"the compiled kernel {path} is not used: {wrong}; it is compiled again")
    return None


def store(key: str, code: bytes) -> None:
    """Keep a compiled kernel; where that cannot be done, say so and go on."""
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
    """The user whom the folder belongs to, where that is somebody else."""
    try:
        owner = folder().stat().st_uid
    except (FileNotFoundError, NotADirectoryError):
        return None
    return None if owner == os.geteuid() else owner


def entries() -> list[Path]:
    """The files of the cache, unfinished ones too."""
    return [path for path, _ in _entries()]


def usage() -> tuple[int, int]:
    """How many entries there are, and their bytes."""
    sizes = [size for _, size in _entries()]
    return len(sizes), sum(sizes)


def clear() -> tuple[int, int]:
    """Delete every entry; how many there were, and their bytes."""
    deleted = []
    for path, size in _entries():
        with contextlib.suppress(FileNotFoundError):  # another process was faster
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
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
                found.append((path, status.st_size))
    return found


def _digest(key: str, code: bytes) -> bytes:
    return hashlib.sha256(key.encode() + code).digest()


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[tuple[int, os.stat_result]]:
    """A file descriptor and what it is; links are not followed to a file, nor pipes waited for."""
    links = 0 if flags & os.O_DIRECTORY else os.O_NOFOLLOW
    handle = os.open(path, flags | links | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield handle, os.fstat(handle)
    finally:
        os.close(handle)


def _distrust(status: os.stat_result) -> str | None:
    """Why a file or folder may be another's work, or None."""
    if status.st_uid != os.geteuid():
        return f"it belongs to user {status.st_uid}"
    if status.st_mode & _WRITTEN_BY_OTHERS:
        return f"others may write to it (mode {stat.S_IMODE(status.st_mode):o})"
    return None


def _warn(message: str) -> None:
    warnings.warn(message, EvopsCacheWarning, stacklevel=2)
