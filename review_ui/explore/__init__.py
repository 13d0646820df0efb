"""The explorer: a page to look into trained models with. Pictures are made by who is handed in."""
