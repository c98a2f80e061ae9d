"""Loads the SDK's descriptions of services once for this process and all that are forked from it."""

from __future__ import annotations

from typing import Any

import boto3
import botocore.loaders
import botocore.session

_LOADER: Any = botocore.loaders.create_loader()


def _shared_loader(search_path_string: str | None = None) -> Any:
    return _LOADER


botocore.session.create_loader = _shared_loader
for _service in ("bedrock", "bedrock-runtime", "s3"):
    boto3.Session("none", "none", region_name="us-east-1").client(_service).close()
