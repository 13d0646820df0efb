"""The decision store: events that are never overwritten, and a projection of the last build."""
