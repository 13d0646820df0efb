"""`nonesuch demo`: once round the loop on pictures with planted defects."""
