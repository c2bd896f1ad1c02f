"""The record in a written result: its request, and how it was drawn."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, JsonValue

from .request import Data, Request

KEY = "autopipe"
"""The name of the text field of a PNG that has the record as JSON."""


class Circumstances(Data):
    """What can change the last bits of a result, or explains it, but isn't asked for.

    Attributes:
        pipeline: the pipeline class.
        device: the type of device, such as `cpu` or `cuda`.
        processor: the name of the processor or accelerator.
        instructions: the instructions that torch uses on a CPU, such as `AVX512`.
        threads: the number of threads of torch on a CPU.
        dtype: the dtype of the weights.
        versions: the versions of the packages that drew, by name.
        rows: the number of results that were drawn together.
        row: the place of this one among them, from 0.
        used: settings that the pipeline chose, such as its number of steps and its scheduler.
    """

    pipeline: str
    device: str
    processor: str
    instructions: str = ""
    threads: int = 0
    dtype: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    rows: int = 1
    row: int = 0
    used: dict[str, JsonValue] = Field(default_factory=dict)


class Record(Data):
    """The record of one result.

    Attributes:
        format: the number of this format.
        id: the id of the request.
        request: the request.
        drawn: how it was drawn.
    """

    format: Literal[1] = 1
    id: str
    request: Request
    drawn: Circumstances

    def text(self) -> str:
        """Return the record as JSON on one line."""
        return self.model_dump_json(exclude_defaults=True)

    @classmethod
    def read(cls, text: str) -> Record:
        """Return the record in `text`.

        Raises:
            ArgumentError: if it is not valid; the message says why.
        """
        raise NotImplementedError


def settings(record: Record) -> dict[str, Any]:
    """Return the settings of a record for people, in the order of the command line's options."""
    raise NotImplementedError
