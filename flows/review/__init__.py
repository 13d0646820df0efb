"""`nonesuch review`: what the page is handed of the pipeline, and how decisions get about."""
