"""The answers of the local models: samples of a JSON schema, or an upstream server. Body formats are in `models`."""
