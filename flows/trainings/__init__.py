"""Trainings of a dataset: started, followed, side by side, compared."""
