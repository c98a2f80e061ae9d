"""The ledger: what a run has begun, paid for and been given, so that a later start continues it."""
