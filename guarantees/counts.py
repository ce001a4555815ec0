"""Numbers of things as people say them."""


def counted(number: int, what: str, plural: str = "", *, form: str = "") -> str:
    """`1 order`, `2 orders`; the plural where it is not the word with an s, and a format such as `,`."""
    return f"{number:{form}} {what if number == 1 else plural or f'{what}s'}"
