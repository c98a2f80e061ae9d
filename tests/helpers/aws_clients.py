"""AWS clients with fake credentials, and an S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3

from bedrock_batch.aws.clients import ClientFactory

REGION = "us-east-1"


def fake_session() -> boto3.Session:
    """Return a session with fake credentials."""
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)


def clients_at(url: str, **options: Any) -> ClientFactory:
    """Return clients that send every request to `url`."""
    urls = dict.fromkeys(("bedrock", "bedrock-runtime", "s3", "sts", "iam", "service-quotas", "pricing"), url)
    return ClientFactory(fake_session(), region_name=REGION, endpoint_urls=urls, **options)


@contextmanager
def moto_s3_url() -> Iterator[str]:
    """Run moto's server on a free port of 127.0.0.1, and yield its URL."""
    from moto.server import ThreadedMotoServer  # it takes a second to import

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()
