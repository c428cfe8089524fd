"""What a config names with `_target_`."""

import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.config.targets import check_arguments, locate, wanted
from runner.errors import ConfigError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An importable folder `made` with a module of a user's."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, text in {
        "__init__": "from made.build import build\n",
        "build": "def build(): ...\n",
        "models": "class Maker:\n    @staticmethod\n    def build(): ...\nnumber = 3\n",
        "needy": "import not_installed_anywhere\n",
        "broken": "raise RuntimeError('at import')\n",
    }.items():
        (tmp_path / "made").mkdir(exist_ok=True)
        (tmp_path / "made" / f"{name}.py").write_text(text)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "made"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    "path",
    ["inspect.getdoc", "made.models.Maker", "made.models.Maker.build", "made.build.build"],
)
@pytest.mark.usefixtures("package")
def test_a_dotted_path_leads_to_its_object(path: str) -> None:
    """A function, a class, a method of a class; a function whose module has its name."""
    found: Any = locate(path, "x")
    assert f"{found.__module__}.{found.__qualname__}" == path
    assert locate("runner.hooks.purge", "x").__name__ == "purge"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "no_such_package.x",
            "cannot import 'no_such_package': no such module on the path or in this folder",
        ),
        ("json.decodr", "'json' has no 'decodr'; did you mean 'decoder'?"),
        ("made.modles.Maker", "'made' has no 'modles'"),
        ("made.models.Maker.biuld", "has no 'biuld'; did you mean 'build'?"),
        ("made.models.number", "'made.models.number' is a int, which cannot be called"),
    ],
)
@pytest.mark.usefixtures("package")
def test_a_path_to_nothing_is_one_problem_at_its_key(path: str, words: str) -> None:
    """The part that is wrong, and what was probably meant."""
    with pytest.raises(ConfigError) as caught:
        locate(path, "model._target_")
    [problem] = caught.value.problems
    assert problem.where == "model._target_"
    assert words in problem.what


@pytest.mark.parametrize(
    ("path", "error", "words"),
    [
        ("made.needy.build", ModuleNotFoundError, "not_installed_anywhere"),
        ("made.broken.build", RuntimeError, "at import"),
    ],
)
@pytest.mark.usefixtures("package")
def test_an_error_inside_a_module_keeps_its_own_trace(
    path: str, error: type[Exception], words: str
) -> None:
    """What the user's module lacks is not taken for a wrong path."""
    with pytest.raises(error, match=words):
        locate(path, "x")


def given(hp: Any, units: int, *, rate: float = 0.1) -> None: ...
def named_otherwise(params: Any) -> None: ...
def open_ended(units: int, **others: Any) -> None: ...
def positional_only(units: int, /) -> None: ...


@pytest.mark.parametrize(
    ("target", "names", "filled"),
    [
        (given, ["units"], ["hp"]),
        (given, ["units", "rate"], ["hp", "task"]),
        (open_ended, ["units", "anything"], []),
        (functools.partial(given, units=1), [], ["hp"]),
        (dict, ["anything"], []),
    ],
)
def test_right_arguments_pass(
    target: Callable[..., Any], names: list[str], filled: list[str]
) -> None:
    """What the config gives and what the runner fills in, together."""
    check_arguments(target, names, "model", filled=filled)


def test_wrong_and_missing_arguments_are_all_reported() -> None:
    """Each at its key, before anything is called; a config gives none by position."""
    with pytest.raises(ConfigError, match="positional_only takes no argument 'units'"):
        check_arguments(positional_only, ["units"], "model")
    with pytest.raises(ConfigError) as caught:
        check_arguments(given, ["unist", "rate"], "model")
    assert [(p.where, p.what) for p in caught.value.problems] == [
        (
            "model.unist",
            "given takes no argument 'unist'; did you mean 'units'? (it takes: hp, units, rate)",
        ),
        ("model", "given needs the argument 'hp'"),
        ("model", "given needs the argument 'units'"),
    ]


def test_a_build_function_is_told_that_its_hyperparameters_come_as_hp() -> None:
    """By that name alone; where it takes them, what else it needs is something else."""
    for target, hint in ((named_otherwise, "rename it to 'hp'"), (given, "the argument 'units'$")):
        with pytest.raises(ConfigError, match=hint):
            check_arguments(target, [], "model", filled=["hp", "columns"])


def test_only_what_a_callable_names_is_offered_to_it() -> None:
    """A catch-all is not filled with what it did not ask for."""
    offered = {"hp": 1, "task": 2, "units": 3}
    assert wanted(given, offered) == {"hp": 1, "units": 3}
    assert wanted(open_ended, offered) == {"units": 3}
    assert wanted(dict, offered) == {}
