"""Installation of missing packages at the start of a run, from the public index or from CodeArtifact.

This runs before any third-party package can be relied on, so it imports the standard library only. The token of
CodeArtifact needs boto3, which one function imports when it runs: the single exception to the rule that boto3 lives in
`aws/`.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from bedrock_batch.environment.settings import read_variables
from bedrock_batch.errors import ConfigurationError, RunError
from bedrock_batch.text import shorten

RUNTIME_PACKAGES = (
    "boto3>=1.35.1",
    "botocore>=1.35.1",
    "pandas>=2.0",
    "pyarrow>=14",
    "pydantic>=2.7",
    "tenacity>=8.5",
    "jsonschema-rs>=0.26",
    "json_repair>=0.30",
    "msgspec>=0.18",
)
TOKEN_SECONDS = 3600
PERMISSIONS = (
    "codeartifact:GetAuthorizationToken, codeartifact:GetRepositoryEndpoint, codeartifact:ReadFromRepository and "
    "sts:GetServiceBearerToken"
)

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?P<rest>.*)", re.DOTALL)
_SPECIFIER = re.compile(r"(?P<operator>>=|<=|==|!=|>|<)\s*(?P<version>[0-9]+(\.[0-9]+)*)")
_INSTALLED = re.compile(r"(?P<release>[0-9]+(\.[0-9]+)*)(\+[A-Za-z0-9.]+)?")

_INDEX_FIELDS = tuple(f"secure_pypi_{part}" for part in ("domain", "repository", "domain_owner", "role_arn", "region"))

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SecureIndex:
    """The URL of a package index and its token; `repr` shows neither."""

    url: str = field(repr=False)
    token: str = field(repr=False)

    def redact(self, text: str) -> str:
        """Return `text` without the token, in its plain and in its quoted form."""
        return text.replace(self.token, "****").replace(quote(self.token, safe=""), "****")


def install_packages(
    packages: Sequence[str],
    use_secure: bool | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run,
    session_factory: Callable[..., Any] | None = None,
) -> list[str]:
    """Install those of `packages` that are not installed in an accepted version, and return them.

    pip is not started if none is missing. `use_secure` installs from CodeArtifact; if it is None, `USE_SECURE_PYPI` in
    `environ` decides. `environ` also names the repository (`BEDROCK_SECURE_PYPI_*`) and becomes the environment of pip.
    The token reaches pip through that environment only, never through an argument, a log or an exception. Raise
    ConfigurationError for a wrong setting or requirement, RunError if there is no access to the repository or pip
    fails.
    """
    missing = [package for package in packages if not is_satisfied(package)]
    if not missing:
        return []
    secure = read_variables(environ or {}, ["use_secure_pypi"])["use_secure_pypi"] if use_secure is None else use_secure
    index = _secure_index(environ or {}, session_factory) if secure else None
    _logger.info("installing packages=%s index=%s", " ".join(missing), "codeartifact" if index else "default")
    _run_pip(missing, environ, index, run)
    importlib.invalidate_caches()
    return missing


def is_satisfied(package: str) -> bool:
    """Return whether an installed version meets a requirement such as `boto3>=1.35`.

    A requirement or version that this comparison does not understand (extras, markers, pre-releases) counts as not met:
    pip then decides.
    """
    parsed = _REQUIREMENT.fullmatch(package.strip())
    if parsed is None:
        raise ConfigurationError(f"{shorten(package, 80)!r} is not a package requirement: give a name and versions")
    try:
        installed = _INSTALLED.fullmatch(metadata.version(parsed["name"]))
    except metadata.PackageNotFoundError:
        return False
    specifiers = [_SPECIFIER.fullmatch(part.strip()) for part in parsed["rest"].split(",") if part.strip()]
    return installed is not None and all(
        specifier is not None and _holds(installed["release"], specifier["operator"], specifier["version"])
        for specifier in specifiers
    )


def _holds(installed: str, operator: str, wanted: str) -> bool:
    have, want = _release(installed), _release(wanted)
    return {
        ">=": have >= want,
        "<=": have <= want,
        "==": have == want,
        "!=": have != want,
        ">": have > want,
        "<": have < want,
    }[operator]


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version without trailing zeros: 2.0 and 2 are the same version."""
    numbers = [int(part) for part in version.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _secure_index(environ: Mapping[str, str], session_factory: Callable[..., Any] | None) -> SecureIndex:
    """Return the index of the repository with a new token, fetched with the assumed role if one is set."""
    values = read_variables({**environ, "USE_SECURE_PYPI": "true"}, ("use_secure_pypi", *_INDEX_FIELDS))
    domain, repository, owner, role, region = map(values.__getitem__, _INDEX_FIELDS)
    unset = [name for name, value in (("DOMAIN", domain), ("REPOSITORY", repository)) if not value]
    if unset:
        raise ConfigurationError(
            [f"BEDROCK_SECURE_PYPI_{name} is not set, but USE_SECURE_PYPI=true needs it" for name in unset]
        )
    region = region or environ.get("AWS_DEFAULT_REGION") or environ.get("AWS_REGION") or "us-east-1"
    of_domain = {"domain": domain} | ({"domainOwner": owner} if owner else {})
    try:
        session = _session(session_factory or _boto3_session, region, role)
        client = session.client("codeartifact", region_name=region)
        token = client.get_authorization_token(**of_domain, durationSeconds=TOKEN_SECONDS)["authorizationToken"]
        endpoint = client.get_repository_endpoint(**of_domain, repository=repository, format="pypi")
    except Exception as error:  # botocore may not be importable here, so its exceptions cannot be named
        raise RunError(
            f"no access to the CodeArtifact repository {repository} of domain {domain} in {region}: {error}. "
            f"The role needs {PERMISSIONS}"
        ) from error
    return SecureIndex(_index_url(endpoint["repositoryEndpoint"], token), token)


def _boto3_session(**arguments: Any) -> Any:
    import boto3  # imported here, since it may be one of the missing packages

    return boto3.session.Session(**arguments)


def _session(session_factory: Callable[..., Any], region: str, role_arn: str) -> Any:
    session = session_factory(region_name=region)
    if not role_arn:
        return session
    answer = session.client("sts", region_name=region).assume_role(
        RoleArn=role_arn, RoleSessionName="bedrock-batch-packages"
    )
    credentials = answer["Credentials"]
    return session_factory(
        region_name=region,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )


def _index_url(endpoint: str, token: str) -> str:
    """Return the URL of the index for pip; the token is the password of the user `aws`, as CodeArtifact requires."""
    parts = urlsplit(endpoint)
    netloc = f"aws:{quote(token, safe='')}@{parts.netloc}"
    return urlunsplit((parts.scheme, netloc, f"{parts.path.rstrip('/')}/simple/", "", ""))


def _run_pip(
    packages: Sequence[str],
    environ: Mapping[str, str] | None,
    index: SecureIndex | None,
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--quiet",
        *packages,
    ]
    env = environ if index is None else _secure_environ(environ or {}, index)
    try:
        done = run(command, env=env, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise RunError(f"pip could not be started with {sys.executable}: {error}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout or "").strip()
        if index is not None:
            said = index.redact(said)
        raise RunError(
            f"pip could not install {', '.join(packages)} (exit code {done.returncode}): {said[-1500:]}. "
            "Bake the packages into the image, or correct the index and the versions"
        )


def _secure_environ(environ: Mapping[str, str], index: SecureIndex) -> dict[str, str]:
    """Return pip's environment with CodeArtifact as the only index.

    Other indexes, from variables or from pip's configuration files, could supply a stranger's package of the same
    name.
    """
    others = {"PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"}
    kept = {name: value for name, value in environ.items() if name.upper() not in others}
    return kept | {"PIP_INDEX_URL": index.url, "PIP_CONFIG_FILE": os.devnull}
