"""How a model is asked and how its output is read. Sends no request to a model."""
