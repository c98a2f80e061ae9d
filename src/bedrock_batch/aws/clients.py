"""The clients of one run, each built once: they are thread-safe, sessions are not."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import boto3
import botocore
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ProfileNotFound

from bedrock_batch.errors import ConfigurationError

if TYPE_CHECKING:
    from mypy_boto3_bedrock import BedrockClient
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient
    from mypy_boto3_s3 import S3Client

__all__ = ["ClientFactory", "make_session", "sdk_version", "supports"]

USER_AGENT = "bedrock-batch-processing"
# Seconds. A reachable host accepts a connection at once; the SDK would wait a minute for an unreachable one.
CONNECT_TIMEOUT = 15


def make_session(
    region_name: str | None = None, profile_name: str | None = None, credentials: Mapping[str, str] | None = None
) -> boto3.Session:
    """Return a session; botocore's chain fills in what is not given.

    `credentials` is an access key: `aws_access_key_id`, `aws_secret_access_key` and optionally `aws_session_token`.
    Raise ConfigurationError if the profile does not exist.
    """
    session: Any = boto3.Session
    try:
        return cast(
            "boto3.Session",
            session(region_name=region_name or None, profile_name=profile_name or None, **(credentials or {})),
        )
    except ProfileNotFound as error:
        raise ConfigurationError(f"{error}: set AWS_PROFILE to a profile of this machine, or unset it") from error


class ClientFactory:
    """The boto3 clients of a run, each built on first use.

    `region_name` and `endpoint_urls` (service name to URL) win over botocore's chain. `read_timeout`, in seconds, is
    that of the runtime: a long generation sends nothing for minutes (AWS advises 3,600 s:
    https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html).
    `max_pool_connections` must be at least the number of threads, or connections are closed after each request.
    """

    def __init__(
        self,
        session: boto3.Session,
        *,
        region_name: str | None = None,
        endpoint_urls: Mapping[str, str] | None = None,
        read_timeout: float = 3600,
        max_pool_connections: int = 10,
    ) -> None:
        self._session = session
        self._region_name = region_name or None
        self._endpoint_urls = dict(endpoint_urls or {})
        self._read_timeout = read_timeout
        self._max_pool_connections = max(10, max_pool_connections)
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    @property
    def bedrock(self) -> BedrockClient:
        """The control plane: jobs, models, profiles."""
        return cast("BedrockClient", self._client("bedrock"))

    @property
    def bedrock_runtime(self) -> BedrockRuntimeClient:
        """The runtime: InvokeModel and Converse."""
        return cast("BedrockRuntimeClient", self._client("bedrock-runtime"))

    @property
    def s3(self) -> S3Client:
        return cast("S3Client", self._client("s3"))

    @property
    def sts(self) -> Any:
        """Identifies the caller. Only `--doctor` uses `sts`, `iam` and `service_quotas`."""
        return self._client("sts")

    @property
    def iam(self) -> Any:
        return self._client("iam")

    @property
    def service_quotas(self) -> Any:
        return self._client("service-quotas")

    @property
    def pricing(self) -> Any:
        """The price list, which few regions serve; see `price_list`."""
        return self._client("pricing")

    @property
    def region_name(self) -> str:
        """The region that the clients call."""
        return self.bedrock.meta.region_name

    def _client(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._build(service)
            return self._clients[service]

    def _build(self, service: str) -> Any:
        build: Any = self._session.client
        try:
            return build(
                service,
                region_name=self._region_name,
                endpoint_url=self._endpoint_urls.get(service) or None,
                config=self._config(service),
            )
        except (BotoCoreError, ValueError) as error:  # botocore reports an impossible endpoint URL as a ValueError
            raise ConfigurationError(
                f"no client for {service}: {error} Check AWS_DEFAULT_REGION, AWS_PROFILE and the AWS_ENDPOINT_URL_* "
                "variables"
            ) from error

    def _config(self, service: str) -> Config:
        common = Config(
            max_pool_connections=self._max_pool_connections,
            tcp_keepalive=True,
            user_agent_extra=USER_AGENT,
        )
        if service == "s3":
            return common.merge(Config(retries={"mode": "standard"}))
        if not service.startswith("bedrock"):
            # `--doctor` must not keep a person waiting if the network does not reach these services.
            return common.merge(
                Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "total_max_attempts": 2})
            )
        # `retries` is the only retry layer over Bedrock: its tries and those of the SDK would multiply.
        own = Config(connect_timeout=CONNECT_TIMEOUT, retries={"mode": "standard", "total_max_attempts": 1})
        if service == "bedrock-runtime":
            own = own.merge(Config(read_timeout=self._read_timeout))
        return common.merge(own)


def supports(client: Any, operation: str, member: str) -> bool:
    """Return whether the client's service model has `member` in the request of `operation`.

    `member` may be a dotted path into nested structures: `inputDataConfig.s3InputDataConfig.s3BucketOwner`.
    """
    model = client.meta.service_model
    if operation not in model.operation_names:
        return False
    shape = model.operation_model(operation).input_shape
    for name in member.split("."):
        members = getattr(shape, "members", {})
        if name not in members:
            return False
        shape = members[name]
    return True


def sdk_version() -> str:
    """Return the version of the installed botocore."""
    return str(botocore.__version__)
