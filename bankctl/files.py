"""Files that hold state: written whole or not at all, readable by their owner only.

What the system refuses is an OSError that names the path; `bankctl.execution` tells it with the remedy.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600


@contextmanager
def blamed_on(path: Path) -> Iterator[None]:
    """Let each OSError say which path it is about: those of writing (a full disk) do not by themselves."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def ensure_private_directory(directory: Path) -> Path:
    """Make `directory` (and its parents) readable by the owner only, and return it."""
    directory.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    if directory.stat().st_mode & 0o777 != PRIVATE_DIRECTORY:
        directory.chmod(PRIVATE_DIRECTORY)
    return directory


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable; a renamed file is only safe once its directory is."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step, mode 0600: readers see the old file or the new, never half.

    Raises:
        OSError: the directory cannot be written, or the disk is full; the old file is then untouched.
    """
    directory = path.parent
    with blamed_on(path):
        directory.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        # mkstemp creates the file with mode 0600, so its content is never readable by others.
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        sync_directory(directory)
