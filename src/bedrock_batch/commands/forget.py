"""The forget command: lists the kept answers of a model, of a run or of all, and deletes them if that is confirmed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bedrock_batch.answer_store.place import Place
from bedrock_batch.answer_store.removal import Holding, is_of_store, list_holdings, list_holdings_of_run, remove
from bedrock_batch.commands.preparation import StepRequest, make_bare_context
from bedrock_batch.environment.settings import load_settings
from bedrock_batch.errors import ConfigurationError
from bedrock_batch.ledger.identity import RUN_ID_LENGTH
from bedrock_batch.models.question_frame import foundation_model, model_of
from bedrock_batch.realtime.reuse.answer_lookup import open_place
from bedrock_batch.text import human_bytes

EVERYTHING = "all"
_RUN_ID = re.compile(f"[0-9a-f]{{{RUN_ID_LENGTH}}}")


def forget_step(request: StepRequest, target: str, *, confirmed: bool) -> dict[str, Any]:
    """List the kept answers of `all`, of a run id or of a model as JSON values, and delete them if `confirmed`.

    Data, template and schema are not needed. RunError if the store cannot be read or a deletion fails; what was
    deleted before stays deleted.
    """
    settings = load_settings(request.environ)[0]
    context = make_bare_context(request, settings)
    place = open_place(settings, context, context.state_folder)
    if place is None:
        raise ConfigurationError("--forget finds no answers: no S3 path and no processing directory is set")
    return forget(place, target, confirmed=confirmed)


def forget(place: Place, target: str, *, confirmed: bool) -> dict[str, Any]:
    """List the answers of a target in a store as JSON values, and delete them if `confirmed`."""
    run_id = target if _RUN_ID.fullmatch(target) else None
    if run_id:
        holdings = list(list_holdings_of_run(place, run_id))
    else:
        holdings = list(list_holdings(place, None if target == EVERYTHING else foundation_model(target)))
    report = {"location": place.location, "target": target, "deleted": confirmed, **_describe(place, holdings)}
    for holding in holdings if confirmed else ():
        remove(place, holding, run_id)
    return report


def render_forgotten(report: Mapping[str, Any]) -> str:
    """Return what `forget` found, and whether it was deleted, as text."""
    return "\n".join(_lines(report))


def _describe(place: Place, holdings: Iterable[Holding]) -> dict[str, Any]:
    models: dict[str, dict[str, Any]] = {}
    for each in holdings:
        described = models.setdefault(
            each.model,
            {"model": each.model, "files": 0, "answers": 0, "bytes": 0, "rewritten_files": 0, "damaged_files": 0},
        )
        described["files"] += 1
        described["answers"] += each.forgotten or 0
        described["bytes"] += each.size
        described["rewritten_files"] += each.kept > 0
        described["damaged_files"] += each.forgotten is None
    files = [(frame, name) for frame, name, _ in place.everything()]
    others = {model_of(frame) for frame, name in files if is_of_store(frame, name)} - models.keys()
    return {
        "models": list(models.values()),
        "other_models": sorted(others),
        "foreign_files": [place.where(frame, name) for frame, name in files if not is_of_store(frame, name)],
    }


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"Answers of {report['target']} in {report['location']}"
    for each in report["models"]:
        notes = [
            f"{text}: {each[key]}"
            for key, text in (
                ("rewritten_files", "files that also hold answers of other runs, which stay"),
                ("damaged_files", "damaged files, whose answers are not counted"),
            )
            if each[key]
        ]
        counts = f"answers: {each['answers']:,}, files: {each['files']:,}, {human_bytes(each['bytes'])}"
        yield f"  {each['model']}  {'; '.join([counts, *notes])}"
    if not report["models"]:
        yield f"  none. The store has answers of: {', '.join(report['other_models']) or 'no model'}"
    elif report["deleted"]:
        yield "Deleted."
    else:
        yield "Nothing is deleted. To delete these answers, add --yes"
    for location in report["foreign_files"]:
        yield f"Not a file of the store, and left alone: {location}"
