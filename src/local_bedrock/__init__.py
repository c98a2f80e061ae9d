"""A local Amazon Bedrock over HTTP: batch inference, InvokeModel, Converse, and S3 beside them."""

from local_bedrock.behaviour import AnswerFaults, Behaviour, CallFault, JobFault, Phases, RecordFaults
from local_bedrock.journal import CallInfo
from local_bedrock.questions import Question, prompt_hash
from local_bedrock.server import LocalBedrock
from local_bedrock.upstream import Upstream

__all__ = [
    "AnswerFaults",
    "Behaviour",
    "CallFault",
    "CallInfo",
    "JobFault",
    "LocalBedrock",
    "Phases",
    "Question",
    "RecordFaults",
    "Upstream",
    "prompt_hash",
]
