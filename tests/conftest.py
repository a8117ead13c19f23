"""What all tests may ask for: one PostgreSQL server, started when the first one does."""

from tests.parts.postgres import postgres

__all__ = ["postgres"]
