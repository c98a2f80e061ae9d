"""Unreachable services: a warning after three tries that says what to check, and an end to the waiting."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError

from bedrock_batch.aws.calls.error_codes import ErrorKind
from bedrock_batch.aws.calls.failures import translate
from bedrock_batch.errors import RunError
from helpers.aws_clients import clients_at
from helpers.batch_runs import World
from helpers.run_checks import check_paid_once
from helpers.scripted_http import Reply, scripted_server
from helpers.untrusted_tls import untrusted_server
from local_bedrock import CallFault

CREATE, GET = "CreateModelInvocationJob", "GetModelInvocationJob"
VARIABLES = {
    "bedrock": "AWS_ENDPOINT_URL_BEDROCK",
    "bedrock-runtime": "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
    "s3": "AWS_ENDPOINT_URL_S3",
}
FILE = {"train/a.csv": 20}
# Half an hour passes in a third of a second, in which a busy machine does not write a ledger three times.
HURRY = 5000.0
LEASE = {"BEDROCK_BATCH_LEASE_SECONDS": "3600"}


@pytest.fixture
def closed_url() -> Iterator[str]:
    """An address of this machine where nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def untrusted_url(tmp_path: Path) -> Iterator[str]:
    with untrusted_server(tmp_path) as url:
        yield url


@pytest.fixture
def unknown_url(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address whose name no name server knows; the real one is not asked."""
    ask = socket.getaddrinfo

    def answer(host, *arguments, **options):
        if host == "bedrock.nowhere.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ask(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return "https://bedrock.nowhere.invalid"


def modes(service: str) -> dict[str, str]:
    return {"BEDROCK_BATCH_MODE": "realtime"} if service == "bedrock-runtime" else {}


@pytest.mark.parametrize("service", VARIABLES)
def test_closed_service_is_told_and_not_waited_for_for_ever(make_world, closed_url, service):
    """A wrong port would be waited for through a day and an hour, with `reason=transient` in the log and no more."""
    # In real time the run ends when the first hundred rows have failed for one reason.
    world: World = make_world(files={"train/a.csv": 120} if service == "bedrock-runtime" else FILE, **modes(service))
    failed = world.run(speed=HURRY, **LEASE, **{VARIABLES[service]: closed_url})
    assert isinstance(failed.error, RunError)
    warnings = [line for line in failed.log if line.startswith("WARNING") and "out_of_reach" in line]
    # A ledger that cannot be read ends the run at once.
    told = {"bedrock": [*warnings, str(failed.error)], "bedrock-runtime": warnings, "s3": [str(failed.error)]}
    assert len(told[service]) == (2 if service == "bedrock" else 1)
    assert all("tries=3" in warning for warning in warnings)
    parts = (closed_url, "Connection refused", VARIABLES[service], "NO_PROXY", f"com.amazonaws.REGION.{service}")
    assert [part for text in told[service] for part in parts if part not in text] == []
    assert world.realtime_ids == set()
    check_paid_once(world.answer())


@pytest.mark.parametrize("service", VARIABLES)
def test_untrusted_certificate_ends_the_run_at_once(make_world, untrusted_url, service):
    """A proxy's certificate that is not installed would be tried again and again."""
    world: World = make_world(files=FILE, **modes(service))
    failed = world.run(speed=1.0, **{VARIABLES[service]: untrusted_url})
    assert failed.error.exit_code == 2
    assert "AWS_CA_BUNDLE" in str(failed.error)
    assert VARIABLES[service] in str(failed.error)
    assert world.realtime_ids == set()
    check_paid_once(world.answer())


@pytest.mark.parametrize("service", VARIABLES)
def test_name_that_nobody_knows_is_an_error_of_the_configuration(make_world, unknown_url, service):
    """A region that does not exist, or a VPC endpoint without its name, would be waited for as if it could come."""
    world: World = make_world(files=FILE, **modes(service))
    failed = world.run(**{VARIABLES[service]: unknown_url})
    assert failed.error.exit_code == 2
    assert "bedrock.nowhere.invalid" in str(failed.error)
    assert VARIABLES[service] in str(failed.error)
    assert world.realtime_ids == set()
    check_paid_once(world.answer())


def test_looks_at_a_job_that_do_not_arrive_are_told(make_world):
    """The log of a run whose network is gone would hold nothing but `poll=failed`."""
    world: World = make_world(files=FILE)
    gone = [True]
    world.local.on_call(
        lambda call: CallFault(GET, drop=True) if gone and call.operation == GET and call.when == "before" else None
    )
    failed = world.run()
    assert isinstance(failed.error, RunError)
    assert "could not be read 11 times in a row" in str(failed.error)
    assert "AWS_ENDPOINT_URL_BEDROCK" in str(failed.error)
    assert failed.logged("service=bedrock out_of_reach tries=3")
    assert world.realtime_ids == set()
    gone.clear()
    check_paid_once(world.answer())


def test_job_that_may_exist_is_never_given_up_to_real_time(make_world):
    """A creation whose answers are lost for half an hour may have made a job: its rows would be paid twice."""
    world: World = make_world(files=FILE)
    gone = [True]

    def lose(call):
        return CallFault(call.operation, drop=True) if gone and "ModelInvocationJob" in call.operation else None

    world.local.on_call(lambda call: lose(call) if call.when == "after" else None)
    failed = world.run(speed=HURRY, **LEASE)
    assert isinstance(failed.error, RunError)
    assert "has not answered for" in str(failed.error)
    gone.clear()
    run = world.answer()
    assert len(world.local.jobs) == 1
    assert world.realtime_ids == set()
    check_paid_once(run)


def test_reason_of_a_failed_connection_is_told_apart(closed_url, untrusted_url, unknown_url):
    """A temporary failure would end a run, or a permanent one would be waited for."""
    with scripted_server(Reply()) as plain:
        cases = {
            closed_url: ErrorKind.TRANSIENT,
            untrusted_url: ErrorKind.CERTIFICATE,
            plain.url.replace("http://", "https://"): ErrorKind.CERTIFICATE,
            unknown_url: ErrorKind.ENDPOINT_UNKNOWN,
        }
        for url, kind in cases.items():
            with pytest.raises(BotoCoreError) as caught:
                clients_at(url).bedrock.list_model_invocation_jobs()
            assert translate(caught.value).kind is kind, url
