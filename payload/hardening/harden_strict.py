"""Whether something is as strict as a control asks for, or stricter: that holds as well."""

from __future__ import annotations

from harden_state import Item


def accepts(rule: Item, is_now: str, wanted: str) -> bool:
    """Whether ``is_now`` is as strict as ``wanted`` by ``rule``, one of strictness.py in the toolkit."""
    is_now, wanted = is_now.strip().lower(), wanted.strip().lower()
    if is_now == wanted:
        return True
    try:
        match next(iter(rule.items()), ("", None)):
            case "order", list(words):
                return is_now in words and wanted in words and words.index(is_now) <= words.index(wanted)
            case "at_most", least:
                return int(least) <= int(is_now) <= int(wanted)
            case "at_least", list(words):
                return is_now in words or int(is_now) >= int(wanted)
            case "umask", _:
                return int(is_now, 8) & int(wanted, 8) == int(wanted, 8)
            case "mode", _:
                return int(is_now, 8) & ~int(wanted, 8) == 0
            case "part", str(between):
                # The same ones in another order are Debian's own list, and their order counts.
                return bool(is_now) and set(is_now.split(between)) < set(wanted.split(between))
    except ValueError:  # it is no number
        pass
    return False


def stricter(item: Item, is_now: str) -> bool:
    """Whether ``is_now`` is more than ``item`` asks for."""
    wanted = item["value"]
    wanted = wanted[0] if isinstance(wanted, list) else str(wanted)
    return is_now.strip().lower() != wanted.lower() and accepts(item.get("accepts", {}), is_now, wanted)
