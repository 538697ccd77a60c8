"""Storage as pipeline files configure it; apart from the rest, since reading them takes a while to import."""

from collections.abc import Sequence

from curation.config_files import load_config
from manifests import storage


def configure_storage(config_files: Sequence[str]) -> None:
    """Use the storage options of these pipeline files in this process."""
    storage.configure(load_config(config_files).storage)
