"""`nonesuch sample` and `nonesuch latent`: what came out of a training."""
