"""The environment variables of the step, one row each: `config` parses by this table, docs and contracts repeat it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bedrock_batch import values
from bedrock_batch.values import Form, Kind

MODEL = "Model and request"
PROMPT = "Prompt and schema without the input channels"
REALTIME = "Real time"
BATCH = "Batch inference"
BATCH_JOB = "Batch jobs: security and ownership"
INPUT = "Input fields"
OUTPUT = "Output and failed records"
COST = "Cost"
PROGRESS = "Progress and report"
INSTALLATION = "Package installation"


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: where its value goes, what it may be and what it means."""

    name: str
    field: str
    """The attribute of `Settings` and the key in the mapping that the processors take."""
    default: str
    """What an absent or empty variable stands for."""
    form: Form
    group: str
    meaning: str
    required: bool = False
    available: bool = True
    """False while the feature is not built: any value but the default is then refused."""
    secret: bool = False
    """The value is the user's own text, which stays out of messages and summaries."""

    @property
    def kind(self) -> Kind:
        return self.form.kind

    @property
    def accepted(self) -> str:
        return self.form.accepted

    def parse(self, text: str) -> Any:
        """Return the value that `text` stands for; ValueError where `accepted` does not describe it."""
        return self.form.parse(text)


VARIABLES: tuple[Variable, ...] = (
    Variable(
        "BEDROCK_PRIMARY_MODEL_ID", "primary_model_id", "", values.MODEL_ID, MODEL,
        "The model that answers.",
        required=True,
    ),
    Variable(
        "BEDROCK_FALLBACK_MODEL_ID", "fallback_model_id", "", values.MODEL_ID, MODEL,
        "The model that is asked when AWS refuses the primary model or its inference profile (ValidationException).",
    ),
    Variable(
        "BEDROCK_INFERENCE_PROFILE_ARN", "inference_profile_arn", "", values.INFERENCE_PROFILE, MODEL,
        "The inference profile through which the primary model is called, for capacity in several regions.",
    ),
    Variable(
        "BEDROCK_INFERENCE_PROFILE_REQUIRED_MODELS", "inference_profile_required_models", "[]", values.NAMES, MODEL,
        "Models that can be called only through an inference profile; the profile of the region is then used.",
    ),
    Variable(
        "AWS_DEFAULT_REGION", "region_name", "us-east-1", values.REGION, MODEL,
        "The region of the Bedrock API. Where it is not set, AWS_REGION counts.",
    ),
    Variable(
        "BEDROCK_MODEL_CAPABILITIES", "model_capabilities", "{}", values.CAPABILITIES, MODEL,
        "What the primary model accepts, where the table of families does not know it or is not right.",
    ),
    Variable(
        "BEDROCK_API", "api", "auto", values.choice("auto", "invoke_model", "converse"), MODEL,
        "How the model is called: invoke_model (the Anthropic Messages body), converse (any model family), "
        "auto (by model).",
    ),
    Variable(
        "BEDROCK_STRUCTURED_OUTPUT", "structured_output", "auto",
        values.choice("auto", "prefill", "tool", "json_schema", "prompt"), MODEL,
        "How the model is held to JSON: a begun answer, a forced tool, the service's own JSON Schema output, the "
        "prompt alone, or auto (the best that the model and the mode accept).",
    ),
    Variable(
        "BEDROCK_MAX_TOKENS", "max_tokens", "32768", values.integer(1), MODEL,
        "The longest answer, in tokens. An answer that reaches it is cut off and counts as failed to parse.",
    ),
    Variable(
        "BEDROCK_TEMPERATURE", "temperature", "1.0", values.none_or(values.FRACTION), MODEL,
        "How freely the model chooses its words. Left out for models that refuse it.",
    ),
    Variable(
        "BEDROCK_TOP_P", "top_p", "0.999", values.none_or(values.FRACTION), MODEL,
        "The share of the likeliest words that the model chooses from. Left out for models that refuse it.",
    ),
    Variable(
        "BEDROCK_USER_PROMPT_TEMPLATE", "user_prompt_template", "", values.REFERENCE_OR_TEXT, PROMPT,
        "The prompt of every row, with {placeholder} for its columns. A prompts.json in the channel wins.",
        secret=True,
    ),
    Variable(
        "BEDROCK_SYSTEM_PROMPT", "system_prompt", "", values.REFERENCE_OR_TEXT, PROMPT,
        "The system prompt. A prompts.json in the channel wins.",
        secret=True,
    ),
    Variable(
        "BEDROCK_INPUT_PLACEHOLDERS", "input_placeholders", "", values.REFERENCE_OR_NAMES, PROMPT,
        "The placeholders of the template; empty: every {name} in it. A prompts.json in the channel wins.",
    ),
    Variable(
        "BEDROCK_VALIDATION_SCHEMA", "validation_schema", "", values.REFERENCE_OR_SCHEMA, PROMPT,
        "The JSON Schema that every answer must satisfy. A schema file in the channel wins.",
        secret=True,
    ),
    Variable(
        "BEDROCK_CONCURRENCY_MODE", "concurrency_mode", "sequential",
        values.choice("sequential", "concurrent"), REALTIME,
        "One request after the other, or several at a time.",
    ),
    Variable(
        "BEDROCK_MAX_CONCURRENT_WORKERS", "max_concurrent_workers", "5", values.integer(1, 1000), REALTIME,
        "Requests at a time in concurrent mode.",
    ),
    Variable(
        "BEDROCK_RATE_LIMIT_PER_SECOND", "rate_limit_per_second", "10", values.ANY_ABOVE_ZERO, REALTIME,
        "Requests started in any one second, at most. 0.5 is one every two seconds.",
    ),
    Variable(
        "BEDROCK_ADAPTIVE_RATE", "adaptive_rate", "true", values.BOOLEAN, REALTIME,
        "Lower the rate when the service throttles and raise it again on success, never above the limit.",
    ),
    Variable(
        "BEDROCK_BATCH_SIZE", "batch_size", "10", values.integer(1), REALTIME,
        "Records per step of the real-time mode: progress is saved after each. `--batch-size` wins over it.",
    ),
    Variable(
        "BEDROCK_MAX_RETRIES", "max_retries", "3", values.integer(0, 100), REALTIME,
        "Attempts per request, the first included; 0 and 1 both mean that nothing is retried. Throttled attempts are "
        "counted apart, for they cost nothing. `--max-retries` wins over it.",
    ),
    Variable(
        "BEDROCK_READ_TIMEOUT_SECONDS", "read_timeout_seconds", "3600", values.ANY_ABOVE_ZERO, REALTIME,
        "How long an answer is waited for. AWS advises an hour for long generations.",
    ),
    Variable(
        "BEDROCK_VALIDATION_RETRIES", "validation_retries", "0", values.integer(0, 100), REALTIME,
        "How often a record whose answer did not validate is asked again, in real time.",
    ),
    Variable(
        "BEDROCK_DEDUPLICATE_PROMPTS", "deduplicate_prompts", "false", values.BOOLEAN, REALTIME,
        "Send identical prompts of a run once (in both modes) and share the answer.",
    ),
    Variable(
        "BEDROCK_BATCH_MODE", "batch_mode", "auto", values.choice("auto", "batch", "realtime"), BATCH,
        "auto: by batch from BEDROCK_BATCH_THRESHOLD records on, where role and S3 paths are set; batch: always; "
        "realtime: never.",
    ),
    Variable(
        "BEDROCK_BATCH_THRESHOLD", "batch_threshold", "1000", values.integer(1), BATCH,
        "The number of records of the run from which auto mode uses batch inference.",
    ),
    Variable(
        "BEDROCK_BATCH_ROLE_ARN", "batch_role_arn", "", values.ROLE_ARN, BATCH,
        "The service role that Bedrock takes on for the jobs. It must be trusted by bedrock.amazonaws.com and may read "
        "and write the S3 paths.",
    ),
    Variable(
        "BEDROCK_BATCH_INPUT_S3_PATH", "batch_input_s3_path", "", values.S3_PATH, BATCH,
        "Where the jobs' input and the run's ledger are written. A step builder sets it.",
    ),
    Variable(
        "BEDROCK_BATCH_OUTPUT_S3_PATH", "batch_output_s3_path", "", values.S3_PATH, BATCH,
        "Where the jobs write their results. A step builder sets it.",
    ),
    Variable(
        "BEDROCK_BATCH_TIMEOUT_HOURS", "batch_timeout_hours", "24", values.integer(24, 168), BATCH,
        "How long a job may take, waiting included, before AWS ends it.",
    ),
    Variable(
        "BEDROCK_MAX_RECORDS_PER_JOB", "max_records_per_job", "45000", values.integer(1), BATCH,
        "Records per job, at most. AWS's quota was 50,000 for every model and is higher for some: above it a warning.",
    ),
    Variable(
        "BEDROCK_MIN_RECORDS_PER_JOB", "min_records_per_job", "100", values.integer(1), BATCH,
        "Records per job, at least: AWS's minimum. Fewer are answered in real time.",
    ),
    Variable(
        "BEDROCK_MAX_JOB_FILE_BYTES", "max_job_file_bytes", "943718400", values.integer(1), BATCH,
        "Bytes of a job's input file, at most, measured and not estimated (900 MiB; AWS's quota is 1 GB).",
    ),
    Variable(
        "BEDROCK_MAX_CONCURRENT_BATCH_JOBS", "max_concurrent_batch_jobs", "20", values.integer(1), BATCH,
        "Jobs in flight at a time. AWS's quota is 20 per model and region by default.",
    ),
    Variable(
        "BEDROCK_BATCH_POLL_INITIAL_SECONDS", "batch_poll_initial_seconds", "10", values.ANY_ABOVE_ZERO, BATCH,
        "The first wait between two looks at a job; each wait is 1.2 times the one before.",
    ),
    Variable(
        "BEDROCK_BATCH_POLL_MAX_SECONDS", "batch_poll_max_seconds", "60", values.ANY_ABOVE_ZERO, BATCH,
        "The longest wait between two looks at a job.",
    ),
    Variable(
        "BEDROCK_BATCH_FALLBACK", "batch_fallback", "realtime", values.choice("realtime", "error", "fail"), BATCH,
        "What happens to records that batch did not answer: asked in real time, left as failed, or the run fails.",
    ),
    Variable(
        "BEDROCK_BATCH_LEASE_SECONDS", "batch_lease_seconds", "60", values.ANY_ABOVE_ZERO, BATCH,
        "How long a run's process must give no sign of life in its ledger before another may take the run over.",
    ),
    Variable(
        "BEDROCK_BATCH_RESUME", "batch_resume", "true", values.BOOLEAN, BATCH,
        "Continue an interrupted run of the same input and settings, without paying for a record twice.",
    ),
    Variable(
        "BEDROCK_BATCH_JOB_NAME_PREFIX", "batch_job_name_prefix", "cursus-bedrock-batch", values.JOB_NAME_PREFIX, BATCH,
        "The beginning of the jobs' names.",
    ),
    Variable(
        "BEDROCK_BATCH_KMS_KEY_ID", "batch_kms_key_id", "", values.KMS_KEY_ID, BATCH_JOB,
        "The KMS key that encrypts the jobs' input and results in S3.",
    ),
    Variable(
        "BEDROCK_BATCH_BUCKET_OWNER", "batch_bucket_owner", "", values.ACCOUNT_ID, BATCH_JOB,
        "The account that must own the buckets of both S3 paths; required by AWS where it is another account.",
    ),
    Variable(
        "BEDROCK_BATCH_TAGS", "batch_tags", "{}", values.TAGS, BATCH_JOB,
        "Tags of the jobs.",
    ),
    Variable(
        "BEDROCK_BATCH_SUBNET_IDS", "batch_subnet_ids", "", values.network_ids(16), BATCH_JOB,
        "Subnets of the VPC in which the jobs reach S3; needs the security groups too.",
    ),
    Variable(
        "BEDROCK_BATCH_SECURITY_GROUP_IDS", "batch_security_group_ids", "", values.network_ids(5), BATCH_JOB,
        "Security groups of that VPC; needs the subnets too.",
    ),
    Variable(
        "BEDROCK_MAX_INPUT_FIELD_LENGTH", "max_input_field_length", "400000", values.integer(1), INPUT,
        "Characters of one input field, at most; a longer one is cut where truncation is enabled.",
    ),
    Variable(
        "BEDROCK_TRUNCATION_ENABLED", "truncation_enabled", "true", values.BOOLEAN, INPUT,
        "Cut input fields that are too long.",
    ),
    Variable(
        "BEDROCK_LOG_TRUNCATIONS", "log_truncations", "true", values.BOOLEAN, INPUT,
        "Log which fields were cut and by how much (never their text).",
    ),
    Variable(
        "BEDROCK_OUTPUT_COLUMN_PREFIX", "output_column_prefix", "llm_", values.COLUMN_PREFIX, OUTPUT,
        "The beginning of the names of the columns that the step adds.",
    ),
    Variable(
        "BEDROCK_OUTPUT_METADATA", "output_metadata", "false", values.BOOLEAN, OUTPUT,
        "Add columns for model_id, input_tokens, output_tokens, stop_reason, attempts and source.",
    ),
    Variable(
        "BEDROCK_SKIP_ERROR_RECORDS", "skip_error_records", "false", values.BOOLEAN, OUTPUT,
        "Leave records without an answer out of the output.",
    ),
    Variable(
        "BEDROCK_MAX_ERROR_RATE", "max_error_rate", "1.0", values.FRACTION_ABOVE_ZERO, OUTPUT,
        "The run fails, after its outputs are written, when the share of failed records reaches this.",
    ),
    Variable(
        "BEDROCK_MAX_COST_USD", "max_cost_usd", "", values.optional(values.ANY_ABOVE_ZERO), COST,
        "Refuse to start above this estimate, and stop submitting when the real cost reaches it.",
    ),
    Variable(
        "BEDROCK_PRICES", "prices", "{}", values.PRICES, COST,
        "Prices that override the bundled table.",
    ),
    Variable(
        "BEDROCK_METRICS_NAMESPACE", "metrics_namespace", "", values.METRICS_NAMESPACE, PROGRESS,
        "Write CloudWatch metrics of the run's progress under this namespace, as embedded metric lines on the standard "
        "output; empty: none.",
    ),
    Variable(
        "BEDROCK_REPORT_SAMPLES", "report_samples", "0", values.integer(0, 1000), PROGRESS,
        "How many rows the report shows, with the text of their input fields and answers; 0: no text of any row.",
    ),
    Variable(
        "USE_SECURE_PYPI", "use_secure_pypi", "false", values.BOOLEAN, INSTALLATION,
        "Install missing packages from a CodeArtifact repository instead of the public index.",
    ),
    Variable(
        "BEDROCK_SECURE_PYPI_DOMAIN", "secure_pypi_domain", "", values.CODEARTIFACT_DOMAIN, INSTALLATION,
        "The CodeArtifact domain; required with USE_SECURE_PYPI=true.",
    ),
    Variable(
        "BEDROCK_SECURE_PYPI_DOMAIN_OWNER", "secure_pypi_domain_owner", "", values.ACCOUNT_ID, INSTALLATION,
        "The account that owns the domain; empty: the caller's own.",
    ),
    Variable(
        "BEDROCK_SECURE_PYPI_REGION", "secure_pypi_region", "", values.REGION, INSTALLATION,
        "The region of the domain; empty: the region of the Bedrock API.",
    ),
    Variable(
        "BEDROCK_SECURE_PYPI_REPOSITORY", "secure_pypi_repository", "", values.CODEARTIFACT_REPOSITORY, INSTALLATION,
        "The CodeArtifact repository; required with USE_SECURE_PYPI=true.",
    ),
    Variable(
        "BEDROCK_SECURE_PYPI_ROLE_ARN", "secure_pypi_role_arn", "", values.ROLE_ARN, INSTALLATION,
        "A role to assume for the token; empty: the caller's own credentials.",
    ),
)  # fmt: skip

BY_NAME: dict[str, Variable] = {variable.name: variable for variable in VARIABLES}
BY_KEY: dict[str, Variable] = {
    key: variable for variable in VARIABLES for key in (variable.name.lower(), variable.field)
}
