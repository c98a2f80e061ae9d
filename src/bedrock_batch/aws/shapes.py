"""The members that the step reads of each response; a response without them is a failed call.

Names and types are those of botocore's service models. The docstring of each class names the operation.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel, to_pascal

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
JobArn = Annotated[str, Field(pattern=r"^arn:[^:\s]+:bedrock:[^:\s]*:[^:\s]*:model-invocation-job/[A-Za-z0-9_-]+$")]
ModelArn = Annotated[str, Field(pattern=r"^arn:[^:\s]+:bedrock:")]
S3Uri = Annotated[str, Field(pattern=r"^s3://[^/\s]+")]


class _BedrockShape(BaseModel):
    model_config = ConfigDict(
        strict=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        alias_generator=to_camel,
        protected_namespaces=(),  # before 2.10, pydantic warns of every field that begins with `model_`
    )


class _S3Shape(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="ignore", frozen=True, hide_input_in_errors=True, alias_generator=to_pascal
    )


class CreatedJob(_BedrockShape):
    """CreateModelInvocationJob."""

    job_arn: JobArn


class _S3Location(_BedrockShape):
    s3_uri: S3Uri


class _InputData(_BedrockShape):
    s3_input_data_config: _S3Location


class _OutputData(_BedrockShape):
    s3_output_data_config: _S3Location


class DescribedJob(_BedrockShape):
    """GetModelInvocationJob.

    botocore has the counts from 1.42.81 on. The service counts up to the total, which is 0 until it has read the input.
    """

    job_arn: JobArn
    status: Text
    output_data_config: _OutputData
    input_data_config: _InputData | None = None
    job_name: str = ""
    message: str = ""
    client_request_token: str | None = None
    model_id: str = ""
    submit_time: datetime | None = None
    end_time: datetime | None = None
    total_record_count: Count | None = None
    processed_record_count: Count | None = None
    success_record_count: Count | None = None
    error_record_count: Count | None = None

    @model_validator(mode="after")
    def _check_counts(self) -> DescribedJob:
        total, processed = self.total_record_count, self.processed_record_count
        if total and processed is not None and processed > total:
            raise ValueError("more records are processed than there are")
        if processed is not None and (self.success_record_count or 0) > processed:
            raise ValueError("more records have succeeded than are processed")
        return self


class _NamedJob(_BedrockShape):
    model_config = ConfigDict(extra="allow")

    job_name: Text


class ListedJob(DescribedJob):
    """An item of ListModelInvocationJobs; it has no counts."""

    job_name: Text
    input_data_config: _InputData


class ListedJobs(_BedrockShape):
    """A page of ListModelInvocationJobs: the name of each job, and its other members unchecked.

    Jobs of other programs may have members that this step does not know.
    """

    invocation_job_summaries: list[_NamedJob]


class _ModelLifecycle(_BedrockShape):
    """The dates came to botocore later than the status."""

    status: str = "ACTIVE"
    legacy_time: datetime | None = None
    public_extended_access_time: datetime | None = None
    end_of_life_time: datetime | None = None


class _ModelDetails(_BedrockShape):
    model_arn: ModelArn
    model_name: str | None = None
    model_lifecycle: _ModelLifecycle = _ModelLifecycle()
    inference_types_supported: list[str] = Field(default_factory=list)


class DescribedModel(_BedrockShape):
    """GetFoundationModel."""

    model_details: _ModelDetails


class _ProfileModel(_BedrockShape):
    model_arn: ModelArn | None = None


class DescribedProfile(_BedrockShape):
    """GetInferenceProfile."""

    models: list[_ProfileModel]


class _Agreement(_BedrockShape):
    status: str | None = None


class ModelAvailability(_BedrockShape):
    """GetFoundationModelAvailability."""

    authorization_status: Text
    agreement_availability: _Agreement = _Agreement()
    entitlement_availability: str | None = None
    region_availability: str | None = None


class CountedTokens(_BedrockShape):
    """CountTokens."""

    input_tokens: Count


class _ConverseOutput(_BedrockShape):
    message: dict[str, Any]


class ConverseAnswer(_BedrockShape):
    """Converse: the minimum of an answer. `models.model_output` reads its content, in batch as in real time."""

    output: _ConverseOutput


class WrittenObject(_S3Shape):
    """PutObject, UploadPart."""

    e_tag: Text


class ReadObject(_S3Shape):
    """GetObject."""

    content_length: Count
    e_tag: Text


class DescribedObject(ReadObject):
    """HeadObject."""

    last_modified: datetime


class BegunUpload(_S3Shape):
    """CreateMultipartUpload."""

    upload_id: Text


class _ListedObject(_S3Shape):
    key: Text
    size: Count
    last_modified: datetime
    e_tag: Text


class ListedObjects(_S3Shape):
    """A page of ListObjectsV2; if it is not the last one, it names the start of the next."""

    is_truncated: bool
    key_count: Count | None = None
    next_continuation_token: Text | None = None
    contents: list[_ListedObject] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check_completeness(self) -> ListedObjects:
        if self.is_truncated and self.next_continuation_token is None:
            raise ValueError("the page is not the last one and does not name the next")
        if self.key_count not in (None, len(self.contents)):
            raise ValueError("the page does not hold as many keys as it says")
        return self


class _ListedUpload(_S3Shape):
    key: Text
    upload_id: Text


class ListedUploads(_S3Shape):
    """A page of ListMultipartUploads."""

    is_truncated: bool
    uploads: list[_ListedUpload] = Field(default_factory=list)


class CallerIdentity(_S3Shape):
    """GetCallerIdentity."""

    arn: Text


class _RoleDetails(_S3Shape):
    assume_role_policy_document: Any


class DescribedRole(_S3Shape):
    """GetRole."""

    role: _RoleDetails


class _Evaluation(_S3Shape):
    eval_action_name: Text
    eval_decision: Text


class SimulatedPolicy(_S3Shape):
    """SimulatePrincipalPolicy."""

    evaluation_results: list[_Evaluation] = Field(min_length=1)


class _Quota(_S3Shape):
    quota_name: Text
    value: Annotated[float, Field(ge=0, strict=False)]


class ListedQuotas(_S3Shape):
    """A page of ListServiceQuotas."""

    quotas: list[_Quota]


class ListedProducts(_S3Shape):
    """A page of GetProducts, whose products are JSON texts."""

    price_list: list[Text]
    next_token: str | None = None


class _Offered(BaseModel):
    attributes: dict[str, Any]


class _Dimension(BaseModel):
    unit: str
    price_per_unit: dict[str, str] = Field(alias="pricePerUnit")


class _Term(BaseModel):
    dimensions: dict[str, _Dimension] = Field(alias="priceDimensions")


class PricedProduct(BaseModel):
    """A product of the price list, with its terms by kind, such as `OnDemand`.

    AWS gives an example: https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-price-list-query-api.html.
    """

    product: _Offered
    terms: dict[str, dict[str, _Term]] = Field(default_factory=dict)
