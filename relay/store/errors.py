"""How the store says no."""


class StoreUnavailable(Exception):
    """It cannot be written now (disk full, locked, read-only, …): answer 4yz, or try again later."""


class NotMigrated(StoreUnavailable):
    """There is a database, and it holds no relay's tables yet."""


class StoreAway(StoreUnavailable):
    """Its server is not there now, and may be soon: who needs it to begin can wait."""


class SchemaTooNew(Exception):
    """The database was made by a newer program: it is left as it is."""


class BadQuery(Exception):
    """SQL that this database does not understand, or would write with: what it says about it."""


class NotOffered(Exception):
    """This engine does not do it; the message says what does."""
