"""Secrets of the settings: given as X_NAME, or as X_NAME_FILE, the path of a file that holds the text.

    class Settings(SecretSettings):
        model_config = SettingsConfigDict(env_prefix="ORDER_")
        token: Secret = Secret("")

A file is read anew each time that its secret is asked for, so that a new one counts without a restart
wherever a client takes it then: `settings.token.read()`. Line ends after the text do not belong to it.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, get_args

from pydantic import AfterValidator, GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import core_schema
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from chassis.errors import SecretError

MASK: Final = "**********"
SIZE_MAX: Final = 64 * 1024
"""Of a file with a secret, in bytes."""


class Secret:
    """A text that no `repr`, error or log line shows."""

    __slots__ = ("_file", "_text", "_variable")

    def __init__(self, text: str = "", *, file: Path | None = None, variable: str = "") -> None:
        """`variable` names it in errors: that of the environment which it is from."""
        self._text, self._file, self._variable = text, file, variable

    @property
    def variable(self) -> str:
        return self._variable

    def read(self) -> str:
        """The text as it is now, "" where none is given. Raises SecretError."""
        return self._text if self._file is None else _read(self._file, self._variable)

    def __bool__(self) -> bool:
        """Is one given?"""
        return self._file is not None or self._text != ""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        same = hmac.compare_digest(self._text.encode(), other._text.encode())
        return same and self._file == other._file

    def __hash__(self) -> int:
        return hash((self._file, bool(self._text)))

    def __repr__(self) -> str:
        return f"Secret({MASK!r})" if self else "Secret()"

    __str__ = __repr__

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: object, _handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        shown = core_schema.plain_serializer_function_ser_schema(repr)
        return core_schema.no_info_plain_validator_function(_validated, serialization=shown)


NO_SECRET: Final = Secret()


@dataclass(frozen=True, slots=True)
class _Given:
    """What the environment says of one secret: "" for each variable that it does not have."""

    variable: str
    text: str = ""
    file: str = ""

    def secret(self) -> Secret:
        """Raises ValueError where both are given, or the file does not hold one line of text."""
        by_file = f"{self.variable}_FILE"
        if self.text and self.file:
            raise ValueError(f"given twice: {self.variable} and {by_file}")
        if not self.file:
            return Secret(_line(self.text), variable=self.variable)
        found = Secret(file=Path(self.file), variable=by_file)
        try:
            found.read()
        except SecretError as error:
            raise ValueError(str(error)) from None
        return found

    def __repr__(self) -> str:
        return f"{self.variable}={MASK}"


def secret_of(variables: Mapping[str, str], name: str) -> Secret:
    """The secret that an environment gives as NAME or NAME_FILE; one that is not there is false.

    Raises ValueError where both are given, or the file does not hold one line of text.
    """
    return _Given(name, variables.get(name, ""), variables.get(f"{name}_FILE", "")).secret()


def overridden(variables: Mapping[str, str], by: Mapping[str, str]) -> dict[str, str]:
    """An environment with others on top: NAME takes the place of NAME_FILE, and the other way round."""
    other = {n.removesuffix("_FILE") if n.endswith("_FILE") else f"{n}_FILE" for n in by}
    return {name: text for name, text in variables.items() if name not in other} | dict(by)


class SecretSettings(BaseSettings):
    """Settings from the environment. Each field of the type Secret may be given in a file, as above."""

    model_config = SettingsConfigDict(hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del env_settings, dotenv_settings, file_secret_settings
        return init_settings, _Environment(settings_cls)


class _Environment(EnvSettingsSource):
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        value, key, is_complex = super().get_field_value(field, field_name)
        if not is_secret(field.annotation):
            return value, key, is_complex
        name = f"{self.env_prefix}{field_name}".lower()
        file = self.env_vars.get(f"{name}_file") or ""
        given = _Given(name.upper(), value or "", file)
        return (None if value is None and not file else given), key, False


def is_secret(annotation: Any) -> bool:
    """Of a field of settings: is it a Secret, in whatever form?"""
    return annotation is Secret or any(map(is_secret, get_args(annotation)))


def _validated(value: object) -> Secret:
    match value:
        case Secret():
            return value
        case _Given():
            return value.secret()
        case str():
            return Secret(_line(value))
        case _:
            raise ValueError("a secret is a text")


def _line(text: str) -> str:
    """Raises ValueError for one with line breaks or other control characters."""
    if not text.isprintable():
        raise ValueError("it is one line of text, without control characters")
    return text


def _required(secret: Secret) -> Secret:
    if not secret:
        raise ValueError("it is empty")
    return secret


RequiredSecret: TypeAlias = Annotated[Secret, AfterValidator(_required)]


def _read(file: Path, variable: str) -> str:
    try:
        with file.open("rb") as opened:
            found = opened.read(SIZE_MAX + 1)
        text = found.decode().rstrip("\r\n")
    except OSError as error:
        raise SecretError(f"{variable} can't be read: {file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SecretError(f"{variable}: {file} is not text in UTF-8") from None
    if not text:
        raise SecretError(f"{variable}: {file} is empty")
    try:
        return _line(text if len(found) <= SIZE_MAX else "\n")
    except ValueError as error:
        raise SecretError(f"{variable}: {file}: {error}") from None
