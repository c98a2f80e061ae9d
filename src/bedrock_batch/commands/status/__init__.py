"""The status of a run: its jobs, their progress, the cost so far, and what a start would do now."""
