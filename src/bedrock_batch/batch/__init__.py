"""Batch inference: the processor, the mode, jobs and their results. Real-time calls are in `realtime`."""
