"""Runs of trainings beside each other: their figures, their curves, the pictures that they make."""
