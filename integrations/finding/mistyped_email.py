"""Notice an e-mail address whose domain is a slip away from that of a big mail provider."""

from integrations.sentences import say

# {name of a provider's domain: what may follow it}. Short names, such as me.com and aol.com, are
# left out: a slip away from them are domains of other people.
PROVIDERS = {
    "gmail": {"com"},
    "googlemail": {"com"},
    "hotmail": {"com", "be", "ca", "co.uk", "de", "es", "fr", "it", "nl", "no", "se"},
    "icloud": {"com"},
    "outlook": {"com", "at", "be", "cl", "com.br", "de", "dk", "es", "fr", "ie", "it", "pt"},
    "protonmail": {"com", "ch"},
    "yahoo": {"com", "ca", "co.in", "co.jp", "co.nz", "co.uk", "com.ar", "com.au", "com.br"}
    | {"com.mx", "de", "es", "fr", "gr", "ie", "in", "it", "no", "pl", "ro", "se"},
}
# Domains of others that are a slip away from one of these.
REAL = frozenset({"grail.com", "incloud.com"})


def repaired(email: str) -> str:
    """Return the address that was probably meant, such as lou@hotmail.com for lou@hotmial.com.

    "" if the domain does not look mistyped.
    """
    name, at, domain = email.rpartition("@")
    meant = _meant(domain.lower())
    return f"{name}{at}{meant}" if meant else ""


def doubt(email: str, searched: str = "") -> str:
    """Return "Mistyped? hotmial.com looks like hotmail.com.", "" if it does not look mistyped.

    `searched` is a similar address, if a person looked for that one.
    """
    meant = repaired(email)
    if not meant and searched:
        return say(
            "You looked for {searched}, and this is {email}: one of them is probably mistyped.",
            searched=searched,
            email=email,
        )
    if not meant:
        return ""
    typed, domain = (each.rpartition("@")[2] for each in (email, meant))
    return say("Mistyped? {typed} looks like {domain}.", typed=typed, domain=domain)


def _meant(domain: str) -> str:
    """Return the provider's domain that is a slip away from this one, "" for none."""
    if domain in REAL:
        return ""
    typed, _, ending = domain.partition(".")
    for name, endings in PROVIDERS.items():
        # Few people mistype the first letter, and mail.com and ymail.com are not gmail.com.
        begins = typed[:1] == name[:1] or typed[:2] == name[1::-1]
        if ending in endings and begins and _is_slip(typed, name):
            return f"{name}.{ending}"
        if typed == name and ending not in endings and _is_slip(ending, "com"):
            return f"{name}.com"
    return ""


def _is_slip(typed: str, meant: str) -> bool:
    """Whether a letter is missing, extra or wrong, or two neighbors are swapped."""
    if typed == meant:
        return False
    pairs = enumerate(zip(typed, meant, strict=False))
    at = next((at for at, (one, other) in pairs if one != other), min(len(typed), len(meant)))
    rest, wanted = typed[at:], meant[at:]
    return (
        rest == wanted[1:]
        or rest[1:] == wanted
        or rest[1:] == wanted[1:]
        or (rest[:2] == wanted[1::-1] and rest[2:] == wanted[2:])
    )
