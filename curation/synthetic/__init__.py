"""Product pictures drawn by code, and planted defects with known answers, for the demo."""
