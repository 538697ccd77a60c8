"""The plan of a stage: its units, and everything that decides their rows."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jobs.units.lease import Fence
from manifests.format.digest import settings_hash
from manifests.format.done import DoneCounter
from manifests.format.receipts import Receipt
from manifests.format.schema import Stage
from manifests.format.store import Manifest, Provenance, Whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unit:
    """A piece of a stage's work, done by one Spark task.

    `inputs` can be written as JSON. `fingerprint` is a hash of them and of the settings and software of the run.
    `rows` and `key_lanes` are those that it must have, if they are known: see manifests.format.digest.

    Two fields name earlier work that saves time and changes no row: `made` is a part that was made of the same
    inputs, see jobs.units.earlier, and `rows_from` the URI of a part of this stage with the same keys.
    """

    name: str
    inputs: Mapping[str, Any]
    fingerprint: str
    rows: int | None = None
    size_bytes: int | None = None
    key_lanes: Sequence[int] | None = None
    made: Mapping[str, Any] | None = None
    rows_from: str | None = None

    @property
    def part(self) -> str:
        """The name of the file to which an attempt writes this unit's part."""
        return f"{self.name}.parquet"


def nothing(receipts: Sequence[Receipt]) -> Whole:
    """Return that there is nothing beyond the parts."""
    return Whole()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan(Provenance):
    """What a stage will do at `output`: the provenance of its manifest, and its units.

    `options` are the storage arguments that workers need. No manifest contains them. The rest is known when the work
    begins: `fence` is that of the lease, `group_sizes` are the units to do in each group of receipts, `done` counts
    those that are finished, and in the folder `underway` others tell how far they are. `notices` are for the person
    who runs it. The sizes of the parts of `reads` are checked before the work. `summarise` returns what is known of
    the manifest as a whole, from the receipts of all units in the order of their names. `replaces` is the fingerprint
    of the manifest at the output that the new one replaces in one step; None where none may be there.
    """

    output: str
    units: Sequence[Unit]
    options: Mapping[str, Mapping[str, Any]]
    fence: Fence | None = None
    group_sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    done: DoneCounter | None = None
    underway: str | None = None
    notices: Sequence[str] = ()
    reads: Sequence[Manifest] = ()
    summarise: Callable[[Sequence[Receipt]], Whole] = nothing
    replaces: str | None = None

    @property
    def run(self) -> Fence:
        """The fence of the run that does the work. Raises RuntimeError before the work has begun."""
        if self.fence is None:
            raise RuntimeError(f"{self.made_by}: the work has not begun")
        return self.fence

    def document(self) -> dict[str, Any]:
        """Return what is stored in the output for a later run to compare its own plan with."""
        return {
            "stage": self.stage,
            "config": self.config,
            "software": self.software,
            "inputs": self.inputs,
            **({"derivation": self.derivation} if self.derivation else {}),
        }


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
