"""`nonesuch sample` and `nonesuch latent`: what came out of a training."""

from __future__ import annotations

import typer

from flows.cli.sampling import blending, checks, directions, pictures, projection, site, videos

sample = typer.Typer(
    help="Make pictures, figures, videos and a site of a trained run; check it.",
    add_completion=False,
    no_args_is_help=True,
)
sample.command()(pictures.images)
sample.command()(pictures.grid)
sample.command()(pictures.figures)
sample.add_typer(videos.video_app, name="video")
sample.command()(checks.check)
sample.command()(site.site)

latent = typer.Typer(
    help="Find directions, project pictures, blend models, make more of a kind.",
    add_completion=False,
    no_args_is_help=True,
)
latent.command()(directions.sefa)
latent.command()(directions.ganspace)
latent.command()(directions.tags)
latent.command(name="directions")(directions.directions)
latent.command()(projection.project)
latent.command()(blending.blend)
latent.command()(blending.more)
