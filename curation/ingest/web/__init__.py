"""Pictures from the web: shops, archives, lists of URLs."""
