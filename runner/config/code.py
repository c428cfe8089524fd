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
    named = config.foreign_code(pipeline.model_dump(exclude={"validation"}))
    return modules([pipeline.model.target, *named])


def modules(paths: Collection[str]) -> dict[str, str]:
    """Return what identifies the code that dotted paths lead to: SHA-256 of each module's file, by
    the module's name; for ours, our version. A package's module counts where a path names it, but
    not what it imports. A loaded module runs as it was read, whatever became of its file since.
    """
    waiting = set(paths)
    identities = {}
    while waiting:
        path = waiting.pop()
        for name, file in _modules(path):
            top = name.partition(".")[0]
            if top in ("runner", "history", "foundation"):
                identities["runner"] = __version__
                continue
            is_users = not INSTALLED.intersection(file.parts) and STANDARD not in file.parents
            is_named = path in paths and top not in RECORDED
            if name in identities or not (is_users or is_named):
                continue
            if file not in LOOKED_AT or name not in sys.modules:
                LOOKED_AT[file] = files.sha256(file)
            identities[name] = LOOKED_AT[file]
            package = name if file.stem == "__init__" else name.rpartition(".")[0]
            waiting.update(_imports(file.read_bytes(), package))
    return dict(sorted(identities.items()))


def _modules(path: str) -> Iterator[tuple[str, Path]]:
    """Yield name and file of each module on a dotted path, a package before what is in it."""
    folders = sys.path
    for name in itertools.accumulate(path.split("."), "{}.{}".format):
        loaded = sys.modules.get(name)
        inside = [str(Path(folder, name.rpartition(".")[2])) for folder in folders]
        candidates = [f"{path}{end}" for path in inside for end in ("/__init__.py", ".py")]
        file = getattr(loaded, "__file__", None)
        file = next(filter(Path.is_file, map(Path, [file] if file else candidates)), None)
        if file:
            yield name, file
        folders = getattr(loaded, "__path__", inside)


def _imports(source: bytes, package: str) -> Iterator[str]:
    """Yield the dotted paths that a module of a package imports, those of names in modules too."""
    with suppress(SyntaxError, ValueError):  # compiled
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield alias.name
            elif isinstance(node, ast.ImportFrom):
                around = package.split(".")[: 1 - node.level or None] if node.level else []
                for alias in node.names:
                    yield ".".join(filter(None, [*around, node.module, alias.name]))
