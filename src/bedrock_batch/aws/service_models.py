"""What the installed botocore knows: members of requests came with its versions."""

from __future__ import annotations

from typing import Any

import botocore


def supports(client: Any, operation: str, member: str) -> bool:
    """Tell whether the client's service model has `member` in the request of `operation`.

    `member` may be a dotted path into nested structures: `inputDataConfig.s3InputDataConfig.s3BucketOwner`.
    """
    model = client.meta.service_model
    if operation not in model.operation_names:
        return False
    shape = model.operation_model(operation).input_shape
    for name in member.split("."):
        members = getattr(shape, "members", {})
        if name not in members:
            return False
        shape = members[name]
    return True


def sdk_version() -> str:
    """Return the version of the installed botocore."""
    return str(botocore.__version__)
