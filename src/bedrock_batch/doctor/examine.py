"""All checks, in the order in which one depends on another, and their text for people."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from bedrock_batch.doctor.account_checks import (
    check_control_plane,
    check_credentials,
    check_role,
    check_sdk,
    check_settings,
)
from bedrock_batch.doctor.finding import Finding, Patient, not_checked
from bedrock_batch.doctor.model_checks import check_batch, check_call, check_model, check_quotas, check_time
from bedrock_batch.doctor.storage_checks import check_buckets, check_key

Check = Callable[[Patient], Iterator[Finding]]
# Those of the first group ask AWS nothing, or find out who asks; the others need credentials, under these names.
ALONE: tuple[Check, ...] = (check_settings, check_sdk, check_credentials)
WITH_CREDENTIALS: tuple[tuple[str, Check], ...] = (
    ("model", check_model),
    ("Bedrock jobs", check_control_plane),
    ("S3 paths", check_buckets),
    ("KMS key", check_key),
    ("service role", check_role),
    ("batch inference", check_batch),
    ("quotas", check_quotas),
    ("running time", check_time),
    ("one call", check_call),
)
WIDTH = 100


def examine(patient: Patient) -> list[Finding]:
    """Return what every check found; nothing is paid for unless `patient.call` is set."""
    findings = [finding for check in ALONE for finding in check(patient)]
    if patient.no_credentials:
        return findings + [not_checked(name, "there are no valid credentials") for name, _ in WITH_CREDENTIALS]
    return findings + [finding for _, check in WITH_CREDENTIALS for finding in check(patient)]


def findings_as_dict(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return findings as JSON values, with how many of each status there are."""
    counts = Counter(finding.status for finding in findings)
    return {
        "ok": counts["ok"],
        "problems": counts["problem"],
        "not_checked": counts["not checked"],
        "findings": [asdict(finding) for finding in findings],
    }


def render_findings(findings: Sequence[Finding]) -> str:
    """Return findings as text: a line for each check, and the fix below it."""
    width = max(len(finding.check) for finding in findings)
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{finding.status:11}  {finding.check:{width}}  {finding.message}")
        if finding.fix:
            # A policy statement is one line, so that it can be copied.
            wrapped = (
                [finding.fix]
                if "{" in finding.fix
                else textwrap.wrap(finding.fix, WIDTH - width, break_on_hyphens=False)
            )
            lines += [f"{'':{width + 15}}{'fix: ' if not i else '     '}{line}" for i, line in enumerate(wrapped)]
    counts = Counter(finding.status for finding in findings)
    lines.append(f"\n{counts['ok']} ok, {counts['problem']} with a problem, {counts['not checked']} not checked")
    return "\n".join(lines)
