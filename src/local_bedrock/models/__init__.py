"""The models: families, rules, request and response bodies. What a model says is in `answers`."""
