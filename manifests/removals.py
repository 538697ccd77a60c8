"""Removing files below a folder with as few requests as the storage permits. A path is never a pattern."""

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import fsspec

KEYS_PER_REQUEST = 1000  # the most that S3 takes
CONCURRENT = 16
_PATTERN = "*?["


class NotRemoved(OSError):
    """The storage refused to remove one object of several. `error_code` is the storage's."""

    def __init__(self, error_code: str, message: str) -> None:
        super().__init__(message)
        self.error_code = error_code


def remove_all(fs: fsspec.AbstractFileSystem, path: str) -> None:
    """Remove a file, or a folder and all in it. Raises FileNotFoundError if there is none and the storage says so."""
    if _is_s3(fs):
        bucket, key, _ = fs.split_path(path)
        listed = _listed(fs, bucket, f"{key}/" if key else "")
        _delete(fs, bucket, itertools.chain([key] if key else [], listed))
        fs.invalidate_cache()
    elif "file" in _protocols(fs) or not any(character in path for character in _PATTERN):
        fs.rm(path, recursive=True)
    else:  # fs.rm would treat such a name as a pattern
        remove_files(fs, fs.find(path))


def remove_files(fs: fsspec.AbstractFileSystem, paths: Iterable[str]) -> None:
    """Remove files. Those that do not exist are passed over."""
    if not _is_s3(fs):
        with ThreadPoolExecutor(CONCURRENT) as pool:
            list(pool.map(lambda path: _remove_file(fs, path), paths))
        return
    by_bucket: dict[str, list[str]] = {}
    for bucket, key, _ in map(fs.split_path, paths):
        by_bucket.setdefault(bucket, []).append(key)
    for bucket, keys in by_bucket.items():
        _delete(fs, bucket, keys)
    fs.invalidate_cache()


def _remove_file(fs: fsspec.AbstractFileSystem, path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        fs.rm_file(path)


def _is_s3(fs: fsspec.AbstractFileSystem) -> bool:
    return "s3" in _protocols(fs)


def _protocols(fs: fsspec.AbstractFileSystem) -> Sequence[str]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol


def _listed(fs: Any, bucket: str, prefix: str) -> Iterator[str]:
    """Yield the keys that begin with `prefix`."""
    more: dict[str, str] = {}
    while True:
        page = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, **more)
        yield from (each["Key"] for each in page.get("Contents", []))
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def _delete(fs: Any, bucket: str, keys: Iterable[str]) -> None:
    """Delete objects with one request for 1000. s3fs's own bulk deletion does not tell which ones were refused."""
    left = iter(keys)
    while named := [{"Key": key} for key in itertools.islice(left, KEYS_PER_REQUEST)]:
        answer = fs.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": named, "Quiet": True})
        for error in answer.get("Errors", []):
            message = f"{bucket}/{error.get('Key')}: {error.get('Code')}: {error.get('Message')}"
            if error.get("Code") == "AccessDenied":
                raise PermissionError(message)
            raise NotRemoved(str(error.get("Code")), message)
