"""`--doctor` over HTTP: every check is ok in a sound account, and names each fault with its fix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bedrock_batch.aws.clients import ClientFactory
from bedrock_batch.commands.doctor.account_checks import check_sdk
from bedrock_batch.commands.doctor.examine import examine_step, findings_as_dict, render_findings
from bedrock_batch.commands.doctor.finding import CheckContext, Finding
from bedrock_batch.commands.preparation import StepRequest
from bedrock_batch.environment.container.paths import container_paths
from bedrock_batch.environment.context import RunContext
from helpers.aws_clients import fake_session
from helpers.botocore_models import MODEL_ACCESS
from local_bedrock import Behaviour, CallFault, LocalBedrock

# One session: it keeps the service models, which take longest to load.
SESSION = fake_session()
ENTRY = Path(__file__).parents[3] / "src" / "bedrock_batch_processing.py"
BARE = "anthropic.claude-sonnet-4-6"
ROLE = "arn:aws:iam::123456789012:role/doctor-role"
ENVIRON = {
    "BEDROCK_PRIMARY_MODEL_ID": f"us.{BARE}",
    "BEDROCK_BATCH_ROLE_ARN": ROLE,
    "BEDROCK_BATCH_INPUT_S3_PATH": "s3://doctor-bucket/input",
    "BEDROCK_BATCH_OUTPUT_S3_PATH": "s3://doctor-bucket/output",
}

REALTIME = {"BEDROCK_BATCH_MODE": "realtime"}


@dataclass(frozen=True)
class Case:
    """A fault of an account, and what the doctor must say about it."""

    check: str
    says: str
    fix: str
    status: str = "problem"
    behaviour: dict[str, Any] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    trusted: str = "bedrock.amazonaws.com"
    seconds: int | None = 100_000
    call: bool = False


def refused(operation: str, code: str = "AccessDeniedException") -> dict[str, Any]:
    return {"calls": (CallFault(operation, code=code),)}


CASES = {
    "unknown-variable": Case(
        "settings", "did you mean BEDROCK_TEMPERATURE", "correct", environ={"BEDROCK_TEMPRATURE": "1"}
    ),
    "expired": Case("credentials", "ExpiredToken", "renew", behaviour=refused("STS.GetCallerIdentity", "ExpiredToken")),
    "no-sts": Case(
        "credentials", "transient", "STS endpoint", "not checked", behaviour={"calls": (CallFault("STS.*", drop=True),)}
    ),
    "no-model": Case(
        "model", "identifier is invalid", "list-foundation-models", environ={"BEDROCK_PRIMARY_MODEL_ID": "no.model"}
    ),
    "models-hidden": Case(
        "model",
        "may not read about",
        "bedrock:GetFoundationModel",
        "not checked",
        behaviour=refused("GetFoundationModel"),
    ),
    "needs-profile": Case(
        "model", "inference profile only", "BEDROCK_INFERENCE_PROFILE_ARN", environ={"BEDROCK_PRIMARY_MODEL_ID": BARE}
    ),
    "legacy": Case(
        "model", "is in its legacy period", "no active successor is known", behaviour={"legacy_models": (BARE,)}
    ),
    "no-access": Case("model access", "NOT_AUTHORIZED", "Model access", behaviour={"closed_models": (BARE,)}),
    "access-unknown": Case(
        "model access", "does not say", "--call", "not checked", behaviour=refused("GetFoundationModelAvailability")
    ),
    "jobs-denied": Case(
        "Bedrock jobs", "AccessDenied", "bedrock:CreateModelInvocationJob", behaviour=refused("ListModelInvocationJobs")
    ),
    "no-bucket": Case(
        "input bucket",
        "there is no bucket",
        "aws s3 mb s3://no-bucket",
        environ={"BEDROCK_BATCH_INPUT_S3_PATH": "s3://no-bucket/x"},
    ),
    "bucket-denied": Case(
        "output bucket", "HTTP 403", "arn:aws:s3:::doctor-bucket", behaviour=refused("S3.HeadBucket", "AccessDenied")
    ),
    "other-region": Case(
        "input bucket",
        "is in eu-west-1, the jobs run in us-east-1",
        "AWS_DEFAULT_REGION=eu-west-1",
        environ={"BEDROCK_BATCH_INPUT_S3_PATH": "s3://doctor-bucket-eu/x"},
    ),
    "no-write": Case(
        "input path", "s3:PutObject", "doctor-bucket/input/*", behaviour=refused("S3.PutObject", "AccessDenied")
    ),
    "no-read": Case(
        "input path", "s3:GetObject", '"Action": "s3:GetObject"', behaviour=refused("S3.GetObject", "AccessDenied")
    ),
    "no-list": Case(
        "output path",
        "s3:ListBucket",
        '"arn:aws:s3:::doctor-bucket"',
        behaviour=refused("S3.ListObjectsV2", "AccessDenied"),
    ),
    "no-delete": Case(
        "output path", "s3:DeleteObject", "doctor-bucket/output/*", behaviour=refused("S3.DeleteObject", "AccessDenied")
    ),
    "no-path": Case(
        "input path",
        "not set",
        "BEDROCK_BATCH_INPUT_S3_PATH",
        "not checked",
        environ={"BEDROCK_BATCH_INPUT_S3_PATH": ""},
    ),
    "answers-bucket": Case(
        "answer store",
        "there is no bucket",
        "correct BEDROCK_ANSWERS_S3_PATH",
        environ={"BEDROCK_ANSWERS_S3_PATH": "s3://no-bucket/x"},
    ),
    "answers-no-write": Case(
        "answer store",
        "s3:PutObject under s3://doctor-bucket/input/answers",
        "doctor-bucket/input/answers/*",
        behaviour=refused("S3.PutObject", "AccessDenied"),
        environ=REALTIME,
    ),
    "answers-no-delete": Case(
        "answer store: deletion",
        "--forget needs it, runs do not",
        "doctor-bucket/shared/answers/*",
        "not checked",
        behaviour=refused("S3.DeleteObject", "AccessDenied"),
        environ={**REALTIME, "BEDROCK_ANSWERS_S3_PATH": "s3://doctor-bucket/shared"},
    ),
    "answers-unused": Case(
        "answer store", "neither uses nor keeps", "", "not checked", environ={"BEDROCK_ANSWER_REUSE": "false"}
    ),
    "answers-nowhere": Case(
        "answer store",
        "answers are not kept",
        "",
        "not checked",
        environ={**REALTIME, "BEDROCK_BATCH_INPUT_S3_PATH": ""},
    ),
    "key-region": Case(
        "KMS key",
        "the key is in eu-west-1",
        "a key of us-east-1",
        environ={"BEDROCK_BATCH_KMS_KEY_ID": f"arn:aws:kms:eu-west-1:123456789012:key/{'a' * 36}"},
    ),
    "key": Case(
        "KMS key",
        "cannot be checked",
        "kms:GenerateDataKey",
        "not checked",
        environ={"BEDROCK_BATCH_KMS_KEY_ID": "alias/mine"},
    ),
    "other-account": Case(
        "service role",
        "account 999999999999",
        "its own account only",
        environ={"BEDROCK_BATCH_ROLE_ARN": "arn:aws:iam::999999999999:role/x"},
    ),
    "no-role": Case(
        "role trust",
        "there is no role",
        "create the role",
        environ={"BEDROCK_BATCH_ROLE_ARN": "arn:aws:iam::123456789012:role/none"},
    ),
    "no-trust": Case("role trust", "may not assume the role", "aws:SourceAccount", trusted="lambda.amazonaws.com"),
    "trust-hidden": Case(
        "role trust",
        "may not read",
        "bedrock.amazonaws.com",
        "not checked",
        behaviour=refused("IAM.GetRole", "AccessDenied"),
    ),
    "no-pass": Case(
        "pass role", "may not pass", "iam:PassedToService", behaviour={"denied_actions": ("iam:PassRole",)}
    ),
    "pass-hidden": Case(
        "pass role",
        "may not simulate policies",
        "iam:PassRole",
        "not checked",
        behaviour=refused("IAM.SimulatePrincipalPolicy", "AccessDenied"),
    ),
    "role-cannot-write": Case(
        "role: PutObject",
        "s3:PutObject on arn:aws:s3:::doctor-bucket/output/*",
        '"Action": "s3:PutObject"',
        behaviour={"denied_actions": ("s3:PutObject arn:aws:s3:::doctor-bucket/output/*",)},
    ),
    "role-cannot-invoke": Case(
        "role: InvokeModel", BARE, "bedrock:InvokeModel", behaviour={"denied_actions": ("bedrock:InvokeModel",)}
    ),
    "no-batch": Case(
        "batch inference",
        "has no batch",
        "BEDROCK_BATCH_MODE=realtime",
        environ={"BEDROCK_MODEL_CAPABILITIES": '{"batch": false}'},
    ),
    "quota": Case(
        "quotas", "at most 3 (sum of", "BEDROCK_MAX_CONCURRENT_BATCH_JOBS", behaviour={"max_concurrent_jobs": 3}
    ),
    "minimum": Case("quotas", "at least 1000", "BEDROCK_MIN_RECORDS_PER_JOB", behaviour={"min_records_per_job": 1000}),
    "quotas-hidden": Case(
        "quotas",
        "may not read quotas",
        "servicequotas:ListServiceQuotas",
        "not checked",
        behaviour=refused("SERVICEQUOTAS.ListServiceQuotas"),
    ),
    "short-life": Case("running time", "may run 1.0 h", "at least 90000", seconds=3600),
    "no-runtime": Case(
        "running time", "no processingjobconfig.json", "max_runtime_in_seconds", "not checked", seconds=None
    ),
    "no-call": Case("one call", "costs a few tokens", "--doctor --call", "not checked"),
    "call-denied": Case("one call", "AccessDenied", "bedrock:InvokeModel", behaviour=refused("InvokeModel"), call=True),
    "call-fails": Case(
        "one call",
        "ModelErrorException",
        "troubleshooting",
        behaviour=refused("InvokeModel", "ModelErrorException"),
        call=True,
    ),
}


@pytest.fixture(scope="module")
def _started() -> Iterator[None]:
    """Keep one server alive, so that its buckets outlive the servers of the tests."""
    with LocalBedrock() as local:
        local.create_bucket("doctor-bucket")
        local.client("s3", region_name="eu-west-1").create_bucket(
            Bucket="doctor-bucket-eu", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        yield


@pytest.fixture
def examine_world(tmp_path: Path, _started: None) -> Callable[[Case], tuple[list[Finding], LocalBedrock]]:
    def run(case: Case) -> tuple[list[Finding], LocalBedrock]:
        with LocalBedrock(Behaviour(**case.behaviour)) as local:
            local.create_role("doctor-role", case.trusted)
            if case.seconds is not None:
                (tmp_path / "config").mkdir()
                config = {"StoppingCondition": {"MaxRuntimeInSeconds": case.seconds}}
                (tmp_path / "config" / "processingjobconfig.json").write_text(json.dumps(config))
            processing = tmp_path / "processing"
            environ = {**ENVIRON, **case.environ}
            services = ("bedrock", "bedrock-runtime", "s3", "sts", "iam", "service-quotas")
            clients = ClientFactory(
                SESSION, region_name="us-east-1", endpoint_urls=dict.fromkeys(services, local.endpoint_url)
            )
            request = StepRequest(
                *container_paths(processing),
                environ,
                "training",
                processing_dir=processing,
                make_context=lambda _: RunContext(clients),
            )
            return examine_step(request, call=case.call), local

    return run


@MODEL_ACCESS
def test_a_healthy_account_has_no_problem(examine_world: Callable[..., Any]) -> None:
    """The doctor would report faults that do not exist, or cost money."""
    findings, local = examine_world(Case("", "", ""))
    assert [finding for finding in findings if finding.status == "problem"] == []
    assert {finding.check for finding in findings if finding.status == "not checked"} == {"batch inference", "one call"}
    assert local.count("InvokeModel") == 0
    assert local.jobs == []


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=MODEL_ACCESS if name in ("no-access", "access-unknown") else ())
        for name, case in CASES.items()
    ],
    ids=CASES.keys(),
)
def test_each_fault_is_found_with_its_fix(examine_world: Callable[..., Any], case: Case) -> None:
    """A user would learn of the fault from a failed job hours later, without the setting or policy that fixes it."""
    findings, _ = examine_world(case)
    (found,) = [each for each in findings if each.check == case.check and (case.says in each.message)]
    assert found.status == case.status
    assert case.fix in found.fix
    others = [each.check for each in findings if each.status == "problem" and each.check != case.check]
    assert others == [] or case.check in ("model", "output bucket", "input path", "output path", "batch inference")


def test_a_requested_call_is_made_once(examine_world: Callable[..., Any]) -> None:
    """A user could not test real-time access, or would pay for retries."""
    findings, local = examine_world(Case("", "", "", call=True))
    assert [finding.status for finding in findings if finding.check == "one call"] == ["ok"]
    assert local.count("InvokeModel") == 1


def test_without_credentials_there_is_one_problem(examine_world: Callable[..., Any]) -> None:
    """A user would read the same error ten times and miss the cause."""
    findings, _ = examine_world(CASES["expired"])
    assert findings_as_dict(findings)["problems"] == 1


def test_real_time_needs_nothing_of_batch(examine_world: Callable[..., Any]) -> None:
    """A user of the real-time mode would be told to create roles and buckets."""
    findings, _ = examine_world(
        Case("", "", "", environ={"BEDROCK_BATCH_MODE": "realtime", "BEDROCK_BATCH_ROLE_ARN": ""})
    )
    assert findings_as_dict(findings)["problems"] == 0
    assert all(finding.fix == "" for finding in findings if "BEDROCK_BATCH_MODE=realtime" in finding.message)


class _OldModel:
    """The service model of a botocore that is too old for VPCs and Converse in batch."""

    operation_names = ("CreateModelInvocationJob",)

    def operation_model(self, _: str) -> Any:
        return replace_members({"jobName": None})


def replace_members(members: dict[str, Any]) -> Any:
    shape = type("Shape", (), {"members": members})
    return type("Model", (), {"input_shape": shape})


def test_an_old_botocore_is_named_with_the_version_to_install() -> None:
    """A run in an old image would fail halfway with an unknown parameter."""
    from bedrock_batch.environment.settings import settings_from_mapping

    client = type("Client", (), {"meta": type("Meta", (), {"service_model": _OldModel()})})
    clients: Any = type("Clients", (), {"bedrock": client})
    settings = settings_from_mapping(
        {"primary_model_id": "us.amazon.nova-lite-v1:0", "batch_bucket_owner": "123456789012"}
    )
    findings = list(check_sdk(CheckContext(settings, RunContext(clients))))
    assert {finding.fix for finding in findings} == {
        "pip install 'botocore>=1.42.59' boto3",
        "pip install 'botocore>=1.35.20' boto3",
    }


def test_the_text_has_a_line_for_each_finding() -> None:
    """A user would miss a problem, or could not copy a policy statement."""
    findings = [Finding("a", "ok", "fine"), Finding("bb", "problem", "bad", '{"Effect": "Allow"}')]
    lines = render_findings(findings).splitlines()
    assert lines[0] == "ok           a   fine"
    assert lines[1] == "problem      bb  bad"
    assert lines[2].strip() == 'fix: {"Effect": "Allow"}'
    assert lines[-1] == "1 ok, 1 with a problem, 0 not checked"
    assert replace(findings[0], fix="x").fix == "x"


@pytest.mark.usefixtures("_started")
def test_the_exit_code_says_if_there_is_a_problem(tmp_path: Path) -> None:
    """A pipeline that runs the doctor first would continue into a run that must fail."""
    with LocalBedrock() as local:
        environ = {**os.environ, **ENVIRON, **local.environment, "BEDROCK_BATCH_INPUT_S3_PATH": "s3://no-bucket/x"}
        command = [sys.executable, str(ENTRY), "--job_type", "training", "--processing-dir", str(tmp_path)]
        done = subprocess.run(
            [*command, "--doctor", "--json"], env=environ, capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert json.loads(done.stdout)["problems"] >= 1
