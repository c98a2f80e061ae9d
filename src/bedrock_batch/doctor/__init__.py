"""The doctor: what the account, the role, the buckets and the model lack for a run."""
