"""The user's own code: the modules that a config names, and all of the user's that they import.

Imports are read from the source: nothing is imported for it, and one that has not run yet, in a
function, counts as well. What is imported under a computed name is not seen.
"""

import ast
import itertools
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from foundation import files
from history import config
from runner import __version__
from runner.config.schema import Pipeline

INSTALLED = {"site-packages", "dist-packages"}
STANDARD = Path(ast.__file__).parent
# by version, in the environment
RECORDED = {"keras", "keras_tuner", "sklearn", *sys.stdlib_module_names}
LOOKED_AT: dict[Path, str] = {}  # SHA-256 of each file as it was when last looked at


def code_of(pipeline: Pipeline) -> dict[str, str]:
    """Return what identifies the code that a pipeline's trials run."""
    return modules(
        [
            pipeline.model.target,
            *config.foreign_code(pipeline.model_dump(exclude={"validation"})),
        ]
    )


def modules(paths: Collection[str]) -> dict[str, str]:
    """Return what identifies the code that dotted paths lead to: SHA-256 of each module's file, by
    the module's name; for ours, our version. A package's module counts where a path names it, but
    not what it imports. A loaded module runs as it was read, whatever became of its file since.
    """
    named, waiting, found = set(paths), set(paths), {}
    while waiting:
        path = waiting.pop()
        for name, file in _modules(path):
            top = name.partition(".")[0]
            if top in ("runner", "history", "foundation"):
                found["runner"] = __version__
            elif name not in found and (
                # the user's own, or of a package that is named
                not (INSTALLED & {*file.parts} or STANDARD in file.parents)
                or (path in named and top not in RECORDED)
            ):
                found[name] = LOOKED_AT[file] = (
                    LOOKED_AT[file]
                    if name in sys.modules and file in LOOKED_AT
                    else files.sha256(file)
                )
                waiting.update(
                    _imports(
                        file.read_bytes(),
                        package=name if file.stem == "__init__" else name.rpartition(".")[0],
                    )
                )
    return dict(sorted(found.items()))


def _modules(path: str) -> Iterator[tuple[str, Path]]:
    """Yield name and file of each module on a dotted path, a package before what is in it."""
    folders = sys.path
    for name in itertools.accumulate(path.split("."), "{}.{}".format):
        loaded, part = sys.modules.get(name), name.rpartition(".")[2]
        ends, known = (f"{part}/__init__.py", f"{part}.py"), getattr(loaded, "__file__", None)
        tried = [Path(known)] if known else [Path(at, end) for at in folders for end in ends]
        if file := next(filter(Path.is_file, tried), None):
            yield name, file
        folders = getattr(loaded, "__path__", [str(Path(at, part)) for at in folders])


def _imports(source: bytes, package: str) -> Iterator[str]:
    """Yield the dotted paths that a module of a package imports, those of names in modules too."""
    with suppress(SyntaxError, ValueError):  # compiled
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                above = package.split(".")[: 1 - node.level or None] if node.level else []
                yield from (
                    ".".join(filter(None, [*above, node.module, alias.name]))
                    for alias in node.names
                )
