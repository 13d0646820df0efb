"""What `nonesuch explore` does: trained models, for the explorer's page to look into."""
