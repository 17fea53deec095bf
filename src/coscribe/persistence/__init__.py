"""Storage adapters: memory and SQLite."""
