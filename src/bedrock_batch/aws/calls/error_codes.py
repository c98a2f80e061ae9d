"""The kinds of failed calls to AWS, and the error codes, texts and exception classes that identify each.

Codes and texts: the service models of `bedrock`, `bedrock-runtime` and `s3` in botocore, and
https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html.
"""

from __future__ import annotations

import re
from enum import Enum

from botocore import exceptions
from botocore.parsers import ResponseParserError


class ErrorKind(str, Enum):
    """The kind of a failed call: a stable word to count failures by, and whether a retry can help."""

    THROTTLED = "throttled"
    """Refused because of load before any work was done; costs nothing."""
    NOT_READY = "not_ready"
    """The model is still loading; no work was done and it costs nothing."""
    TRANSIENT = "transient"
    """A server fault or a broken connection."""
    MODEL_ERROR = "model_error"
    """The model itself failed on this request (HTTP 424)."""
    TIMEOUT = "timeout"
    """No answer in time; the generation may nevertheless have run and been charged."""
    DAILY_QUOTA = "daily_quota"
    QUOTA_EXCEEDED = "quota_exceeded"
    VALIDATION = "validation"
    CONFLICT = "conflict"
    PRECONDITION = "precondition"
    """A conditional write to S3 found another object than it expected."""
    NOT_FOUND = "not_found"
    MODEL_NOT_FOUND = "model_not_found"
    MODEL_UNSUPPORTED = "model_unsupported"
    """The model has no batch inference in this region."""
    ON_DEMAND_UNSUPPORTED = "on_demand_unsupported"
    """The model can be called only through an inference profile."""
    BUCKET_NOT_FOUND = "bucket_not_found"
    ACCESS_DENIED = "access_denied"
    MARKETPLACE = "marketplace"
    ENTITLEMENT = "entitlement"
    """AWS has not opened the model or the feature for this account."""
    CREDENTIALS = "credentials"
    CREDENTIALS_UNAVAILABLE = "credentials_unavailable"
    """The credentials endpoint did not answer; hopeless only if that lasts."""
    CONFIGURATION = "configuration"
    CERTIFICATE = "certificate"
    """The endpoint has no trusted certificate, or does not speak TLS."""
    ENDPOINT_UNKNOWN = "endpoint_unknown"
    """The host name of the endpoint cannot be resolved; hopeless only if that lasts."""
    INVALID_RESPONSE = "invalid_response"
    """The response of a model could not be read; it may be charged nevertheless."""
    DAMAGED_RESPONSE = "damaged_response"
    """The response to any other call could not be read; the service may have carried the call out."""
    UNKNOWN = "unknown"

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed if it is sent again."""
        return self in _RETRYABLE

    @property
    def unprocessed(self) -> bool:
        """Whether the service did no work for the request, so that a retry costs nothing."""
        return self in (ErrorKind.THROTTLED, ErrorKind.NOT_READY)

    @property
    def hopeless(self) -> bool:
        """Whether no record at all can be answered while this error lasts."""
        return self in _HOPELESS


_RETRYABLE = frozenset(
    {
        ErrorKind.THROTTLED,
        ErrorKind.NOT_READY,
        ErrorKind.TRANSIENT,
        ErrorKind.MODEL_ERROR,
        ErrorKind.TIMEOUT,
        ErrorKind.DAMAGED_RESPONSE,
        ErrorKind.CREDENTIALS_UNAVAILABLE,
        ErrorKind.ENDPOINT_UNKNOWN,
    }
)
_HOPELESS = frozenset(
    {
        ErrorKind.DAILY_QUOTA,
        ErrorKind.MODEL_NOT_FOUND,
        ErrorKind.MODEL_UNSUPPORTED,
        ErrorKind.ON_DEMAND_UNSUPPORTED,
        ErrorKind.BUCKET_NOT_FOUND,
        ErrorKind.ACCESS_DENIED,
        ErrorKind.MARKETPLACE,
        ErrorKind.ENTITLEMENT,
        ErrorKind.CREDENTIALS,
        ErrorKind.CREDENTIALS_UNAVAILABLE,
        ErrorKind.CONFIGURATION,
        ErrorKind.CERTIFICATE,
        ErrorKind.ENDPOINT_UNKNOWN,
    }
)

MISCONFIGURED = frozenset({ErrorKind.CONFIGURATION, ErrorKind.CERTIFICATE, ErrorKind.ENDPOINT_UNKNOWN})
"""Kinds for which the settings, and not the service, are to blame."""

OUT_OF_REACH = frozenset(
    {
        ErrorKind.TRANSIENT,
        ErrorKind.TIMEOUT,
        ErrorKind.DAMAGED_RESPONSE,
        ErrorKind.CREDENTIALS_UNAVAILABLE,
        ErrorKind.ENDPOINT_UNKNOWN,
    }
)
"""Kinds of a call that may not have reached the service; every other kind is an answer of the service."""

UNDECIDED = frozenset({ErrorKind.TRANSIENT, ErrorKind.TIMEOUT, ErrorKind.DAMAGED_RESPONSE})
"""Kinds of a call that the service may have carried out although it failed."""

WAIT_KINDS = OUT_OF_REACH | {ErrorKind.THROTTLED, ErrorKind.NOT_READY, ErrorKind.QUOTA_EXCEEDED}
"""Kinds after which the same creation of a job may succeed later."""

REFUSED_MODEL = frozenset({ErrorKind.MODEL_NOT_FOUND, ErrorKind.MODEL_UNSUPPORTED, ErrorKind.ON_DEMAND_UNSUPPORTED})
"""Kinds that refuse the model of a request, whatever its record: in real time the fallback model takes the others."""

REFUSED_MODEL_OR_ACCESS = REFUSED_MODEL | {ErrorKind.ENTITLEMENT, ErrorKind.MARKETPLACE}
"""Kinds that refuse the model of a job or the account's access to it: the fallback model takes the job.

In real time a lack of access ends the run, since the user can mend it.
"""

KIND_BY_CODE: dict[str, ErrorKind] = {
    code: kind
    for kind, codes in {
        ErrorKind.THROTTLED: (
            "ThrottlingException Throttling ThrottledException RequestThrottledException RequestThrottled"
            " TooManyRequestsException TooManyRequests RequestLimitExceeded BandwidthLimitExceeded"
            " LimitExceededException ProvisionedThroughputExceededException SlowDown EC2ThrottledException 429"
        ),
        ErrorKind.NOT_READY: "ModelNotReadyException",
        ErrorKind.TRANSIENT: (
            "InternalServerException InternalServerError InternalFailure InternalError"
            " ServiceUnavailableException ServiceUnavailable ModelStreamErrorException RequestTimeout"
            " RequestTimeoutException OperationAborted ConditionalRequestConflict 500 502 503 504"
        ),
        ErrorKind.MODEL_ERROR: "ModelErrorException",
        ErrorKind.TIMEOUT: "ModelTimeoutException",
        ErrorKind.QUOTA_EXCEEDED: "ServiceQuotaExceededException",
        ErrorKind.VALIDATION: "ValidationException ValidationError InvalidRequest InvalidArgument 400",
        ErrorKind.CONFLICT: "ConflictException ResourceInUseException",
        ErrorKind.PRECONDITION: "PreconditionFailed 412",
        ErrorKind.NOT_FOUND: "ResourceNotFoundException NoSuchKey NoSuchUpload NotFound 404",
        ErrorKind.BUCKET_NOT_FOUND: "NoSuchBucket",
        ErrorKind.ACCESS_DENIED: "AccessDeniedException AccessDenied UnauthorizedOperation Forbidden 403",
        ErrorKind.CREDENTIALS: (
            "UnrecognizedClientException ExpiredTokenException ExpiredToken RequestExpired TokenRefreshRequired"
            " InvalidClientTokenId InvalidAccessKeyId InvalidToken InvalidSignatureException SignatureDoesNotMatch"
            " IncompleteSignature IncompleteSignatureException MissingAuthenticationToken"
            " MissingAuthenticationTokenException AuthFailure RequestTimeTooSkewed 401"
        ),
    }.items()
    for code in codes.split()
}

MODEL_OPERATIONS = frozenset({"InvokeModel", "Converse", "CountTokens", "CreateModelInvocationJob"})

# Some codes cover several kinds, which the text of the error tells apart. The first match decides; `[^a-z]` stands for
# the apostrophe, which AWS writes as U+0027 or U+2019.
KIND_BY_TEXT: tuple[tuple[frozenset[ErrorKind], re.Pattern[str], ErrorKind], ...] = tuple(
    (frozenset(kinds), re.compile(pattern, re.IGNORECASE), kind)
    for kinds, pattern, kind in (
        (
            {ErrorKind.THROTTLED, ErrorKind.QUOTA_EXCEEDED},
            r"(tokens|requests) per day|daily (token|request)s?\b.*\b(limit|quota)",
            ErrorKind.DAILY_QUOTA,
        ),
        ({ErrorKind.VALIDATION}, r"on-demand throughput", ErrorKind.ON_DEMAND_UNSUPPORTED),
        (
            {ErrorKind.VALIDATION, ErrorKind.ACCESS_DENIED, ErrorKind.NOT_FOUND},
            r"aws-marketplace|marketplace subscription|INVALID_PAYMENT_INSTRUMENT",
            ErrorKind.MARKETPLACE,
        ),
        (
            {ErrorKind.VALIDATION, ErrorKind.ACCESS_DENIED, ErrorKind.NOT_FOUND},
            r"create a support case|^operation not allowed|account is not authorized|use case details have not been",
            ErrorKind.ENTITLEMENT,
        ),
        (
            {ErrorKind.VALIDATION},
            r"batch inference (is not|isn[^a-z]t) supported|does(n[^a-z]t| not) support batch inference",
            ErrorKind.MODEL_UNSUPPORTED,
        ),
        ({ErrorKind.VALIDATION}, r"currently in use|name (is )?already (in use|exists)", ErrorKind.CONFLICT),
        (
            {ErrorKind.VALIDATION},
            r"model identifier is invalid|end of its life",
            ErrorKind.MODEL_NOT_FOUND,
        ),
        ({ErrorKind.VALIDATION}, r"security token .* (expired|invalid)", ErrorKind.CREDENTIALS),
    )
)

# The first match decides: subclasses come before their bases.
KIND_BY_CLASS: tuple[tuple[type[BaseException], ErrorKind], ...] = (
    (exceptions.ReadTimeoutError, ErrorKind.TIMEOUT),
    (exceptions.HTTPClientError, ErrorKind.TRANSIENT),
    (exceptions.IncompleteReadError, ErrorKind.TRANSIENT),
    (exceptions.ResponseStreamingError, ErrorKind.TRANSIENT),
    (exceptions.ChecksumError, ErrorKind.TRANSIENT),
    (exceptions.ConnectionError, ErrorKind.TRANSIENT),
    (exceptions.CredentialRetrievalError, ErrorKind.CREDENTIALS_UNAVAILABLE),
    (exceptions.MetadataRetrievalError, ErrorKind.CREDENTIALS_UNAVAILABLE),
    (exceptions.NoCredentialsError, ErrorKind.CREDENTIALS),
    (exceptions.PartialCredentialsError, ErrorKind.CREDENTIALS),
    (exceptions.TokenRetrievalError, ErrorKind.CREDENTIALS),
    (exceptions.SSOError, ErrorKind.CREDENTIALS),
    (exceptions.NoAuthTokenError, ErrorKind.CREDENTIALS),
    (ResponseParserError, ErrorKind.INVALID_RESPONSE),
    (exceptions.ParamValidationError, ErrorKind.VALIDATION),
    (exceptions.ProfileNotFound, ErrorKind.CONFIGURATION),
    (exceptions.NoRegionError, ErrorKind.CONFIGURATION),
    (exceptions.EndpointProviderError, ErrorKind.CONFIGURATION),
    (exceptions.ValidationError, ErrorKind.CONFIGURATION),
)
