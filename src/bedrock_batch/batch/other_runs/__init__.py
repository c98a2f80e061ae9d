"""The jobs of other unfinished runs that hold questions of this run. This run's own jobs are in `jobs`."""
