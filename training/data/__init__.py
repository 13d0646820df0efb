"""What training is fed with: a version, checked, selected from, read in a fixed order."""
