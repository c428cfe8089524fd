"""What is on disk, to be compared."""

from pathlib import Path


def tree(root: Path) -> dict[str, bytes | str | None]:
    """Everything below `root`, locks aside: path → content, target of a link, or None for a
    folder.
    """
    found: dict[str, bytes | str | None] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if name.startswith(".locks") or name.endswith(".lock"):
            continue
        found[name] = (
            str(path.readlink())
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else None
        )
    return found
