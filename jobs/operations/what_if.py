"""What `choose` would keep of a scored manifest with other settings, counted without writing anything."""

from collections.abc import Sequence

from curation.choosing.what_if import Choice, Outcome, count_outcomes
from curation.config_choose import ChooseConfig
from manifests.format.store import Manifest
from manifests.sql.engine import Engine


def what_if(manifest: Manifest, settings: Sequence[ChooseConfig], engine: Engine) -> list[Outcome]:
    """Return how many rows of `manifest` each of `settings` keeps, and drops for which reason.

    The manifest needs the columns of a scored one, so a chosen manifest and shards will do, too. All settings are
    counted in one pass. Raises as `count_outcomes` does.
    """
    choices = [Choice(rules=each.rules(), wanted=each.wanted_rows(manifest.rows)) for each in settings]
    return count_outcomes(manifest, choices, engine)
