"""The page on which people decide flagged images."""
