"""How calls to AWS fail: kinds of failures, retries, lost contact, and what to do about each. Sends nothing itself."""
