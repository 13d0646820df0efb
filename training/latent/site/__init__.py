"""A static site of samples: a folder that any web server shows, or a browser without one."""

from training.latent.site.write import SiteWish, write_site

__all__ = ["SiteWish", "write_site"]
