"""The page that people look at before they touch a threshold."""
