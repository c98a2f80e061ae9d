"""What a model is told: the template step's `prompts.json`, and rows rendered into prompts. Knows no request body."""
