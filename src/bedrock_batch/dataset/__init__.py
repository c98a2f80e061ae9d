"""The rows of a run: splits, row sources and pandas frames; their files are in `tables`. No prompts, no answers."""
