"""The live board: one page, its live events and the SQL behind each panel."""
