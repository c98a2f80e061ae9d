"""The plan of a run: what would be asked, how, and at what cost, without asking anything."""
