"""What surrounds a run: settings, container, instance, packages, signals, clients. No rows and no model calls."""
