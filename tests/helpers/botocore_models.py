"""Marks for tests that need an operation or member that the oldest supported botocore does not know."""

from __future__ import annotations

import re
from functools import cache

import botocore
import botocore.loaders
import botocore.model
import pytest


@cache
def _model(service: str) -> botocore.model.ServiceModel:
    loader = botocore.loaders.create_loader()
    return botocore.model.ServiceModel(loader.load_service_model(service, "service-2"), service)


def knows(service: str, operation: str, path: str = "input") -> bool:
    """Tell whether botocore knows the operation and each member of `path`, which begins with `input` or `output`."""
    if operation not in _model(service).operation_names:
        return False
    side, *members = path.split(".")
    described = _model(service).operation_model(operation)
    shape = described.output_shape if side == "output" else described.input_shape
    for member in members:
        shape = shape.member if shape.type_name == "list" else shape
        if member not in shape.members:
            return False
        shape = shape.members[member]
    return True


def needs(service: str, operation: str, path: str = "input") -> pytest.MarkDecorator:
    """Return a mark that skips a test if the installed botocore does not know the operation or member."""
    missing = f"botocore {botocore.__version__} does not know {service} {operation} {path}"
    return pytest.mark.skipif(not knows(service, operation, path), reason=missing)


RECORD_COUNTS = needs("bedrock", "GetModelInvocationJob", "output.totalRecordCount")
CONVERSE_IN_BATCH = needs("bedrock", "CreateModelInvocationJob", "input.modelInvocationType")
INFERENCE_PROFILES = needs("bedrock", "GetInferenceProfile")
LIFECYCLE_DATES = needs("bedrock", "GetFoundationModel", "output.modelDetails.modelLifecycle.endOfLifeTime")
MODEL_ACCESS = needs("bedrock", "GetFoundationModelAvailability")
TOKEN_COUNTS = needs("bedrock-runtime", "CountTokens")
STRUCTURED_OUTPUT = needs("bedrock-runtime", "Converse", "input.outputConfig")
CACHE_POINTS = needs("bedrock-runtime", "Converse", "input.system.cachePoint")
CACHED_PROMPTS = needs("bedrock-runtime", "Converse", "input.messages.content.cachePoint")
SERVICE_TIERS = needs("bedrock-runtime", "Converse", "input.serviceTier")
NETWORK_AND_OWNER = needs("bedrock", "CreateModelInvocationJob", "input.vpcConfig")
CONDITIONAL_WRITES = needs("s3", "PutObject", "input.IfNoneMatch")
S3_URI_RULE = pytest.mark.skipif(
    re.fullmatch(_model("bedrock").shape_for("S3Uri").metadata["pattern"], "s3://bucket/a=b") is not None,
    reason=f"botocore {botocore.__version__} describes S3 URIs more widely than the service takes them",
)
