"""The jobs of a run: plan, job files, creation, monitoring and download. Result lines are read in `results`."""
