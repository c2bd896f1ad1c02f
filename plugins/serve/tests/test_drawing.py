"""What is written can be read again, although it has the names of clients."""

from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest

from autopipe_requests.pictures import texts_of
from autopipe_requests.record import KEY, Circumstances, Record
from autopipe_requests.request import Checkpoint, Request
from autopipe_serve import drawing
from autopipe_serve.drawing import Drawing
from autopipe_serve.settings import Settings
from autopipe_serve.tickets import Ticket


def test_the_id_in_a_file_is_that_of_its_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Request(
        checkpoint=Checkpoint(name="owner/decoder"), seed=1, stages={"prior": "models/prior"}
    )
    how = Circumstances(pipeline="Toy", device="cpu", processor="a processor")
    drawn = drawing.Drawn(
        field="images",
        value=PIL.Image.new("RGB", (8, 8)),
        record=Record(id=asked.id, request=asked, drawn=how),
        rates={},
    )
    ticket = Ticket("0" * 32, "me", (asked,))
    one = Drawing(ticket, Settings(folder=tmp_path), None)  # type: ignore[arg-type]
    monkeypatch.setattr(one, "_drawn", lambda request, size: [drawn])
    public = asked.model_copy(update={"stages": {"prior": "ours"}})
    assert one.run(lambda request: None, lambda request: public) == "done"
    (file,) = ticket.files
    assert Record.read(texts_of(file)[KEY]).request.stages == {"prior": "ours"}
