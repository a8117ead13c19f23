"""How the store says no."""


class StoreUnavailable(Exception):
    """It cannot be written now (disk full, locked, read-only, …): answer 4yz, or try again later."""


class SchemaTooNew(Exception):
    """The database was made by a newer program: it is left as it is."""


class BadQuery(Exception):
    """SQL text in people's words cannot be run: what the database says about it."""


class NotOffered(Exception):
    """This engine does not do it; the message says what does."""
