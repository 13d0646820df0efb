"""How pictures are scored: by likeness to others and by the discriminators of models."""
