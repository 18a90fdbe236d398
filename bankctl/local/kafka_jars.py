"""Kafka's jars: the list with digests is pinned, so nothing is ever run that was not chosen."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bankctl import paths
from bankctl.errors import CliError, ExitStatus
from bankctl.installation import how_to_install
from bankctl.local.progress import Progress

KAFKA_VERSION = "4.3.1"
_DOWNLOADS_AT_ONCE = 4
_TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Jar:
    """One pinned jar: its Maven coordinate, SHA-256 (hex) and size in bytes."""

    group: str
    artifact: str
    version: str
    sha256: str
    size: int

    @property
    def filename(self) -> str:
        """The jar's name in the folder of all jars."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def line(self) -> str:
        """The jar's line in the lock."""
        return f"{self.group}:{self.artifact}:{self.version} sha256:{self.sha256} {self.size}"


def lock_file() -> Path:
    """The lock of this source tree, else the copy inside the installed package."""
    tree = Path(__file__).parents[2] / "requirements" / "kafka.lock"
    return tree if tree.is_file() else Path(__file__).with_name("kafka.lock")


def read_lock(file: Path) -> list[Jar]:
    """Read the pinned jars.

    Raises:
        CliError: the lock is missing or damaged.
    """
    try:
        lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
        return [_parse(line) for line in lines]
    except (OSError, ValueError) as error:
        raise CliError(
            f"{file} can't be read: {error}",
            exit_status=ExitStatus.UNEXPECTED,
            hint="restore it from the repository, or install bankctl again",
            code="kafka_lock_damaged",
        ) from error


def _parse(line: str) -> Jar:
    coordinate, digest, size = line.split()
    group, artifact, version = coordinate.split(":")
    return Jar(group, artifact, version, digest.removeprefix("sha256:"), int(size))


def classpath(folder: Path, jars: Iterable[Jar]) -> str:
    """The Java class path of the jars, in the lock's order."""
    return ":".join(str(folder / jar.filename) for jar in jars)


def resolve(progress: Progress, *, lock: Path | None = None, folder: Path | None = None) -> str:
    """Fetch the jars that are missing, verify every one against its digest, and return the class path.

    Nothing is asked of the network once all are there.

    Raises:
        CliError: a digest does not match, or a jar can't be fetched.
    """
    jars = read_lock(lock or lock_file())
    folder = folder or paths.cache_dir() / "kafka" / KAFKA_VERSION
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    missing = [jar for jar in jars if not (folder / jar.filename).exists()]
    if missing:
        _fetch(missing, folder, progress)
    for jar in jars:
        verify(jar, folder / jar.filename)
    return classpath(folder, jars)


def verify(jar: Jar, file: Path) -> None:
    """Compare a file with the pinned digest.

    Raises:
        CliError: it is another file.
    """
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != jar.sha256:
        raise CliError(
            f"{file} is not the pinned jar: its SHA-256 is {found}, the pinned one {jar.sha256}",
            exit_status=ExitStatus.UNEXPECTED,
            hint=f"nothing was run; delete that file (rm '{file}') and try again to fetch it. If it "
            "happens again, don't run it: what you are given is not what was released.",
            code="kafka_jar_mismatch",
        )


def _fetch(missing: list[Jar], folder: Path, progress: Progress) -> None:
    try:
        from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415 - only the first start needs it
    except ImportError:
        raise CliError(
            "Kafka is missing: its jars were never fetched, and the package that does it is not installed",
            exit_status=ExitStatus.UNEXPECTED,
            hint=f"install it with: {how_to_install('local')} (or set KAFKA_BROKER to use one that runs)",
            code="kafka_missing",
        ) from None
    total = sum(jar.size for jar in missing)
    # The resolver writes in place; a jar gets its name only when it is whole and verified.
    staging = Path(tempfile.mkdtemp(prefix=".fetch-", dir=folder))
    try:
        with progress.download(f"Kafka {KAFKA_VERSION} ({len(missing)} jars)", total) as advance:
            context = MavenContext(
                resolver=PythonResolver(progress_callback=_advancing(advance)),
                repo_cache=staging,
                remote_repos=_repositories(),
                timeout=_TIMEOUT_SECONDS,
            )
            with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
                list(pool.map(lambda jar: _fetch_one(context, jar, folder), missing))
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _fetch_one(context: Any, jar: Jar, folder: Path) -> None:
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    try:
        file = Path(artifact.resolve())
    # The resolver raises RuntimeError for "not found" and the HTTP library's own errors for the rest.
    except (RuntimeError, OSError) as error:
        raise CliError(
            f"{jar.filename} can't be fetched: {error}"[:400],
            exit_status=ExitStatus.UNREACHABLE,
            hint="is a Maven repository reachable? A mirror can be named under [repositories] in "
            "~/.config/jgo.conf; what was fetched is kept, so try again",
            code="kafka_unreachable",
        ) from error
    verify(jar, file)
    file.replace(folder / jar.filename)


def _repositories() -> dict[str, str] | None:
    """The person's own mirrors; None stands for the resolver's default."""
    from jgo.config import GlobalSettings  # noqa: PLC0415 - only the first start needs it

    return dict(GlobalSettings.load().repositories) or None


def _advancing(advance: Any) -> Any:
    from contextlib import contextmanager  # noqa: PLC0415 - only the first start needs it

    @contextmanager
    def callback(_filename: str, _size: int) -> Any:
        yield advance

    return callback
