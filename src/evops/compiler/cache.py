"""Compiled kernels on disk: private to the user, found by content, never trusted unread.

One file for each kernel, ``<key>.o``: the SHA-256 of the rest and of the key, then the object, or
for a GPU its PTX and sizes as JSON. Files appear whole (written under another name, then renamed),
so processes that compile the same kernel at once do the same work twice and nothing worse. What the
user does not own, others may write, is no plain file, or does not match its digest is not read
further, and compiled again.
"""

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from evops.errors import EvopsCacheWarning

_DIGEST_BYTES = 32
_WRITTEN_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_SUFFIX = ".o"
_UNFINISHED = ".tmp"


def folder() -> Path:
    """Where kernels are kept: EVOPS_CACHE_DIR, else XDG_CACHE_HOME/evops, else ~/.cache/evops."""
    if chosen := os.environ.get("EVOPS_CACHE_DIR"):
        return Path(chosen)
    home = os.environ.get("XDG_CACHE_HOME")
    return Path(home if home else Path("~/.cache").expanduser()) / "evops"


def load(key: str) -> bytes | None:
    """What is kept under this key; None where there is none that may be trusted."""
    path = folder() / f"{key}{_SUFFIX}"
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
    directory = folder()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        wrong = _distrust(directory.stat())
        if wrong is not None:
            raise PermissionError(None, wrong)
        handle, temporary = tempfile.mkstemp(_UNFINISHED, key, directory)  # readable by the user
        try:
            with open(handle, "wb") as file:
                file.write(_digest(key, code) + code)
            os.replace(temporary, directory / f"{key}{_SUFFIX}")
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        _warn(
            f"compiled kernels are not kept in {directory}: {error.strerror or error}; "
            "set EVOPS_CACHE_DIR to a folder of your own"
        )


def entries() -> list[Path]:
    """The files of the cache, unfinished ones too."""
    directory = folder()
    if not directory.is_dir():
        return []
    return sorted(p for p in directory.iterdir() if p.suffix in (_SUFFIX, _UNFINISHED))


def clear() -> tuple[int, int]:
    """Delete every entry; how many there were, and their bytes."""
    count = size = 0
    for path in entries():
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            length = path.lstat().st_size
            path.unlink()
            count, size = count + 1, size + length
    return count, size


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
