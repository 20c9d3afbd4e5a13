"""Questions to whoever sits at the terminal."""

import sys

from ..errors import UxmppError


def there() -> bool:
    """Whether anybody sits there."""
    return bool(sys.stdin and sys.stdin.isatty())


def asked(question: str, default: str = "") -> str:
    """Return the answer, without the blanks around it; `default` for no more than Enter, and where
    the input ends (Ctrl-D). Raises UxmppError for what is no text."""
    try:
        return input(f"{question} ").strip() or default
    except EOFError:
        print()
        return default
    except UnicodeDecodeError:
        raise UxmppError("what was typed is not UTF-8") from None
