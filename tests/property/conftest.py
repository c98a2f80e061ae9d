"""Hypothesis for all laws: no time limit per example, since a slow machine is no broken law."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("laws", deadline=None)
settings.load_profile("laws")
