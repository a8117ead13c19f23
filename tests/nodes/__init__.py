"""Several nodes as one relay: real processes with addresses of their own, and one PostgreSQL."""
