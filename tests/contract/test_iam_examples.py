"""The IAM policies of the examples: valid, for any partition, and for exactly the calls that the code makes."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "examples" / "iam"
FILES = sorted(FOLDER.glob("*.json"))
PLACEHOLDERS = {
    "PARTITION",
    "REGION",
    "ACCOUNT_ID",
    "BUCKET_ACCOUNT_ID",
    "BUCKET",
    "INPUT_PREFIX",
    "OUTPUT_PREFIX",
    "MODEL_ID",
    "PROFILE_ID",
    "SERVICE_ROLE",
    "CALLER_ROLE",
    "KMS_KEY_ID",
    "SUBNET_ID",
    "SECURITY_GROUP_ID",
    "DNS_SUFFIX",
    "PIPELINE",
    "STATE_MACHINE",
}
# The IAM action of each operation where the two have different names, or where one needs more than one.
ACTIONS = {
    "Converse": {"bedrock:InvokeModel"},
    "ListModelInvocationJobs": {"bedrock:ListModelInvocationJobs"},
    "UploadFile": {"s3:PutObject"},
    "DownloadFile": {"s3:GetObject"},
    "HeadObject": {"s3:GetObject"},
    "HeadBucket": {"s3:ListBucket"},
    "ListObjectsV2": {"s3:ListBucket"},
    "ListMultipartUploads": {"s3:ListBucketMultipartUploads"},
    "GetCallerIdentity": set(),  # everybody may ask
}
# The service of operations that are neither Bedrock's nor S3's.
SERVICES = {
    "GetRole": "iam",
    "SimulatePrincipalPolicy": "iam",
    "ListServiceQuotas": "servicequotas",
    "GetProducts": "pricing",
}
# What the requests carry and IAM asks for beside the operation: the role, the tags, the key.
CARRIED = {"iam:PassRole", "bedrock:TagResource", "kms:GenerateDataKey", "kms:Decrypt"}


def policy(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def actions(name: str) -> set[str]:
    found: set[str] = set()
    for statement in policy(name)["Statement"]:
        given = statement["Action"]
        found.update([given] if isinstance(given, str) else given)
    return found


# The functions that are told which operation is called.
NAMING = ("answering", "ask", "_transferring", "translate", "damaged")


def called_operations() -> set[tuple[str, str]]:
    """File and operation of every call to AWS: what the functions of `NAMING` are told."""
    found: set[tuple[str, str]] = set()
    for path in (ROOT / "src" / "bedrock_batch" / "aws").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in NAMING:
                names = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
                found.update((path.name, name) for name in names if isinstance(name, str) and name)
    return found


def needed_actions() -> set[str]:
    needed = set(CARRIED)
    for file, operation in called_operations():
        service = SERVICES.get(operation, "s3" if file == "s3.py" else "bedrock")
        needed |= ACTIONS.get(operation, {f"{service}:{operation}"})
    return needed


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_policy_is_valid_and_names_no_partition_of_its_own(path: Path) -> None:
    """A user of GovCloud or China, or anybody who pastes the file, would be refused by IAM."""
    text = path.read_text(encoding="utf-8")
    document = json.loads(text)
    assert document["Version"] == "2012-10-17"
    sids = [statement["Sid"] for statement in document["Statement"]]
    assert len(sids) == len(set(sids))
    assert all(re.fullmatch("[A-Za-z0-9]+", sid) for sid in sids)
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        assert ("Resource" in statement) is (path.name != "service-role-trust.json")
    assert not re.search(r"arn:aws|amazonaws\.com\.cn|\d{12}", text)
    words = set(re.findall(r"\b[A-Z][A-Z_]{2,}\b", text))
    assert words <= PLACEHOLDERS


def test_the_callers_policies_allow_what_the_code_calls_and_nothing_else() -> None:
    """A run would stop at a denied call after hours, or a role could do what nothing here needs."""
    assert FILES, "the operations are found in the sources"
    assert ("invocation_jobs.py", "CreateModelInvocationJob") in called_operations()
    allowed = set().union(*(actions(path.name) for path in FILES if path.name.startswith("caller")))
    assert allowed == needed_actions()


def test_an_ordinary_run_needs_no_policy_of_the_doctor() -> None:
    """A user would have to grant reading of roles and deletion of objects for a run that does neither."""
    assert actions("caller.json").isdisjoint({"s3:DeleteObject", "iam:GetRole", "iam:SimulatePrincipalPolicy"})
    deleting = [
        path for path in (ROOT / "src" / "bedrock_batch").rglob("*.py") if ".delete(" in path.read_text("utf-8")
    ]
    assert {path.parent.name for path in deleting} <= {"doctor", "answer_store"}
    assert actions("caller-forget.json") == {"s3:DeleteObject"}


def test_the_service_role_may_do_no_more_than_jobs_need() -> None:
    """Bedrock would hold rights over the account that no job uses."""
    assert actions("service-role.json") == {"s3:GetObject", "s3:PutObject", "s3:ListBucket", "bedrock:InvokeModel"}
    assert actions("service-role-kms.json") == {"kms:GenerateDataKey", "kms:Decrypt"}
    (trust,) = policy("service-role-trust.json")["Statement"]
    assert trust["Principal"] == {"Service": "bedrock.amazonaws.com"}
    assert "aws:SourceAccount" in trust["Condition"]["StringEquals"]
    (passing,) = [each for each in policy("caller.json")["Statement"] if each["Action"] == "iam:PassRole"]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}}


def test_only_actions_without_resources_of_their_own_are_allowed_on_everything() -> None:
    """A star would open every bucket, key and role of the account."""
    starred = {
        action
        for path in FILES
        for statement in policy(path.name)["Statement"]
        if statement.get("Resource") == "*"
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    network = {
        action for action in actions("service-role-vpc.json") if "NetworkInterface" in action or "Describe" in action
    }
    unbound = {"bedrock:ListModelInvocationJobs", "servicequotas:ListServiceQuotas", "pricing:GetProducts"}
    assert starred <= network | unbound


def test_the_document_names_every_policy_and_placeholder_that_needs_a_word() -> None:
    """A file that nobody is told of is not attached."""
    text = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")
    assert [path.name for path in FILES if f"`{path.name}`" not in text] == []
    assert all(f"`{name}`" in text for name in ("PARTITION", "DNS_SUFFIX", "BUCKET_ACCOUNT_ID"))


def test_the_document_names_every_cause_that_the_code_counts() -> None:
    """A user would meet a word in the summary that stands nowhere."""
    from bedrock_batch.batch.results.reader import UNANSWERED

    text = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")
    causes = {*UNANSWERED, "unreadable", "mismatched", "not_batchable"}
    assert sorted(cause for cause in causes if f"`{cause}`" not in text) == []
