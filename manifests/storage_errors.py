"""What the libraries behind fsspec raise, in sentences: which URI, what is wrong, and what to do next.

botocore, aiobotocore, aiohttp, gcsfs, google-auth, adlfs and azure-core are recognised by the names of their classes
and by the codes in their exceptions, so that none of them is imported.
"""

import functools
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

from manifests.errors import CurateError, StorageUnavailable
from manifests.retries import Backoff, retried

P = ParamSpec("P")
R = TypeVar("R")

LIBRARIES = frozenset({"botocore", "aiobotocore", "aiohttp", "gcsfs", "google", "azure", "adlfs", "s3fs"})
_UNREACHABLE = frozenset(
    {
        *("EndpointConnectionError", "ConnectionClosedError", "ProxyConnectionError"),  # botocore
        *("ConnectTimeoutError", "ReadTimeoutError"),
        *("ClientConnectorError", "ClientConnectionError", "ServerTimeoutError"),  # aiohttp
        *("ServiceRequestError", "ServiceResponseError"),  # azure-core
        "TransportError",  # google-auth
    }
)
_NO_CREDENTIALS = frozenset(
    {
        *(
            "NoCredentialsError",
            "PartialCredentialsError",
            "CredentialRetrievalError",
            "NoAuthTokenError",
        ),  # botocore
        *("ProfileNotFound", "TokenRetrievalError"),
        *("DefaultCredentialsError", "RefreshError"),  # google-auth
        "ClientAuthenticationError",  # azure-core
    }
)
_NO_BUCKET_CODES = frozenset({"NoSuchBucket", "ContainerNotFound", "FilesystemNotFound"})
_CREDENTIALS: Mapping[str, str] = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; for a public bucket set "
    "storage.s3.anon: true",
    "gs": "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS; for a public bucket "
    "set storage.gs.token: anon",
    "az": "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
_SAME_CREDENTIALS = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az"}
_NOT_CONNECTED = frozenset(
    {
        *("ConnectTimeoutError", "ProxyConnectionError"),  # botocore, whose EndpointConnectionError may be a reset
        *("ClientConnectorError", "ConnectionTimeoutError"),  # aiohttp
        "ServiceRequestError",  # azure-core
    }
)
_INTERRUPTED = frozenset(
    {
        *("ConnectionClosedError", "ReadTimeoutError", "ResponseParserError", "IncompleteReadError"),  # botocore
        *("ClientPayloadError", "ServerDisconnectedError", "ServerTimeoutError", "ClientOSError"),  # aiohttp
        *("ServiceResponseError", "IncompleteRead"),  # azure-core, http.client
    }
)
_TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504, 509})
_TRANSIENT_CODES = frozenset(
    {
        *("SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling", "TooManyRequests"),  # S3
        *("ServerBusy", "OperationTimedOut"),  # Azure
    }
)
_UPLOAD_IS_GONE = "NoSuchUpload"  # of S3: the answer that a large upload was complete, or removed, had been lost
_NO_ANSWER = (ConnectionRefusedError, ConnectionResetError, TimeoutError, socket.gaierror)
_URL = re.compile(r"https?://[^\s\"'>\])]+")


class _Unreachable(StorageUnavailable, ConnectionError):
    """What was an error of the operating system remains one."""


class _Denied(StorageUnavailable, PermissionError):
    """What was a PermissionError remains one."""


class NoBucket(StorageUnavailable, FileNotFoundError):
    """The bucket or container of a URI does not exist, and so no file in it."""


def explained(function: Callable[Concatenate[str, P], R]) -> Callable[Concatenate[str, P], R]:
    """Return `function`, whose first argument is a URI, with its errors replaced as `unavailable` says.

    It is called again after an error that is transient: the same call twice must be as good as one.
    """

    @functools.wraps(function)
    def with_uri(uri: str, /, *args: P.args, **named: P.kwargs) -> R:
        if _is_local(uri):
            return function(uri, *args, **named)
        try:
            import fsspec.config  # noqa: PLC0415 - the command line imports this module, and does without

            backoff = Backoff.of(fsspec.config.conf.get("retries", {}))
            return retried(lambda: function(uri, *args, **named), is_transient, backoff)
        except Exception as e:
            error = unavailable(e, uri)
            if error is None:
                raise
            raise error from e

    return with_uri


def _is_local(uri: str) -> bool:
    return uri.startswith(("file://", "local://", "/"))


def is_transient(error: BaseException) -> bool:
    """Whether `error` is one after which the same request may succeed: a storage that is busy, a broken connection.

    Not so where no connection is made: an address is more often wrong than a host down.
    """
    chain = list(_chain(error))
    if any(_code(each) == _UPLOAD_IS_GONE for each in chain):
        return True
    if isinstance(error, CurateError | FileNotFoundError | PermissionError):
        return False
    names = {each.__name__ for raised in chain for each in type(raised).__mro__}
    if names & _NOT_CONNECTED or any(isinstance(e, ConnectionRefusedError | socket.gaierror) for e in chain):
        return False
    return bool(names & _INTERRUPTED) or any(
        isinstance(e, ConnectionResetError | TimeoutError)
        or _code(e) in _TRANSIENT_CODES
        or _status(e) in _TRANSIENT_STATUSES
        for e in chain
    )


def unavailable(error: Exception, uri: str) -> StorageUnavailable | None:
    """Return the error to raise instead of `error`, which came from the storage of `uri`, or None to leave it.

    It is also a FileNotFoundError, PermissionError or ConnectionError where `error` was such an OSError.
    """
    if isinstance(error, CurateError) or _is_local(uri):
        return None
    if is_bucket_missing(error):
        return NoBucket(no_bucket_sentence(uri))
    sentence = sentence_for(error, uri)
    if sentence is None:
        return None
    if isinstance(error, PermissionError):
        return _Denied(sentence)
    return _Unreachable(sentence) if isinstance(error, OSError) else StorageUnavailable(sentence)


def sentence_for(error: BaseException, uri: str | None = None) -> str | None:
    """Return what went wrong and what to do, or None when `error` is of no storage or its meaning is not known."""
    where = f"{uri}: " if uri else ""
    chain = list(_chain(error))
    names = {each.__name__ for raised in chain for each in type(raised).__mro__}
    if names & _NO_CREDENTIALS:
        return f"{where}no valid credentials were found for this storage; {credentials_advice(uri)}"
    host = next((host for e in chain if (host := _host(e))), "the storage")
    if any("SSL" in name or "Certificate" in name for name in names):
        return (
            f"{where}no secure connection to {host} ({_short(chain[-1])}); check http or https, and the certificates"
        )
    if names & _UNREACHABLE or any(isinstance(e, _NO_ANSWER) for e in chain):
        return f"{where}{host} does not answer; check the address (such as endpoint_url) and the network"
    if (isinstance(error, PermissionError) and error.filename is None) or any(
        _status(e) in (401, 403) for e in chain
    ):
        return f"{where}access denied ({_short(error)}); check what these credentials may read and write"
    if is_transient(error):
        return (
            f"{where}{host} failed again and again ({_short(error)}); wait, and run the command again: it goes on "
            "where it stopped"
        )
    return None


def is_bucket_missing(error: BaseException) -> bool:
    """Whether a storage raised `error` because a bucket or container does not exist."""
    return any(_code(each) in _NO_BUCKET_CODES for each in _chain(error))


def no_bucket_sentence(uri: str) -> str:
    """Return that the bucket of `uri` does not exist, and what to do."""
    bucket = uri.partition("://")[2].split("/", 1)[0]
    return f"{uri}: there is no bucket {bucket}; create it, or correct the name"


def credentials_advice(uri: str | None) -> str:
    """Return how to give credentials to the storage of `uri`."""
    protocol = (uri or "").partition("://")[0].rpartition(":")[2]
    advice = _CREDENTIALS.get(_SAME_CREDENTIALS.get(protocol, protocol))
    return advice or "set them in the environment, or under storage: in the pipeline file"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it came from."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__


def _host(error: BaseException) -> str | None:
    """Return the host, and its port, that an error names."""
    url = _URL.search(str(error))
    if url:
        return urlsplit(url[0]).netloc.rpartition("@")[2] or None
    host, port = getattr(error, "host", None), getattr(error, "port", None)
    if isinstance(host, str) and host:
        return f"{host}:{port}" if port else host
    return None


def _code(error: BaseException) -> str | None:
    """Return the code that a storage gave to an error, such as NoSuchBucket."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, Mapping):
        return str(response.get("Error", {}).get("Code"))
    code = getattr(error, "error_code", None)
    return None if code is None else str(getattr(code, "value", code))


def _status(error: BaseException) -> int | None:
    """Return the HTTP status of an error."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, Mapping):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status if isinstance(status, int) else None
    if type(error).__module__.split(".")[0] not in LIBRARIES:
        return None
    found = (getattr(error, name, None) for name in ("status", "status_code", "code"))
    return next((status for status in found if isinstance(status, int)), None)


def _short(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
