"""The report of a run: one page for a person, made from the summary alone."""
