"""What is due: the loop's state, what follows from it, and how the next step starts."""
