"""What a source must not do to the machine: keep a reader waiting for ever, or take more memory
than is free.
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from foundation import files
from runner.errors import DataError

COPIES = 2  # of rows in memory, while they are split, and again while Keras trains on them


@dataclass(frozen=True)
class ControlGroups:
    """One version of Linux's control groups.

    Args:
        line: of /proc/self/cgroup, a pattern whose group is the path of this process's group.
        folder: where the groups are mounted.
        limit, used: files that hold numbers of bytes.
        cache: the line of memory.stat with the used bytes that are freed when needed.
    """

    line: str
    folder: str
    limit: str
    used: str
    cache: str

    def free(self) -> list[int]:
        """Return the free bytes in each group that this process is in."""
        own = files.found_in(Path("/proc/self/cgroup"), self.line) or ""
        group = Path(self.folder, own.lstrip("/"))
        free = []
        for folder in (group, *group.parents):
            with suppress(OSError, ValueError):  # no such group, or one without a limit
                limit = int((folder / self.limit).read_text())
                used = int((folder / self.used).read_text())
                cache = files.found_in(folder / "memory.stat", rf"^{self.cache} (\d+)")
                free.append(limit - used + int(cache or ""))
        return free


VERSIONS = (
    ControlGroups(
        r"^\d+:memory:(.+)$",
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
    ControlGroups(r"^0::(.+)$", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
)


def available() -> float:
    """Return the bytes of memory that the system and the control groups of this process leave free;
    infinity where neither says.
    """
    free = [math.inf]
    system = files.found_in(Path("/proc/meminfo"), r"MemAvailable:\s*(\d+) kB")
    if system:
        free.append(int(system) * 1024)
    for version in VERSIONS:
        free += version.free()
    return max(0, min(free))


def must_fit(size: int, what: str, remedy: str) -> None:
    """Raise DataError where rows of `size` bytes would not fit into the memory that is free."""
    needed = COPIES * size
    free = available()
    if needed > free:
        raise DataError(
            f"{what} take {needed / 1e9:.1f} GB of memory while they are split and trained "
            f"on, but only {free / 1e9:.1f} GB are free. Use a {remedy}, or a function that "
            "returns tf.data.Dataset objects, which are streamed"
        )


def regular(path: Path) -> Path:
    """Return the path of a file; raises DataError where something else is there, such as a FIFO,
    which a reader would wait for.
    """
    if not path.is_file() and path.exists():
        raise DataError(f"{path} is not a regular file (but a folder, FIFO or device)")
    return path
