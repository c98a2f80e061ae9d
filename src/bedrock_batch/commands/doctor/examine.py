"""The doctor command: runs all checks in the order of their dependencies, and renders the findings."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from bedrock_batch.commands.doctor.account_checks import (
    check_control_plane,
    check_credentials,
    check_prices,
    check_role,
    check_sdk,
    check_settings,
)
from bedrock_batch.commands.doctor.finding import CheckContext, Finding, not_checked
from bedrock_batch.commands.doctor.model_checks import (
    check_batch,
    check_call,
    check_fallback,
    check_model,
    check_quotas,
    check_time,
)
from bedrock_batch.commands.doctor.storage_checks import check_answer_store, check_buckets, check_key
from bedrock_batch.commands.preparation import StepRequest, make_bare_context
from bedrock_batch.environment.settings import load_settings

Check = Callable[[CheckContext], Iterator[Finding]]
# The first checks need no credentials or find out whose they are. The others need credentials; each has the name that
# its finding gets without them.
ALONE: tuple[Check, ...] = (check_settings, check_prices, check_sdk, check_credentials)
WITH_CREDENTIALS: tuple[tuple[str, Check], ...] = (
    ("model", check_model),
    ("fallback model", check_fallback),
    ("Bedrock jobs", check_control_plane),
    ("S3 paths", check_buckets),
    ("answer store", check_answer_store),
    ("KMS key", check_key),
    ("service role", check_role),
    ("batch inference", check_batch),
    ("quotas", check_quotas),
    ("running time", check_time),
    ("one call", check_call),
)
WIDTH = 100


def examine(context: CheckContext) -> list[Finding]:
    """Return the findings of every check; nothing is charged unless `context.call` is set."""
    findings = [finding for check in ALONE for finding in check(context)]
    if context.no_credentials:
        return findings + [not_checked(name, "there are no valid credentials") for name, _ in WITH_CREDENTIALS]
    return findings + [finding for _, check in WITH_CREDENTIALS for finding in check(context)]


def findings_as_dict(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return findings as JSON values, with the number of each status."""
    counts = Counter(finding.status for finding in findings)
    return {
        "ok": counts["ok"],
        "problems": counts["problem"],
        "not_checked": counts["not checked"],
        "findings": [asdict(finding) for finding in findings],
    }


def render_findings(findings: Sequence[Finding]) -> str:
    """Return findings as text: a line for each, with its fix below."""
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


def examine_step(request: StepRequest, *, call: bool = False) -> list[Finding]:
    """Return what account, role, buckets and model lack for a run with these settings.

    Data, template and schema are not needed. Nothing is charged unless `call` has the model asked one tiny question.
    """
    settings, warnings = load_settings(request.environ)
    opt_ml = request.processing_dir.parent if request.processing_dir else None
    return examine(CheckContext(settings, make_bare_context(request, settings), opt_ml, call, warnings))
