"""The embedded network: what it is shown, what it answers."""
