"""The declaration of every setting: its environment variable, its type and its meaning. Reading them is `settings`."""
