"""The response schema of the user, and the validators compiled from it."""
