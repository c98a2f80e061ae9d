"""Package installation: which packages are installed, how pip is called, and that the token stays secret."""

from __future__ import annotations

import base64
import logging
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from bedrock_batch.environment.packages import RUNTIME_PACKAGES, install_packages, is_satisfied
from bedrock_batch.errors import ConfigurationError, RunError

TOKEN = "eyJ2ZXIi.secret+token/with=signs"
QUOTED_TOKEN = "eyJ2ZXIi.secret%2Btoken%2Fwith%3Dsigns"
SECURE = {
    "USE_SECURE_PYPI": "true",
    "BEDROCK_SECURE_PYPI_DOMAIN": "my-domain",
    "BEDROCK_SECURE_PYPI_REPOSITORY": "my-repository",
}
ABSENT = "bedrock-batch-test-wheel==1.0"


class FakePip:
    """A fake pip that records its calls and ends as scripted."""

    def __init__(self, returncode: int = 0, stderr: str = "") -> None:
        self.calls: list[tuple[list[str], dict[str, Any]]] = []
        self.returncode = returncode
        self.stderr = stderr

    def __call__(self, command: list[str], **arguments: Any) -> subprocess.CompletedProcess[str]:
        self.calls.append((command, arguments))
        return subprocess.CompletedProcess(command, self.returncode, "", self.stderr)


class FakeAccount:
    """A fake boto3 whose clients answer for STS and CodeArtifact and record every call."""

    def __init__(self, endpoint: str = "https://my-domain-1.d.codeartifact.example/pypi/my-repository/") -> None:
        self.endpoint = endpoint
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def session(self, **arguments: Any) -> FakeAccount:
        self.calls.append(("session", arguments))
        return self

    def client(self, service: str, region_name: str) -> FakeAccount:
        self.calls.append((service, {"region_name": region_name}))
        return self

    def assume_role(self, **arguments: Any) -> dict[str, Any]:
        self.calls.append(("assume_role", arguments))
        return {"Credentials": {"AccessKeyId": "id", "SecretAccessKey": "key", "SessionToken": "session"}}

    def get_authorization_token(self, **arguments: Any) -> dict[str, str]:
        self.calls.append(("get_authorization_token", arguments))
        return {"authorizationToken": TOKEN}

    def get_repository_endpoint(self, **arguments: Any) -> dict[str, str]:
        self.calls.append(("get_repository_endpoint", arguments))
        return {"repositoryEndpoint": self.endpoint}


# What is left alone


def test_the_packages_are_those_of_the_project() -> None:
    """A container would get other packages than the ones that the code was tested with."""
    declared = metadata.requires("bedrock-batch-processing") or []
    runtime = [line.replace(" ", "") for line in declared if "extra ==" not in line]
    assert sorted(runtime) == sorted(RUNTIME_PACKAGES)


def test_nothing_is_started_where_all_is_installed() -> None:
    """Every start of an image with the packages baked in would wait for pip and need an index."""
    pip = FakePip()
    assert install_packages(RUNTIME_PACKAGES, use_secure=True, run=pip) == []
    assert pip.calls == []


def test_only_what_is_missing_is_installed() -> None:
    """A package that the image pins would be replaced without need."""
    pip = FakePip()
    assert install_packages(["pytest>=1", ABSENT], run=pip) == [ABSENT]
    ((command, arguments),) = pip.calls
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert command[-1] == ABSENT
    assert "pytest>=1" not in command
    assert arguments["env"] is None


HAVE = metadata.version("packaging")  # of the form 26.3


@pytest.mark.parametrize(
    ("package", "satisfied"),
    [
        ("packaging", True),
        (f"packaging=={HAVE}", True),
        (f"packaging=={HAVE}.0", True),
        (f"packaging == {HAVE}", True),
        ("Packaging>=1.0,<1000", True),
        ("packaging>=1.0,<2", False),
        ("packaging!=1.0", True),
        (f"packaging!={HAVE}", False),
        (f"packaging>{HAVE}", False),
        (f"packaging<={HAVE}", True),
        ("packaging>=9999", False),
        ("packaging~=1.0", False),
        ("packaging==26.*", False),
        ("packaging[extra]>=1", False),
        ("packaging>=1; python_version > '3'", False),
        ("jsonschema_rs>=0.1", True),
        ("jsonschema-rs>=0.1", True),
        ("no-such-package", False),
    ],
)
def test_installed_versions_are_compared_as_numbers(package: str, satisfied: bool) -> None:
    """A version that is too old would be kept, or pip be started for one that is new enough."""
    assert is_satisfied(package) is satisfied


@pytest.mark.parametrize("package", ["--index-url=http://x", "-r file", ""])
def test_an_option_is_no_package(package: str) -> None:
    """A list of packages could smuggle an option into pip's command line."""
    with pytest.raises(ConfigurationError, match="is not a package requirement"):
        install_packages([package], run=FakePip())


# The secure index


def test_the_token_reaches_pip_by_its_environment_only(caplog: pytest.LogCaptureFixture) -> None:
    """The token would be readable in the list of processes or in the log."""
    caplog.set_level(logging.DEBUG)
    pip, account = FakePip(), FakeAccount()
    environ = SECURE | {"PATH": "/bin", "PIP_EXTRA_INDEX_URL": "https://public.example", "PIP_FIND_LINKS": "/x"}
    install_packages([ABSENT], environ=environ, run=pip, session_factory=account.session)
    ((command, arguments),) = pip.calls
    assert not any("secret" in word for word in command)
    assert "secret" not in caplog.text
    env = arguments["env"]
    assert env["PIP_INDEX_URL"] == (
        f"https://aws:{QUOTED_TOKEN}@my-domain-1.d.codeartifact.example/pypi/my-repository/simple/"
    )
    assert env["PATH"] == "/bin"
    assert not {"PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"} & env.keys()
    assert env["PIP_CONFIG_FILE"] == os.devnull
    assert "PIP_INDEX_URL" not in environ


def test_the_token_is_asked_for_with_the_settings() -> None:
    """A domain of another account, region or role could not be used."""
    account = FakeAccount()
    environ = SECURE | {
        "BEDROCK_SECURE_PYPI_DOMAIN_OWNER": "123456789012",
        "BEDROCK_SECURE_PYPI_REGION": "eu-west-1",
        "BEDROCK_SECURE_PYPI_ROLE_ARN": "arn:aws:iam::123456789012:role/packages",
        "AWS_DEFAULT_REGION": "us-west-2",
    }
    install_packages([ABSENT], environ=environ, run=FakePip(), session_factory=account.session)
    calls = dict(account.calls)
    assert calls["assume_role"]["RoleArn"] == "arn:aws:iam::123456789012:role/packages"
    assert calls["session"]["aws_session_token"] == "session"
    assert calls["codeartifact"] == {"region_name": "eu-west-1"}
    assert calls["get_authorization_token"]["domainOwner"] == "123456789012"
    assert calls["get_repository_endpoint"] == {
        "domain": "my-domain", "domainOwner": "123456789012", "repository": "my-repository", "format": "pypi",
    }  # fmt: skip


def test_the_names_of_the_original_script_reach_the_index() -> None:
    """A caller of the original script would be told that the domain is not set."""
    account = FakeAccount()
    environ = {"SECURE_PYPI_DOMAIN": "my-domain", "SECURE_PYPI_REPOSITORY": "shared"}
    environ |= {"SECURE_PYPI_DOMAIN_OWNER": "123456789012"}
    install_packages([ABSENT], use_secure=True, environ=environ, run=FakePip(), session_factory=account.session)
    assert dict(account.calls)["get_repository_endpoint"] == {
        "domain": "my-domain", "domainOwner": "123456789012", "repository": "shared", "format": "pypi",
    }  # fmt: skip


def test_the_account_of_a_role_alone_installs_nothing() -> None:
    """The packages would be asked for by the caller itself, although a role was meant."""
    pip = FakePip()
    with pytest.raises(
        ConfigurationError, match="set BEDROCK_SECURE_PYPI_ROLE_ARN=arn:aws:iam::123456789012:role/NAME"
    ):
        install_packages([ABSENT], True, environ=SECURE | {"SECURE_PYPI_ROLE_ACCOUNT": "123456789012"}, run=pip)
    assert pip.calls == []


def test_without_a_role_the_caller_asks_itself() -> None:
    """A user without a second role would be asked for one, or sent to another region than the run's."""
    account = FakeAccount()
    install_packages(
        [ABSENT], True, environ=SECURE | {"AWS_REGION": "eu-central-1"}, run=FakePip(), session_factory=account.session
    )
    assert [name for name, _ in account.calls] == [
        "session", "codeartifact", "get_authorization_token", "get_repository_endpoint",
    ]  # fmt: skip
    assert dict(account.calls)["codeartifact"] == {"region_name": "eu-central-1"}


def test_the_calls_fit_the_service_models() -> None:
    """botocore would refuse the call in production, where no test sees it."""
    from botocore.session import Session
    from botocore.validate import ParamValidator

    account = FakeAccount()
    environ = SECURE | {"BEDROCK_SECURE_PYPI_ROLE_ARN": "arn:aws:iam::123456789012:role/packages"}
    install_packages([ABSENT], environ=environ, run=FakePip(), session_factory=account.session)
    calls = dict(account.calls)
    for service, operation, name in [
        ("sts", "AssumeRole", "assume_role"),
        ("codeartifact", "GetAuthorizationToken", "get_authorization_token"),
        ("codeartifact", "GetRepositoryEndpoint", "get_repository_endpoint"),
    ]:
        shape = Session().get_service_model(service).operation_model(operation).input_shape
        assert not ParamValidator().validate(calls[name], shape).has_errors()


def test_a_secure_index_without_its_name_is_a_wrong_configuration() -> None:
    """The packages would be taken from the public index although the secure one was asked for."""
    pip = FakePip()
    with pytest.raises(ConfigurationError) as caught:
        install_packages([ABSENT], use_secure=True, run=pip)
    assert [problem.split()[0] for problem in caught.value.problems] == [
        "BEDROCK_SECURE_PYPI_DOMAIN", "BEDROCK_SECURE_PYPI_REPOSITORY",
    ]  # fmt: skip
    assert pip.calls == []


def test_a_wrong_switch_is_a_wrong_configuration() -> None:
    """A misspelt `true` would install from the public index."""
    with pytest.raises(ConfigurationError, match="USE_SECURE_PYPI='ture' is not accepted"):
        install_packages([ABSENT], environ={"USE_SECURE_PYPI": "ture"}, run=FakePip())


def test_a_refused_token_names_the_permissions() -> None:
    """A user whose role lacks a permission would see only AWS's text."""

    def refuse(**_: Any) -> Any:
        raise PermissionError("AccessDeniedException")

    with pytest.raises(RunError, match=r"my-repository of domain my-domain.*sts:GetServiceBearerToken"):
        install_packages([ABSENT], environ=SECURE, run=FakePip(), session_factory=refuse)


# pip fails


@pytest.mark.parametrize("said", [TOKEN, QUOTED_TOKEN], ids=["plain", "quoted"])
def test_a_failure_of_pip_is_told_without_the_token(said: str) -> None:
    """The token would be written to the job's exit message."""
    pip = FakePip(1, f"ERROR: Could not fetch https://aws:{said}@host/simple/")
    with pytest.raises(RunError, match=r"pip could not install .*Could not fetch https://aws:\*{4}@host") as caught:
        install_packages([ABSENT], environ=SECURE, run=pip, session_factory=FakeAccount().session)
    assert "secret" not in str(caught.value)


def test_a_missing_interpreter_is_told() -> None:
    """A container without a usable interpreter would end in a traceback."""

    def fail(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError("no such file")

    with pytest.raises(RunError, match="pip could not be started"):
        install_packages([ABSENT], run=fail)


# The real pip against a real index on loopback


def build_wheel(folder: Path) -> Path:
    info = "bedrock_batch_test_wheel-1.0.dist-info"
    wheel = folder / "bedrock_batch_test_wheel-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("bedrock_batch_test_wheel.py", "VALUE = 1\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: bedrock-batch-test-wheel\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"bedrock_batch_test_wheel.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n")
    return wheel


class Index(ThreadingHTTPServer):
    """A package index with one wheel, for requests with the token only."""

    def __init__(self, wheel: Path) -> None:
        super().__init__(("127.0.0.1", 0), IndexHandler)
        self.wheel = wheel
        self.refused = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/pypi/my-repository/"


class IndexHandler(BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        expected = "Basic " + base64.b64encode(f"aws:{TOKEN}".encode()).decode()
        base = "/pypi/my-repository/simple/bedrock-batch-test-wheel/"
        if self.headers.get("Authorization") != expected:
            self.server.refused += 1
            self.answer(401, b"", "text/plain")
        elif self.path == base:
            self.answer(200, f'<a href="{self.server.wheel.name}">wheel</a>'.encode(), "text/html")
        elif self.path == base + self.server.wheel.name:
            self.answer(200, self.server.wheel.read_bytes(), "application/octet-stream")
        else:
            self.answer(404, b"", "text/plain")

    def answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    server = Index(build_wheel(tmp_path))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


class RecordingPip:
    """Runs the real pip and keeps the command lines."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], **arguments: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        return subprocess.run(command, **arguments)


def environ_for(target: Path) -> dict[str, str]:
    """The environment of pip: a target for the wheel, without the cache or proxy of this machine."""
    return SECURE | {
        "PATH": os.defpath,
        "HOME": str(target),
        "PIP_TARGET": str(target),
        "PIP_NO_CACHE_DIR": "1",
        "PIP_RETRIES": "0",
        "PIP_VERBOSE": "3",
        "no_proxy": "127.0.0.1",
    }


def test_the_real_pip_installs_with_the_token_from_its_environment(index: Index, tmp_path: Path) -> None:
    """The packages could not be installed from CodeArtifact at all."""
    target, pip = tmp_path / "target", RecordingPip()
    account = FakeAccount(index.endpoint)
    installed = install_packages([ABSENT], environ=environ_for(target), run=pip, session_factory=account.session)
    assert installed == [ABSENT]
    assert (target / "bedrock_batch_test_wheel.py").read_text() == "VALUE = 1\n"
    assert len(pip.commands) == 1
    assert not any("secret" in word or "127.0.0.1" in word for word in pip.commands[0])


def test_the_real_pip_fails_without_showing_the_token(index: Index, tmp_path: Path) -> None:
    """A package that the repository lacks would put the token into the log of the job."""
    account = FakeAccount(index.endpoint)
    with pytest.raises(RunError, match="bedrock-batch-absent") as caught:
        install_packages(
            ["bedrock-batch-absent==1.0"],
            environ=environ_for(tmp_path / "target"),
            run=RecordingPip(),
            session_factory=account.session,
        )
    assert "No matching distribution" in str(caught.value)
    assert "secret" not in str(caught.value)
