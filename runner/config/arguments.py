"""The arguments of the command line, as they are typed and as Hydra takes them.

A value of a section goes to Hydra below GIVEN: what the files say and what the command line says
stay apart until compose.py lays one over the other, and Hydra expands a sweep over it all the same.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.conf import HydraConf
from hydra.core import config_loader, global_hydra
from hydra.core.override_parser import overrides_parser, types
from omegaconf import OmegaConf

from runner.config import choices, schema
from runner.errors import ConfigError, InputError, short

GIVEN = "_given_"  # a name that nobody takes for a key or a part of a text
LISTED = ("experiment", "debug")  # groups that the defaults list names without a choice
DEBUG = {"debug=true": "debug=default", "debug=false": "~debug", "debug=null": "~debug"}
HOME = re.compile(r"""(?<=[=,\[ ])~[^]},'"]*(?=[^'"]*$)""")  # Hydra takes a `~` only in quotes
# A key in quotes, as in {"first name": category}: Hydra takes it only with escapes instead.
QUOTED = re.compile(r"""(?<=[{,])(\s*)(["'])([^"']+)\2(?=\s*:)""")
OTHER_CONFIG = ("--config-", "-cd", "-cn", "-cp")  # options that choose another config than ours
TYPED = " on the command line"  # ends the place of what an argument says


def parse(
    arguments: Iterable[str], loader: config_loader.ConfigLoader | None = None
) -> list[types.Override]:
    """Return arguments as Hydra parses them; its loader expands a `glob(*)`."""
    return overrides_parser.OverridesParser.create(loader).parse_overrides(list(arguments))


def by_precedence(arguments: Iterable[str]) -> list[types.Override]:
    """Return arguments as Hydra parses them, in the order in which they apply: later ones win, and
    those of single pipelines come last.
    """
    return sorted(parse(arguments), key=lambda each: each.key_or_group.startswith("pipelines."))


def effect(override: types.Override) -> str:
    """Return what an argument does: set a value of a "section", which is ours to merge, or another
    "root" key, make the "choice" of a file of a group, or something "other" that Hydra knows.
    """
    if override.is_delete() or override.is_hydra_override():
        return "other"
    key = override.key_or_group
    if (override.package or choices.choices(key)) and not isinstance(override.value(), Mapping):
        return "choice"
    return "section" if key.split(".")[0] in (*schema.SECTIONS, "pipelines") else "root"


def as_typed(text: str) -> str:
    """Return an argument, or a message about one, without the name that only Hydra sees."""
    return text.replace(f"{GIVEN}.", "")


def typed_at(argument: str) -> str:
    """Return an argument as the place of what it says; whether it needed a `+` does not matter."""
    return f"{short(as_typed(argument).lstrip('+'))}{TYPED}"


def for_hydra(typed: Sequence[str], *, values: bool = True) -> list[str]:
    """Return the arguments of the command line, Hydra's own options included, as Hydra expects
    them. A choice of a group gets a `+` unless a defaults list already names one, so that users
    need not know which choices an experiment spells out.

    Args:
        typed: the arguments.
        values: whether values of sections go below GIVEN, and unknown root keys get a `+`, which
            hands them to our own checker, because it reports all errors at once.

    Raises:
        InputError: a key is written as an option, or a group has two choices.
    """
    for argument in typed:
        option = argument.lstrip("-").partition("=")[0]
        if argument.startswith("-") and option in schema.Run.config_keys():
            # Hydra would take it for an abbreviation of one of its own.
            raise InputError(f"--{option}{TYPED}: keys have no dashes; write {option}=VALUE")
    lines = [
        _spelt_for_hydra(line)
        for line in typed
        if line != "--json" or not values  # cli.py's; where Hydra answers, it refuses that
    ]
    settings = [line for line in lines if re.match("~|[^-].*=", line)]
    replaced = {}
    chosen: dict[str, str] = {}
    for override in parse(settings):
        kind, line = effect(override), str(override.input_line)
        bare = line.lstrip("+")
        root_key = override.key_or_group.split(".")[0]
        if kind == "choice":
            group = override.get_key_element().lstrip("+")
            if chosen.setdefault(group, bare) != bare:
                raise ConfigError(
                    f"{chosen[group]} is already chosen; remove one of them (with -m there may be "
                    "several)",
                    place=typed_at(line),
                )
        elif kind == "section" and values:
            replaced[line] = f"{line.removesuffix(bare)}{GIVEN}.{bare}"
        elif kind == "root" and values and root_key not in schema.Run.config_keys():
            replaced[line] = f"+{bare}"
    without_plus = {chosen[group] for group in chosen if group not in LISTED}.intersection(lines)
    # With another config than ours, Hydra's own rules for the `+` of a choice hold.
    if without_plus and not any(line.startswith(OTHER_CONFIG) for line in lines):
        named = _named_groups(line for line in settings if line not in without_plus)
        for group, line in chosen.items():
            if line in without_plus and group not in named:
                replaced[line] = f"+{line}"
    return [replaced.get(line, line) for line in lines]


def _spelt_for_hydra(argument: str) -> str:
    """Return an argument without the optional `+` of an experiment or a key of the run, and quoted
    as Hydra wants it.
    """
    keys = "|".join([*LISTED, *schema.Run.model_fields])
    line = re.sub(rf"^\+({keys})=", r"\1=", argument)
    key, is_mapping, mapping = line.partition("={")
    line = key + QUOTED.sub(_escaped_key, is_mapping + mapping)
    if line.startswith("-"):
        return line
    return HOME.sub(r"'\g<0>'", DEBUG.get(line.lower(), line))


def _escaped_key(quoted: re.Match[str]) -> str:
    return quoted[1] + re.sub(r"[\\()\[\]{}:=, \t]", r"\\\g<0>", quoted[3])


def _named_groups(arguments: Iterable[str]) -> set[str]:
    """Return the groups of which a defaults list names a choice, in the first job of these
    arguments.
    """
    with hydra.initialize_config_dir(str(choices.conf_folder()), version_base="1.3"):
        loader = global_hydra.GlobalHydra.instance().config_loader()
        first = next(iter(by_job(parse(arguments, loader))), [])
        defaults = loader.compute_defaults_list("config", first, hydra.types.RunMode.RUN)
    return set(defaults.overrides.known_choices)


def of_task(hydra_config: HydraConf) -> list[str]:
    """Return the arguments of a composed config, except Hydra's own, with interpolations
    unresolved.
    """
    return list(map(str, OmegaConf.to_container(hydra_config.overrides.task, resolve=False) or ()))


def by_job(overrides: list[types.Override]) -> list[list[str]]:
    """Return the arguments of each job that Hydra makes of them."""
    return BasicSweeper.split_arguments(overrides, None)[0]


def jobs(hydra_config: HydraConf, loader: config_loader.ConfigLoader) -> list[list[str]]:
    """Return the arguments of each job of a sweep; none if the sweeper makes them up as it goes.

    Raises:
        InputError: there is no job.
    """
    if hydra_config.runtime.choices["hydra/sweeper"] != "basic":
        return []
    swept = hydra_config.sweeper.params or {}
    lines = [f"{key}={value}" for key, value in swept.items()]
    overrides = parse(lines + of_task(hydra_config), loader)
    empty = [as_typed(str(each.input_line)) for each in overrides if not by_job([each])]
    if empty:
        raise InputError(f"the sweep has no jobs: {', '.join(empty)} has no values")
    return by_job(overrides)
