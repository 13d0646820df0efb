"""The tasks of the flows: each reads, calls a stage, commits. No image or tensor maths here."""
