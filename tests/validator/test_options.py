"""What the commands have in common: names that are nearly right, settings, contracts by option."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tests.providers import LIBRARY, TOY, contract
from validator.contract import SpecError
from validator.contract.document import dump_yaml
from validator.options import (
    Command,
    EffectType,
    ProviderType,
    Unusable,
    VariantType,
    chosen,
    open_contracts,
    setting_options,
)

# --- names ------------------------------------------------------------------------------------------------


def test_a_known_name_is_chosen_and_an_unknown_one_told() -> None:
    assert "b" == chosen("b", ["a", "b"], "no letter")
    for name, hint in (("createClp", "did you mean 'createClip'?"), ("x", "known: createClip, readClip")):
        with pytest.raises(click.BadParameter) as error:
            chosen(name, ["createClip", "readClip"], "no operation")
        assert f"no operation is called '{name}' ({hint})" == error.value.message


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (EffectType(), "toy.a.b=warn", ("toy.a.b", "warn")),
        (EffectType(), "toy.a=b=off", None),
        (EffectType(), "=off", ("", "off")),
        (EffectType(), "toy.a.b", None),
        (EffectType(), "toy.a.b=", None),
        (EffectType(), "toy.a.b=OFF", None),
        (VariantType(), "toy.chatty", ("toy", "chatty")),
        (VariantType(), "toy.a.b", ("toy", "a.b")),
        (VariantType(), "toy.", None),
        (VariantType(), "toy", None),
        (ProviderType(), "kling", "kling"),
        (ProviderType(), "Kling", None),
        (ProviderType(), "", None),
    ],
)
def test_an_argument_is_read_or_refused(kind: Any, text: str, value: Any) -> None:
    if value is None:
        with pytest.raises(click.BadParameter):
            kind.convert(text, None, None)
        return
    assert value == kind.convert(text, None, None)
    # click converts a default again, which is a value already.
    assert value == kind.convert(value, None, None)


# --- contracts --------------------------------------------------------------------------------------------

NONE: Any = ((), ())


def test_all_of_the_library_is_opened_unless_one_is_named() -> None:
    assert list(LIBRARY) == list(open_contracts(None, None, NONE))
    assert ["kling"] == list(open_contracts("kling", None, NONE))
    assert ["toy"] == list(open_contracts(None, str(TOY), NONE))


def test_settings_reach_the_provider_they_are_about_and_no_other() -> None:
    effects = (("kling.sound.offered", "warn"), ("modellix.mode.value", "off"))
    opened = open_contracts(None, None, (effects, (("kling", "bare-create"),)))

    assert "warn" == opened["kling"].rules["kling.sound.offered"].effect
    assert "off" == opened["modellix"].rules["modellix.mode.value"].effect
    assert contract("magnific").rules == opened["magnific"].rules
    assert contract("kling").document.root != opened["kling"].document.root
    assert "reject" == contract("kling").rules["kling.sound.offered"].effect


def test_the_last_of_two_settings_counts() -> None:
    effects: Any = (("toy.clip.model", "warn"), ("toy.clip.model", "fail"))

    assert "fail" == open_contracts(None, str(TOY), (effects, ()))["toy"].rules["toy.clip.model"].effect


@pytest.mark.parametrize(
    ("provider", "settings", "sentence"),
    [
        ("kling", ((("klng.a.b", "off"),), ()), "'klng.a.b=off' is for no provider in use (did you mean 'kling'?)"),
        ("kling", ((("modellix.a.b", "off"),), ()), "'modellix.a.b=off' is for no provider in use (in use: kling)"),
        ("kling", ((), (("magnific", "x"),)), "'magnific.x' is for no provider in use (in use: kling)"),
        ("kling", ((), (("kling", "old-id"),)), "kling has no variant 'old-id' (did you mean 'old-ids'?)"),
    ],
)  # fmt: skip
def test_a_setting_about_nobody_is_told(provider: str, settings: Any, sentence: str) -> None:
    with pytest.raises(click.BadParameter) as error:
        open_contracts(provider, None, settings)

    assert sentence == error.value.message


def test_a_rule_that_is_not_there_is_a_fault_of_the_setting() -> None:
    with pytest.raises(SpecError) as error:
        open_contracts("kling", None, ((("kling.sound.ofered", "off"),), ()))

    assert ("setting", "did you mean 'kling.sound.offered'?") == (error.value.file, error.value.hint)


def test_a_spec_may_be_json_and_may_be_called_anything(tmp_path: Path) -> None:
    root = contract("toy").document.root
    for name, text in (("a.json", json.dumps(root)), ("kling", dump_yaml(root)), ("b", json.dumps(root))):
        (tmp_path / name).write_text(text)

        assert ["toy"] == list(open_contracts(None, str(tmp_path / name), NONE))


def test_a_provider_and_a_spec_together_are_refused() -> None:
    with pytest.raises(click.UsageError):
        open_contracts("kling", str(TOY), NONE)


# --- commands ---------------------------------------------------------------------------------------------


def ran(function: Any) -> Any:
    command = Command("work", callback=function)
    return CliRunner().invoke(command, prog_name="understudy work")


def failing(kind: type[BaseException], *args: Any, **more: Any) -> Any:
    def work() -> int:
        raise kind(*args, **more)

    return work


@pytest.mark.parametrize(
    ("work", "code", "told"),
    [
        (lambda: 0, 0, []),
        (lambda: 1, 1, []),
        (failing(Unusable, "nothing works"), 2, ["nothing works"]),
        (failing(Unusable, "nothing works", "go home"), 2, ["nothing works", "  go home"]),
        (failing(SpecError, "is wrong", file="a.yaml", pointer="/b"), 2, ["a.yaml#/b: is wrong"]),
        (failing(SpecError, "is wrong", file="a.yaml"), 2, ["a.yaml: is wrong"]),
        (failing(SpecError, "no such rule", file="setting", hint="try b"), 2, ["no such rule", "  try b"]),
        (failing(OSError, 28, "Disk full"), 2, ["the output cannot be written: Disk full"]),
    ],
)
def test_a_command_ends_with_its_code_and_tells_what_is_in_its_way(
    work: Any, code: int, told: list[str]
) -> None:
    result = ran(work)

    told = [f"understudy work: {told[0]}", *told[1:]] if told else []
    assert (code, "", told) == (result.exit_code, result.stdout, result.stderr.splitlines())


def test_a_fault_of_ours_is_not_hidden() -> None:
    assert isinstance(ran(failing(ZeroDivisionError)).exception, ZeroDivisionError)


def test_settings_are_options_that_may_be_repeated() -> None:
    seen: list[Any] = []

    @click.command()
    @setting_options
    def work(effects: Any, variants: Any) -> None:
        seen.append((effects, variants))

    CliRunner().invoke(work, ["--effect", "a.b.c=off", "--effect", "a.b.d=warn", "--variant", "a.x"])

    assert [((("a.b.c", "off"), ("a.b.d", "warn")), (("a", "x"),))] == seen


def test_a_fault_that_is_not_the_outputs_is_not_called_one() -> None:
    @click.command(cls=Command)
    def broken() -> int:
        raise PermissionError(errno.EACCES, "Permission denied", "somewhere")

    @click.command(cls=Command)
    def full() -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(PermissionError):
        broken.main([], standalone_mode=False)
    with pytest.raises(Unusable, match="the output cannot be written"):
        full.main([], standalone_mode=False)
