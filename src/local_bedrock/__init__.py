"""A local Amazon Bedrock over HTTP: batch inference, InvokeModel and Converse, with S3 on the same port."""

from local_bedrock.answers.upstream import Upstream
from local_bedrock.behaviour import AnswerFaults, Behaviour, CallFault, JobFault, Phases, RecordFaults
from local_bedrock.journal import CallInfo
from local_bedrock.questions import Question, prompt_hash
from local_bedrock.server import LocalBedrock

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
