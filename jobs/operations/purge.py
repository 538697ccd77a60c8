"""Take samples out of shards: only the tars and parts that have one are written again.

First each such tar is read to find the byte ranges that go: that is a Patch. Then the patch is applied, here or by
anyone who has a copy of the shards.
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import duckdb
import pyarrow as pa

from curation.shards.cuts import Nowhere, copy_without, find_cuts
from curation.shards.layout import layout_of
from curation.shards.purge_patch import Patch, ShardCut, Tar
from curation.shards.whole import whole_of
from curation.takedown.deny_list import DenyList
from jobs.operations.deny_scan import denied_rows
from jobs.operations.purge_shard import ShardPurger, opened_tar, require_same, shard_cut, tar_of
from jobs.operations.requests import Options
from jobs.operations.rewrite import Work, run_units
from jobs.units.earlier import receipt_of_part
from jobs.units.plan import Plan, Unit
from jobs.units.progress import Reporter
from jobs.units.state import tidy_committed
from manifests import storage
from manifests.errors import InputError, ManifestError
from manifests.format.digest import settings_hash
from manifests.format.integrity import require_intact
from manifests.format.receipts import NAME_DIGITS, Receipt
from manifests.format.schema import Stage
from manifests.format.store import Manifest, Parent, Provenance, part_of
from manifests.hashing_writer import HashingWriter
from manifests.sql.engine import Engine, count_rows


def require_shards(manifest: Manifest) -> None:
    """Raise InputError unless `manifest` is beside its tars, with one tar for each part."""
    if manifest.stage is not Stage.SHARD:
        raise InputError(f"{manifest.uri}: a manifest of stage {manifest.stage}; name that beside the tars")
    if manifest.shards_uri != manifest.uri:
        raise InputError(
            f"{manifest.uri}: a {manifest.made_by} of the shards at {manifest.shards_uri}, without tars of its own; "
            "name those, or make tars of it with `curate shard`"
        )
    for part in manifest.parts:
        if sum(name.endswith(".tar") for name in part.files) != 1:
            raise ManifestError(f"{manifest.part_uri(part)}: not the table of one tar; make the shards again")
        if any("/" in name or name.startswith(".") for name in part.files):  # a manifest may come from anyone
            raise ManifestError(f"{manifest.part_uri(part)}: names files elsewhere; make the shards again")


def find_gone(engine: Engine, shards: Manifest, against: Manifest) -> dict[int, list[int]]:
    """Return part → rows of the samples of `shards` that `against` lacks, or that a list of either takes down.

    Raises InputError when `against` has none of the samples, so that nothing would be left.
    """
    engine.view("stored", shards, {"key": "key"})
    engine.view("wanted", against, {"key": "key"})
    engine.keep(
        "absent",
        "SELECT s.part AS part, s.row AS row FROM stored s "
        "WHERE NOT EXISTS (SELECT 1 FROM wanted w WHERE w.key = s.key)",
    )
    if shards.rows and count_rows(engine, "absent") == shards.rows:
        raise InputError(f"{against.uri}: has none of the {shards.rows:,} samples of {shards.uri}; name its manifest")
    found = engine.fetch("SELECT part, row FROM absent")
    gone: dict[int, set[int]] = {}
    for part, row in zip(found.column("part").to_pylist(), found.column("row").to_pylist(), strict=True):
        gone.setdefault(part, set()).add(row)
    denied = DenyList.of([*shards.taken_down, *against.taken_down])
    for each in denied_rows(engine, shards, denied):
        gone.setdefault(each.part, set()).update(each.rows)
    return {part: sorted(rows) for part, rows in sorted(gone.items())}


# --- the patch


def make_patch(
    engine: Engine, shards: Manifest, gone: Mapping[int, Sequence[int]], taken_down: Sequence[str], *, renaming: bool
) -> Patch:
    """Return the patch that takes the rows `gone` out of `shards`. Each tar that has one is read.

    With `renaming`, a tar whose bytes change gets a name with their hash. Raises BrokenSource when a tar is not the
    one that was committed.
    """
    tasks = [
        json.dumps({"part": asdict(shards.parts[place]), "gone": list(rows)}) for place, rows in gone.items() if rows
    ]
    cut: list[ShardCut] = []
    if tasks:
        numbers = pa.array(range(len(tasks)), pa.int32())
        engine.table("cut_tasks", pa.table({"unit": numbers, "task": pa.array(tasks, pa.string())}))
        work = _FindCuts(shards=replace(shards, parts=[], taken_down=[]), renaming=renaming)
        answers = engine.map_groups("SELECT unit, task FROM cut_tasks", "unit", "unit", work)
        cut = sorted(map(shard_cut, answers), key=lambda each: each.before.name)
    return Patch(digest_before=shards.digest, shards=cut, taken_down=list(taken_down))


@dataclass(frozen=True, kw_only=True)
class _FindCuts:
    """Finds what goes from one tar, in any process."""

    shards: Manifest
    renaming: bool

    def __call__(self, group: pa.Table) -> dict[str, Any]:
        """Return the fields of a ShardCut for the part and the rows that the row of `group` describes."""
        task = json.loads(group.column("task")[0].as_py())
        part = part_of(task["part"])
        shards = replace(self.shards, parts=[part])
        require_intact(shards, [0], is_hashed=True)
        keys = shards.read_part(part, ["key"]).column("key").to_pylist()
        gone = set(task["gone"])
        kept = {key for row, key in enumerate(keys) if row not in gone}
        name, about = tar_of(part)
        uri = storage.join(shards.uri, name)
        with opened_tar(uri) as stream:
            cuts = find_cuts(stream, uri, kept)
        sink = HashingWriter(Nowhere())  # type: ignore[arg-type]
        with opened_tar(uri) as stream:
            size_bytes, sha256 = copy_without(stream, sink, cuts)
        require_same(uri, sha256, about["sha256"])
        after = sink.sha256.hexdigest()
        new_name = f"{part.unit}-{after[:NAME_DIGITS]}.tar" if self.renaming else name
        cut = ShardCut(
            before=Tar(name=name, bytes=size_bytes, sha256=sha256),
            after=Tar(name=new_name, bytes=sink.size_bytes, sha256=after),
            cuts=cuts,
            samples=len(gone),
        )
        return asdict(cut)


# --- applying it


@dataclass(frozen=True, kw_only=True)
class Purge:
    """Shards, what goes from them, and the place of the result, which may be that of the shards themselves.

    `against` is the manifest that decided what goes, if there is one. `options` are storage arguments for workers.
    """

    shards: Manifest
    patch: Patch
    output: str
    options: Options
    against: Manifest | None = None

    @property
    def is_in_place(self) -> bool:
        """Whether the result replaces the shards."""
        return self.output == self.shards.uri

    @property
    def taken_down(self) -> list[str]:
        """The hashes that the result has."""
        return sorted({*self.shards.taken_down, *self.patch.taken_down})


def apply_patch(purge: Purge, engine: Callable[[], Engine], reporter: Reporter, *, restart: bool = False) -> Manifest:
    """Apply a patch to shards, and return the manifest of the result.

    In place, tars whose bytes change are written under new names, then the manifest is replaced in one step, and then
    the old tars are removed: a reader has the old manifest with all of its tars, or a tar is missing, or the new one.
    An interrupted run is resumed. Raises InputError when the patch is of other shards, or cannot be applied in place.
    """
    shards, patch = purge.shards, purge.patch
    if patch.digest_before != shards.digest:
        raise InputError(
            f"{shards.uri}: its digest is {shards.digest[:16]}…, and the patch is of {patch.digest_before[:16]}…"
        )
    if purge.is_in_place and patch.shards and not patch.is_renaming:
        raise InputError(
            f"{shards.uri}: the patch keeps the names of tars, so that they cannot be replaced while others read "
            "them; name another place with -o, or ask for a patch that was made with --in-place"
        )
    if purge.is_in_place and not patch.shards and list(shards.taken_down) == purge.taken_down:
        tidy_committed(shards)
        reporter.say(f"purge: nothing to remove from {shards.uri}")
        return shards
    plan, others = _plan(purge)
    perform = ShardPurger(shards=replace(shards, parts=[], taken_down=[]), renaming=patch.is_renaming)
    work = Work(plan=plan, perform=perform, others=others, digest=patch.digest_after)
    return run_units(work, engine, reporter, restart=restart)


def _plan(purge: Purge) -> tuple[Plan, dict[str, Receipt]]:
    """Return the plan, and receipts for the parts that stay where they are."""
    about, shards = _about(purge), purge.shards
    by_tar = {each.before.name: each for each in purge.patch.shards}
    units, others = [], {}
    for part in shards.parts:
        cut = by_tar.pop(tar_of(part)[0], None)
        inputs = {"part": asdict(part), "cut": None if cut is None else asdict(cut)}
        rows = part.rows - (0 if cut is None else cut.samples)
        fingerprint = settings_hash(about.fingerprint, part.name, part.sha256, inputs["cut"])
        unit = Unit(name=part.unit, inputs=inputs, fingerprint=fingerprint, rows=rows)
        if cut is None and purge.is_in_place:
            others[unit.name] = receipt_of_part(part, unit)
        else:
            units.append(unit)
    if by_tar:
        raise InputError(f"{shards.uri}: has no tar {', '.join(sorted(by_tar)[:3])}, which the patch names")
    known = {name: getattr(about, name) for name in Provenance.__dataclass_fields__}
    replaces = shards.fingerprint if purge.is_in_place else None
    plan = Plan(**known, output=purge.output, units=units, options=purge.options, replaces=replaces)
    if shards.files:
        plan = replace(plan, summarise=functools.partial(whole_of, layout=layout_of(shards)))
    return plan, others


def _about(purge: Purge) -> Provenance:
    """Return what the manifest records. In place, its parents are those of the manifest that it replaces."""
    shards, patch, against = purge.shards, purge.patch, purge.against
    parent = Parent(uri=shards.uri, stage=shards.stage, digest=shards.digest)
    parents, inputs = [parent], {"parent": shards.digest}
    if purge.is_in_place:
        parents, inputs = list(shards.parents), dict(shards.inputs)
    if against is not None:
        name = f"against:{sum(name.startswith('against:') for name in inputs)}"
        parents.append(Parent(uri=against.uri, stage=against.stage, digest=against.digest))
        inputs[name] = against.digest
    derivation = {
        "operation": "purge",
        "duckdb": duckdb.__version__,
        "purged": shards.digest,
        "samples": sum(each.samples for each in patch.shards),
        "shards": len(patch.shards),
        "patch_sha256": patch.hash,
    }
    return Provenance(
        stage=shards.stage,
        config=shards.config,
        software=shards.software,
        inputs=inputs,
        parents=parents,
        roots=shards.roots,
        funnel=shards.funnel,
        derivation=derivation,
        schema=shards.schema,
        taken_down=purge.taken_down,
    )
