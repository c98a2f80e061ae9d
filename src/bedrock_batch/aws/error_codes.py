"""The kinds of failure that AWS can answer with, and the error codes, texts and classes that each is known by.

Codes and texts: the service models of `bedrock`, `bedrock-runtime` and `s3` in botocore, and
https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html.
"""

from __future__ import annotations

import re
from enum import Enum

from botocore import exceptions
from botocore.parsers import ResponseParserError


class ErrorKind(str, Enum):
    """A stable word for counting failures, with what it means for the request and for the run."""

    THROTTLED = "throttled"
    """Refused for load before any work was done; costs nothing."""
    NOT_READY = "not_ready"
    """The model is still being loaded; nothing was done either."""
    TRANSIENT = "transient"
    """A server fault or a connection that broke."""
    MODEL_ERROR = "model_error"
    """The model itself failed on this request (HTTP 424)."""
    TIMEOUT = "timeout"
    """No answer in time; the generation may have run, and been charged, all the same."""
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
    """The model is reached through an inference profile only."""
    BUCKET_NOT_FOUND = "bucket_not_found"
    ACCESS_DENIED = "access_denied"
    MARKETPLACE = "marketplace"
    ENTITLEMENT = "entitlement"
    """AWS has not opened the model or the feature for this account."""
    CREDENTIALS = "credentials"
    CREDENTIALS_UNAVAILABLE = "credentials_unavailable"
    """The place that hands out credentials did not answer; hopeless only when it stays so."""
    CONFIGURATION = "configuration"
    INVALID_RESPONSE = "invalid_response"
    """The answer could not be read: something between us and AWS answered in its place."""
    UNKNOWN = "unknown"

    @property
    def retryable(self) -> bool:
        """Whether the same request can succeed when it is sent again."""
        return self in _RETRYABLE

    @property
    def unprocessed(self) -> bool:
        """Whether the service says that it did no work for the request, so that trying again costs nothing."""
        return self in (ErrorKind.THROTTLED, ErrorKind.NOT_READY)

    @property
    def hopeless(self) -> bool:
        """Whether no other record could be answered either while this error lasts."""
        return self in _HOPELESS


_RETRYABLE = frozenset(
    {
        ErrorKind.THROTTLED,
        ErrorKind.NOT_READY,
        ErrorKind.TRANSIENT,
        ErrorKind.MODEL_ERROR,
        ErrorKind.TIMEOUT,
        ErrorKind.CREDENTIALS_UNAVAILABLE,
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
    }
)


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

# What the code alone does not tell stands in the text. The first line that fits decides; `[^a-z]` stands for the
# apostrophe, which AWS writes as U+0027 or U+2019.
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

# The first class that fits decides: subclasses stand before their bases.
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
