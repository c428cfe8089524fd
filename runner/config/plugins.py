"""What Hydra is told before it composes: where configs are found, how they are read, in which keys
anything may stand because our own checker judges it, and which callback checks it.
"""

from pathlib import Path

from hydra._internal.core_plugins import file_config_source  # no public way leads in between
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core import config_search_path, config_store, plugins
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig

from foundation import secrets
from runner.config import arguments, bounds, choices, schema


class UserConf(SearchPathPlugin):
    """Finds the user's own ./conf before ours, so that it adds to ours and shadows it."""

    def manipulate_search_path(self, search_path: config_search_path.ConfigSearchPath) -> None:
        own = Path("conf").resolve()
        if own.is_dir() and own != choices.conf_folder():
            search_path.prepend("user", f"file://{own}", "main")


class FileConfigSource(file_config_source.FileConfigSource):
    """Hydra's own, which reads every config file, with bounds."""

    def load_config(self, config_path: str) -> ConfigResult:
        bounds.bound(Path(self.path, f"{config_path.removesuffix('.yaml')}.yaml"))
        return super().load_config(config_path)


def register(*, values: bool = True) -> None:
    """Register all of it, and the resolver that remembers secrets.

    Args:
        values: whether the keys include GIVEN, where the command line's sections go.
    """
    keys = [*schema.SECTIONS, "pipelines", "hooks", "paths", "executor"]
    if values:
        keys.append(arguments.GIVEN)
    node: dict[str, object] = {key: DictConfig({}, flags={"struct": False}) for key in keys}
    node["artefacts"] = []  # a list replaces no mapping
    node["hydra"] = {"callbacks": {"check": {"_target_": "runner.cli.Check"}}}
    config_store.ConfigStore.instance().store(name="sections", node=DictConfig(node))
    secrets.guard()
    plugins.Plugins.instance().register(UserConf)
    SourcesRegistry.instance().types["file"] = FileConfigSource  # its plugins are loaded
