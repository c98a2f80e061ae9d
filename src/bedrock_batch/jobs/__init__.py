"""The jobs of a run, from their files on disk to their results on disk."""
