"""DuckDB's errors become ours by their cause: the user's input, a lack of space, or a damaged part."""

import duckdb
import pyarrow as pa
import pytest

from manifests.errors import NO_SPACE, InputError, ManifestError
from manifests.sql.duckdb_errors import duckdb_errors, query_errors

ON_A_ROW = duckdb.ConversionException("Conversion Error: Could not convert string 'x' to INT32\n\nLINE 1: …")
DAMAGED = duckdb.InvalidInputException("Invalid Input Error: No magic bytes found at end of file 'a.parquet'")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ON_A_ROW, InputError, "m: an expression fails on a row: Conversion Error: Could not convert"),
        (duckdb.OutOfRangeException("Out of Range Error: overflow"), InputError, "m: an expression fails on a row"),
        (duckdb.OutOfMemoryException("Out of Memory Error: failed"), InputError, "m: needs more memory or more disk"),
        (duckdb.IOException(f"IO Error: write: {NO_SPACE}"), InputError, "m: needs more memory or more disk"),
        (DAMAGED, ManifestError, "`curate verify` shows whether a part is damaged"),
    ],
)
def test_errors_of_an_operation(error, kind, message):
    with pytest.raises(kind) as caught, duckdb_errors("m"):
        raise error
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is error


def test_a_condition_of_the_user_is_blamed_also_for_errors_that_an_inner_block_translated():
    blamed = pytest.raises(InputError, match="--where: 'a::INT > 1' fails on a row: Conversion Error")
    with blamed, duckdb_errors("outer", where="a::INT > 1"), duckdb_errors("inner"):
        raise ON_A_ROW
    with pytest.raises(InputError, match="unknown column"), duckdb_errors("m", where="a > 1"):
        raise InputError("unknown column")


def test_errors_of_a_stream_arrive_as_those_of_arrow_and_the_system():
    for error in (pa.ArrowInvalid("Conversion Error: x"), OSError("Conversion Error: x")):
        with pytest.raises(InputError, match="fails on a row"), duckdb_errors("m", is_streamed=True):
            raise error
        with pytest.raises(type(error)), duckdb_errors("m"):
            raise error


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ON_A_ROW, InputError, "query: Conversion Error: Could not convert string 'x' to INT32"),
        (
            duckdb.PermissionException("Permission Error: no"),
            InputError,
            "a query reads the manifests that it is given",
        ),
        (duckdb.IOException("IO Error: cannot read"), ManifestError, "query: a part cannot be read"),
        (pa.ArrowInvalid("Snappy: corrupt"), ManifestError, "query: a part cannot be read"),
        (
            duckdb.BinderException('Binder Error: column "kay" not found\nCandidate bindings: "key"\n\nLINE 1: …'),
            InputError,
            'query: Binder Error: column "kay" not found Candidate bindings: "key"',
        ),
    ],
)
def test_errors_of_a_query(error, kind, message):
    with pytest.raises(kind) as caught, query_errors(is_streamed=True):
        raise error
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
