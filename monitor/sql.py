"""Quoting for generated SQL: identifiers here, values always as parameters."""


def quote(identifier: str) -> str:
    """The identifier in double quotes, safe whatever it holds.

    >>> quote('f"; drop table x')
    '"f""; drop table x"'
    """
    return '"' + identifier.replace('"', '""') + '"'
