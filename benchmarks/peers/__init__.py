"""Command lines that run peers side by side, from checkouts that the user names."""
