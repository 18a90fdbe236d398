"""Texts that look like something else: mixed scripts, and names in which somebody poses as the bank.

The tables of confusable characters and of scripts are Unicode's (UTS 39), by way of confusable_homoglyphs.
"""

import re
import unicodedata

from confusable_homoglyphs import categories, confusables

_ANY_SCRIPT = frozenset({"COMMON", "INHERITED"})
# What is written together though it is of several scripts (UTS 39, "highly restrictive").
_WRITTEN_TOGETHER = (
    frozenset({"LATIN", "HAN", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "HAN", "BOPOMOFO"}),
    frozenset({"LATIN", "HAN", "HANGUL"}),
)
# Digits and symbols that stand for a letter, and letters that many typefaces draw alike.
_DRAWN_ALIKE = str.maketrans("013457@$|!i", "oleastaslll")
_NOT_LETTERS = re.compile("[^a-z]+")

_BANKS_OWN_NAME = "bankctl"
# No plurals of the first: Banks is a surname.
_STAFF_WORDS = (
    *("bank", "support", "operator", "operators", "admin", "admins", "administrator", "administrators"),
    *("staff", "helpdesk", "hotline", "moderator", "sysadmin", "system", "official", "department"),
    *("security", "fraud", "compliance", "customer"),
)
_IN_GIVEN_NAMES = ".'\u2019-"
# What stands in front of "Bank" where no person is named: "the Bank", "Your Bank", "Ann from Bank".
_NO_GIVEN_NAMES = (
    *("a", "an", "any", "at", "by", "for", "from", "in", "my", "of", "on", "our", "the", "this", "to"),
    *("your", "central", "commercial", "digital", "federal", "internet", "investment", "mobile"),
    *("national", "online", "private", "retail", "savings"),
)
# How records and the command line speak of those who have no name.
_NOBODY = ("unknown", "not signed in", "the server's shell", "settlement account", "adjustment account")


def mixes_scripts(text: str) -> bool:
    """Tell whether a word is of scripts not written together, such as Latin with a Cyrillic letter."""
    scripts = {str(categories.alias(one)) for one in text} - _ANY_SCRIPT
    return len(scripts) > 1 and not any(scripts <= together for together in _WRITTEN_TOGETHER)


def poses_as_bank(name: str) -> bool:
    """Tell whether a name reads as the bank's own, its staff's, or as that of nobody.

    What it is written with does not matter: other scripts' letters, accents, digits for letters, invisible
    characters, or a space between each two letters. "Bank" behind a given name is a person's surname.
    """
    if _OWN_NAME in "".join(_words(name)):
        return True
    words = _words(_without_surname_bank(name))
    joined = "".join(words)
    # Letters that stand alone are one word, s p a c e d out.
    spaced = "".join(word if len(word) == 1 else f" {word} " for word in words).split()
    return joined in _NOBODY_LIKE or any(_STAFF_LIKE.fullmatch(word) for word in (*words, *spaced))


def _without_surname_bank(name: str) -> str:
    """Leave out "Bank" where it is written plainly and a given name stands in front of it."""
    *given, surname = name.split() or [""]
    parts = surname.split("-")
    plain = [part for part in parts if part.isascii() and part.casefold() == "bank"]
    is_a_person = any(len(one) > 1 for one in given) and all(map(_may_be_given, given))
    return " ".join([*given, *(part for part in parts if part not in plain)]) if is_a_person else name


def _may_be_given(word: str) -> bool:
    written = all(unicodedata.category(one)[0] in "LM" or one in _IN_GIVEN_NAMES for one in word)
    return written and word[0].isalpha() and not _NO_GIVEN_LIKE.intersection(_words(word))


def _words(text: str) -> list[str]:
    """Split a text into words of the Latin letters that it looks like."""
    apart = unicodedata.normalize("NFKD", text)
    shown = "".join(one for one in apart if unicodedata.category(one) not in {"Mn", "Me", "Cf"})
    latin = "".join(map(_latin, shown)).casefold().translate(_DRAWN_ALIKE).replace("rn", "m")
    return [word for word in _NOT_LETTERS.split(latin) if word]


def _latin(character: str) -> str:
    """Return the Latin letter that a character looks like, else the character."""
    if character.isascii():
        return character
    known = confusables.confusables_data
    alike = (found["c"] for form in (character, character.upper()) for found in known.get(form, ()))
    return next((one for one in alike if one.isascii() and one.isalnum()), character)


_OWN_NAME = "".join(_words(_BANKS_OWN_NAME))
_NO_GIVEN_LIKE = frozenset(word for one in _NO_GIVEN_NAMES for word in _words(one))
_NOBODY_LIKE = frozenset("".join(_words(one)) for one in _NOBODY)
_STAFF_LIKE = re.compile(f"(?:{'|'.join(word for one in _STAFF_WORDS for word in _words(one))})+")
