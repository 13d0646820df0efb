"""What a run leaves behind in its folder, and how it goes on from there."""
