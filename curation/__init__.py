"""From bytes to verdicts: pure image functions, and the stages built of them."""
