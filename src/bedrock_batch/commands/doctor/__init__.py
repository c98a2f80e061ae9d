"""The doctor command: checks what account, role, buckets and model lack for a run. Leaves nothing behind."""
