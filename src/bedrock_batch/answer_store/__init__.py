"""The answers that outlive runs: what identifies a question, where its answers are kept, and how they are found again.

What an answer means for a row is in `answers`; what a run has in flight is in `ledger`.
"""
