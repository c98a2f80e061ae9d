"""Checks of the settings, the SDK, the caller and the service role of batch jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bedrock_batch.aws.account import caller_arn, denied_actions, trust_policy
from bedrock_batch.aws.calls.error_codes import ErrorKind
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.aws.clients import sdk_version, supports
from bedrock_batch.aws.invocation_jobs import list_jobs
from bedrock_batch.aws.s3 import parse_s3_path
from bedrock_batch.commands.doctor.finding import CheckContext, Finding, failed, not_checked, ok, problem, statement
from bedrock_batch.costs.prices import UPDATE, PriceBook, find_stale_prices
from bedrock_batch.environment.references import prices_of
from bedrock_batch.models.output_mode import choose_api

_PASS_CONDITION = {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}}
_ASSUMED_ROLE = re.compile(r"arn:([^:]+):sts::(\d{12}):assumed-role/([^/]+)/.+")


def check_settings(context: CheckContext) -> Iterator[Finding]:
    """Yield the warnings about the settings; rejected settings end the command earlier."""
    for warning in context.warnings:
        yield problem("settings", warning, "correct the variable")
    if not context.warnings:
        yield ok("settings", "every variable is accepted")


def check_prices(context: CheckContext) -> Iterator[Finding]:
    """Yield whether the prices by which costs are told are known and were read lately."""
    settings = context.settings
    if isinstance(settings.prices, str):
        yield not_checked("prices", f"{settings.prices} is read by the plan and the run")
        return
    book = PriceBook(prices_of(settings), {context.model_id: settings.primary_model_id})
    price = book.find(context.model_id)
    stale = find_stale_prices(book, [context.model_id], context.run_context.now().date())
    if price is None:
        yield not_checked("prices", f"no price is known for {context.model_id}", "give its price in BEDROCK_PRICES")
    elif stale:
        yield not_checked("prices", stale[0].partition(": ")[0], UPDATE)
    else:
        yield ok("prices", f"the price of {context.model_id} is known ({price.origin})")


def check_sdk(context: CheckContext) -> Iterator[Finding]:
    """Yield the features of botocore that the settings need and the installed version lacks."""
    settings, bedrock = context.settings, context.run_context.clients.bedrock
    uses_converse = choose_api(settings, context.capabilities) == "converse"
    wanted = (
        (context.wants_batch, "jobName", "1.35.1", "batch inference"),
        (context.wants_batch and uses_converse, "modelInvocationType", "1.42.59", "Converse records in batch"),
        (bool(settings.batch_subnet_ids), "vpcConfig", "1.35.20", "BEDROCK_BATCH_SUBNET_IDS"),
        (
            bool(settings.batch_bucket_owner),
            "inputDataConfig.s3InputDataConfig.s3BucketOwner",
            "1.35.20",
            "BEDROCK_BATCH_BUCKET_OWNER",
        ),
    )
    lacking = [
        problem("botocore", f"{sdk_version()} is too old for {feature}", f"pip install 'botocore>={version}' boto3")
        for is_wanted, member, version, feature in wanted
        if is_wanted and not supports(bedrock, "CreateModelInvocationJob", member)
    ]
    yield from lacking or [ok("botocore", f"{sdk_version()} has everything that these settings use")]


def check_credentials(context: CheckContext) -> Iterator[Finding]:
    """Yield the identity of the caller, as STS reports it."""
    try:
        context.caller = caller_arn(context.run_context.clients.sts)
    except AwsError as error:
        if error.kind is ErrorKind.CREDENTIALS:
            context.no_credentials = True
            yield failed("credentials", error)
        else:
            reason = f"STS does not answer ({error.kind.value})"
            yield not_checked("credentials", reason, "let the container reach the STS endpoint of its region")
        return
    yield ok("credentials", f"{context.caller} in {context.settings.region_name}")


def check_control_plane(context: CheckContext) -> Iterator[Finding]:
    """Yield whether the caller may list batch jobs, as every batch run does."""
    if not context.wants_batch:
        yield not_checked("Bedrock jobs", "BEDROCK_BATCH_MODE=realtime creates no job")
        return
    actions = [f"bedrock:{verb}ModelInvocationJob" for verb in ("Create", "Get", "Stop")]
    needed = statement([*actions, "bedrock:ListModelInvocationJobs"], ["*"])
    try:
        next(list_jobs(context.run_context.clients.bedrock), None)
    except AwsError as error:
        denied = error.kind is ErrorKind.ACCESS_DENIED
        yield failed("Bedrock jobs", error, f"add to the caller's role {needed}" if denied else "")
        return
    yield ok(
        "Bedrock jobs", "jobs can be listed; whether they can be created is known only when the first one is created"
    )


def check_role(context: CheckContext) -> Iterator[Finding]:
    """Yield the findings about the service role that Bedrock assumes for the jobs."""
    role = context.settings.batch_role_arn
    if not context.wants_batch:
        yield not_checked("service role", "BEDROCK_BATCH_MODE=realtime needs no role")
        return
    if not role:
        yield not_checked(
            "service role", "BEDROCK_BATCH_ROLE_ARN is not set: every run is in real time", "set BEDROCK_BATCH_ROLE_ARN"
        )
        return
    account = role.split(":")[4]
    if context.account and account != context.account:
        yield problem(
            "service role",
            f"the role belongs to account {account}, the caller to {context.account}",
            f"set BEDROCK_BATCH_ROLE_ARN to a role of account {context.account}: a role serves its own account only",
        )
        return
    yield _check_trust(context, role)
    yield _check_pass_role(context, role)
    yield from _check_permissions(context, role)


def _check_trust(context: CheckContext, role: str) -> Finding:
    trust = (
        '{"Effect": "Allow", "Principal": {"Service": "bedrock.amazonaws.com"}, "Action": "sts:AssumeRole", '
        f'"Condition": {{"StringEquals": {{"aws:SourceAccount": "{role.split(":")[4]}"}}}}}}'
    )
    try:
        policy = trust_policy(context.run_context.clients.iam, role.rsplit("/", 1)[-1])
    except AwsError as error:
        if error.code == "NoSuchEntity":
            return problem(
                "role trust", f"there is no role {role}", "correct BEDROCK_BATCH_ROLE_ARN, or create the role"
            )
        return not_checked(
            "role trust",
            f"the caller may not read the role ({error.kind.value})",
            f"check that the role's trust policy contains {trust}",
        )
    if _trusts_bedrock(policy):
        return ok("role trust", "bedrock.amazonaws.com may assume the role")
    return problem(
        "role trust", "bedrock.amazonaws.com may not assume the role", f"add to the role's trust policy {trust}"
    )


def _trusts_bedrock(policy: Mapping[str, Any]) -> bool:
    statements = policy.get("Statement", [])
    return any(
        each.get("Effect") == "Allow" and "bedrock.amazonaws.com" in _as_list(each.get("Principal", {}).get("Service"))
        for each in (statements if isinstance(statements, list) else [statements])
        if isinstance(each.get("Principal"), Mapping)
    )


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _check_pass_role(context: CheckContext, role: str) -> Finding:
    needed = statement(["iam:PassRole"], [role], _PASS_CONDITION)
    principal = _principal(context)
    if principal is None:
        return not_checked("pass role", "the caller is not known", f"the caller's role needs {needed}")
    try:
        denied = denied_actions(
            context.run_context.clients.iam,
            principal,
            ["iam:PassRole"],
            role,
            **{"iam:PassedToService": "bedrock.amazonaws.com"},
        )
    except AwsError as error:
        return not_checked(
            "pass role",
            f"the caller may not simulate policies in IAM ({error.kind.value})",
            f"the caller's role needs {needed}",
        )
    if denied:
        return problem("pass role", "the caller may not pass the role to Bedrock", f"add to the caller's role {needed}")
    return ok("pass role", "the caller may pass the role to Bedrock")


def _check_permissions(context: CheckContext, role: str) -> Iterator[Finding]:
    """Yield what the service role may not do: Bedrock notices it only after it has accepted the job."""
    iam = context.run_context.clients.iam
    for resource, actions in _needed_by_role(context).items():
        needed = statement(actions, [resource])
        check = f"role: {', '.join(action.split(':')[1] for action in actions)}"
        try:
            denied = denied_actions(iam, role, actions, resource)
        except AwsError as error:
            yield not_checked(
                check, f"the caller may not simulate policies in IAM ({error.kind.value})", f"the role needs {needed}"
            )
            continue
        if denied:
            yield problem(
                check,
                f"the role may not {', '.join(denied)} on {resource}",
                f"add to the role {statement(denied, [resource])}",
            )
        else:
            yield ok(check, f"allowed on {resource}")


def _needed_by_role(context: CheckContext) -> dict[str, list[str]]:
    """Return the actions that the role needs on each resource."""
    settings, partition = context.settings, context.partition
    needed: dict[str, list[str]] = {}
    for uri, actions in (
        (settings.batch_input_s3_path, ["s3:GetObject"]),
        (settings.batch_output_s3_path, ["s3:PutObject"]),
    ):
        if uri:
            bucket, prefix = parse_s3_path(uri)
            needed.setdefault(f"arn:{partition}:s3:::{bucket}/{prefix + '/' if prefix else ''}*", []).extend(actions)
            needed[f"arn:{partition}:s3:::{bucket}"] = ["s3:ListBucket"]
    return needed | {arn: ["bedrock:InvokeModel"] for arn in context.model_arns}


def _principal(context: CheckContext) -> str | None:
    """Return the ARN of the IAM user or role behind the caller."""
    caller = context.caller or ""
    assumed = _ASSUMED_ROLE.fullmatch(caller)
    if assumed:
        return f"arn:{assumed[1]}:iam::{assumed[2]}:role/{assumed[3]}"
    return caller.replace(":sts:", ":iam:") if caller else None
