"""The API operations and the dispatcher that routes requests to them. What a job does is in `batch`."""
