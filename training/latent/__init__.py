"""What came out of a training: samples, figures, videos, and ways through the latent space.

Everything starts from a `Sampler`, which turns seeds into latents and latents into pictures as
people see them. What is made of those is in modules of its own: one for figures, one for walks, one
for directions, one for projection.
"""
