"""How the store says no."""


class StoreUnavailable(Exception):
    """It cannot be written now (disk full, locked, read-only, …): answer 4yz, or try again later."""


class SchemaTooNew(Exception):
    """The database was made by a newer program: it is left as it is."""
