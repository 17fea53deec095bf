"""What requests and responses are made of: camelCase on the wire, unknown fields refused, no coercion."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator
from pydantic.alias_generators import to_camel


class Outgoing(BaseModel):
    """Base of what is answered."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)


class Incoming(BaseModel):
    """Base of what is asked. A field that is not there cannot be set by naming it."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _only_text(cls, value: Any) -> Any:
        """No NUL and no lone surrogates, wherever they are."""
        if not _is_clean(value):
            raise ValueError("text has no NUL and no lone surrogates")
        return value


def _is_clean(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, dict):
        return all(_is_clean(part) for item in value.items() for part in item)
    return all(map(_is_clean, value)) if isinstance(value, list) else True


def _iso(microseconds: int) -> str:
    return (
        datetime.fromtimestamp(microseconds / 1_000_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


Moment = Annotated[int, PlainSerializer(_iso, return_type=str), Field(json_schema_extra={"format": "date-time"})]
"""Stored as microseconds since 1970, shown as RFC 3339 in UTC."""


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""The last word on an integer: JSON knows one kind of number, 7.0 is the integer 7."""

NO_NUL = r"^[^\x00]*$"
SEEN = r"^[^\x00]*[^\s\x00][^\x00]*$"
"""A text in which something can be seen."""

RoleName = Literal["owner", "editor", "viewer"]
Password = Annotated[str, Field(min_length=1, max_length=256, examples=["correct horse battery staple"])]
NewPassword = Annotated[
    str, Field(min_length=10, max_length=256, examples=["correct horse battery staple"], description="not a common one")
]
Handle = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])$", examples=["ann"])]
DisplayName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        pattern=r"^[^\x00]*(?:[A-Za-z0-9]|[^\x00-\x7f])[^\x00]*$",
        examples=["Ann Example"],
    ),
]
Email = Annotated[
    str,
    Field(
        max_length=320,
        pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$",
        examples=["ann@example.org"],
    ),
]
Secret = Annotated[str, Field(min_length=1, max_length=128, examples=["csi_0aB..."])]
DocumentName = Annotated[
    str, Field(min_length=1, max_length=256, pattern=SEEN, examples=["Notes of the first meeting"])
]
