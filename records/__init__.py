"""What Cairn keeps in SQL: one schema, one database, and the principal that every row belongs to."""
