"""Permissions, quotas and prices of the account: SimulatePrincipalPolicy, ListServiceQuotas and GetProducts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from local_bedrock.behaviour import Behaviour
from local_bedrock.jsonio import dump_json
from local_bedrock.models.families import FAMILIES
from local_bedrock.operations.price_list import get_products
from local_bedrock.wire.protocol import Request, Response

_IAM = "https://iam.amazonaws.com/doc/2010-05-08/"


class AccountOperations:
    """Answers what moto lacks; moto answers all other operations of IAM, Service Quotas and the price list."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._answers: Mapping[str, Callable[[Request], Response]] = {
            "IAM.SimulatePrincipalPolicy": self._simulate,
            "SERVICEQUOTAS.ListServiceQuotas": self._list_quotas,
            "PRICING.GetProducts": get_products,
        }

    def answer(self, operation: str, request: Request) -> Response | None:
        """Return the response to a request, or None if the operation is left to moto."""
        found = self._answers.get(operation)
        return found(request) if found else None

    def _simulate(self, request: Request) -> Response:
        """SimulatePrincipalPolicy: allow everything except `denied_actions`, each `ACTION` or `ACTION RESOURCE`."""
        fields = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        actions = [value for name, value in sorted(fields.items()) if name.startswith("ActionNames.member.")]
        resource = fields.get("ResourceArns.member.1", "*")
        denied = self._behaviour.denied_actions
        results = "".join(
            f"<member><EvalActionName>{escape(action)}</EvalActionName>"
            f"<EvalResourceName>{escape(resource)}</EvalResourceName>"
            f"<EvalDecision>{_decide(action, resource, denied)}</EvalDecision></member>"
            for action in actions
        )
        body = (
            f'<SimulatePrincipalPolicyResponse xmlns="{_IAM}"><SimulatePrincipalPolicyResult>'
            f"<EvaluationResults>{results}</EvaluationResults><IsTruncated>false</IsTruncated>"
            "</SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
        )
        return Response(200, {"Content-Type": "text/xml"}, body.encode())

    def _list_quotas(self, _: Request) -> Response:
        """ListServiceQuotas for `bedrock`: return the limits of the behaviour for one model of each family."""
        known = self._behaviour
        limits = {
            "Minimum number of records per batch inference job for {}": known.min_records_per_job,
            "Records per batch inference job for {}": known.max_records_per_job,
            "Records per input file per batch inference job for {}": known.max_records_per_job,
            "Batch inference input file size (in GB) for {}": known.max_input_file_bytes / 1024**3,
            "Sum of in-progress and submitted batch inference jobs using a base model for {}": (
                known.max_concurrent_jobs
            ),
        }
        quotas = [
            {"ServiceCode": "bedrock", "QuotaName": name.format(model_name(family.example)), "Value": float(value)}
            for family in FAMILIES
            for name, value in limits.items()
        ]
        return Response(200, {"Content-Type": "application/x-amz-json-1.1"}, dump_json({"Quotas": quotas}))


def model_name(model_id: str) -> str:
    """Return the display name of a model, which is its id without the provider."""
    return model_id.partition(".")[2]


def _decide(action: str, resource: str, denied: tuple[str, ...]) -> str:
    return "implicitDeny" if action in denied or f"{action} {resource}" in denied else "allowed"
