"""The time at which the user needs the outputs, from `BEDROCK_DEADLINE` or `BEDROCK_DEADLINE_HOURS`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bedrock_batch.environment.context import RunContext
from bedrock_batch.environment.settings import Settings
from bedrock_batch.errors import ConfigurationError


def deadline_of(settings: Settings, now: datetime) -> datetime | None:
    """Return the deadline that the settings state for a step that starts `now`, None if they state none.

    ConfigurationError if it has passed.
    """
    if settings.deadline_hours is not None:
        return now + timedelta(hours=settings.deadline_hours)
    if not settings.deadline:
        return None
    deadline = datetime.fromisoformat(settings.deadline)
    if deadline <= now:
        raise ConfigurationError(
            f"BEDROCK_DEADLINE={settings.deadline} has passed, it is {now.isoformat(timespec='seconds')} "
            "now: set a later time, or unset it to wait as long as the jobs take"
        )
    return deadline


def with_deadline(context: RunContext, settings: Settings) -> RunContext:
    """Return a context that knows the deadline of the settings; ConfigurationError if it has passed."""
    now = context.now()
    deadline = deadline_of(settings, now)
    if deadline is None:
        return context
    return replace(context, due=context.clock() + (deadline - now).total_seconds())
