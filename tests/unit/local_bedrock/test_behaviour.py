"""The behaviour of the local Bedrock: it is read from JSON, and a mistake in it is refused."""

import json

import pytest

from local_bedrock import AnswerFaults, Behaviour, CallFault, JobFault, LocalBedrock, Phases, RecordFaults

EVERYTHING = {
    "seed": 3,
    "phases": {"submitted": 1, "in_progress": 0.5},
    "min_records_per_job": 10,
    "entitled": False,
    "application_profiles": {"abc": "us.anthropic.claude-sonnet-4-20250514-v1:0"},
    "latency_seconds": {"Converse": 0.2},
    "calls": [{"operation": "S3.PutObject", "calls": [1, 3], "code": "SlowDown", "retry_after": 2}],
    "jobs": [{"ordinals": [2], "ends": "PartiallyCompleted", "share": 0.6, "phases": {"scheduled": 9}}],
    "answers": {"truncated": 0.1},
    "records": {"missing": 0.01},
}


@pytest.mark.parametrize("form", ["mapping", "text", "file"])
def test_behaviour_is_read_from_json(tmp_path, form):
    """A fault in a file would differ from the same fault in code."""
    path = tmp_path / "behaviour.json"
    path.write_text(json.dumps(EVERYTHING))
    source = {"mapping": EVERYTHING, "text": json.dumps(EVERYTHING), "file": path}[form]
    assert Behaviour.from_json(source) == Behaviour(
        seed=3,
        phases=Phases(submitted=1.0, in_progress=0.5),
        min_records_per_job=10,
        entitled=False,
        application_profiles={"abc": "us.anthropic.claude-sonnet-4-20250514-v1:0"},
        latency_seconds={"Converse": 0.2},
        calls=(CallFault("S3.PutObject", (1, 3), "SlowDown", retry_after=2.0),),
        jobs=(JobFault(ordinals=(2,), ends="PartiallyCompleted", share=0.6, phases=Phases(scheduled=9.0)),),
        answers=AnswerFaults(truncated=0.1),
        records=RecordFaults(missing=0.01),
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"sead": 1}, "behaviour.sead must be one of the fields seed"),
        ({"seed": "1"}, "behaviour.seed must be of type int, not '1'"),
        ({"seed": True}, "behaviour.seed must be of type int"),
        ({"jobs": {}}, "behaviour.jobs must be a list"),
        ({"jobs": [{"share": "half"}]}, r"behaviour.jobs\[0\].share must be a number"),
        ({"calls": [{"operation": "Converse", "when": "later"}]}, r"calls\[0\].when must be one of before, during"),
        ([], "behaviour must be an object"),
        ({"records": {"missing": 0.6, "error": 0.5}}, "records must be shares from 0 to 1 that add up to 1 at most"),
        ({"jobs": [{"share": 60}]}, r"jobs\[0\].share must be from 0 to 1, not 60"),
    ],
    ids=["unknown", "type", "bool", "list", "number", "choice", "object", "shares", "share"],
)
def test_wrong_behaviour_names_the_place(source, message):
    """A mistyped setting would be ignored, and the service would work without faults."""
    with pytest.raises(ValueError, match=message):
        Behaviour.from_json(json.dumps(source))


def test_knob_on_an_operation_that_does_not_exist_is_refused():
    """A fault of a mistyped operation would never occur, and its test would pass without testing anything."""
    with pytest.raises(ValueError, match="names the operation 'InvokeModels', which Bedrock does not have"):
        LocalBedrock(Behaviour(calls=(CallFault("InvokeModels"),)))


def test_whole_numbers_are_shares_too():
    """`missing=1` would fail with an unrelated error, or shares would not be checked."""
    zeros = dict.fromkeys(("error", "throttled", "missing", "repeated", "unknown_id", "not_json"), 0)
    assert Behaviour(records=RecordFaults(**zeros, invalid_utf8=0, wrong_echo=0)).records.missing == 0
    with pytest.raises(ValueError, match="records must be shares from 0 to 1 that add up to 1 at most"):
        Behaviour(records=RecordFaults(missing=1, error=1))


@pytest.mark.parametrize("day", ["soon", "2026-2-1", ""])
def test_an_end_of_life_is_a_day(day):
    """A mistyped day would retire no model."""
    with pytest.raises(ValueError, match=r"ends_of_life\.a\.model must be a day as YYYY-MM-DD"):
        Behaviour.from_json({"ends_of_life": {"a.model": day}})
