"""A host that does not answer, a missing bucket and missing credentials: a sentence each, with the URI."""

import socket

import fsspec.config
import pytest
import s3fs

from manifests import storage
from manifests.errors import CurateError, InputError, ManifestError, StorageUnavailable, sentence_of
from manifests.format.store import open_manifest
from manifests.storage_errors import sentence_for, unavailable
from tests.support.object_store import bucket_of

pytestmark = pytest.mark.slow  # servers that do not answer as they should

USES = {
    "exists": storage.exists,
    "describe": storage.describe,
    "list_names": storage.list_names,
    "entries": storage.entries,
    "read_bytes": storage.read_bytes,
    "read_many": lambda uri: storage.read_many(uri, ["a"]),
    "open_input": lambda uri: storage.open_input(uri).read(),
    "write_bytes": lambda uri: storage.write_bytes(uri, b"x"),
    "remove": storage.remove,
    "require_bucket": storage.require_bucket,
}
KEYS = {"key": "x", "secret": "x"}
NEEDS_A_BUCKET = ("read_bytes", "read_many", "open_input", "write_bytes", "require_bucket")


@pytest.fixture
def s3_options(monkeypatch):
    """Set what `s3://` means; nothing of the environment has a say."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(fsspec.config, "conf", {})
    s3fs.S3FileSystem.clear_instance_cache()
    yield lambda **options: fsspec.config.conf.update({"s3": options})
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def endpoint():
    """The address of a server with the bucket `bucket`."""
    with bucket_of("bucket"):
        yield fsspec.config.conf["s3"]["endpoint_url"]


@pytest.fixture
def closed_port():
    """A port of this machine at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("use", USES)
def test_a_host_that_does_not_answer(use, s3_options, closed_port):
    host = f"127.0.0.1:{closed_port}"
    s3_options(endpoint_url=f"http://{host}", **KEYS, config_kwargs={"retries": {"max_attempts": 0}})
    with pytest.raises(StorageUnavailable) as error:
        USES[use]("s3://bucket/x")
    assert str(error.value) == (
        f"s3://bucket/x: {host} does not answer; check the address (such as endpoint_url) and the network"
    )
    assert not isinstance(error.value, OSError), "callers that pass over one unreadable file must not pass over this"


@pytest.mark.parametrize("use", USES)
def test_missing_credentials(use, s3_options, endpoint):
    s3_options(endpoint_url=endpoint)
    with pytest.raises(StorageUnavailable) as error:
        USES[use]("s3://bucket/x")
    said = str(error.value)
    assert said.startswith("s3://bucket/x: no valid credentials were found")
    assert "AWS_ACCESS_KEY_ID" in said


@pytest.mark.parametrize("use", NEEDS_A_BUCKET)
def test_a_missing_bucket(use, s3_options, endpoint):
    s3_options(endpoint_url=endpoint, **KEYS)
    with pytest.raises(StorageUnavailable) as error:
        USES[use]("s3://nobody/x")
    assert str(error.value) == "s3://nobody/x: there is no bucket nobody; create it, or correct the name"
    assert isinstance(error.value, FileNotFoundError), "no file of a missing bucket exists"


def test_a_bucket_that_exists_is_fine(s3_options, endpoint, tmp_path):
    s3_options(endpoint_url=endpoint, **KEYS)
    storage.require_bucket("s3://bucket/not/there")
    storage.require_bucket(f"file://{tmp_path}/not/there")
    storage.require_bucket("memory://not/there")
    with pytest.raises(FileNotFoundError) as error:
        storage.read_bytes("s3://bucket/x")
    assert not isinstance(error.value, StorageUnavailable)


# --- errors of the libraries, by the names and attributes that they have


def raised(module, name, *, bases=(Exception,), message="", **attributes):
    """Return an error like that of a library that need not be installed."""
    error = type(name, bases, {"__module__": module})(message)
    for each, value in attributes.items():
        setattr(error, each, value)
    return error


@pytest.mark.parametrize(
    ("error", "uri", "said"),
    [
        (raised("google.auth.exceptions", "DefaultCredentialsError"), "gs://b/x", "gcloud auth"),
        (raised("google.auth.exceptions", "RefreshError"), "gcs://b/x", "gcloud auth"),
        (raised("azure.core.exceptions", "ClientAuthenticationError"), "abfs://b/x", "AZURE_STORAGE"),
        (raised("gcsfs.retry", "HttpError", code=401), "gs://b/x", "gs://b/x: access denied"),
        (raised("gcsfs.retry", "HttpError", code=403, message="Caller has no access"), "gs://b/x", "(Caller has no"),
        (raised("azure.core.exceptions", "HttpResponseError", status_code=403), "az://b/x", "access denied"),
        (
            raised("azure.core.exceptions", "ResourceNotFoundError", error_code="ContainerNotFound"),
            "az://b/x",
            "there is no bucket b",
        ),
        (raised("azure.core.exceptions", "ServiceRequestError"), "az://b/x", "does not answer"),
        (
            raised("aiohttp", "ClientConnectorError", bases=(OSError,), host="example.test", port=443),
            "https://example.test/x",
            "example.test:443 does not answer",
        ),
        (
            raised("aiohttp", "ClientConnectorCertificateError", bases=(OSError,), host="example.test", port=443),
            "https://example.test/x",
            "no secure connection to example.test:443",
        ),
        (PermissionError("Access Denied"), "s3://b/x", "access denied (Access Denied)"),
        (ConnectionRefusedError(111, "Connection refused"), "hdfs://b/x", "does not answer"),
        (socket.gaierror(-2, "Name or service not known"), "sftp://b/x", "does not answer"),
    ],
)
def test_libraries_are_recognised_without_being_imported(error, uri, said):
    explained = unavailable(error, uri)
    assert explained is not None
    assert str(explained).startswith(f"{uri}: ")
    assert said in str(explained)
    for kind in (FileNotFoundError, PermissionError):
        assert isinstance(explained, kind) or not isinstance(error, kind)
    assert isinstance(explained, OSError) == isinstance(error, OSError) or "bucket" in said
    assert sentence_of(explained) == str(explained) if isinstance(explained, OSError) else True


@pytest.mark.parametrize(
    ("error", "uri"),
    [
        (FileNotFoundError("b/x"), "s3://b/x"),
        (ValueError("no"), "s3://b/x"),
        (PermissionError(13, "Permission denied", "/x"), "file:///x"),
        (ConnectionRefusedError(111, "Connection refused"), "file:///x"),
        (InputError("mine"), "s3://b/x"),
        (BrokenPipeError(32, "Broken pipe"), "s3://b/x"),
    ],
)
def test_other_errors_are_left_alone(error, uri):
    assert unavailable(error, uri) is None


def test_an_error_without_a_uri_has_a_sentence_too():
    error = raised("botocore.exceptions", "EndpointConnectionError", message='connect to "http://h.test:9/b?x"')
    assert str(sentence_for(error)).startswith("h.test:9 does not answer")
    assert sentence_for(RuntimeError("else")) is None


def test_passwords_in_an_address_are_not_repeated():
    error = raised("botocore.exceptions", "EndpointConnectionError", message="http://me:S3CR3T@h.test:9/b")
    assert "S3CR3T" not in str(sentence_for(error))


def test_unavailable_storage_is_an_error_raised_on_purpose():
    assert issubclass(StorageUnavailable, CurateError)


def test_a_manifest_in_a_missing_bucket_is_reported_as_that(s3_options, endpoint):
    s3_options(endpoint_url=endpoint, **KEYS)
    with pytest.raises(ManifestError, match="there is no bucket nobody"):
        open_manifest("s3://nobody/out/chosen")
