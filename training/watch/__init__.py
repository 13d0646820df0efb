"""What a person sees of a training: figures, sample grids, a progress line, and a diagnosis."""
