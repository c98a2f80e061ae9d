"""The clients: one try per request, long reads, and botocore's own ways of finding endpoint and region."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from bedrock_batch.aws.clients import ClientFactory, make_session, supports
from bedrock_batch.errors import ConfigurationError
from helpers.aws_clients import clients_at, fake_session
from helpers.scripted_http import failure, scripted_server


def test_the_sdk_makes_one_try_of_a_model_call() -> None:
    """The SDK's retries would multiply ours, and a user would pay for up to fifteen generations instead of three."""
    with scripted_server(failure(503, "ServiceUnavailableException")) as server:
        clients = clients_at(server.url)
        with pytest.raises(ClientError):
            clients.bedrock_runtime.invoke_model(modelId="m", body=b"{}")
        with pytest.raises(ClientError):
            clients.bedrock.get_model_invocation_job(jobIdentifier="abcdefghijkl")
        assert len(server.requests) == 2


def test_the_runtime_waits_for_long_generations_and_has_a_connection_per_worker() -> None:
    """A generation of minutes would be cut off after 60 s and paid again, or 64 workers share 10 connections."""
    clients = ClientFactory(fake_session(), read_timeout=3600, max_pool_connections=64)
    config = clients.bedrock_runtime.meta.config
    assert (config.read_timeout, config.max_pool_connections, config.tcp_keepalive) == (3600, 64, True)
    assert clients.bedrock.meta.config.read_timeout == 60
    assert clients.s3.meta.config.retries["mode"] == "standard"


def test_threads_share_one_client() -> None:
    """Sessions are not thread-safe: clients built in several threads at once fail at random."""
    clients = ClientFactory(fake_session())
    with ThreadPoolExecutor(8) as pool:
        built = list(pool.map(lambda _: clients.bedrock_runtime, range(16)))
    assert len({id(client) for client in built}) == 1


def test_endpoints_of_the_environment_are_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A VPC endpoint or local server, set in the usual variable, would be ignored."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://127.0.0.1:1")
    assert ClientFactory(fake_session()).bedrock_runtime.meta.endpoint_url == "http://127.0.0.1:1"


def test_a_region_of_the_settings_wins() -> None:
    """Jobs would be created in another region than their bucket."""
    assert ClientFactory(fake_session(), region_name="eu-west-1").region_name == "eu-west-1"


def test_a_missing_region_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a region would see a traceback of botocore instead of the variable to set."""
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(ConfigurationError, match="AWS_DEFAULT_REGION"):
        _ = ClientFactory(make_session()).bedrock


def test_an_impossible_endpoint_is_a_configuration_error() -> None:
    """A mistyped endpoint would end in a traceback instead of naming the variable."""
    with pytest.raises(ConfigurationError, match="AWS_ENDPOINT_URL"):
        _ = ClientFactory(fake_session(), endpoint_urls={"s3": "localhost:9000"}).s3


def test_an_unknown_profile_is_a_configuration_error() -> None:
    """A mistyped profile would end in a traceback."""
    with pytest.raises(ConfigurationError, match="no-such-profile"):
        make_session(profile_name="no-such-profile")


@pytest.mark.parametrize(
    ("operation", "member", "expected"),
    [
        pytest.param("CreateModelInvocationJob", "jobName", True, id="member"),
        pytest.param("CreateModelInvocationJob", "inputDataConfig.s3InputDataConfig.s3Uri", True, id="nested"),
        pytest.param("CreateModelInvocationJob", "inputDataConfig.nothing", False, id="no nested member"),
        pytest.param("CreateModelInvocationJob", "jobName.nothing", False, id="below a string"),
        pytest.param("CreateModelInvocationJob", "nothing", False, id="no member"),
        pytest.param("NoSuchOperation", "jobName", False, id="no operation"),
    ],
)
def test_supports_reads_the_installed_service_model(operation: str, member: str, expected: bool) -> None:
    """A request with a member that an older botocore does not know is refused before it is sent."""
    assert supports(ClientFactory(fake_session()).bedrock, operation, member) is expected
