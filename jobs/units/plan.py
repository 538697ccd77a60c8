"""What a stage is about to do: its units, and all that decides their rows."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from manifests.format.digest import settings_hash
from manifests.format.schema import Stage
from manifests.format.store import Provenance


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unit:
    """A piece of a stage's work. `inputs` is JSON-able; `fingerprint` covers them and the run's configuration."""

    name: str
    inputs: Mapping[str, Any]
    fingerprint: str
    rows: int | None = None
    size_bytes: int | None = None

    @property
    def part(self) -> str:
        """The name of the part this unit writes."""
        return f"{self.name}.parquet"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan(Provenance):
    """What a stage is about to do at `output`, known before any work: the manifest's provenance, and its units.

    `options` are storage arguments that workers need and no manifest holds.
    """

    output: str
    units: Sequence[Unit]
    options: Mapping[str, Mapping[str, Any]]

    def to_json(self) -> bytes:
        """Return what a later run compares itself with."""
        fields = {
            "stage": self.stage,
            "config": self.config,
            "software": self.software,
            "inputs": self.inputs,
            **({"derivation": self.derivation} if self.derivation else {}),
        }
        return json.dumps(fields, indent=1, sort_keys=True).encode()


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnitMaker:
    """Makes the units of one plan, on the driver and again in workers, from little more than a name.

    `shared` is what all units depend on besides their own inputs.
    """

    stage: Stage
    config: Mapping[str, Any]
    software: Mapping[str, str]
    shared: Mapping[str, Any]

    def unit(
        self, name: str, inputs: Mapping[str, Any], *, rows: int | None = None, size_bytes: int | None = None
    ) -> Unit:
        """Return the unit `name`; its fingerprint covers all that decides its rows."""
        mark = settings_hash(self.stage, self.config, self.software, self.shared, inputs)
        return Unit(name=name, inputs=inputs, fingerprint=mark, rows=rows, size_bytes=size_bytes)
