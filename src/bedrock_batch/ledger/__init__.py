"""The ledger: what a run has begun and was answered, so that a later start continues it. Holds no row text."""
