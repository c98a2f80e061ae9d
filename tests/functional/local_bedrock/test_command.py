"""`python -m local_bedrock`, as a user starts it in a shell."""

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest

SOURCES = Path(__file__).parents[3] / "src"


def start(*arguments):
    """Start the command and return its process."""
    return subprocess.Popen(
        [sys.executable, "-m", "local_bedrock", *arguments],
        cwd=SOURCES,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ask_unknown_host(url):
    """Sign a request for a service that moto does not know, which makes it print a warning."""
    scope = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/nonexistent/aws4_request, Signature=0"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": scope}))
    caught.value.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_command_prints_exports_serves_and_ends_cleanly(number):
    """A script that starts the server, reads its variables and ends it would break."""
    with start("--bucket", "one", "--bucket", "two", "--region", "eu-central-1") as process:
        assert process.stdout.readline() == "unset AWS_BEARER_TOKEN_BEDROCK\n"
        lines = []
        while not lines or "AWS_EC2_METADATA_DISABLED" not in lines[-1]:
            lines.append(process.stdout.readline())
        pairs = dict(re.fullmatch(r"export (\w+)=(.+)\n", line).groups() for line in lines)
        client = boto3.session.Session("key", "secret", region_name="eu-central-1").client(
            "s3", endpoint_url=pairs["AWS_ENDPOINT_URL_S3"]
        )
        buckets = [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
        client.close()
        ask_unknown_host(pairs["AWS_ENDPOINT_URL_S3"])
        process.send_signal(number)
        rest, errors = process.communicate(timeout=20)
    assert pairs["AWS_DEFAULT_REGION"] == "eu-central-1"
    assert {"AWS_ENDPOINT_URL_BEDROCK", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ACCESS_KEY_ID"} <= pairs.keys()
    assert buckets == ["one", "two"]
    assert (process.returncode, rest) == (0, "")
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"min_records": 5}, "behaviour.min_records must be one of the fields seed, phases"),
        ({"jobs": [{"ends": "Exploded"}]}, r"behaviour.jobs\[0\].ends must be one of Completed"),
    ],
)
def test_unknown_behaviour_is_exit_2_with_one_line(tmp_path, content, message):
    """A mistyped setting would be ignored, and the service would work without faults."""
    path = tmp_path / "behaviour.json"
    path.write_text(json.dumps(content))
    with start("--behaviour", str(path)) as process:
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (2, "")
    assert re.search(message, errors)
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bucket", "ab"], "'ab' is not a valid bucket name: use 3 to 63"),
        (["--port", "70000"], "must be from 0 to 65535"),
        (["--schema", "{file}"], "is not JSON in UTF-8"),
        (["--behaviour", "{file}"], "is not JSON in UTF-8"),
    ],
    ids=["bucket", "port", "schema", "behaviour"],
)
def test_a_wrong_argument_is_exit_2_without_a_traceback(arguments, message, tmp_path):
    """A mistyped argument would show a traceback."""
    path = tmp_path / "broken.json"
    path.write_text("id,text")
    with start(*(argument.format(file=path) for argument in arguments)) as process:
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (2, "")
    assert message in errors
    assert "Traceback" not in errors
