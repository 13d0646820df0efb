"""The stages of a rebuild: tables in, tables out. Each does only the work that is new."""
