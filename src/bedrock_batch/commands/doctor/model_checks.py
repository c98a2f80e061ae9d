"""Checks of the model: its existence, access, batch inference, quotas and running time, and one real call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bedrock_batch.aws.account import ModelFacts, bedrock_quotas, describe_model, missing_access, profile_models
from bedrock_batch.aws.calls.error_codes import ErrorKind
from bedrock_batch.aws.calls.failures import AwsError
from bedrock_batch.commands.doctor.finding import CheckContext, Finding, failed, not_checked, ok, problem, statement
from bedrock_batch.environment.consistency import compare_profile
from bedrock_batch.environment.container.paths import read_max_runtime
from bedrock_batch.environment.settings import Settings
from bedrock_batch.errors import BedrockBatchError
from bedrock_batch.families import base_model_id, hides_model
from bedrock_batch.models.model_warnings import FALLBACK, PRIMARY, find_retired_model
from bedrock_batch.realtime.bedrock_processor import BedrockProcessor
from bedrock_batch.records import ModelOutput, Record

CALL_PROMPT = "Answer with the word: ready"
CALL_TOKENS = 64


def _check_profile(context: CheckContext) -> Finding:
    """Find the models behind an inference profile; not checked if botocore is too old for the operation."""
    try:
        context.model_arns = profile_models(context.run_context.clients.bedrock, context.model_id)
    except AwsError as error:
        if error.kind is not ErrorKind.CONFIGURATION:
            raise
        return not_checked("profile", str(error), "install a newer boto3 to check it")
    # An ARN that names its model is compared with the settings.
    models = context.model_arns if hides_model(context.model_id) else ()
    for warning in compare_profile(context.settings.primary_model_id, models):
        return problem("profile", warning, "correct BEDROCK_INFERENCE_PROFILE_ARN or BEDROCK_PRIMARY_MODEL_ID")
    return ok("profile", f"{context.model_id} leads to {len(context.model_arns)} model(s)")


def check_model(context: CheckContext) -> Iterator[Finding]:
    """Yield whether the model and its profile exist and for how long, and whether the account has access."""
    bedrock, bare = context.run_context.clients.bedrock, context.bare_model_id
    try:
        if context.model_id != bare:
            yield _check_profile(context)
        facts = describe_model(bedrock, bare)
    except AwsError as error:
        yield from _check_undescribed(context, error)
        return
    context.model_name = facts.name
    context.model_arns = tuple(dict.fromkeys((*context.model_arns, facts.arn)))
    retired = _retired(context, PRIMARY, context.settings.primary_model_id, facts)
    if retired is not None:
        yield retired
    elif context.model_id == bare and facts.inference_types and "ON_DEMAND" not in facts.inference_types:
        yield problem(
            "model",
            f"{bare} is reached through an inference profile only",
            "set BEDROCK_INFERENCE_PROFILE_ARN, or add the model to BEDROCK_INFERENCE_PROFILE_REQUIRED_MODELS",
        )
    else:
        yield ok("model", f"{bare} exists in {context.settings.region_name}")
    yield _check_access(context)


def _check_undescribed(context: CheckContext, error: AwsError) -> Iterator[Finding]:
    """Yield why the service does not describe the model, and what the table says of it."""
    retired = _retired(context, PRIMARY, context.settings.primary_model_id)
    if retired is not None:
        yield retired
    if error.kind is ErrorKind.ACCESS_DENIED:
        needed = statement(["bedrock:GetFoundationModel", "bedrock:GetInferenceProfile"], ["*"])
        yield not_checked("model", "the caller may not read about models", f"add to the caller's role {needed}")
        return
    fix = (
        "check BEDROCK_PRIMARY_MODEL_ID, BEDROCK_INFERENCE_PROFILE_ARN and AWS_DEFAULT_REGION against `aws bedrock "
        "list-foundation-models` and `aws bedrock list-inference-profiles`"
    )
    yield failed("model", error, fix)


def _retired(context: CheckContext, variable: str, model_id: str, facts: ModelFacts | None = None) -> Finding | None:
    """Return the finding about a model in its legacy period or past its end of life, None if it is active."""
    retired = find_retired_model(context.settings, variable, model_id, context.run_context.now().date(), facts)
    check = "model" if variable == PRIMARY else "fallback model"
    return None if retired is None else problem(check, retired.message, retired.remedy)


def check_fallback(context: CheckContext) -> Iterator[Finding]:
    """Yield whether the fallback model exists and for how long, if there is one."""
    model_id = context.settings.fallback_model_id
    if not model_id or hides_model(model_id):
        return
    try:
        facts = describe_model(context.run_context.clients.bedrock, base_model_id(model_id))
    except AwsError as error:
        denied = error.kind is ErrorKind.ACCESS_DENIED
        yield _retired(context, FALLBACK, model_id) or (
            not_checked("fallback model", "the caller may not read about models")
            if denied
            else failed("fallback model", error, "correct BEDROCK_FALLBACK_MODEL_ID")
        )
        return
    yield _retired(context, FALLBACK, model_id, facts) or ok("fallback model", f"{model_id} exists")


def _check_access(context: CheckContext) -> Finding:
    fix = "request access to the model in the Bedrock console (Model access), or open a case with AWS Support"
    try:
        missing = missing_access(context.run_context.clients.bedrock, context.bare_model_id)
    except AwsError as error:
        return not_checked("model access", f"AWS does not say ({error.kind.value})", "try it with --call")
    if missing is None:
        return not_checked("model access", "the installed botocore lacks the operation", "try it with --call")
    if missing:
        return problem("model access", f"the account may not call the model: {', '.join(missing)}", fix)
    return ok("model access", "the account may call the model")


def check_batch(context: CheckContext) -> Iterator[Finding]:
    """Yield whether the model is known to have batch inference."""
    if not context.wants_batch:
        return
    able = context.capabilities
    if able.batch is False:
        yield problem(
            "batch inference",
            f"the {able.family} family has no batch inference",
            "set BEDROCK_BATCH_MODE=realtime, or choose another model",
        )
        return
    yield not_checked(
        "batch inference",
        "only creating a job shows whether the model has batch inference in this region and the account may use it",
        "see https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference-supported.html",
    )


def check_quotas(context: CheckContext) -> Iterator[Finding]:
    """Yield the batch quotas of this model and account that the settings exceed."""
    if not context.wants_batch:
        return
    if context.model_name is None:
        yield not_checked("quotas", "the model was not found")
        return
    try:
        quotas = dict(bedrock_quotas(context.run_context.clients.service_quotas))
    except AwsError as error:
        needed = statement(["servicequotas:ListServiceQuotas"], ["*"])
        yield not_checked("quotas", f"the caller may not read quotas ({error.kind.value})", f"add to its role {needed}")
        return
    name = context.model_name.casefold()
    mine = {quota.casefold(): value for quota, value in quotas.items() if _is_of(quota.casefold(), name)}
    findings = list(_compare_quotas(context.settings, mine))
    yield from findings or [
        ok("quotas", f"the settings are within the {len(mine)} quotas of {context.model_name}")
        if mine
        else not_checked("quotas", f"no quota names {context.model_name}", "look in Service Quotas")
    ]


def _is_of(quota: str, model: str) -> bool:
    """Return whether a batch quota is that of the model: its name ends in `for MODEL`, or has a unit behind that."""
    return "batch inference" in quota and (quota.endswith(f"for {model}") or f"for {model} (" in quota)


def _compare_quotas(settings: Settings, quotas: dict[str, float]) -> Iterator[Finding]:
    limits = (
        ("minimum number of records", settings.min_records_per_job, "BEDROCK_MIN_RECORDS_PER_JOB", False),
        ("records per batch inference job", settings.max_records_per_job, "BEDROCK_MAX_RECORDS_PER_JOB", True),
        ("records per input file", settings.max_records_per_job, "BEDROCK_MAX_RECORDS_PER_JOB", True),
        ("sum of in-progress", settings.max_concurrent_batch_jobs, "BEDROCK_MAX_CONCURRENT_BATCH_JOBS", True),
        ("batch inference input file size", settings.max_job_file_bytes / 1024**3, "BEDROCK_MAX_JOB_FILE_BYTES", True),
    )
    for beginning, value, variable, is_upper in limits:
        for quota, allowed in quotas.items():
            if quota.startswith(beginning) and (value > allowed if is_upper else value < allowed):
                word = "at most" if is_upper else "at least"
                yield problem(
                    "quotas",
                    f"{variable} is {value:g}, the quota allows {word} {allowed:g} ({quota})",
                    f"set {variable} to the quota, or request an increase in Service Quotas",
                )


def check_time(context: CheckContext) -> Iterator[Finding]:
    """Yield whether the container may run as long as a batch job may take."""
    if not context.wants_batch:
        return
    hours = context.settings.batch_timeout_hours
    seconds = read_max_runtime(context.opt_ml) if context.opt_ml else None
    wanted = hours * 3600 + 3600
    if seconds is None:
        yield not_checked(
            "running time",
            "no processingjobconfig.json says how long the container may run",
            f"give the processing job max_runtime_in_seconds of at least {wanted}",
        )
    elif seconds < wanted:
        yield problem(
            "running time",
            f"the container may run {seconds / 3600:.1f} h, a job up to {hours} h: records without an answer by "
            "then are asked in real time, or fail",
            f"give the processing job max_runtime_in_seconds of at least {wanted}",
        )
    else:
        yield ok("running time", f"the container may run {seconds / 3600:.1f} h, a job up to {hours} h")


def check_call(context: CheckContext) -> Iterator[Finding]:
    """Yield whether the model answers one tiny request, if the user asks for that."""
    if not context.call:
        yield not_checked("one call", "it costs a few tokens", "--doctor --call asks the model one tiny question")
        return
    settings = replace(
        context.settings,
        user_prompt_template=CALL_PROMPT,
        system_prompt="",
        input_placeholders="",
        validation_schema="",
        max_tokens=CALL_TOKENS,
        max_retries=1,
        max_cost_usd=None,
        fallback_model_id="",
    )
    begun = context.run_context.clock()
    try:
        output = BedrockProcessor(settings, context.run_context).invoke_record(Record(0, CALL_PROMPT))
    except BedrockBatchError as error:
        message, _, fix = str(error).partition(". What to do: ")
        yield problem("one call", message, fix or "correct the settings")
        return
    seconds = context.run_context.clock() - begun
    if isinstance(output, ModelOutput):
        yield ok("one call", f"{output.model_id} answered in {seconds:.1f} s")
    else:
        yield problem("one call", output.message, "see docs/troubleshooting.md")
