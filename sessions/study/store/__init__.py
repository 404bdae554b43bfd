"""Where a study's data is: a database, its tables and their versions.

- `database`: connections and transactions, on SQLite or PostgreSQL;
- `tables`: what is stored;
- `migrations`: how it came to be so, version by version.
"""
