"""Single requests in real time: what they send, when they start, and in which threads. No rows and no runs."""
