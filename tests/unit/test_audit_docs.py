"""The page about the audit has every rule and every option, as they are."""

from __future__ import annotations

import re

from deploys.auditing.cli import parser
from deploys.auditing.docs import PAGE, page
from deploys.auditing.rules import rules


def test_the_table_of_rules_is_up_to_date() -> None:
    text = PAGE.read_text()
    assert page(text) == text, "run python -m deploys.auditing.docs"
    assert re.findall(r"^\| ([A-Z]\d\d) \|", text, re.M) == list(rules())


def test_every_option_is_explained() -> None:
    text = PAGE.read_text()
    for action in parser()._actions:
        for option in action.option_strings:
            assert option in ("-h", "--help") or option in text, option
