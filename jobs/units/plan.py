"""The plan of a stage: its units, and everything that decides their rows."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from jobs.units.lease import Fence
from manifests.format.digest import settings_hash
from manifests.format.schema import Stage
from manifests.format.store import Provenance


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unit:
    """A piece of a stage's work, done by one Spark task.

    `inputs` can be written as JSON. `fingerprint` is a hash of them and of the settings and software of the run.
    `rows` and `key_lanes` are those that it must have, if they are known: see manifests.format.digest.
    """

    name: str
    inputs: Mapping[str, Any]
    fingerprint: str
    rows: int | None = None
    size_bytes: int | None = None
    key_lanes: Sequence[int] | None = None

    @property
    def part(self) -> str:
        """The name of the file to which an attempt writes this unit's part."""
        return f"{self.name}.parquet"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan(Provenance):
    """What a stage will do at `output`: the provenance of its manifest, and its units.

    `options` are the storage arguments that workers need. No manifest contains them. `fence` is that of the lease
    under which the work is done; a plan has none before its work begins.
    """

    output: str
    units: Sequence[Unit]
    options: Mapping[str, Mapping[str, Any]]
    fence: Fence | None = None

    @property
    def run(self) -> Fence:
        """The fence of the run that does the work. Raises RuntimeError before the work has begun."""
        if self.fence is None:
            raise RuntimeError(f"{self.made_by}: the work has not begun")
        return self.fence

    def to_json(self) -> bytes:
        """Return what is stored in the output for a later run to compare its own plan with."""
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
    """Makes the units of one plan, with the same fingerprints on the driver and in workers.

    `shared` is what all units depend on in addition to their own inputs.
    """

    stage: Stage
    config: Mapping[str, Any]
    software: Mapping[str, str]
    shared: Mapping[str, Any]

    def unit(self, name: str, inputs: Mapping[str, Any], **known: Any) -> Unit:
        """Return the unit `name`, whose fingerprint is a hash of everything that decides its rows.

        `known` are the other fields of Unit.
        """
        fingerprint = settings_hash(self.stage, self.config, self.software, self.shared, inputs)
        return Unit(name=name, inputs=inputs, fingerprint=fingerprint, **known)
