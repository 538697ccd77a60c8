"""The table of a release: a row for each sample, with what a reader gets, and the totals that documents show.

Everything comes from the rows of the manifest, on DuckDB, in an order that is that of the tars.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from curation.domains import domain_of, host_sql
from curation.pictures.resize import LOSSLESS
from curation.sources.byte_ranges import in_groups
from manifests.compare.changes import PLACE_COLUMNS
from manifests.draw.sampling import hash_sql
from manifests.errors import ManifestError
from manifests.format.store import Manifest
from manifests.sql.engine import DuckEngine, count_rows, sql_text
from manifests.sql.lookup import PLACES

_TEXT = ("text_kind", "text_class", "text_score", "text_lines", "text_chars")
_DATA = ("key", "url", "caption", "sha256", "shard_sha256", "format", "width", "height", *_TEXT)
_TOP = 20
_COUNTED_VALUES = ("domain", "license", "format", "text_class", "text_kind")
_PRESENT = ("url", "domain", "caption", "license", "attribution")
_SIZES = {"side": "shorter side", "bytes": "bytes"}
_QUANTILES = (0.1, 0.5, 0.9)
ROWS_AT_ONCE = 1_000_000

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("shard", pa.string()),
        ("shard_index", pa.int32()),
        ("url", pa.string()),
        ("domain", pa.string()),
        ("license", pa.string()),
        ("attribution", pa.string()),
        ("caption", pa.string()),
        ("format", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("text_kind", pa.string()),
        ("text_class", pa.string()),
        ("text_score", pa.float64()),
        ("text_lines", pa.int32()),
        ("text_chars", pa.int32()),
    ]
)
MEANINGS: Mapping[str, str] = {
    "key": "permanent, unique name of the sample, and of its members in the tar",
    "shard": "tar that has it",
    "shard_index": "its position in the tar, from 0",
    "url": "where the picture came from, as its source says",
    "domain": "registered domain of the URL, by the Public Suffix List",
    "license": "licence that the source names",
    "attribution": "author or rights holder that the source names",
    "caption": "caption that came with the picture",
    "format": "image format, as found in the bytes",
    "width": "pixels of the picture in the tar, after EXIF orientation",
    "height": "pixels of the picture in the tar, after EXIF orientation",
    "bytes": "bytes of the picture in the tar",
    "sha256": "sha256 of the picture in the tar, hex",
    "text_kind": "what the picture is: document, table, chart and so on; by a network",
    "text_class": "none, light or heavy: how rich in text",
    "text_score": "how rich in text, 0 to 1",
    "text_lines": "lines that were read with confidence",
    "text_chars": "characters that were read with confidence",
}


def columns_read(manifest: Manifest) -> list[str]:
    """Return the columns of `manifest` whose values readers of a release get, in the table or in the tars."""
    in_tars = manifest.config.get("json_columns", ())
    wanted = dict.fromkeys([*_DATA, *in_tars])
    return [name for name in wanted if name in manifest.schema.names and name not in PLACE_COLUMNS]


def require_own_tars(engine: DuckEngine, manifest: Manifest, tars: Sequence[str]) -> None:
    """Raise ManifestError unless every row names the tar of its part, given in their order.

    A manifest may come from anyone, and bytes are read where its rows say.
    """
    engine.table("own_tars", pa.table({"part": pa.array(range(len(tars)), pa.int32()), "name": list(tars)}))
    engine.view("named_tars", manifest, {"shard": "shard"})
    others = count_rows(engine, "named_tars r JOIN own_tars t ON t.part = r.part", "r.shard IS DISTINCT FROM t.name")
    if others:
        raise ManifestError(
            f"{manifest.uri}: {others:,} rows name another tar than that of their part; shard it again"
        )


@dataclass(frozen=True, kw_only=True)
class Share:
    """One value of a column, with how many pictures have it and how many bytes these have."""

    value: str | None
    images: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What is counted over all samples.

    `domains` is the number of registered domains, `top_domains` the largest tenth of them by bytes, at least one.
    `values` is the most frequent values of some columns; None stands for samples without one.
    """

    images: int
    size_bytes: int
    counts: Mapping[str, int]
    quantiles: Mapping[str, int | None]
    domains: int
    top_domains: Sequence[Share]
    values: Mapping[str, Sequence[Share]]


class Samples:
    """The rows of a release on an engine. `sidecars` has the columns key, license and attribution, of some rows."""

    def __init__(self, engine: DuckEngine, manifest: Manifest, sidecars: pa.Table) -> None:
        self._engine, self._manifest = engine, manifest
        engine.view("stored", manifest, _expressions(manifest))
        engine.table("sidecars", sidecars)
        engine.table("host_domains", self._host_domains())
        narrow = ", ".join(
            [*_COUNTED_VALUES, *(f"nullif({name}, '') IS NOT NULL AS has_{name}" for name in _PRESENT)]
        )
        engine.keep("facts", f"SELECT {narrow}, bytes, least(width, height) AS side FROM ({_joined('stored')})")
        engine.keep("by_domain", "SELECT domain, count(*) AS n, sum(bytes) AS b FROM facts GROUP BY domain")

    def _host_domains(self) -> pa.Table:
        hosts = self._engine.fetch("SELECT DISTINCT host FROM stored WHERE host <> ''").column("host").to_pylist()
        domains = pa.array(map(domain_of, hosts), pa.string())
        return pa.table({"host": pa.array(hosts, pa.string()), "domain": domains})

    def batches(self) -> Iterator[pa.Table]:
        """Yield all rows with SCHEMA, in the order of the tars. Some parts at a time are sorted, in memory."""
        names, parts = ", ".join(SCHEMA.names), self._manifest.parts
        for places in in_groups(range(len(parts)), [part.rows for part in parts], ROWS_AT_ONCE):
            self._engine.view("batch_rows", self._manifest, _expressions(self._manifest), parts=places)
            for table in self._engine.stream(f"SELECT {names} FROM ({_joined('batch_rows')}) ORDER BY part, row"):
                yield table.cast(SCHEMA)

    def domains(self) -> pa.Table:
        """Return all registered domains with their `images`, `bytes` and rank by bytes, the largest first."""
        found = self._engine.fetch(
            "SELECT row_number() OVER (ORDER BY b DESC, n DESC, domain) AS rank, domain, n AS images, b AS bytes "
            "FROM by_domain WHERE domain IS NOT NULL ORDER BY rank"
        )
        return found.cast(
            pa.schema([("rank", pa.int64()), ("domain", pa.string()), ("images", pa.int64()), ("bytes", pa.int64())])
        )

    def drawn(self, count: int, salt: str) -> pa.Table:
        """Return the places of `count` samples: those whose keys have the smallest hashes with `salt`."""
        drawn = f"SELECT part, row, key FROM stored ORDER BY {hash_sql(salt)}, key LIMIT {count}"
        return self._engine.fetch(f"SELECT * FROM ({drawn}) ORDER BY part, row").cast(PLACES)

    def totals(self) -> Totals:
        """Return what is counted over all samples."""
        sums = ", ".join(f"count(*) FILTER (has_{name})" for name in _PRESENT)
        quantiles = ", ".join(f"quantile_disc({name}, {list(_QUANTILES)})" for name in _SIZES)
        images, size_bytes, *found = self._fetch(
            f"SELECT count(*), coalesce(sum(bytes), 0)::BIGINT, {sums}, {quantiles} FROM facts"
        )[0]
        domains = self.domains()
        top = domains.slice(0, -(-domains.num_rows // 10)).to_pylist()
        sizes = dict(zip(_SIZES.values(), found[len(_PRESENT) :], strict=True))
        return Totals(
            images=images,
            size_bytes=size_bytes,
            counts=dict(zip(_PRESENT, found, strict=False)),
            quantiles={
                f"{name}, {round(100 * quantile)} %": value
                for name, values in sizes.items()
                for quantile, value in zip(_QUANTILES, values or [None] * len(_QUANTILES), strict=True)
            },
            domains=domains.num_rows,
            top_domains=[Share(value=r["domain"], images=r["images"], size_bytes=r["bytes"]) for r in top],
            values={name: self.shares(name) for name in ("format", "text_class", "text_kind")},
        )

    def shares(self, name: str) -> list[Share]:
        """Return the most frequent values of a counted column, at most 20, with None for samples without one."""
        found = self._fetch(
            f"SELECT {name}, count(*) AS n, sum(bytes)::BIGINT FROM facts GROUP BY {name} "
            f"ORDER BY n DESC, {name} NULLS LAST LIMIT {_TOP}"
        )
        return [Share(value=value, images=n, size_bytes=size) for value, n, size in found]

    def licences(self) -> pa.Table:
        """Return every licence that a source names, with its `images` and `bytes`; null for samples without one."""
        found = self._engine.fetch(
            "SELECT license, count(*) AS images, sum(bytes) AS bytes FROM facts "
            "GROUP BY license ORDER BY images DESC, license NULLS LAST"
        )
        return found.cast(pa.schema([("license", pa.string()), ("images", pa.int64()), ("bytes", pa.int64())]))

    def _fetch(self, sql: str) -> list[tuple[Any, ...]]:
        found = self._engine.fetch(sql)
        return list(zip(*(column.to_pylist() for column in found.columns), strict=True))


def _joined(rows: str) -> str:
    """Return SQL for SCHEMA, part and row of the rows of a view with the columns of _expressions."""
    others = {"domain": "d.domain", "license": "s.license", "attribution": "s.attribution"}
    names = ", ".join(f"{others.get(name, f'r.{name}')} AS {name}" for name in SCHEMA.names)
    return (
        f"SELECT {names}, r.part, r.row FROM {rows} r LEFT JOIN host_domains d ON d.host = r.host "
        "LEFT JOIN sidecars s ON s.key = r.key"
    )


def _expressions(manifest: Manifest) -> dict[str, str]:
    """Return name → DuckDB SQL over a row of `manifest`, of the columns of the table that rows alone decide."""
    known = set(manifest.schema.names)

    def own(name: str, kind: str) -> str:
        return name if name in known else f"NULL::{kind}"

    kinds = {field.name: str(field.type) for field in SCHEMA}
    duck = {"string": "VARCHAR", "int32": "INTEGER", "int64": "BIGINT", "double": "DOUBLE"}
    plain = [name for name in SCHEMA.names if name not in ("domain", "license", "attribution", "bytes")]
    columns = {name: own(name, duck[kinds[name]]) for name in plain}
    columns |= {"bytes": "shard_size", "host": f"coalesce({host_sql(own('url', 'VARCHAR'))}, '')"}
    if "shard_sha256" in known:
        lossless = ", ".join(map(sql_text, sorted(LOSSLESS)))
        resized = f"CASE WHEN format IN ({lossless}) THEN 'PNG' ELSE 'JPEG' END"  # as resized_format says
        columns["format"] = f"CASE WHEN shard_sha256 IS NULL THEN format ELSE {resized} END"
        columns |= {name: f"coalesce(shard_{name}, {name})" for name in ("width", "height", "sha256")}
    return columns
