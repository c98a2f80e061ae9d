"""Real-time inference: single requests, their rate limit and the worker pool. Batch jobs are in `batch`."""
