"""`mailtrail explain` and the tables of replies, ours and the operator's."""

import json
from pathlib import Path

import pytest

from relay.cli import main
from suppression.replies import use
from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("550 5.1.1 User unknown", ["hard;", "Take the address off"]),
        ("550 5.7.25 Your host has no PTR", ["block;", "block list"]),
        ("450 4.7.1 Greylisted", ["rate;", "try again later"]),
        ("550 5.2.1 Mailbox disabled", ["inactive;", "hard bounce"]),
        ("500 Line too long", ["class unknown_permanent", "(protocol;", "refused for good"]),
        ("500 What?", ["class unknown_permanent", "(protocol;", "refused for good"]),
    ],
)
def test_it_says_the_class_and_the_rule_that_gave_it(cli: Cli, reply: str, words: list[str]) -> None:
    """Class, what it means, why we think so, what we do, what you can do."""
    code, out, _ = cli("explain", reply)
    assert code == 0 and all(word in out for word in ["Because", "We do", "You do", *words])


def test_json_has_class_and_rule(cli: Cli) -> None:
    """The finer class beside the reason class of the views."""
    said = json.loads(cli("explain", "552 5.2.2 over quota", "--json").out)
    assert (said["class"], said["reply_class"]) == ("mailbox_full", "full") and said["rule"]
    assert json.loads(cli("explain", "250 ok", "--json").out)["reply_class"] is None


def test_the_operator_s_rules_and_setting_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`[suppression].rules` comes before ours, `inactive` says what a closed mailbox is; a wrong table is a failure."""
    own, config = tmp_path / "own.toml", tmp_path / "config.toml"
    own.write_text('[[rule]]\nclass = "inactive"\nnote = "gone"\nwords = ["gone fishing"]\n', "utf-8")
    config.write_text(
        f'hostname = "r.example"\ndata_dir = "{tmp_path}"\n[suppression]\nrules = "{own}"\ninactive = "soft"\n', "utf-8"
    )
    try:
        assert main(["explain", "550 gone fishing", "--config", str(config)]) == 0
        out = capsys.readouterr().out
        assert "soft bounce" in out and 'own: "gone fishing"' in out
        own.write_text('[[rule]]\nclass = "gone"\n', "utf-8")
        assert main(["explain", "550 gone fishing", "--config", str(config)]) != 0
        assert "own.toml" in capsys.readouterr().err
    finally:
        use(None)
