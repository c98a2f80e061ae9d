"""The model: it exists, is open to the account, may be asked in batch, and answers; quotas and time are enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bedrock_batch.aws.account import bedrock_quotas, describe_model, missing_access, profile_models
from bedrock_batch.aws.retries import AwsError, ErrorKind
from bedrock_batch.config import Settings
from bedrock_batch.container import read_max_runtime
from bedrock_batch.doctor.finding import Finding, Patient, failed, not_checked, ok, problem, statement
from bedrock_batch.errors import BedrockBatchError
from bedrock_batch.processor import BedrockProcessor
from bedrock_batch.records import ModelAnswer, ModelInvocationRecord

CALL_PROMPT = "Answer with the word: ready"
CALL_TOKENS = 64


def _check_profile(patient: Patient) -> Finding:
    """Find the models behind an inference profile; a botocore that cannot ask for them leaves it unchecked."""
    try:
        patient.model_arns = profile_models(patient.context.clients.bedrock, patient.model_id)
    except AwsError as error:
        if error.kind is not ErrorKind.CONFIGURATION:
            raise
        return not_checked("profile", str(error), "install a newer boto3 to have it checked")
    return ok("profile", f"{patient.model_id} leads to {len(patient.model_arns)} model(s)")


def check_model(patient: Patient) -> Iterator[Finding]:
    """Yield whether the model and its profile exist and are open to this account."""
    bedrock, bare = patient.context.clients.bedrock, patient.bare_model_id
    needed = statement(["bedrock:GetFoundationModel", "bedrock:GetInferenceProfile"], ["*"])
    try:
        if patient.model_id != bare:
            yield _check_profile(patient)
        facts = describe_model(bedrock, bare)
    except AwsError as error:
        if error.kind is ErrorKind.ACCESS_DENIED:
            yield not_checked("model", "the caller may not look at models", f"add to the caller's role {needed}")
            return
        fix = (
            "check BEDROCK_PRIMARY_MODEL_ID, BEDROCK_INFERENCE_PROFILE_ARN and AWS_DEFAULT_REGION against `aws bedrock "
            "list-foundation-models` and `aws bedrock list-inference-profiles`"
        )
        yield failed("model", error, fix)
        return
    patient.model_name = facts.name
    patient.model_arns = tuple(dict.fromkeys((*patient.model_arns, facts.arn)))
    if facts.lifecycle != "ACTIVE":
        yield problem("model", f"{bare} is {facts.lifecycle}", "plan the change to a newer model before AWS retires it")
    elif patient.model_id == bare and facts.inference_types and "ON_DEMAND" not in facts.inference_types:
        yield problem(
            "model",
            f"{bare} is reached through an inference profile only",
            "set BEDROCK_INFERENCE_PROFILE_ARN, or add the model to BEDROCK_INFERENCE_PROFILE_REQUIRED_MODELS",
        )
    else:
        yield ok("model", f"{bare} exists in {patient.settings.region_name}")
    yield _check_access(patient)


def _check_access(patient: Patient) -> Finding:
    fix = "request access to the model in the Bedrock console (Model access), or open a case with AWS Support"
    try:
        missing = missing_access(patient.context.clients.bedrock, patient.bare_model_id)
    except AwsError as error:
        return not_checked("model access", f"AWS does not tell ({error.kind.value})", "--call tries it")
    if missing is None:
        return not_checked("model access", "the installed botocore cannot ask", "--call tries it")
    if missing:
        return problem("model access", f"the account may not call the model: {', '.join(missing)}", fix)
    return ok("model access", "the account may call the model")


def check_batch(patient: Patient) -> Iterator[Finding]:
    """Yield what is known about batch inference with this model."""
    if not patient.wants_batch:
        return
    able = patient.capabilities
    if able.batch is False:
        yield problem(
            "batch inference",
            f"the {able.family} family has no batch inference",
            "set BEDROCK_BATCH_MODE=realtime, or choose another model",
        )
        return
    yield not_checked(
        "batch inference",
        "AWS tells only when a job is created whether the model has batch in this region, and the account may use it",
        "see https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference-supported.html",
    )


def check_quotas(patient: Patient) -> Iterator[Finding]:
    """Yield which of the account's quotas for batch jobs of this model the settings break."""
    if not patient.wants_batch:
        return
    if patient.model_name is None:
        yield not_checked("quotas", "the model is not known")
        return
    try:
        quotas = dict(bedrock_quotas(patient.context.clients.service_quotas))
    except AwsError as error:
        needed = statement(["servicequotas:ListServiceQuotas"], ["*"])
        yield not_checked("quotas", f"the caller may not read quotas ({error.kind.value})", f"add to its role {needed}")
        return
    name = patient.model_name.casefold()
    mine = {quota.casefold(): value for quota, value in quotas.items() if _is_of(quota.casefold(), name)}
    findings = list(_judge_quotas(patient.settings, mine))
    yield from findings or [
        ok("quotas", f"the settings keep the {len(mine)} quotas of {patient.model_name}")
        if mine
        else not_checked("quotas", f"there is no quota with the name of {patient.model_name}", "look in Service Quotas")
    ]


def _is_of(quota: str, model: str) -> bool:
    """Whether a quota is that of the model: `... for MODEL`, some with a unit behind it."""
    return "batch inference" in quota and (quota.endswith(f"for {model}") or f"for {model} (" in quota)


def _judge_quotas(settings: Settings, quotas: dict[str, float]) -> Iterator[Finding]:
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
                    f"{variable} stands for {value:g}, the quota allows {word} {allowed:g} ({quota})",
                    f"set {variable} to the quota, or ask for more in Service Quotas",
                )


def check_time(patient: Patient) -> Iterator[Finding]:
    """Yield whether the container lives as long as a job may take."""
    if not patient.wants_batch:
        return
    hours = patient.settings.batch_timeout_hours
    seconds = read_max_runtime(patient.opt_ml) if patient.opt_ml else None
    wanted = hours * 3600 + 3600
    if seconds is None:
        yield not_checked(
            "running time",
            "no processingjobconfig.json tells how long the container may run",
            f"give the processing job max_runtime_in_seconds of at least {wanted}",
        )
    elif seconds < wanted:
        yield problem(
            "running time",
            f"the container may run {seconds / 3600:.1f} h, a job up to {hours} h: what is not answered in time is "
            "asked in real time, or lost",
            f"give the processing job max_runtime_in_seconds of at least {wanted}",
        )
    else:
        yield ok("running time", f"the container may run {seconds / 3600:.1f} h, a job up to {hours} h")


def check_call(patient: Patient) -> Iterator[Finding]:
    """Yield whether the model answers one tiny request, where that is asked for."""
    if not patient.call:
        yield not_checked("one call", "it costs a few tokens", "--doctor --call asks the model one tiny question")
        return
    settings = replace(
        patient.settings,
        user_prompt_template=CALL_PROMPT,
        system_prompt="",
        input_placeholders="",
        validation_schema="",
        max_tokens=CALL_TOKENS,
        max_retries=1,
        max_cost_usd=None,
        fallback_model_id="",
    )
    begun = patient.context.clock()
    try:
        output = BedrockProcessor(settings, patient.context).invoke_record(ModelInvocationRecord(0, CALL_PROMPT))
    except BedrockBatchError as error:
        message, _, fix = str(error).partition(". What to do: ")
        yield problem("one call", message, fix or "correct the settings")
        return
    seconds = patient.context.clock() - begun
    if isinstance(output, ModelAnswer):
        yield ok("one call", f"{output.model_id} answered in {seconds:.1f} s")
    else:
        yield problem("one call", output.message, "see docs/troubleshooting.md")
