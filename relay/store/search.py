"""A filter as SQL: the text of a WHERE clause over the columns of the view `email_status`.

Does not run anything. Rules: what people typed is only ever a parameter (`:p0`, `:p1`, …), never
part of the text, so the text depends on the shape of the filter alone; and it is SQL that SQLite
and PostgreSQL both take: LIKE with a stated escape, `lower()` on both sides by the database
itself (SQLite's knows only ASCII, so Python's may not be mixed with it), COALESCE for what may be
NULL. Comparisons of whole values stand bare, so that an index can serve them.
"""

from collections.abc import Callable, Iterable

from relay.filters import ANY, Filter, Term

Value = str | float | int
Bind = Callable[[Value], str]  # keeps a value as a parameter and gives its name

# Keys that look for a part of the value, and the columns in which they look.
_COLUMNS = {
    ANY: ("recipient", "sender", "subject"),
    "to": ("recipient",),
    "from": ("sender", "envelope_from"),
    "subject": ("subject",),
    "tag": ("tag",),
    "class": ("reason_class",),
    "mx": ("mx_host", "mx_ip"),
    "cred": ("credential",),
    "msgid": ("message_id",),
}


def where(filter: Filter) -> tuple[str, dict[str, Value]]:
    """The condition that `filter` asks for, and its parameters by name.

    The text is never empty: a filter without terms is `1 = 1`.
    """
    values: dict[str, Value] = {}

    def bind(value: Value) -> str:
        name = f"p{len(values)}"
        values[name] = value
        return f":{name}"

    conditions = [_condition(term, bind) for term in filter.terms]
    return "\n  AND ".join(conditions) or "1 = 1", values


def _condition(term: Term, bind: Bind) -> str:
    if term.key in _ONE_COLUMN:
        text = _ONE_COLUMN[term.key](term, bind)
    elif term.at is not None:
        text = f"received_ts {'>=' if term.key == 'after' else '<'} {bind(term.at)}"
    else:
        text = _any_of(
            _whole(column, value, bind) if term.exact else _part(column, value, bind)
            for value in term.values
            for column in _COLUMNS[term.key]
        )
    # What is NULL holds no value: `-tag:x` also means the mail that has no tag.
    return f"NOT COALESCE(({text}), FALSE)" if term.negated else f"({text})"


def _part(column: str, value: str, bind: Bind) -> str:
    return f"lower({column}) LIKE lower({bind('%' + _escaped(value) + '%')}) ESCAPE '!'"


def _whole(column: str, value: str, bind: Bind) -> str:
    return f"lower({column}) = lower({bind(value)})"


def _listed(column: str, term: Term, bind: Bind) -> str:
    return f"{column} IN ({', '.join(bind(value) for value in term.values)})"


def _domain(term: Term, bind: Bind) -> str:
    """The domain itself and what is below it; a single label is found anywhere: `gmail` in gmail.com."""
    if term.exact:
        return _listed("recipient_domain", term, bind)
    return _any_of(_domain_like(value, bind) for value in term.values)


def _domain_like(value: str, bind: Bind) -> str:
    if "." in value:
        below = bind("%." + _escaped(value))
        return f"recipient_domain = {bind(value)} OR recipient_domain LIKE {below} ESCAPE '!'"
    return f"('.' || recipient_domain || '.') LIKE {bind('%.' + _escaped(value) + '.%')} ESCAPE '!'"


def _code(term: Term, bind: Bind) -> str:
    """`45` means 450 to 459."""
    return _any_of(
        f"smtp_code BETWEEN {bind(int(value.ljust(3, '0')))} AND {bind(int(value.ljust(3, '9')))}"
        for value in term.values
    )


def _dsn(term: Term, bind: Bind) -> str:
    """`5.7` means 5.7.anything, not 5.70.1."""
    if term.exact:
        return _listed("dsn", term, bind)
    return _any_of(f"dsn = {bind(value)} OR dsn LIKE {bind(value + '.%')}" for value in term.values)


_ONE_COLUMN: dict[str, Callable[[Term, Bind], str]] = {
    "status": lambda term, bind: _listed("status", term, bind),
    "id": lambda term, bind: _listed("queue_id", term, bind),
    "domain": _domain,
    "code": _code,
    "dsn": _dsn,
}


def _any_of(conditions: Iterable[str]) -> str:
    return " OR ".join(conditions)


def _escaped(value: str) -> str:
    """`value` for LIKE ... ESCAPE '!', so that % and _ are themselves."""
    return value.replace("!", "!!").replace("%", "!%").replace("_", "!_")
